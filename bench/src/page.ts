/** The page of figures: the table of goals, the plots and the tables, all of them derived from one file of findings. */
import { type Figures, type MemoryFindings, rowOf } from './figures.ts';
import { goalsOf } from './goals.ts';
import type { Operation } from './load/requests.ts';
import { formatPauses } from './pauses-report.ts';
import { barPlot, linePlot } from './plot.ts';
import { formatTable, markdownTable, median, type Row } from './report.ts';

/** Files by name, relative to docs/. */
export type Page = ReadonlyMap<string, string>;

export const pageName = 'performance-figures.md';
/** Where the findings are kept. */
export const figuresName = 'figures/figures.json';
const rivalNames = ['etcd', 'kvd'] as const;

/** The page and its plots. The same figures give the same bytes. */
export function pageOf(figures: Figures): Page {
  const plots = new Map<string, string>([
    ['figures/puts.svg', rates(figures, 'put', 'Puts a second')],
    ['figures/put-times.svg', putTimes(figures)],
    ['figures/ranges.svg', rates(figures, 'range', 'Linearizable ranges of one key a second')],
    ['figures/transactions.svg', rates(figures, 'txn-mixed', 'Transactions a second, one of five writes')],
    ['figures/growth-values.svg', byValue(figures)],
    ['figures/growth-watchers.svg', byWatchers(figures)],
    ['figures/growth-members.svg', byMembers(figures)],
    ['figures/growth-keys.svg', byKeys(figures)],
    ['figures/pauses.svg', pauses(figures)],
  ]);
  return new Map([[pageName, textOf(figures, [...plots.keys()])], ...plots]);
}

function textOf(figures: Figures, plots: readonly string[]): string {
  const images = new Map(plots.map((path) => [path, `![${path.replace(/^figures\/|\.svg$/g, '')}](${path})`]));
  const image = (name: string): string => images.get(`figures/${name}.svg`)!;
  return `${[
    '# Figures',
    `Written by \`npm run bench:page\` from [figures.json](figures/figures.json), which \`npm run bench:all\` writes: change neither by
hand. What is measured and how, and what was tried, stands in [performance](performance.md).`,
    conditions(figures),
    '## Goals',
    'Ratios are of kvd to etcd, from the same run on the same machine.',
    goalTable(figures),
    '## Load',
    [image('puts'), image('put-times'), image('ranges'), image('transactions')].join('\n\n'),
    formatTable(figures.load.filter(isPlain)),
    '## Growth',
    'What a put costs all members together, of 100 callers at the leader; by keys, of 500 callers of one member.',
    [image('growth-values'), image('growth-watchers'), image('growth-members'), image('growth-keys')].join('\n\n'),
    formatTable(figures.load.filter((row) => !isPlain(row))),
    '## Memory and start',
    memoryTable(figures),
    '## Watchers',
    'One writer; the next write starts when every watcher has been given the last one. Times are from a write until all have it.',
    fanOutTable(figures),
    '## The embedded library',
    'Puts and gets from inside the process, beside an etcd and its npm client. CPU is of the process that calls.',
    embeddedTable(figures),
    '## Pauses',
    `Puts at an even rate, timed from when they were due, while something long is done. A heartbeat leaves as late as the event loop
runs. "Of usual" compares p99 with that of the same server while nothing else is done.`,
    image('pauses'),
    formatPauses(figures.pauses),
  ].join('\n\n')}\n`;
}

function conditions({ takenAt, quick, machine, versions }: Figures): string {
  const names = Object.values(versions).map((version) => version.replace(' Version: ', ' '));
  const form = quick ? 'The short form, of one round and short measurements' : 'Medians of three rounds';
  const memory = Math.round(machine.memoryBytes / 2 ** 30);
  // Two rivals that take turns do not meet the same neighbours.
  const caution =
    machine.loadBefore > machine.cores / 2
      ? '\n\n**Other work had the machine at the same time: no ratio of rates or times here means anything.**'
      : '';
  return `${form}, begun ${takenAt.slice(0, 10)} on ${machine.cores} cores (${machine.cpu}) with ${memory} GiB, Linux
${machine.kernel}, Node.js ${machine.node}; ${names.join(', ')}. Load of the machine before: ${machine.loadBefore.toFixed(1)}. The load
generator runs on the same cores.${caution}`;
}

function goalTable(figures: Figures): string {
  const lines = goalsOf(figures).map(({ load, goal, measured, isMet, command }) => {
    const verdict = isMet === undefined ? 'not measured' : isMet ? '**yes**' : 'no';
    return [load, goal, measured === '' ? '–' : measured, verdict, `\`${command}\``];
  });
  return markdownTable(['load', 'goal', 'measured', 'met', 'command'], lines);
}

/** Neither growth nor what grows with it. */
function isPlain({ members, valueBytes, watchers }: Row): boolean {
  return members <= 3 && valueBytes === 256 && watchers === 0;
}

function rates(figures: Figures, operation: Operation, title: string): string {
  return barPlot({ title, series: rivalNames, groups: groups(figures, operation, 'perSecond') });
}

function putTimes(figures: Figures): string {
  return barPlot({
    title: 'Puts: milliseconds of the 99th percentile',
    series: rivalNames,
    groups: groups(figures, 'put', 'p99Ms'),
  });
}

function groups(
  figures: Figures,
  operation: Operation,
  field: 'perSecond' | 'p99Ms',
): { readonly label: string; readonly values: readonly (number | undefined)[] }[] {
  return figures.load
    .filter((row) => isPlain(row) && row.operation === operation)
    .map((row) => {
      const who = row.over === 'all' ? 'all ' : '';
      const label = `${row.callers} × ${who}${row.members} member${row.members === 1 ? '' : 's'}`;
      return { label, values: rivalNames.map((kind) => row.figures[kind]?.[field]) };
    });
}

