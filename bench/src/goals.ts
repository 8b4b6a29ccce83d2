/** What is asked for, and what of it a run of all benchmarks reached. */
import { type Figures, type MemoryFindings, rowOf } from './figures.ts';
import type { Operation } from './load/requests.ts';
import { median } from './report.ts';

/** One row of the table of goals. */
export interface Goal {
  readonly load: string;
  readonly goal: string;
  readonly command: string;
  /** What was measured, in words. */
  readonly measured: string;
  /** Undefined where it was not measured. */
  readonly isMet: boolean | undefined;
}

/** One figure of a goal. */
interface Check {
  readonly text: string;
  readonly isMet: boolean;
}

const many = [100, 1_000] as const;
const any = [1, 100, 1_000] as const;

/** Ratios are of kvd to etcd. */
export function goalsOf(figures: Figures): Goal[] {
  const put = (members: string, callers: string): string =>
    `npm run bench -- --members ${members} --operations put --callers ${callers}`;
  return [
    goal(
      'put, 3 members, at the leader, 100 and 1,000 callers',
      '≥ 2.0× throughput, p99 ≤ 0.6×',
      put('3', '100,1000'),
      [
        ...rates(figures, { members: 3, operation: 'put', callers: many, least: 2 }),
        ...lateness(figures, { members: 3, callers: many, most: 0.6 }),
      ],
    ),
    goal('put, 3 members, over all members', '≥ 2.0× throughput', `${put('3', '100,1000')} --over all`, [
      ...rates(figures, { members: 3, operation: 'put', callers: many, least: 2, over: 'all' }),
    ]),
    goal('put, 1 member, 100 and 1,000 callers', '≥ 1.5× throughput', put('1', '100,1000'), [
      ...rates(figures, { members: 1, operation: 'put', callers: many, least: 1.5 }),
    ]),
    goal(
      'put, 1 caller, 1 and 3 members',
      'latency ≤ 0.65×',
      put('1,3', '1'),
      [1, 3].flatMap((n) => lone(figures, n, 0.65)),
    ),
    goal('linearizable range, 1 and 3 members', '≥ 1.5× throughput', 'npm run bench -- --operations range', [
      ...rates(figures, { members: 1, operation: 'range', callers: any, least: 1.5 }),
      ...rates(figures, { members: 3, operation: 'range', callers: any, least: 1.5 }),
    ]),
    goal('mixed txn, 1 and 3 members', '≥ 1.5× throughput', 'npm run bench -- --operations txn-mixed', [
      ...rates(figures, { members: 1, operation: 'txn-mixed', callers: many, least: 1.5 }),
      ...rates(figures, { members: 3, operation: 'txn-mixed', callers: many, least: 1.5 }),
    ]),
    goal('1 writer, 1,000 watchers', '≥ 1.5× events/s, p99 delay ≤ 0.7×', 'npm run bench:scale', fanOut(figures)),
    goal(
      'embedded library, put, 1 member, 100 callers',
      '≥ 100,000 durable puts/s, ≥ 10× etcd with its npm client',
      'npm run bench:embedded',
      embedded(figures),
    ),
    goal('memory and disk with 1,000,000 keys', '≤ 1.0×', 'npm run bench:memory', space(figures)),
    goal('start to healthy with 1,000,000 keys', '≤ 0.7×', 'npm run bench:memory', starts(figures)),
    goal(
      'range of 100,000 keys while writing',
      'heartbeat gap ≤ 50 ms, put p99 ≤ 3× usual',
      'npm run bench:pauses',
      longRanges(figures),
    ),
    goal(
      'cost per put as the store grows from 10,000 to 5,000,000 keys',
      '≤ 1.5×',
      'npm run bench:growth',
      growth(figures),
    ),
  ];
}

function goal(load: string, wanted: string, command: string, checks: readonly Check[]): Goal {
  return {
    load,
    goal: wanted,
    command,
    measured: checks.map(({ text }) => text).join('; '),
    isMet: checks.length === 0 ? undefined : checks.every(({ isMet }) => isMet),
  };
}

const times = (ratio: number): string => `${ratio.toFixed(2)}×`;
const count = (value: number): string => Math.round(value).toLocaleString('en-US');
const callersText = (callers: number): string => (callers === 1 ? '1 caller' : `${count(callers)} callers`);

function rates(
  figures: Figures,
  wanted: {
    readonly members: number;
    readonly operation: Operation;
    readonly callers: readonly number[];
    readonly least: number;
    readonly over?: 'all';
  },
): Check[] {
  const { members, operation, least, over = 'leader' } = wanted;
  return wanted.callers.flatMap((callers) => {
    const ratio = rowOf(figures, { members, operation, callers, over })?.throughputRatio;
    const text = `${members === 1 ? '1 member' : `${members} members`}, ${callersText(callers)}: ${times(ratio ?? 0)}`;
    return ratio === undefined ? [] : [{ text, isMet: ratio >= least }];
  });
}

