/** From what puts and event loops met while something long was done to a table, each beside what is usual. */
import { groupBy, markdownTable, medians } from './report.ts';
import type { Kind } from './servers.ts';

/** What was found about a server while something was done. */
export interface Findings {
  tookMs: number;
  /** Of all members the longest; 0 for a server without such a loop. */
  loopP99Ms: number;
  loopMaxMs: number;
  /** The most that the loop's thread worked in one turn; what else it was late it waited, for a processor or a disk. */
  loopWorkMaxMs: number;
}

export interface PauseSample extends Readonly<Findings> {
  readonly kind: Kind;
  /** What was done. */
  readonly name: string;
  readonly puts: number;
  readonly failures: number;
  /** What puts took from when they were due. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

type Figure =
  | 'tookMs'
  | 'loopP99Ms'
  | 'loopMaxMs'
  | 'loopWorkMaxMs'
  | 'puts'
  | 'failures'
  | 'p50Ms'
  | 'p99Ms'
  | 'maxMs';

/** Medians over the rounds, of one server. */
export type PauseFigures = Readonly<Record<Figure, number>> & {
  /** p99 over that of the row before which begins with "nothing". */
  readonly p99Ratio: number;
};

export interface PauseRow {
  readonly name: string;
  readonly figures: Readonly<Partial<Record<Kind, PauseFigures>>>;
}

const fields: readonly Figure[] = [
  'tookMs',
  'loopP99Ms',
  'loopMaxMs',
  'loopWorkMaxMs',
  'puts',
  'failures',
  'p50Ms',
  'p99Ms',
  'maxMs',
];

/** Rows that begin with this say what is usual for those that follow. */
const usualMark = 'nothing';

export function summarizePauses(samples: readonly PauseSample[]): PauseRow[] {
  const usual = new Map<Kind, number>();
  return [...groupBy(samples, ({ name }) => name)].map(([name, group]) => {
    const figures: Partial<Record<Kind, PauseFigures>> = {};
    for (const kind of ['etcd', 'kvd'] as const) {
      const found = medians(
        group.filter((sample) => sample.kind === kind),
        fields,
      );
      if (found === undefined) continue;
      if (name.startsWith(usualMark)) usual.set(kind, found.p99Ms);
      figures[kind] = { ...found, p99Ratio: found.p99Ms / usual.get(kind)! };
    }
    return { name, figures };
  });
}

export function formatPauses(rows: readonly PauseRow[]): string {
  const head = [
    ...['while', 'etcd put p50', 'p99', 'of usual', 'max', 'kvd put p50', 'p99', 'of usual', 'max'],
    ...['event loop p99', 'max', 'most work in a turn'],
  ];
  const ms = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
  const putsOf = (figures: PauseFigures | undefined): string[] =>
    figures === undefined
      ? ['–', '–', '–', '–']
      : [ms(figures.p50Ms), ms(figures.p99Ms), `${figures.p99Ratio.toFixed(1)}×`, ms(figures.maxMs)];
  const lines = rows.map(({ name, figures: { etcd, kvd } }) => {
    const loop = kvd === undefined ? ['–', '–', '–'] : [kvd.loopP99Ms, kvd.loopMaxMs, kvd.loopWorkMaxMs].map(ms);
    return [name, ...putsOf(etcd), ...putsOf(kvd), ...loop];
  });
  return markdownTable(head, lines);
}
