import { Deferred, StorageError } from '@quorate/base';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Backend } from './backend.ts';
import { buckets } from './buckets.ts';
import { CommitSchedule } from './commit-schedule.ts';
import { MemoryBackendFactory } from './memory-backend.ts';
import { ManualClock, settled } from './testing/manual-clock.ts';

let clock: ManualClock;
let backend: Backend;
let schedule: CommitSchedule;
let fatal: unknown[];
/** Flushes that wait for the test. */
let flushes: (() => void)[];
let holdFlushes: boolean;
let commitCount: number;

beforeEach(async () => {
  clock = new ManualClock();
  fatal = [];
  flushes = [];
  holdFlushes = false;
  commitCount = 0;
  const factory = new MemoryBackendFactory({
    schedule: (step, run) => {
      if (step === 'commit') commitCount++;
      if (step === 'flush' && holdFlushes) flushes.push(run);
      else clock.after(1, run);
    },
  });
  backend = await factory.open('db');
  schedule = new CommitSchedule({
    backend,
    clock,
    intervalMs: 100,
    opsMax: 50,
    deadlineMs: 10_000,
    durableMark: 7,
    onFatal: (error) => void fatal.push(error),
  });
});

function touch(mark: number, rowCount = 1): void {
  for (let i = 0; i < rowCount; i++) backend.put(buckets.key, `${mark}/${i}`, Buffer.of(1));
  schedule.touched(mark);
}

describe('the commit schedule', () => {
  test('commits an interval after the first change, and knows then what is durable', async () => {
    expect(schedule.durableMark).toBe(7);
    touch(8);
    await clock.advance(60);
    touch(9);
    await clock.advance(39);
    expect([commitCount, backend.stagedCount, schedule.durableMark]).toEqual([0, 2, 7]);
    await clock.advance(3);
    expect([commitCount, backend.stagedCount, schedule.durableMark]).toEqual([1, 0, 9]);
  });

  test('commits at once when enough is staged', async () => {
    touch(8, 49);
    await clock.advance(1);
    expect(commitCount).toBe(0);
    touch(9, 1);
    expect(commitCount).toBe(1);
    await clock.advance(2);
    expect(schedule.durableMark).toBe(9);
  });

  test('does nothing and keeps no timer while nothing changes', async () => {
    schedule.touched(8);
    expect(clock.pendingCount).toBe(0);
    touch(9);
    await clock.advance(1_000);
    expect([commitCount, clock.pendingCount]).toEqual([1, 0]);
  });

  test('never runs two commits at once; what is staged meanwhile follows', async () => {
    holdFlushes = true;
    touch(8, 50);
    await clock.advance(10);
    touch(9, 60);
    touch(10, 1);
    await clock.advance(500);
    expect([commitCount, schedule.durableMark]).toEqual([1, 7]);
    flushes.shift()!();
    await clock.advance(10);
    expect([commitCount, schedule.durableMark]).toEqual([2, 8]);
    flushes.shift()!();
    await settled();
    expect(schedule.durableMark).toBe(10);
  });

  test('a few changes staged during a commit wait for the interval again', async () => {
    holdFlushes = true;
    touch(8, 50);
    await clock.advance(10);
    touch(9);
    flushes.shift()!();
    await clock.advance(99);
    expect(commitCount).toBe(1);
    await clock.advance(2);
    expect(commitCount).toBe(2);
  });

  test('a mark counts from the commit that began after it, not before', async () => {
    holdFlushes = true;
    touch(8, 50);
    touch(9);
    await clock.advance(1);
    flushes.shift()!();
    await settled();
    expect(schedule.durableMark).toBe(8);
  });

  test('a commit on demand takes everything staged so far, also behind one under way', async () => {
    holdFlushes = true;
    touch(8);
    const first = schedule.commitDurably();
    touch(9);
    const second = schedule.commitDurably();
    const third = schedule.commitDurably();
    await clock.advance(5);
    flushes.shift()!();
    expect(await first).toBe(8);
    await clock.advance(5);
    flushes.shift()!();
    expect([await second, await third, commitCount]).toEqual([9, 9, 2]);
    holdFlushes = false;
    await clock.advance(500);
    expect([commitCount, await schedule.commitDurably()]).toEqual([2, 9]);
  });

  test('a commit that fails is fatal, once, and nothing is committed after it', async () => {
    const commit = new Deferred<void>();
    const failing: Backend = Object.create(backend, {
      commit: { value: () => ({ done: commit.promise, durable: commit.promise }) },
    });
    Object.defineProperty(failing, 'stagedCount', { value: 50 });
    schedule = new CommitSchedule({ backend: failing, clock, onFatal: (error) => void fatal.push(error), opsMax: 50 });
    schedule.touched(8);
    const onDemand = schedule.commitDurably();
    commit.reject(new StorageError('backend', 'write', 'no space'));
    await expect(onDemand).rejects.toThrow('no space');
    schedule.touched(9);
    await clock.advance(100_000);
    expect(fatal).toHaveLength(1);
    expect(schedule.durableMark).toBe(0);
    await expect(schedule.commitDurably()).rejects.toThrow('no space');
    await schedule.close();
  });

  test('a commit that does not finish by its deadline is fatal', async () => {
    holdFlushes = true;
    touch(8, 50);
    await clock.advance(9_999);
    expect(fatal).toEqual([]);
    await clock.advance(1);
    expect(String(fatal[0])).toContain('cannot sync backend: a commit does not finish');
    expect(fatal).toHaveLength(1);
  });

  test('also while closing', async () => {
    holdFlushes = true;
    touch(8, 50);
    void schedule.close();
    await clock.advance(10_000);
    expect(fatal).toHaveLength(1);
  });

  test('a process that was stopped beyond the deadline is not blamed when the commit had finished meanwhile', async () => {
    holdFlushes = true;
    touch(8, 50);
    await clock.advance(1);
    clock.jump(60_000);
    // The first timer after the stop runs before the news from the disk.
    await clock.advance(0);
    flushes.shift()!();
    await clock.advance(50_000);
    expect([fatal, schedule.durableMark]).toEqual([[], 8]);
  });

  test('closing waits for the commit under way, leaves the rest staged, and ends all timers', async () => {
    touch(8);
    void schedule.commitDurably();
    touch(9);
    const closed = schedule.close();
    await clock.advance(5);
    await closed;
    expect([commitCount, schedule.durableMark, backend.stagedCount, clock.pendingCount]).toEqual([1, 8, 1, 0]);
    touch(10, 100);
    await clock.advance(1_000);
    expect([commitCount, clock.pendingCount]).toEqual([1, 0]);
  });
});
