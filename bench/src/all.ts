/**
 * Every benchmark in order, into one file:
 *
 *   npm run bench:all -- [--quick] [--steps load,pauses] [--output bench/results/figures.json]
 *
 * An hour and a quarter; `--quick`, which is for trying it out, a quarter of an hour. Steps that are not named keep what the file holds of
 * them. A step that fails is said so, and the others are run. `npm run bench:page` makes the page of it.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Figures } from './figures.ts';
import type { Row } from './report.ts';
import { resultsDirectory } from './results.ts';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    steps: { type: 'string' },
    output: { type: 'string', default: join(resultsDirectory, 'figures.json') },
  },
});
const { quick } = values;

/** What the programs write. */
interface Findings {
  readonly versions?: Figures['versions'];
  readonly rows?: readonly unknown[];
  readonly samples?: readonly unknown[];
}

interface Step {
  readonly name: string;
  /** Programs of this directory and their arguments, one after the other. */
  readonly runs: readonly (readonly [program: string, ...args: string[]])[];
  /** What of the file they make. */
  take(findings: readonly Findings[]): Partial<Figures>;
}

const loadTimes = quick ? ['--rounds', '1', '--seconds', '2'] : ['--rounds', '3', '--seconds', '4'];
const growing = ['--operations', 'put', '--callers', '100', ...loadTimes];
const rowsOf = (findings: readonly Findings[]): never[] => findings.flatMap(({ rows }) => rows ?? []) as never[];

const steps: readonly Step[] = [
  {
    name: 'load',
    runs: [
      ['main', '--members', '1,3', '--operations', 'put,range,txn-mixed', '--callers', '1,100,1000', ...loadTimes],
      ['main', '--members', '3', '--operations', 'put', '--over', 'all', '--callers', '100,1000', ...loadTimes],
      ['main', '--members', '1', '--values', quick ? '64,4096,61440' : '64,1024,4096,16384,61440', ...growing],
      ['main', '--members', '1', '--watchers', quick ? '1000,10000' : '100,1000,10000', ...growing],
      ['main', '--members', '5', ...growing],
    ],
    take: (findings) => ({ versions: findings[0]!.versions ?? {}, load: rowsOf(findings) satisfies Row[] }),
  },
  {
    name: 'watchers',
    runs: [['scale', 'watches=1000,10000', 'leases=', `rounds=${quick ? 1 : 3}`, `writes=${quick ? 50 : 200}`]],
    take: (findings) => ({ fanOut: rowsOf(findings) }),
  },
  {
    name: 'embedded',
    runs: [['embedded', ...loadTimes]],
    take: (findings) => ({ embedded: rowsOf(findings) }),
  },
  {
    name: 'pauses',
    runs: [['pauses', '--rounds', quick ? '1' : '3']],
    take: (findings) => ({ pauses: rowsOf(findings) }),
  },
  {
    name: 'memory',
    runs: [['memory', ...(quick ? ['--keys', '100000', '--starts', '1'] : [])]],
    take: ([memory]) => ({ memory: memory as NonNullable<Figures['memory']> }),
  },
  {
    name: 'growth',
    runs: [['growth', ...(quick ? ['--sizes', '10000,100000'] : [])]],
    take: ([growth]) => ({ growth: growth!.samples as NonNullable<Figures['growth']> }),
  },
];

/** Runs a program of this directory and returns what it wrote. Rejects when it fails. */
async function run([program, ...args]: Step['runs'][number]): Promise<Findings> {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-bench-all-'));
  const file = join(dirname(fileURLToPath(import.meta.url)), `${program}.js`);
  const output = program === 'scale' ? [`output=${directory}`] : ['--output', directory];
  try {
    const child = spawn(process.execPath, [file, ...args, ...output], { stdio: ['ignore', 'inherit', 'inherit'] });
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    if (code !== 0) throw new Error(`${program} ended with ${code}`);
    return JSON.parse(readFileSync(join(directory, readdirSync(directory)[0]!), 'utf8')) as Findings;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function begun(): Figures {
  const machine = {
    cpu: cpus()[0]!.model,
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    loadBefore: loadavg()[0]!,
  };
  const head = { takenAt: new Date().toISOString(), quick, machine };
  const nothing = { versions: {}, load: [], fanOut: [], embedded: [], pauses: [] };
  if (values.steps === undefined || !existsSync(values.output)) return { ...nothing, ...head };
  return { ...(JSON.parse(readFileSync(values.output, 'utf8')) as Figures), ...head };
}

let figures = begun();
const failed: string[] = [];
mkdirSync(dirname(values.output), { recursive: true });
for (const step of steps.filter(({ name }) => values.steps?.split(',').includes(name) ?? true)) {
  const startedMs = performance.now();
  try {
    const findings: Findings[] = [];
    for (const one of step.runs) findings.push(await run(one));
    figures = { ...figures, ...step.take(findings) };
    // After every step: what was found is not lost when a later one, or the machine, fails.
    writeFileSync(values.output, `${JSON.stringify(figures, undefined, 1)}\n`);
  } catch (error) {
    failed.push(step.name);
    process.stderr.write(`${step.name} failed: ${(error as Error).message}\n`);
  }
  process.stderr.write(`${step.name}: ${((performance.now() - startedMs) / 60_000).toFixed(1)} min\n`);
}
process.stdout.write(`written to ${values.output}\n`);
if (failed.length > 0) process.exit(1);