function cpuLines(rows: readonly Row[]): { readonly name: string; readonly values: readonly (number | undefined)[] }[] {
  return rivalNames.map((name) => ({ name, values: rows.map((row) => row.figures[name]?.cpuMicrosPerOperation) }));
}

function byValue(figures: Figures): string {
  const rows = puts(figures).filter(({ watchers, members }) => watchers === 0 && members === 1);
  rows.sort((a, b) => a.valueBytes - b.valueBytes);
  const xs = rows.map(({ valueBytes }) => ({ at: valueBytes, label: bytes(valueBytes) }));
  return linePlot({ title: 'CPU of a put, µs, by the size of the value', xName: 'value', xs, series: cpuLines(rows) });
}

function byWatchers(figures: Figures): string {
  const rows = puts(figures).filter(({ valueBytes, members }) => valueBytes === 256 && members === 1);
  rows.sort((a, b) => a.watchers - b.watchers);
  const xs = rows.map(({ watchers }) => ({ at: watchers, label: watchers.toLocaleString('en-US') }));
  const title = 'CPU of a put, µs, by watches on other keys';
  return linePlot({ title, xName: 'watches', xs, series: cpuLines(rows) });
}

function byMembers(figures: Figures): string {
  const rows = [1, 3, 5].flatMap((members) => rowOf(figures, { members, operation: 'put', callers: 100 }) ?? []);
  return barPlot({
    title: 'CPU of a put, µs, all members together',
    series: rivalNames,
    groups: rows.map((row) => ({
      label: `${row.members} member${row.members === 1 ? '' : 's'}`,
      values: rivalNames.map((kind) => row.figures[kind]?.cpuMicrosPerOperation),
    })),
  });
}

function byKeys({ growth = [] }: Figures): string {
  const counts = [...new Set(growth.map(({ keyCount }) => keyCount))].sort((a, b) => a - b);
  const xs = counts.map((at) => ({ at, label: at.toLocaleString('en-US') }));
  const series = rivalNames.map((name) => ({
    name,
    values: counts.map(
      (count) => growth.find(({ kind, keyCount }) => kind === name && keyCount === count)?.cpuMicrosPerPut,
    ),
  }));
  return linePlot({ title: 'CPU of a put, µs, by keys in the store', xName: 'keys', xs, series });
}

function puts(figures: Figures): Row[] {
  return figures.load.filter((row) => row.operation === 'put' && row.callers === 100 && row.over === 'leader');
}

function pauses(figures: Figures): string {
  return barPlot({
    title: 'Puts at an even rate: milliseconds of the 99th percentile while …',
    series: rivalNames,
    groups: figures.pauses.map((row) => ({
      label: row.name,
      values: rivalNames.map((kind) => row.figures[kind]?.p99Ms),
    })),
  });
}

function memoryTable({ memory }: Figures): string {
  if (memory === undefined) return 'Not measured.';
  const megabytes = (value: number): string => `${Math.round(value / 1e6)} MB`;
  const seconds = (value: number): string => `${(value / 1000).toFixed(2)} s`;
  const rows: readonly (readonly [string, (found: MemoryFindings) => number, (value: number) => string])[] = [
    ['resident after filling', (found) => found.afterFill.resident, megabytes],
    ['resident after a start', (found) => median(found.cleanStarts.map((start) => start.memory.resident)), megabytes],
    ['store', (found) => found.disk.storeBytes, megabytes],
    ['all files', (found) => found.disk.totalBytes, megabytes],
    ['start to healthy after a stop', (found) => median(found.cleanStarts.map((start) => start.healthyMs)), seconds],
    ['start to healthy after SIGKILL', (found) => median(found.killedStarts.map((start) => start.healthyMs)), seconds],
  ];
  const lines = rows.map(([name, read, write]) => [
    name,
    ...rivalNames.map((kind) => (memory.found[kind] === undefined ? '–' : write(read(memory.found[kind])))),
  ]);
  return markdownTable([`${memory.keyCount.toLocaleString('en-US')} keys`, ...rivalNames], lines);
}

function fanOutTable({ fanOut }: Figures): string {
  const lines = fanOut.flatMap(({ watchers, figures }) =>
    rivalNames.flatMap((kind) => {
      const found = figures[kind];
      if (found === undefined) return [];
      return [
        [
          watchers.toLocaleString('en-US'),
          kind,
          Math.round(found.eventsPerSecond).toLocaleString('en-US'),
          `${found.p50Ms.toFixed(1)} ms`,
          `${found.p99Ms.toFixed(1)} ms`,
          `${found.cpuMicrosPerEvent.toFixed(1)} µs`,
          `${(found.bytesPerWatcher / 1024).toFixed(1)} KiB`,
          `${Math.round(found.residentBytes / 2 ** 20)} MiB`,
        ],
      ];
    }),
  );
  const head = ['watchers', '', 'events/s', 'p50', 'p99', 'CPU of an event', 'memory of a watcher', 'of the process'];
  return markdownTable(head, lines);
}

function embeddedTable({ embedded }: Figures): string {
  const lines = embedded.map((row) => [
    row.operation,
    row.callers.toLocaleString('en-US'),
    row.rival,
    Math.round(row.perSecond).toLocaleString('en-US'),
    `${row.p50Ms.toFixed(2)} ms`,
    `${row.p99Ms.toFixed(2)} ms`,
    `${row.cpuMicrosPerOperation.toFixed(0)} µs`,
  ]);
  return markdownTable(['operation', 'callers', '', 'a second', 'p50', 'p99', 'CPU here'], lines);
}

function bytes(count: number): string {
  return count < 1_024 ? `${count} B` : `${Math.round(count / 1_024)} KiB`;
}
