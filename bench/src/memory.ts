/**
 * What a million keys cost: memory after filling and after a start, bytes on the disk, and the time from the start of the process
 * to healthy, after it stopped cleanly and after it was killed. kvd and, where installed, etcd, in turn on the same disk.
 *
 *   npm run bench:memory -- [--keys 1000000] [--value-bytes 256] [--starts 3] [--only kvd] [--directory DIR]
 */
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fill } from './filling.ts';
import { type Disk, LoneMember, type Memory } from './lone-member.ts';
import { median } from './report.ts';
import { resultsDirectory, writeResults } from './results.ts';
import { type Kind, programOf } from './servers.ts';
import { rivals } from './side-by-side.ts';

const { values } = parseArgs({
  options: {
    keys: { type: 'string', default: '1000000' },
    'value-bytes': { type: 'string', default: '256' },
    starts: { type: 'string', default: '3' },
    only: { type: 'string' },
    directory: { type: 'string', default: join(tmpdir(), 'quorate-bench-memory') },
    output: { type: 'string', default: resultsDirectory },
  },
});
const keyCount = Number(values.keys);
const valueBytes = Number(values['value-bytes']);
const startCount = Number(values.starts);

/** A process that has just worked gives memory back for a while: it is looked at after so long. */
const settleMs = 5_000;
const port = 25_890;

interface Start {
  readonly healthyMs: number;
  readonly cpuSeconds: number;
  readonly memory: Memory;
}

interface Findings {
  readonly fillSeconds: number;
  readonly fillCpuMicrosPerPut: number;
  readonly afterFill: Memory;
  readonly disk: Disk;
  readonly cleanStarts: Start[];
  readonly killedStarts: Start[];
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, settleMs));

async function measure(kind: Kind): Promise<Findings> {
  const directory = join(values.directory, kind);
  rmSync(directory, { recursive: true, force: true });
  const member = new LoneMember({ kind, directory, port });
  try {
    await member.start();
    const beganMs = performance.now();
    await fill({ endpoint: member.endpoint, from: 0, to: keyCount, valueBytes });
    const fillSeconds = (performance.now() - beganMs) / 1000;
    await settle();
    const afterFill = member.memory();
    const disk = member.disk();
    const fillCpuMicrosPerPut = (member.cpuSeconds() * 1e6) / keyCount;
    const cleanStarts: Start[] = [];
    const killedStarts: Start[] = [];
    for (let i = 0; i < startCount; i++) {
      killedStarts.push(await restart(member, 'SIGKILL'));
      cleanStarts.push(await restart(member, 'SIGTERM'));
    }
    return { fillSeconds, fillCpuMicrosPerPut, afterFill, disk, cleanStarts, killedStarts };
  } finally {
    await member.end('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
}

async function restart(member: LoneMember, signal: 'SIGTERM' | 'SIGKILL'): Promise<Start> {
  await member.end(signal);
  const healthyMs = await member.start();
  const cpuSeconds = member.cpuSeconds();
  await settle();
  return { healthyMs, cpuSeconds, memory: member.memory() };
}

const medianOf = (starts: readonly Start[], read: (start: Start) => number): number => median(starts.map(read));
const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
const seconds = (value: number): string => `${value.toFixed(2)} s`;

/** What is printed: the name of a figure, how it is read, how it is written. */
const figures: readonly (readonly [string, (found: Findings) => number, (value: number) => string])[] = [
  ['resident after filling', (found) => found.afterFill.resident, megabytes],
  ['– of it anonymous', (found) => found.afterFill.anonymous, megabytes],
  ['resident after a start', (found) => medianOf(found.cleanStarts, (start) => start.memory.resident), megabytes],
  ['– of it anonymous', (found) => medianOf(found.cleanStarts, (start) => start.memory.anonymous), megabytes],
  ['– peak', (found) => medianOf(found.cleanStarts, (start) => start.memory.peak), megabytes],
  ['store on disk', (found) => found.disk.storeBytes, megabytes],
  ['store, log and snapshots on disk', (found) => found.disk.totalBytes, megabytes],
  ['start to healthy after a stop', (found) => medianOf(found.cleanStarts, (start) => start.healthyMs / 1000), seconds],
  ['– CPU', (found) => medianOf(found.cleanStarts, (start) => start.cpuSeconds), seconds],
  [
    'start to healthy after SIGKILL',
    (found) => medianOf(found.killedStarts, (start) => start.healthyMs / 1000),
    seconds,
  ],
  ['– CPU', (found) => medianOf(found.killedStarts, (start) => start.cpuSeconds), seconds],
  ['filling: CPU of a put', (found) => found.fillCpuMicrosPerPut, (value) => `${value.toFixed(1)} µs`],
];

const found: Partial<Record<Kind, Findings>> = {};
const versions: Partial<Record<Kind, string>> = {};
for (const kind of rivals(values.only)) {
  versions[kind] = programOf(kind).version;
  process.stderr.write(`${kind}\n`);
  found[kind] = await measure(kind);
}
const { etcd, kvd } = found;
const lines = figures.map(([name, read, write]) => {
  const cell = (findings: Findings | undefined): string => (findings === undefined ? '–' : write(read(findings)));
  const ratio = etcd === undefined || kvd === undefined ? '–' : `${(read(kvd) / read(etcd)).toFixed(2)}×`;
  return `| ${name} | ${cell(etcd)} | ${cell(kvd)} | ${ratio} |`;
});
process.stdout.write(`| ${keyCount} keys | etcd | kvd | ratio |\n| --- | --- | --- | --- |\n${lines.join('\n')}\n`);
const file = writeResults(values.output, { versions, keyCount, valueBytes, found });
process.stdout.write(`\nwritten to ${file}\n`);
