/** All findings of one run of every benchmark, as they stand in one file. */
import type { EmbeddedRow } from './embedded.ts';
import type { PauseRow } from './pauses-report.ts';
import type { Row } from './report.ts';
import type { FanOutRow } from './scale-watches.ts';
import type { Kind } from './servers.ts';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  /** Processes that wanted a core when the run began, on average: what else the machine did. */
  readonly loadBefore: number;
}

export interface Figures {
  /** Date and time, ISO 8601, when the run began. */
  readonly takenAt: string;
  /** Whether it was the short form: one round, short measurements, fewer keys. */
  readonly quick: boolean;
  readonly machine: Machine;
  readonly versions: Readonly<Partial<Record<Kind, string>>>;
  readonly load: readonly Row[];
  readonly fanOut: readonly FanOutRow[];
  readonly embedded: readonly EmbeddedRow[];
  readonly pauses: readonly PauseRow[];
  readonly memory?: MemoryFigures;
  readonly growth?: readonly GrowthSample[];
}

/** What `bench:growth` finds: a put into a store of so many keys. */
export interface GrowthSample {
  readonly kind: Kind;
  readonly keyCount: number;
  readonly cpuMicrosPerPut: number;
}

/** What `bench:memory` finds. */
export interface MemoryFigures {
  readonly keyCount: number;
  readonly valueBytes: number;
  readonly found: Readonly<Partial<Record<Kind, MemoryFindings>>>;
}

export interface MemoryFindings {
  readonly afterFill: { readonly resident: number };
  readonly disk: { readonly storeBytes: number; readonly totalBytes: number };
  readonly cleanStarts: readonly Start[];
  readonly killedStarts: readonly Start[];
}

interface Start {
  readonly healthyMs: number;
  readonly memory: { readonly resident: number };
}

/** The row of a load; what is not said is as usual: the leader, 256 bytes, no watchers. */
export function rowOf(
  figures: Figures,
  load: Pick<Row, 'members' | 'operation' | 'callers'> & Partial<Pick<Row, 'over' | 'valueBytes' | 'watchers'>>,
): Row | undefined {
  const wanted = { over: 'leader', valueBytes: 256, watchers: 0, ...load };
  const fields = ['members', 'operation', 'callers', 'over', 'valueBytes', 'watchers'] as const;
  return figures.load.find((row) => fields.every((field) => row[field] === wanted[field]));
}
