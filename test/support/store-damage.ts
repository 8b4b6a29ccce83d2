/**
 * Damaged copies of a store, each opened in a process that may be ended by it. Nothing but what was written may be read, or the
 * damage must be found: no row less, no process killed by a signal, none that never ends. What is damaged while it is open may end its
 * process within lmdb; the next start must find it then.
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

/** When a copy is damaged: before it is opened, or while it is open. */
export type DamageTime = 'read' | 'live';

/** How many copies ended how; see packages/server/src/testing/store-damage-child.ts. */
export interface DamageSums {
  same: number;
  before: number;
  found: number;
  later: number;
  /** By a signal, and found by the next start. */
  killed: number;
  /** Seed and what happened. */
  readonly wrong: string[];
}

/** Damages copies of one store with each seed in [from, to), as many at a time as there are `lanes`. */
export async function openDamaged(
  time: DamageTime,
  { from, to, lanes }: { readonly from: number; readonly to: number; readonly lanes: number },
): Promise<DamageSums> {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-store-damage-'));
  const sums: DamageSums = { same: 0, before: 0, found: 0, later: 0, killed: 0, wrong: [] };
  try {
    const built = await run(['build', directory], () => {});
    if (built !== 'ended with 0') throw new Error(`the store could not be built: ${built}`);
    const size = Math.ceil((to - from) / lanes);
    await Promise.all(
      Array.from({ length: lanes }, (_, lane) =>
        new Lane(time, directory, sums).run(from + lane * size, Math.min(to, from + (lane + 1) * size)),
      ),
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return sums;
}

class Lane {
  readonly #time: DamageTime;
  readonly #directory: string;
  readonly #sums: DamageSums;

  constructor(time: DamageTime, directory: string, sums: DamageSums) {
    this.#time = time;
    this.#directory = directory;
    this.#sums = sums;
  }

  /** Goes on behind a seed that ended its process. */
  async run(from: number, to: number): Promise<void> {
    let next = from;
    while (next < to) {
      let isOver = false;
      const ended = await run([this.#time, this.#directory, String(next), String(to)], (line) => {
        this.#count(line);
        next = Number(line.split(' ')[0]) + 1;
        // It ends itself, and that may fail: memory is not what it was either.
        isOver = this.#time === 'live' && !line.endsWith(' same');
      });
      if (next === to || isOver) continue;
      await this.#died(next, ended);
      next++;
    }
  }

  #count(line: string): void {
    const outcome = line.split(' ')[1];
    const isKnown = outcome === 'same' || outcome === 'before' || outcome === 'found' || outcome === 'later';
    if (isKnown) this.#sums[outcome]++;
    else this.#sums.wrong.push(line);
  }

  /** A reader of an open store may end so, if the next start knows why. */
  async #died(seed: number, ended: string): Promise<void> {
    let atStart = '';
    const isSignal = /SIG(ABRT|BUS|SEGV)$/.test(ended);
    if (this.#time === 'live' && isSignal) {
      await run(['read', this.#directory, String(seed), String(seed + 1)], (line) => {
        atStart = line.split(' ')[1] ?? '';
      });
    }
    if (atStart === 'found') this.#sums.killed++;
    else this.#sums.wrong.push(`${seed} the process ${ended}, and a start: ${atStart}`);
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
