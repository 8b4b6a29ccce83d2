/** The store on disk in a real process that is killed, or whose disk is full. Runs the built program. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { noCrashPoints, SeededRandom, silentLogger, silentMeter } from '@quorate/base';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { lmdbBackendFactory } from './lmdb-factory.ts';
import { batchIn, faultIn } from './testing/batches.ts';
import { ManualClock } from './testing/manual-clock.ts';

const packageDirectory = dirname(dirname(fileURLToPath(import.meta.url)));
const child = join(packageDirectory, 'dist/testing/crash-child.js');
const kills = 20;

vi.setConfig({ testTimeout: 120_000 });

let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'quorate-crash-'));
  const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
  const built = spawnSync(process.execPath, [compiler, '-b', packageDirectory], { encoding: 'utf8' });
  expect(built.stdout + built.stderr).toBe('');
}, 120_000);

afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

interface Outcome {
  readonly begun: number;
  readonly done: number;
  readonly output: string;
}

/** No child outlives its test, whatever goes wrong. */
const spawnOptions = { timeout: 20_000, killSignal: 'SIGKILL' } as const;

/** Lets a child commit batches until `until`, told of each finished one, says how many milliseconds later to kill it. */
async function runChild(
  run: ChildProcess,
  until: (doneInThisRun: number) => number | undefined = () => undefined,
): Promise<Outcome> {
  let output = '';
  let killing: NodeJS.Timeout | undefined;
  let finished = 0;
  run.stdout!.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    finished = output.split('\n').filter((line) => line.startsWith('done ')).length;
    const delayMs = until(finished);
    if (delayMs !== undefined) killing ??= setTimeout(() => run.kill('SIGKILL'), delayMs);
  });
  await new Promise((resolve) => run.once('close', resolve));
  clearTimeout(killing);
  const last = (word: string): number => Number(output.match(new RegExp(`.*^${word} (\\d+)$`, 'ms'))?.[1] ?? 0);
  return { begun: last('begin'), done: last('done'), output };
}

/** Opens what a dead process left; returns the batch it is the state after. */
async function examine(directory: string): Promise<{ batch: number; fault: string | undefined }> {
  const factory = lmdbBackendFactory({
    directory,
    clock: new ManualClock(),
    logger: silentLogger,
    meter: silentMeter,
    crash: noCrashPoints,
  });
  const backend = await factory.open('db');
  try {
    const batch = batchIn(backend);
    return { batch, fault: faultIn(backend, batch) };
  } finally {
    await backend.close();
  }
}

describe('the store on disk, after its process was killed', () => {
  test(`in the middle of commits, ${kills} times over, is the state after one batch and lost none that was done`, async () => {
    const random = new SeededRandom(Date.now());
    const directory = join(root, 'killed');
    let survived = 0;
    for (let i = 0; i < kills; i++) {
      const enough = 1 + random.below(4);
      const delayMs = random.below(8);
      const run = spawn(process.execPath, [child, directory], {
        ...spawnOptions,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const { begun, done } = await runChild(run, (count) => (count >= enough ? delayMs : undefined));
      const { batch, fault } = await examine(directory);
      expect(fault).toBeUndefined();
      expect(batch).toBeGreaterThanOrEqual(done);
      expect(batch).toBeLessThanOrEqual(begun);
      expect(batch).toBeGreaterThan(survived);
      survived = batch;
    }
  });

  test.each(['defragBeforeCopy', 'defragAfterCopy', 'defragBeforeRename', 'defragAfterRename'] as const)(
    'at %s, in the middle of commits, lost none that was done and has no copy left',
    async (point) => {
      const directory = join(root, point);
      const env = { ...process.env, BACKEND_CRASH_AT: `${point}:3`, BACKEND_DEFRAGMENTS: '1' };
      const run = spawn(process.execPath, [child, directory], {
        ...spawnOptions,
        stdio: ['ignore', 'pipe', 'inherit'],
        env,
      });
      const { begun, done } = await runChild(run);
      expect(run.signalCode).toBe('SIGKILL');
      const { batch, fault } = await examine(directory);
      expect(fault).toBeUndefined();
      expect(batch).toBeGreaterThanOrEqual(done);
      expect(batch).toBeLessThanOrEqual(begun);
      expect(done).toBeGreaterThan(0);
      expect((await readdir(directory)).sort()).toEqual(['db', 'db-lock']);
    },
  );

  test.each([
    ['backendBeforeCommit', 3, [2]],
    ['backendAfterCommitBeforeFlush', 3, [2, 3]],
    ['backendAfterFlush', 3, [3]],
  ] as const)('at %s is the state before or after', async (point, count, expected) => {
    const directory = join(root, point);
    const run = spawn(process.execPath, [child, directory], {
      ...spawnOptions,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, BACKEND_CRASH_AT: `${point}:${count}` },
    });
    const { begun, done } = await runChild(run);
    expect([begun, done, run.signalCode]).toEqual([3, 2, 'SIGKILL']);
    const { batch, fault } = await examine(directory);
    expect(fault).toBeUndefined();
    expect(expected).toContain(batch);
  });
});

test('a disk that is full fails the commit and all later ones, the process ends by itself, the state before stays', async () => {
  const directory = join(root, 'full');
  // The limit on the size of a file stands for the full disk.
  const run = spawn('bash', ['-c', 'ulimit -f 800; exec "$0" "$@"', process.execPath, child, directory], {
    ...spawnOptions,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const { done, begun, output } = await runChild(run);
  expect(output).toMatch(/^failed cannot write backend: .+$/m);
  expect(output).toMatch(/^then refused: cannot write backend: .+$/m);
  expect(run.exitCode).toBe(0);
  expect([done > 2, begun]).toEqual([true, done + 1]);
  expect(await examine(directory)).toEqual({ batch: done, fault: undefined });
});
