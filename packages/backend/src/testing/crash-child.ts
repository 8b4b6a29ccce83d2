/**
 * A process for tests to kill. Run with a directory: opens the store there and commits batch after batch, telling on standard
 * output which it began (`begin N`) and which are done (`done N`), until it is killed, or until a commit fails (`failed REASON`).
 * `BACKEND_CRASH_AT=POINT:N` makes it kill itself at the Nth passing of a crash point; with `BACKEND_DEFRAGMENTS` set it
 * defragments the store all the while.
 */
import { writeSync } from 'node:fs';
import { type Clock, type CrashPoints, silentLogger, silentMeter } from '@quorate/base';
import type { Backend } from '../backend.ts';
import { lmdbBackendFactory } from '../lmdb-factory.ts';
import { batchIn, stageBatch } from './batches.ts';

const clock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  soon: (run) => void setImmediate(run),
};

function tell(line: string): void {
  writeSync(1, `${line}\n`);
}

function crashPoints(): CrashPoints {
  const [point, count] = (process.env['BACKEND_CRASH_AT'] ?? '').split(':');
  let left = Number(count);
  return {
    hit: (name) => {
      if (name === point && --left === 0) process.kill(process.pid, 'SIGKILL');
    },
  };
}

async function defragmentForEver(backend: Backend): Promise<void> {
  for (;;) await backend.defragment(clock);
}

async function main(): Promise<void> {
  const directory = process.argv[2]!;
  const factory = lmdbBackendFactory({
    directory,
    clock,
    logger: silentLogger,
    meter: silentMeter,
    crash: crashPoints(),
  });
  const backend = await factory.open('db');
  if (process.env['BACKEND_DEFRAGMENTS'] !== undefined) void defragmentForEver(backend);
  for (let batch = batchIn(backend) + 1; ; batch++) {
    stageBatch(backend, batch);
    tell(`begin ${batch}`);
    try {
      await backend.commit().done;
    } catch (error) {
      tell(`failed ${(error as Error).message}`);
      const next = await backend.commit().done.catch((refused: unknown) => `refused: ${(refused as Error).message}`);
      tell(`then ${next ?? 'committed'}`);
      return;
    }
    tell(`done ${batch}`);
  }
}

await main();
