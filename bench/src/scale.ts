/**
 * How watches and leases scale on one member, kvd and, where installed, etcd in turns:
 *
 *   npm run bench:scale -- [watches=1000,10000] [leases=100000] [writes=200] [rounds=1] [only=kvd] [output=DIR]
 *
 * Watches: all on one key, each on a stream of its own, a hundred to a connection; the next write starts when every watcher has
 * been given the last one. Leases: granted by 100 callers, renewed once each over ten streams, and left to expire for ten seconds.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { groupBy, medians } from './report.ts';
import { resultsDirectory, writeResults } from './results.ts';
import { measureLeases } from './scale-leases.ts';
import { type FanOut, type FanOutRow, measureFanOut } from './scale-watches.ts';
import { type Kind, startServer } from './servers.ts';
import { rivals } from './side-by-side.ts';

const options = new Map([
  ['watches', '1000,10000'],
  ['leases', '100000'],
  ['writes', '200'],
  ['rounds', '1'],
  ['output', resultsDirectory],
  ...process.argv.slice(2).map((arg) => arg.split('=') as [string, string]),
]);
const basePorts = { kvd: 23_690, etcd: 24_690 } as const;
const numbers = (name: string): number[] => (options.get(name) ?? '').split(',').map(Number).filter(Boolean);
const fanOuts: (FanOut & { readonly kind: Kind })[] = [];

function tell(kind: Kind, what: string, figures: Readonly<Record<string, number | undefined>>): void {
  const text = Object.entries(figures).map(([name, value]) => {
    return `${name} ${value === undefined ? 'unknown' : Number(value.toPrecision(3))}`;
  });
  process.stdout.write(`${kind} ${what}: ${text.join(', ')}\n`);
}

async function round(kind: Kind): Promise<void> {
  const server = await startServer(kind, 1, join(tmpdir(), 'quorate-scale', kind), basePorts[kind]);
  try {
    for (const count of numbers('watches')) {
      const fanOut = await measureFanOut(server, count, numbers('writes')[0]!);
      fanOuts.push({ ...fanOut, kind });
      tell(kind, `${count} watchers`, { ...fanOut });
    }
    for (const count of numbers('leases')) tell(kind, `${count} leases`, await measureLeases(server, count));
  } finally {
    await server.stop();
  }
}

function fanOutRows(): FanOutRow[] {
  const fields = [
    'eventsPerSecond',
    'p50Ms',
    'p99Ms',
    'cpuMicrosPerEvent',
    'bytesPerWatcher',
    'residentBytes',
  ] as const;
  return [...groupBy(fanOuts, ({ watchers }) => String(watchers)).values()].map((group) => {
    const of = (kind: Kind): FanOutRow['figures'][Kind] =>
      medians(
        group.filter((one) => one.kind === kind),
        fields,
      );
    const etcd = of('etcd');
    const kvd = of('kvd');
    return { watchers: group[0].watchers, figures: { ...(etcd && { etcd }), ...(kvd && { kvd }) } };
  });
}

for (let i = 0; i < numbers('rounds')[0]!; i++) {
  for (const kind of rivals(options.get('only'))) await round(kind);
}
const file = writeResults(options.get('output')!, { rows: fanOutRows() });
process.stdout.write(`written to ${file}\n`);
