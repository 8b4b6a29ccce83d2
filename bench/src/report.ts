/** From samples to a table: the median of each measurement per server, and kvd's ratio to etcd. */
import type { Kind } from './servers.ts';
import type { Load, Sample } from './side-by-side.ts';

/** Medians of one server for one load. */
export interface LoadFigures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicrosPerOperation: number;
  readonly residentBytes: number;
  readonly diskBytes: number;
}

export interface Row extends Load {
  readonly members: number;
  readonly figures: Readonly<Partial<Record<Kind, LoadFigures>>>;
  /** Throughput of kvd over etcd's; above 1 is better. Undefined without etcd. */
  readonly throughputRatio: number | undefined;
  /** p99 of kvd over etcd's; below 1 is better. */
  readonly p99Ratio: number | undefined;
}

export function summarize(samples: readonly Sample[]): Row[] {
  const groups = groupBy(samples, ({ members, operation, callers, over, valueBytes, watchers }) =>
    [members, operation, callers, over, valueBytes, watchers].join('/'),
  );
  return [...groups.values()].map((group) => {
    const { members, operation, callers, over, valueBytes, watchers } = group[0];
    const kvd = figuresOf(group, 'kvd');
    const etcd = figuresOf(group, 'etcd');
    return {
      ...{ members, operation, callers, over, valueBytes, watchers },
      figures: { ...(etcd && { etcd }), ...(kvd && { kvd }) },
      throughputRatio: kvd && etcd && kvd.perSecond / etcd.perSecond,
      p99Ratio: kvd && etcd && kvd.p99Ms / etcd.p99Ms,
    };
  });
}

function figuresOf(group: readonly Sample[], kind: Kind): LoadFigures | undefined {
  return medians(
    group.filter((sample) => sample.kind === kind),
    ['perSecond', 'p50Ms', 'p99Ms', 'cpuMicrosPerOperation', 'residentBytes', 'diskBytes'],
  );
}

/** In the order in which their names first occur. */
export function groupBy<T>(items: readonly T[], nameOf: (item: T) => string): Map<string, [T, ...T[]]> {
  const groups = new Map<string, [T, ...T[]]>();
  for (const item of items) {
    const group = groups.get(nameOf(item));
    if (group === undefined) groups.set(nameOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

/** The median of each of `fields` over the measurements; undefined when there are none. */
export function medians<Field extends string>(
  measurements: readonly Readonly<Record<Field, number>>[],
  fields: readonly Field[],
): Record<Field, number> | undefined {
  if (measurements.length === 0) return undefined;
  const entries = fields.map((field) => [field, median(measurements.map((one) => one[field]))]);
  return Object.fromEntries(entries) as Record<Field, number>;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** A table in Markdown. */
export function markdownTable(head: readonly string[], lines: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

export function formatTable(rows: readonly Row[]): string {
  const head = [
    ...['members', 'operation', 'callers', 'of', 'value', 'watchers', 'etcd/s', 'kvd/s', 'ratio'],
    ...['etcd p99', 'kvd p99', 'ratio', 'CPU µs/op, etcd / kvd'],
  ];
  const lines = rows.map((row) => {
    const { etcd, kvd } = row.figures;
    return [
      String(row.members),
      row.operation,
      String(row.callers),
      row.over === 'leader' ? 'the leader' : 'all members',
      `${row.valueBytes} B`,
      String(row.watchers),
      etcd === undefined ? '–' : etcd.perSecond.toFixed(0),
      kvd === undefined ? '–' : kvd.perSecond.toFixed(0),
      row.throughputRatio === undefined ? '–' : `${row.throughputRatio.toFixed(2)}×`,
      etcd === undefined ? '–' : `${etcd.p99Ms.toFixed(2)} ms`,
      kvd === undefined ? '–' : `${kvd.p99Ms.toFixed(2)} ms`,
      row.p99Ratio === undefined ? '–' : `${row.p99Ratio.toFixed(2)}×`,
      `${etcd?.cpuMicrosPerOperation.toFixed(0) ?? '–'} / ${kvd?.cpuMicrosPerOperation.toFixed(0) ?? '–'}`,
    ];
  });
  return markdownTable(head, lines);
}
