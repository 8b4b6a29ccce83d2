import { type CrashPointName, SimulatedCrash } from '@quorate/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Backend } from './backend.ts';
import { buckets } from './buckets.ts';
import { testBackend } from './conformance.ts';
import { type CommitStep, MemoryBackendFactory } from './memory-backend.ts';
import { settled } from './testing/manual-clock.ts';

testBackend('the store in memory', {
  makeFactory: async () => ({ factory: new MemoryBackendFactory(), dispose: async () => {} }),
  sequenceCount: 300,
  sequenceLengthMax: 300,
});

/** A factory whose steps run when the test says so. */
function steppedFactory(): { factory: MemoryBackendFactory; waiting: { step: CommitStep; run: () => void }[] } {
  const waiting: { step: CommitStep; run: () => void }[] = [];
  const factory = new MemoryBackendFactory({ schedule: (step, run) => void waiting.push({ step, run }) });
  return { factory, waiting };
}

/** One batch: a counter, a row of its own, and the row of the batch before removed. */
function stageBatch(backend: Backend, i: number): void {
  backend.put(buckets.meta, 'batch', Buffer.from(String(i)));
  backend.put(buckets.key, String(i).padStart(5, '0'), Buffer.of(i));
  backend.remove(buckets.key, String(i - 1).padStart(5, '0'));
}

/** The batch the store stands at; throws when it is not exactly the state after one batch. */
function batchOf(backend: Backend): number {
  const batch = Number(backend.get(buckets.meta, 'batch')?.toString() ?? 0);
  const keys = backend.range(buckets.key, { from: '' }).map((row) => row.key);
  expect(keys).toEqual(batch === 0 ? [] : [String(batch).padStart(5, '0')]);
  return batch;
}

describe('a crash of the process that uses the store in memory', () => {
  test('loses what is staged and keeps what is committed', async () => {
    const factory = new MemoryBackendFactory();
    const backend = await factory.open('db');
    stageBatch(backend, 1);
    await backend.commit().done;
    stageBatch(backend, 2);
    factory.crash({ keepUnflushed: true });
    expect(batchOf(await factory.open('db'))).toBe(1);
  });

  test('with loss of power keeps as many commits that were not durable as it is told, the oldest first', async () => {
    for (const [keepUnflushed, expected] of [
      [false, 1],
      [0, 1],
      [1, 2],
      [2, 3],
      [9, 3],
      [true, 3],
    ] as const) {
      const { factory, waiting } = steppedFactory();
      const opening = factory.open('db');
      const backend = await opening;
      for (let i = 1; i <= 3; i++) {
        stageBatch(backend, i);
        const { done } = backend.commit();
        waiting
          .splice(
            waiting.findIndex(({ step }) => step === 'commit'),
            1,
          )[0]!
          .run();
        await done;
      }
      waiting[0]!.run();
      factory.crash({ keepUnflushed });
      expect(batchOf(await factory.open('db')), String(keepUnflushed)).toBe(expected);
    }
  });

  test('leaves the dead backend without effect: no promise settles, no step changes the store', async () => {
    const { factory, waiting } = steppedFactory();
    const backend = await factory.open('db');
    stageBatch(backend, 1);
    let settledCount = 0;
    const commit = backend.commit();
    for (const promise of [commit.done, commit.durable, backend.openView(), backend.close()]) {
      promise.finally(() => settledCount++).catch(() => {});
    }
    factory.crash({ keepUnflushed: true });
    const next = await factory.open('db');
    for (const { run } of waiting.splice(0)) run();
    await settled();
    expect([settledCount, batchOf(next)]).toEqual([0, 0]);
    await expect(factory.open('db')).rejects.toThrow('open already');
  });

  test('does not let a dead backend free the name of its successor', async () => {
    const factory = new MemoryBackendFactory();
    const dead = await factory.open('db');
    factory.crash({ keepUnflushed: true });
    await factory.open('db');
    await dead.close();
    await expect(factory.open('db')).rejects.toThrow('open already');
  });

  test('makes durable what the next process found, as a sync at its start does', async () => {
    const { factory, waiting } = steppedFactory();
    const backend = await factory.open('db');
    stageBatch(backend, 1);
    const { done } = backend.commit();
    waiting.shift()!.run();
    await done;
    factory.crash({ keepUnflushed: true });
    await factory.open('db');
    factory.crash({ keepUnflushed: false });
    expect(batchOf(await factory.open('db'))).toBe(1);
  });

  test('at each crash point leaves the state before or after the commit', async () => {
    const expected: Partial<Record<CrashPointName, number>> = {
      backendBeforeCommit: 1,
      backendAfterCommitBeforeFlush: 2,
      backendAfterFlush: 2,
    };
    for (const [point, batch] of Object.entries(expected)) {
      const factory = new MemoryBackendFactory();
      let armed = false;
      const crash = {
        hit: (name: CrashPointName): void => {
          if (!armed || name !== point) return;
          factory.crash({ keepUnflushed: true });
          throw new SimulatedCrash(name);
        },
      };
      const backend = await factory.forProcess({ crash }).open('db');
      stageBatch(backend, 1);
      await backend.commit().durable;
      armed = true;
      stageBatch(backend, 2);
      backend.commit();
      await settled();
      expect(batchOf(await factory.open('db')), point).toBe(batch);
    }
  });

  test('at any moment leaves the state after one commit: at least the last durable, at most the last done', async () => {
    const event = fc.constantFrom('stage', 'stage', 'commit', 'commit', 'step', 'step', 'step', 'crash');
    await fc.assert(
      fc.asyncProperty(
        fc.array(event, { maxLength: 80 }),
        fc.array(fc.nat(3), { minLength: 80, maxLength: 80 }),
        async (events, keeps) => {
          const { factory, waiting } = steppedFactory();
          let backend = await factory.open('db');
          let staged = 0;
          let begun = 0;
          let durable = 0;
          for (const [i, what] of events.entries()) {
            if (what === 'stage') stageBatch(backend, ++staged);
            if (what === 'step') waiting.splice(keeps[i]! % Math.max(waiting.length, 1), 1)[0]?.run();
            if (what === 'commit') {
              const taken = staged;
              const commit = backend.commit();
              void commit.done.then(() => {
                begun = Math.max(begun, taken);
              });
              void commit.durable.then(() => {
                durable = Math.max(durable, taken);
              });
            }
            await settled();
            if (what === 'crash') {
              waiting.length = 0;
              factory.crash({ keepUnflushed: keeps[i]! });
              backend = await factory.open('db');
              const found = batchOf(backend);
              expect(found).toBeGreaterThanOrEqual(durable);
              expect(found).toBeLessThanOrEqual(staged);
              if (keeps[i] === 3) expect(found).toBeGreaterThanOrEqual(Math.min(begun, durable + 3));
              staged = found;
              begun = found;
              durable = found;
            }
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});

test('a view of the store in memory outlives later commits without copying for each', async () => {
  const factory = new MemoryBackendFactory();
  const backend = await factory.open('db');
  stageBatch(backend, 1);
  const view = await backend.openView();
  for (let i = 2; i < 5; i++) {
    stageBatch(backend, i);
    await backend.commit().done;
  }
  expect(view.range(buckets.key, { from: '' }).map((row) => row.key)).toEqual(['00001']);
  expect(batchOf(backend)).toBe(4);
});
