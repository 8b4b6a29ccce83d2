/**
 * What a Node.js service gets from a member in its own process, beside what it gets from an etcd through the npm client `etcd3`, one
 * member each, in turns; medians over the rounds.
 *
 *   npm run bench:embedded -- [--operations put,get] [--callers 1,100,1000] [--seconds 4] [--rounds 3] [--only embedded]
 */
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import type { EmbeddedResult, EmbeddedTask } from './embedded-load.ts';
import { medians } from './report.ts';
import { resultsDirectory, writeResults } from './results.ts';
import { findEtcd, startServer } from './servers.ts';

const here = dirname(fileURLToPath(import.meta.url));

const { values } = parseArgs({
  options: {
    operations: { type: 'string', default: 'put,get' },
    callers: { type: 'string', default: '1,100,1000' },
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string' },
    directory: { type: 'string', default: join(tmpdir(), 'quorate-bench-embedded') },
    output: { type: 'string', default: resultsDirectory },
  },
});

/** Who is asked. */
export type Rival = 'etcd with etcd3' | 'embedded';
type Load = Pick<EmbeddedTask, 'operation' | 'callers'>;

async function generate(subject: EmbeddedTask['subject'], load: Load): Promise<EmbeddedResult> {
  const task: EmbeddedTask = { ...load, subject, warmUpMs: 1_500, durationMs: Number(values.seconds) * 1_000 };
  const { stdout } = await promisify(execFile)(process.execPath, [
    join(here, 'embedded-load.js'),
    JSON.stringify(task),
  ]);
  return JSON.parse(stdout) as EmbeddedResult;
}

async function measure(rival: Rival, load: Load): Promise<EmbeddedResult> {
  const directory = join(values.directory, rival === 'embedded' ? 'embedded' : 'etcd');
  rmSync(directory, { recursive: true, force: true });
  if (rival === 'embedded') return generate({ dataDir: directory }, load);
  const server = await startServer('etcd', 1, directory, 24_790);
  try {
    return await generate({ endpoint: server.endpoints[0]! }, load);
  } finally {
    await server.stop();
  }
}

/** Medians of one rival for one load. */
export interface EmbeddedRow extends Load, EmbeddedResult {
  readonly rival: Rival;
}

function rowOf(load: Load, rival: Rival, results: readonly EmbeddedResult[]): EmbeddedRow {
  return { ...load, rival, ...medians(results, ['perSecond', 'p50Ms', 'p99Ms', 'cpuMicrosPerOperation'])! };
}

function tell(row: EmbeddedRow, base: EmbeddedRow): void {
  const times = `${row.p50Ms.toFixed(2)} ms | ${row.p99Ms.toFixed(2)} ms | ${row.cpuMicrosPerOperation.toFixed(1)}`;
  const ratio = (row.perSecond / base.perSecond).toFixed(2);
  process.stdout.write(
    `| ${row.operation} | ${row.callers} | ${row.rival} | ${row.perSecond.toFixed(0)} | ${times} | ${ratio}× |\n`,
  );
}

async function main(): Promise<void> {
  const rivals: Rival[] =
    values.only === 'embedded' || findEtcd() === undefined ? ['embedded'] : ['etcd with etcd3', 'embedded'];
  process.stdout.write(
    '| operation | callers | | per second | p50 | p99 | CPU µs here | ratio |\n| - | - | - | - | - | - | - | - |\n',
  );
  const rows: EmbeddedRow[] = [];
  for (const operation of values.operations.split(',') as Load['operation'][]) {
    for (const callers of values.callers.split(',').map(Number)) {
      const load = { operation, callers };
      const results = new Map<Rival, EmbeddedResult[]>(rivals.map((rival) => [rival, []]));
      for (let round = 0; round < Number(values.rounds); round++) {
        for (const rival of rivals) results.get(rival)!.push(await measure(rival, load));
      }
      const own = rivals.map((rival) => rowOf(load, rival, results.get(rival)!));
      for (const row of own) tell(row, own[0]!);
      rows.push(...own);
    }
  }
  process.stdout.write(`\nwritten to ${writeResults(values.output, { rows })}\n`);
}

await main();