function lateness(
  figures: Figures,
  { members, callers, most }: { readonly members: number; readonly callers: readonly number[]; readonly most: number },
): Check[] {
  return callers.flatMap((each) => {
    const ratio = rowOf(figures, { members, operation: 'put', callers: each })?.p99Ratio;
    return ratio === undefined ? [] : [{ text: `p99 with ${count(each)}: ${times(ratio)}`, isMet: ratio <= most }];
  });
}

/** Of a lone caller, whose calls follow on each other, the mean is what is left of a second for each. */
function lone(figures: Figures, members: number, most: number): Check[] {
  const { etcd, kvd } = rowOf(figures, { members, operation: 'put', callers: 1 })?.figures ?? {};
  if (etcd === undefined || kvd === undefined) return [];
  const ratio = etcd.perSecond / kvd.perSecond;
  const medianText = `median ${times(kvd.p50Ms / etcd.p50Ms)}`;
  const name = members === 1 ? '1 member' : `${members} members`;
  return [{ text: `${name}: mean ${times(ratio)}, ${medianText}`, isMet: ratio <= most }];
}

function fanOut(figures: Figures): Check[] {
  const { etcd, kvd } = figures.fanOut.find(({ watchers }) => watchers === 1_000)?.figures ?? {};
  if (etcd === undefined || kvd === undefined) return [];
  const rate = kvd.eventsPerSecond / etcd.eventsPerSecond;
  const late = kvd.p99Ms / etcd.p99Ms;
  return [
    { text: `${times(rate)} events/s`, isMet: rate >= 1.5 },
    { text: `p99 ${times(late)}`, isMet: late <= 0.7 },
  ];
}

function embedded(figures: Figures): Check[] {
  const of = (rival: string): number | undefined =>
    figures.embedded.find((row) => row.operation === 'put' && row.callers === 100 && row.rival === rival)?.perSecond;
  const own = of('embedded');
  const other = of('etcd with etcd3');
  if (own === undefined) return [];
  const rate = { text: `${count(own)}/s`, isMet: own >= 100_000 };
  return other === undefined ? [rate] : [rate, { text: times(own / other), isMet: own / other >= 10 }];
}

function space(figures: Figures): Check[] {
  return comparisons(figures, 1, [
    ['resident after filling', (found) => found.afterFill.resident],
    ['resident after a start', (found) => median(found.cleanStarts.map(({ memory }) => memory.resident))],
    ['store', (found) => found.disk.storeBytes],
    ['all files', (found) => found.disk.totalBytes],
  ]);
}

function starts(figures: Figures): Check[] {
  return comparisons(figures, 0.7, [
    ['after a stop', (found) => median(found.cleanStarts.map(({ healthyMs }) => healthyMs))],
    ['after SIGKILL', (found) => median(found.killedStarts.map(({ healthyMs }) => healthyMs))],
  ]);
}

function comparisons(
  { memory }: Figures,
  most: number,
  wanted: readonly (readonly [string, (found: MemoryFindings) => number])[],
): Check[] {
  const { etcd, kvd } = memory?.found ?? {};
  // The short form has fewer keys, and says nothing about the goal.
  if (memory?.keyCount !== 1_000_000 || etcd === undefined || kvd === undefined) return [];
  return wanted.map(([name, read]) => {
    const ratio = read(kvd) / read(etcd);
    return { text: `${name}: ${times(ratio)}`, isMet: ratio <= most };
  });
}

function growth(figures: Figures): Check[] {
  const own = (figures.growth ?? []).filter(({ kind }) => kind === 'kvd').sort((a, b) => a.keyCount - b.keyCount);
  const [first] = own;
  const last = own.at(-1);
  if (first?.keyCount !== 10_000 || last?.keyCount !== 5_000_000) return [];
  const ratio = last.cpuMicrosPerPut / first.cpuMicrosPerPut;
  return [{ text: `${times(ratio)} CPU`, isMet: ratio <= 1.5 }];
}

function longRanges(figures: Figures): Check[] {
  const kvd = figures.pauses.find(({ name }) => name.startsWith('ranges'))?.figures.kvd;
  if (kvd === undefined) return [];
  return [
    {
      text: `event loop late by ${kvd.loopMaxMs.toFixed(0)} ms at most, with ${kvd.loopWorkMaxMs.toFixed(0)} ms of work in one turn`,
      isMet: kvd.loopMaxMs <= 50,
    },
    { text: `put p99 ${times(kvd.p99Ratio)}`, isMet: kvd.p99Ratio <= 3 },
  ];
}
