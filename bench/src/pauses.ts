/**
 * Whether anything long that a member is asked to do holds up what else it has to do: how late its event loop runs, which is how
 * late its heartbeats may leave, and what puts at an even rate take, beside what they usually take. kvd and, where installed, etcd
 * in turn; medians over the rounds, of the longest delays and times too.
 *
 *   npm run bench:pauses -- [--rounds 3] [--per-second 500] [--while ranges] [--only kvd]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { clusterDisturbances, type Disturbance, fillKeys, grantMany, loneDisturbances, pause } from './disturbances.ts';
import type { PacedReport, PacedTask, PacedWord } from './load/paced.ts';
import { type Findings, formatPauses, type PauseSample, summarizePauses } from './pauses-report.ts';
import { resultsDirectory, writeResults } from './results.ts';
import { type Kind, type Server, startServer } from './servers.ts';
import { rivals } from './side-by-side.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    'per-second': { type: 'string', default: '500' },
    while: { type: 'string', default: '' },
    only: { type: 'string' },
    directory: { type: 'string', default: join(tmpdir(), 'quorate-pauses') },
    output: { type: 'string', default: resultsDirectory },
  },
});
/** Before anything is timed: programs that compile while they run are slow at first. */
const warmUpMs = 5_000;
const basePorts = { kvd: 23_590, etcd: 24_590 } as const;

/** Puts at an even rate, counted while {@link watched} runs. */
class Puts {
  readonly #child: ChildProcess;

  constructor(endpoint: string) {
    const perSecond = Number(values['per-second']);
    // Each key is written once a second.
    const task: PacedTask = { endpoint, perSecond, valueBytes: 256, keyCount: perSecond };
    const program = join(dirname(fileURLToPath(import.meta.url)), 'load', 'paced.js');
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
    this.#child = spawn(process.execPath, [program, JSON.stringify(task)], { stdio: [...stdio] });
  }

  tell(word: PacedWord): void {
    this.#child.send(word);
  }

  async report(): Promise<PacedReport> {
    this.tell('report');
    return (await once(this.#child, 'message'))[0] as PacedReport;
  }

  async end(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.disconnect();
    await ended;
  }
}

async function measure(server: Server, puts: Puts, { name, run }: Disturbance): Promise<PauseSample> {
  await puts.report();
  const findings: Findings = { tookMs: 0, loopP99Ms: 0, loopMaxMs: 0, loopWorkMaxMs: 0 };
  await run(server, async (work) => {
    await server.loops();
    puts.tell('count');
    const startedMs = performance.now();
    await work();
    puts.tell('pass');
    findings.tookMs += performance.now() - startedMs;
    for (const { p99Ms, maxMs, workMaxMs } of await server.loops()) {
      findings.loopP99Ms = Math.max(findings.loopP99Ms, p99Ms);
      findings.loopMaxMs = Math.max(findings.loopMaxMs, maxMs);
      findings.loopWorkMaxMs = Math.max(findings.loopWorkMaxMs, workMaxMs);
    }
  });
  // What is still under way when counting ends is waited for.
  await pause(1_000);
  const { count, failures, p50Ms, p99Ms, maxMs } = await puts.report();
  return { kind: server.kind, name, ...findings, puts: count, failures, p50Ms, p99Ms, maxMs };
}

async function measureAll(
  kind: Kind,
  members: number,
  prepare: (endpoint: string) => Promise<void>,
  disturbances: readonly Disturbance[],
): Promise<PauseSample[]> {
  const directory = join(values.directory, kind);
  const server = await startServer(kind, members, directory, basePorts[kind], { probe: true });
  const samples: PauseSample[] = [];
  try {
    const endpoint = server.endpoints[0]!;
    await prepare(endpoint);
    const puts = new Puts(endpoint);
    await pause(warmUpMs);
    for (const disturbance of disturbances.filter(isWanted)) {
      const sample = await measure(server, puts, disturbance);
      samples.push(sample);
      process.stderr.write(`${JSON.stringify(sample)}\n`);
    }
    await puts.end();
  } finally {
    await server.stop();
  }
  return samples;
}

/** What is usual is always measured. */
function isWanted({ name }: Disturbance): boolean {
  return name.startsWith('nothing') || name.includes(values.while);
}

const samples: PauseSample[] = [];
const kinds = rivals(values.only);
const parts = [
  { members: 1, prepare: fillKeys, disturbances: loneDisturbances },
  { members: 3, prepare: grantMany, disturbances: clusterDisturbances },
].filter(({ disturbances }) => disturbances.some(({ name }) => name.includes(values.while)));
for (let round = 0; round < Number(values.rounds); round++) {
  for (const { members, prepare, disturbances } of parts) {
    for (const kind of kinds) samples.push(...(await measureAll(kind, members, prepare, disturbances)));
  }
}
const rows = summarizePauses(samples);
process.stdout.write(`${formatPauses(rows)}\n`);
process.stdout.write(`\nwritten to ${writeResults(values.output, { rows, samples })}\n`);
