/** From samples to a table: the median of each measurement per server, and kvd's ratio to etcd. */
import type { Sample } from './main.ts';
import type { Kind } from './servers.ts';

/** Medians of one server for one load. */
export interface Figures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicrosPerOperation: number;
  readonly residentBytes: number;
}

export interface Row {
  readonly members: number;
  readonly operation: string;
  readonly callers: number;
  readonly figures: Readonly<Partial<Record<Kind, Figures>>>;
  /** Throughput of kvd over etcd's; above 1 is better. Undefined without etcd. */
  readonly throughputRatio: number | undefined;
  /** p99 of kvd over etcd's; below 1 is better. */
  readonly p99Ratio: number | undefined;
}

export function summarize(samples: readonly Sample[]): Row[] {
  const groups = new Map<string, Sample[]>();
  for (const sample of samples) {
    const name = `${sample.members}/${sample.operation}/${sample.callers}`;
    groups.set(name, [...(groups.get(name) ?? []), sample]);
  }
  return [...groups.values()].map((group) => {
    const { members, operation, callers } = group[0]!;
    const kvd = figuresOf(group, 'kvd');
    const etcd = figuresOf(group, 'etcd');
    return {
      members,
      operation,
      callers,
      figures: { ...(etcd && { etcd }), ...(kvd && { kvd }) },
      throughputRatio: kvd && etcd && kvd.perSecond / etcd.perSecond,
      p99Ratio: kvd && etcd && kvd.p99Ms / etcd.p99Ms,
    };
  });
}

function figuresOf(group: readonly Sample[], kind: Kind): Figures | undefined {
  const own = group.filter((sample) => sample.kind === kind);
  if (own.length === 0) return undefined;
  const medianOf = (read: (sample: Sample) => number): number => median(own.map(read));
  return {
    perSecond: medianOf((sample) => sample.perSecond),
    p50Ms: medianOf((sample) => sample.p50Ms),
    p99Ms: medianOf((sample) => sample.p99Ms),
    cpuMicrosPerOperation: medianOf((sample) => sample.cpuMicrosPerOperation),
    residentBytes: medianOf((sample) => sample.residentBytes),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function formatTable(rows: readonly Row[]): string {
  const head = [
    'members',
    'operation',
    'callers',
    'etcd/s',
    'kvd/s',
    'ratio',
    'etcd p99',
    'kvd p99',
    'ratio',
    'CPU µs/op',
  ];
  const lines = rows.map((row) => {
    const { etcd, kvd } = row.figures;
    return [
      String(row.members),
      row.operation,
      String(row.callers),
      etcd === undefined ? '–' : etcd.perSecond.toFixed(0),
      kvd === undefined ? '–' : kvd.perSecond.toFixed(0),
      row.throughputRatio === undefined ? '–' : `${row.throughputRatio.toFixed(2)}×`,
      etcd === undefined ? '–' : `${etcd.p99Ms.toFixed(2)} ms`,
      kvd === undefined ? '–' : `${kvd.p99Ms.toFixed(2)} ms`,
      row.p99Ratio === undefined ? '–' : `${row.p99Ratio.toFixed(2)}×`,
      `${etcd?.cpuMicrosPerOperation.toFixed(0) ?? '–'} / ${kvd?.cpuMicrosPerOperation.toFixed(0) ?? '–'}`,
    ];
  });
  const table = [head, head.map(() => '---'), ...lines];
  return table.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
