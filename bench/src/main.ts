/**
 * The benchmark: kvd and, where installed, etcd take turns (A B A B) under the same load on the same disk; medians and ratios are
 * printed as a table and written as JSON.
 *
 *   npm run bench -- [--members 1,3] [--operations put,range] [--callers 1,100,1000] [--seconds 4] [--rounds 3] [--only kvd]
 */
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { LoadResult, LoadTask } from './load/generator.ts';
import { formatTable, type Row, summarize } from './report.ts';
import { findEtcd, type Kind, type Server, startServer } from './servers.ts';

const here = dirname(fileURLToPath(import.meta.url));

const { values } = parseArgs({
  options: {
    members: { type: 'string', default: '1,3' },
    operations: { type: 'string', default: 'put,range' },
    callers: { type: 'string', default: '1,100,1000' },
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string' },
    directory: { type: 'string', default: join(tmpdir(), 'quorate-bench') },
    output: { type: 'string', default: join(here, '..', '..', 'results') },
  },
});

const numbers = (list: string): number[] => list.split(',').map(Number);

/** One measurement of one server. */
export interface Sample extends LoadResult {
  readonly kind: Kind;
  readonly members: number;
  readonly operation: LoadTask['operation'];
  readonly callers: number;
  /** CPU microseconds of all members per operation. */
  readonly cpuMicrosPerOperation: number;
  readonly residentBytes: number;
}

function generate(task: LoadTask): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(here, 'load', 'main.js'), JSON.stringify(task)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const out: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(JSON.parse(Buffer.concat(out).toString()) as LoadResult);
      else reject(new Error(`load generator ended with ${code}`));
    });
  });
}

/** A server that has just started is measured only after it served for so long: both rivals warm up, one also compiles. */
const warmUpMs = 5_000;

function taskFor(
  server: Server,
  operation: LoadTask['operation'],
  callers: number,
  times: Pick<LoadTask, 'warmUpMs' | 'durationMs'>,
): LoadTask {
  return {
    ...times,
    endpoints: [server.endpoints[0]!],
    operation,
    callers,
    connections: Math.max(1, Math.floor(callers / 10)),
    valueBytes: 256,
    keyCount: 10_000,
  };
}

async function measure(
  server: Server,
  members: number,
  operation: LoadTask['operation'],
  callers: number,
): Promise<Sample> {
  const task = taskFor(server, operation, callers, { warmUpMs: 500, durationMs: Number(values.seconds) * 1000 });
  const before = server.usage();
  const result = await generate(task);
  const after = server.usage();
  // The generator's warm-up and end are in the CPU time too, in the same proportion for every server.
  const operations = result.count * (1 + task.warmUpMs / task.durationMs);
  return {
    ...result,
    kind: server.kind,
    members,
    operation,
    callers,
    cpuMicrosPerOperation: ((after.cpuSeconds - before.cpuSeconds) * 1e6) / Math.max(1, operations),
    residentBytes: after.residentBytes,
  };
}

async function main(): Promise<void> {
  const kinds: Kind[] =
    values.only === undefined ? (findEtcd() === undefined ? ['kvd'] : ['etcd', 'kvd']) : [values.only as Kind];
  const samples: Sample[] = [];
  const versions = new Map<Kind, string>();
  for (const members of numbers(values.members)) {
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const kind of kinds) {
        const server = await startServer(kind, members, join(values.directory, kind), kind === 'kvd' ? 23_790 : 24_790);
        versions.set(kind, server.version);
        await generate(taskFor(server, 'put', 100, { warmUpMs: 0, durationMs: warmUpMs }));
        for (const operation of values.operations.split(',') as LoadTask['operation'][]) {
          for (const callers of numbers(values.callers)) {
            const sample = await measure(server, members, operation, callers);
            samples.push(sample);
            process.stderr.write(
              `${kind} ${members} members ${operation} ${callers} callers: ${sample.perSecond.toFixed(0)}/s ` +
                `p50 ${sample.p50Ms.toFixed(2)} ms p99 ${sample.p99Ms.toFixed(2)} ms failures ${sample.failures}\n`,
            );
          }
        }
        await server.stop();
      }
    }
  }
  const rows: Row[] = summarize(samples);
  process.stdout.write(
    `${[...versions].map(([kind, version]) => `${kind}: ${version}`).join('\n')}\n\n${formatTable(rows)}\n`,
  );
  mkdirSync(values.output, { recursive: true });
  const file = join(values.output, `${new Date().toISOString().replaceAll(':', '-')}.json`);
  writeFileSync(file, `${JSON.stringify({ versions: Object.fromEntries(versions), rows, samples }, undefined, 2)}\n`);
  process.stdout.write(`\nwritten to ${file}\n`);
}

await main();
