/** Callers that write to one member, one call each at a time, and note everything in a ledger. */
import type { Ledger } from './ledger.ts';
import type { RawClient } from './raw-client.ts';

export interface LoadOptions {
  readonly client: RawClient;
  readonly ledger: Ledger;
  /** Keys begin with it. Another load of the same ledger needs another name. */
  readonly name: string;
  /** Default: 4. */
  readonly callers?: number;
  /** Calls of one caller at most. */
  readonly callsMax: number;
  /** Whether callers also compact and defragment now and then. Default: true. */
  readonly maintains?: boolean;
  /** Told of every call that was answered how long it took, in milliseconds. */
  readonly onCall?: (tookMs: number) => void;
  /** Callers end before their next call when it says so. Default: never. */
  readonly until?: () => boolean;
}

const keysPerCaller = 10;
const callLimitMs = 10_000;

/** Resolves when all callers have made their calls. A caller ends with its first failure: what it wrote then is unknown. */
export async function load(options: LoadOptions): Promise<void> {
  const { callers = 4 } = options;
  await Promise.all(Array.from({ length: callers }, (_, i) => run(options, `${options.name}/${i}`)));
}

async function run(options: LoadOptions, caller: string): Promise<void> {
  for (let i = 0; i < options.callsMax; i++) {
    if (options.until?.() === true) return;
    const startMs = performance.now();
    try {
      await call(options, caller, i);
      options.onCall?.(performance.now() - startMs);
    } catch {
      return;
    }
  }
}

/** Mostly puts, with deletions, pairs written together, and a compaction and a defragmentation now and then. */
async function call({ client, ledger, maintains = true }: LoadOptions, caller: string, i: number): Promise<void> {
  const key = `${caller}/${i % keysPerCaller}`;
  if (i % 9 === 8) {
    const attempt = ledger.delete(key);
    const { header, deleted } = await client.delete(key, callLimitMs);
    if (deleted === 0) ledger.acknowledgeAbsence(attempt, header!.revision);
    else ledger.acknowledge([attempt], header!.revision);
  } else if (i % 7 === 6) {
    const pair = [ledger.put(`${caller}/left`), ledger.put(`${caller}/right`)];
    const answer = await client.putAll(
      pair.map((attempt) => [attempt.key, attempt.value] as const),
      callLimitMs,
    );
    ledger.acknowledge(pair, answer.header!.revision);
  } else {
    const attempt = ledger.put(key);
    const { header } = await client.put(key, attempt.value, callLimitMs);
    ledger.acknowledge([attempt], header!.revision);
    if (!maintains) return;
    // Only one caller compacts: what another has just compacted away cannot be compacted again.
    if (i % 40 === 25 && caller.endsWith('/0')) await client.compact(header!.revision - 5);
    if (i % 40 === 35 && caller.endsWith('/1')) await client.defragment();
  }
}
