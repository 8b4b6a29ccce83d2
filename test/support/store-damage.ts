/**
 * Damaged copies of a store, each opened in a process that may be ended by it. Nothing but what was written may be read, or the
 * damage must be found: no row less, no process killed by a signal, none that never ends.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const child = join(root, 'packages/server/dist/testing/store-damage-child.js');
/** A child that says nothing for so long hangs. */
const silenceMs = 60_000;

/** How many copies ended how. */
export interface DamageSums {
  same: number;
  before: number;
  found: number;
  /** Seed and what happened. */
  readonly wrong: string[];
}

/** Damages one store with each seed in [from, to), as many at a time as there are `lanes`. */
export async function openDamaged(from: number, to: number, lanes: number): Promise<DamageSums> {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-store-damage-'));
  const sums: DamageSums = { same: 0, before: 0, found: 0, wrong: [] };
  try {
    const built = await run(['build', directory], () => {});
    if (built !== 'ended with 0') throw new Error(`the store could not be built: ${built}`);
    const size = Math.ceil((to - from) / lanes);
    await Promise.all(
      Array.from({ length: lanes }, (_, lane) =>
        readRange(directory, from + lane * size, Math.min(to, from + (lane + 1) * size), sums),
      ),
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return sums;
}

/** Goes on behind a seed that ended its process. */
async function readRange(directory: string, from: number, to: number, sums: DamageSums): Promise<void> {
  for (let next = from; next < to; next++) {
    const ended = await run(['read', directory, String(next), String(to)], (line) => {
      const [seed, outcome] = line.split(' ');
      if (outcome === 'same' || outcome === 'before' || outcome === 'found') sums[outcome]++;
      else sums.wrong.push(line);
      next = Number(seed) + 1;
    });
    if (next < to) sums.wrong.push(`${next} the process ${ended}`);
  }
}

/** Resolves with how the child ended. */
function run(args: readonly string[], onLine: (line: string) => void): Promise<string> {
  const process = spawn(globalThis.process.execPath, [child, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  let rest = '';
  const hangs = (): boolean => process.kill('SIGKILL');
  let timer = setTimeout(hangs, silenceMs);
  process.stdout.on('data', (chunk: Buffer) => {
    clearTimeout(timer);
    timer = setTimeout(hangs, silenceMs);
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop()!;
    for (const line of lines) onLine(line);
  });
  return new Promise((resolve) => {
    process.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve(`ended with ${signal ?? code}`);
    });
  });
}
