/**
 * What a put costs as the store grows: one member is filled up to one size after the other, and at each overwrites keys of all the
 * store has, far from each other. kvd and, where installed, etcd.
 *
 *   npm run bench:growth -- [--sizes 10000,100000,1000000,5000000] [--puts 200000] [--value-bytes 256] [--only kvd]
 */
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fill } from './filling.ts';
import { LoneMember, type Memory } from './lone-member.ts';
import { resultsDirectory, writeResults } from './results.ts';
import { type Kind, programOf } from './servers.ts';
import { rivals } from './side-by-side.ts';

const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: '10000,100000,1000000,5000000' },
    puts: { type: 'string', default: '200000' },
    'value-bytes': { type: 'string', default: '256' },
    only: { type: 'string' },
    directory: { type: 'string', default: join(tmpdir(), 'quorate-bench-growth') },
    output: { type: 'string', default: resultsDirectory },
  },
});
const sizes = values.sizes.split(',').map(Number);
const putCount = Number(values.puts);
const valueBytes = Number(values['value-bytes']);
const port = 25_990;

/** A store of a size. */
interface Sample {
  readonly kind: Kind;
  readonly keyCount: number;
  readonly cpuMicrosPerPut: number;
  readonly perSecond: number;
  readonly memory: Memory;
}

async function measure(kind: Kind): Promise<Sample[]> {
  const directory = join(values.directory, kind);
  rmSync(directory, { recursive: true, force: true });
  const member = new LoneMember({ kind, directory, port });
  const samples: Sample[] = [];
  const { endpoint } = member;
  try {
    await member.start();
    // So that the smallest store is not the one whose puts are of code that is still being compiled.
    const smallest = Math.min(...sizes);
    await fill({ endpoint, from: 0, to: smallest, count: putCount, valueBytes });
    let filled = smallest;
    for (const keyCount of sizes) {
      if (keyCount > filled) await fill({ endpoint, from: filled, to: keyCount, valueBytes });
      filled = keyCount;
      const cpuSeconds = member.cpuSeconds();
      const beganMs = performance.now();
      await fill({ endpoint, from: 0, to: keyCount, count: putCount, valueBytes });
      samples.push({
        kind,
        keyCount,
        cpuMicrosPerPut: ((member.cpuSeconds() - cpuSeconds) * 1e6) / putCount,
        perSecond: (putCount * 1000) / (performance.now() - beganMs),
        memory: member.memory(),
      });
      process.stderr.write(`${JSON.stringify(samples.at(-1))}\n`);
    }
    return samples;
  } finally {
    await member.end('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
}

const versions: Partial<Record<Kind, string>> = {};
const samples: Sample[] = [];
for (const kind of rivals(values.only)) {
  versions[kind] = programOf(kind).version;
  samples.push(...(await measure(kind)));
}
const lines = samples.map((sample) => {
  const first = samples.find(({ kind }) => kind === sample.kind)!;
  const cells = [
    sample.kind,
    String(sample.keyCount),
    `${sample.cpuMicrosPerPut.toFixed(1)} µs`,
    `${(sample.cpuMicrosPerPut / first.cpuMicrosPerPut).toFixed(2)}×`,
    sample.perSecond.toFixed(0),
    `${Math.round(sample.memory.resident / 1e6)} MB`,
  ];
  return `| ${cells.join(' | ')} |`;
});
const head = '| | keys | CPU of a put | to the smallest | puts/s | resident |\n| --- | --- | --- | --- | --- | --- |';
process.stdout.write(`${head}\n${lines.join('\n')}\n`);
const file = writeResults(values.output, { versions, valueBytes, putCount, samples });
process.stdout.write(`\nwritten to ${file}\n`);
