/**
 * One load after the other on one server after the other: etcd and kvd take turns (A B A B) on the same disk, each with data of its
 * own, and every turn gives a sample of every load.
 */
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LoadResult, LoadTask } from './load/generator.ts';
import type { Operation } from './load/requests.ts';
import { findEtcd, type Kind, type Server, startServer } from './servers.ts';
import { openWatchers } from './watchers.ts';

/** What is asked of a server. */
export interface Load {
  readonly operation: Operation;
  readonly callers: number;
  /** Whom the callers are connected to: the leader, or all members in equal parts. */
  readonly over: 'leader' | 'all';
  readonly valueBytes: number;
  /** Watches meanwhile on keys that nobody writes. */
  readonly watchers: number;
}

/** Loads for a cluster of a size. */
export interface Plan {
  readonly members: number;
  readonly loads: readonly Load[];
}

/** One measurement of one server. */
export interface Sample extends LoadResult, Load {
  readonly kind: Kind;
  readonly members: number;
  /** CPU microseconds of all members per operation. */
  readonly cpuMicrosPerOperation: number;
  /** Of all members, when the load ended. */
  readonly residentBytes: number;
  readonly diskBytes: number;
}

export interface Settings {
  readonly kinds: readonly Kind[];
  readonly rounds: number;
  readonly seconds: number;
  /** Where the servers keep their data. */
  readonly directory: string;
}

/**
 * A server that has just started first takes this load, and then each load before it is measured, for so long: both rivals warm up, one
 * also compiles, and what a lone caller's requests run through is not what those of a hundred do.
 */
const firstLoad: Load = { operation: 'put', callers: 100, over: 'leader', valueBytes: 256, watchers: 0 };
const warmUpMs = 5_000;
const callersPerConnection = 10;
const keyCount = 10_000;
const basePorts = { kvd: 23_790, etcd: 24_790 } as const;

/** kvd, and etcd first where there is one; `only` leaves one of them. */
export function rivals(only: string | undefined): Kind[] {
  if (only !== undefined) return [only as Kind];
  return findEtcd() === undefined ? ['kvd'] : ['etcd', 'kvd'];
}

/** Measures `plan` in every round. `versions` is given what each server says of itself. */
export async function measurePlan(plan: Plan, settings: Settings, versions: Map<Kind, string>): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < settings.rounds; round++) {
    for (const kind of settings.kinds) {
      const server = await startServer(kind, plan.members, join(settings.directory, kind), basePorts[kind]);
      versions.set(kind, server.version);
      try {
        await warmUp(server, firstLoad);
        for (const load of plan.loads) {
          await warmUp(server, load);
          const sample = await measure(server, plan.members, load, settings.seconds);
          samples.push(sample);
          process.stderr.write(`${describe(sample)}\n`);
        }
      } finally {
        await server.stop();
      }
    }
  }
  return samples;
}

async function warmUp(server: Server, load: Load): Promise<void> {
  await generate(taskFor(server, load, { warmUpMs: 0, durationMs: warmUpMs }));
}

function describe(sample: Sample): string {
  const { kind, members, operation, callers, over, valueBytes, watchers } = sample;
  return (
    `${kind} ${members} members ${operation} ${callers} callers over ${over} ${valueBytes} B ${watchers} watchers: ` +
    `${sample.perSecond.toFixed(0)}/s p50 ${sample.p50Ms.toFixed(2)} ms p99 ${sample.p99Ms.toFixed(2)} ms ` +
    `failures ${sample.failures}`
  );
}

async function measure(server: Server, members: number, load: Load, seconds: number): Promise<Sample> {
  const task = taskFor(server, load, { warmUpMs: 500, durationMs: seconds * 1000 });
  const { watchers: count } = load;
  const watchers = await openWatchers({ endpoint: server.endpoints[0]!, count, keyOf: (i) => `idle/${i}` });
  const before = server.usage();
  const result = await generate(task);
  const after = server.usage();
  watchers.close();
  // The generator's warm-up and end are in the CPU time too, in the same proportion for every server.
  const operations = result.count * (1 + task.warmUpMs / task.durationMs);
  return {
    ...result,
    ...load,
    kind: server.kind,
    members,
    cpuMicrosPerOperation: ((after.cpuSeconds - before.cpuSeconds) * 1e6) / Math.max(1, operations),
    residentBytes: after.residentBytes,
    diskBytes: server.diskBytes(),
  };
}

function taskFor(server: Server, load: Load, times: Pick<LoadTask, 'warmUpMs' | 'durationMs'>): LoadTask {
  const endpoints = load.over === 'all' ? server.endpoints : server.endpoints.slice(0, 1);
  const { operation, callers, valueBytes } = load;
  return {
    ...times,
    endpoints,
    operation,
    callers,
    connections: Math.max(endpoints.length, Math.floor(callers / callersPerConnection)),
    valueBytes,
    keyCount,
  };
}

function generate(task: LoadTask): Promise<LoadResult> {
  const program = join(dirname(fileURLToPath(import.meta.url)), 'load', 'main.js');
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'inherit'] });
    const out: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(JSON.parse(Buffer.concat(out).toString()) as LoadResult);
      else reject(new Error(`load generator ended with ${code}`));
    });
  });
}
