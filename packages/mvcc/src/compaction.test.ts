import { buckets } from '@quorate/backend';
import { type CrashPointName, SimulatedCrash } from '@quorate/base';
import { KvError } from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { parseRowKey } from './revision.ts';
import { ArmedCrash, Fixture } from './testing/fixture.ts';

/** Revisions of the rows in the backend, with `t` for tombstones. */
function rows(f: Fixture): string[] {
  return f.backend.range(buckets.key, { from: '' }).map(({ key }) => {
    const { main, sub } = parseRowKey(key);
    return `${main}${sub > 0 ? `.${sub}` : ''}${key.length > 17 ? 't' : ''}`;
  });
}

async function compactAndWait(f: Fixture, revision: number): Promise<void> {
  await f.clock.settle(f.store.compact(revision).done);
}

describe('what compaction keeps', () => {
  test('the newest version at or before the revision, and everything after', async () => {
    const f = await Fixture.open();
    for (const value of ['2', '3', '4', '5']) f.put('a', value);
    f.put('b', '6');
    await compactAndWait(f, 4);
    expect(rows(f)).toEqual(['4', '5', '6']);
    expect(f.values('\0', '\0', 4)).toEqual(['a=4']);
    expect(f.values('\0', '\0')).toEqual(['a=5', 'b=6']);
  });

  test('nothing of a key deleted before the revision', async () => {
    const f = await Fixture.open();
    f.put('a');
    f.delete('a');
    f.put('b');
    await compactAndWait(f, 4);
    expect(rows(f)).toEqual(['4']);
    expect([...f.store.dumpIndex()]).toEqual(['"b" 4.0(4,1)']);
  });

  test('a tombstone at exactly the revision, until the next compaction', async () => {
    const f = await Fixture.open();
    f.put('a');
    f.delete('a');
    await compactAndWait(f, 3);
    expect(rows(f)).toEqual(['3t']);
    expect(f.store.read().range('a', '').count).toBe(0);
    await f.crash();
    expect(rows(f)).toEqual(['3t']);
    f.put('b');
    await compactAndWait(f, 4);
    expect(rows(f)).toEqual(['4']);
  });

  test('of a key put and deleted in one transaction, the tombstone', async () => {
    const f = await Fixture.open();
    const txn = f.store.write();
    txn.put('a', Buffer.from('1'), 0n);
    txn.deleteRange('a', '');
    txn.put('b', Buffer.from('2'), 0n);
    txn.end();
    await compactAndWait(f, 2);
    expect(rows(f)).toEqual(['2.1t', '2.2']);
  });

  test('of a key that came back, its new life alone', async () => {
    const f = await Fixture.open();
    f.put('a');
    f.delete('a');
    f.put('a', 'again');
    f.put('a', 'and again');
    await compactAndWait(f, 4);
    expect(rows(f)).toEqual(['4', '5']);
    expect([...f.store.dumpIndex()]).toEqual(['"a" 4.0(4,1) 5.0(4,2)']);
  });

  test('a tombstone between two lives goes although the second is newer than the revision', async () => {
    const f = await Fixture.open();
    f.put('a');
    f.delete('a');
    f.put('b');
    f.put('a', 'again');
    await compactAndWait(f, 4);
    expect(rows(f)).toEqual(['4', '5']);
    expect([...f.store.dumpIndex()]).toEqual(['"a" 5.0(5,1)', '"b" 4.0(4,1)']);
    expect(f.values('a', '', 4)).toEqual([]);
  });
});

describe('asking for compaction', () => {
  test('moves the compact revision at once and refuses what is not above it or not yet there', async () => {
    const f = await Fixture.open();
    f.put('a', '2');
    f.put('a', '3');
    f.store.compact(3);
    expect(f.store.compactRevision).toBe(3);
    expect(() => f.values('a', '', 2)).toThrow(new KvError('compacted'));
    expect(f.values('a', '', 3)).toEqual(['a=3']);
    for (const revision of [3, 2, 0, -1]) {
      expect(() => f.store.compact(revision)).toThrow(new KvError('compacted'));
    }
    expect(() => f.store.compact(4)).toThrow(new KvError('futureRev'));
    expect(f.store.currentRevision).toBe(3);
  });

  test('to revision 0 works once on a store that was never compacted', async () => {
    const f = await Fixture.open();
    expect(() => f.store.compact(-1)).toThrow(new KvError('compacted'));
    await compactAndWait(f, 0);
    expect(f.store.compactRevision).toBe(0);
    expect(() => f.store.compact(0)).toThrow(new KvError('compacted'));
    await f.crash();
    expect(f.store.compactRevision).toBe(0);
    expect(f.store.currentRevision).toBe(1);
  });

  test('is not allowed inside a write transaction', async () => {
    const f = await Fixture.open();
    f.put('a');
    f.store.write();
    expect(() => f.store.compact(2)).toThrow('compaction inside a write transaction');
  });

  test('is over when its end is on record: the next start finds nothing to do', async () => {
    const f = await Fixture.open();
    for (let i = 0; i < 5; i++) f.put('a');
    await compactAndWait(f, 4);
    await f.crash();
    expect(f.clock.step()).toBe(false);
    expect(f.store.compactRevision).toBe(4);
  });

  test('several at once are done one after another', async () => {
    const f = await Fixture.open({ compaction: { batchLimit: 1 } });
    for (let i = 0; i < 6; i++) f.put('a', String(i));
    const order: number[] = [];
    const all = [3, 5, 7].map((revision) => f.store.compact(revision).done.then(() => order.push(revision)));
    await f.clock.settle(Promise.all(all));
    expect(order).toEqual([3, 5, 7]);
    expect(rows(f)).toEqual(['7']);
  });

  test('a reader pinned before it gets an answer or `compacted`, never wrong data', async () => {
    const f = await Fixture.open();
    f.put('a', '2');
    const pinned = f.store.read();
    f.put('a', '3');
    f.put('a', '4');
    f.store.compact(2);
    f.clock.drain();
    expect(f.values('a', '', 0, pinned)).toEqual(['a=2']);
    f.store.compact(3);
    expect(() => f.values('a', '', 0, pinned)).toThrow(new KvError('compacted'));
    expect(() => f.values('a', '', 2, pinned)).toThrow(new KvError('compacted'));
  });
});

describe('compaction in slices', () => {
  async function longHistory(): Promise<Fixture> {
    const f = await Fixture.open({ compaction: { batchLimit: 10, sleepMs: 10 } });
    for (let i = 0; i < 35; i++) f.put('a', String(i));
    return f;
  }

  test('removes a batch, pauses, and goes on', async () => {
    const f = await longHistory();
    f.store.compact(36);
    const counts: number[] = [];
    const times: number[] = [];
    while (f.clock.step()) {
      counts.push(rows(f).length);
      times.push(f.clock.nowMs());
    }
    expect(counts).toEqual([25, 15, 5, 1]);
    expect(times).toEqual([0, 10, 20, 30]);
  });

  test('stops when the store closes, and the next start goes on', async () => {
    const f = await longHistory();
    const first = f.store.compact(36).done;
    f.clock.step();
    expect(rows(f).length).toBe(25);
    f.store.close();
    f.clock.drain();
    expect(rows(f).length).toBe(25);
    await expect(first).rejects.toThrow(new KvError('stopped'));
    expect(() => f.store.compact(36)).toThrow('store used after close');
    await f.commit();
    await f.reopen();
    expect(f.store.compactRevision).toBe(36);
    f.clock.drain();
    expect(rows(f)).toEqual(['36']);
  });

  test('a failing backend is reported once and stops it', async () => {
    const f = await longHistory();
    const error = new Error('disk on fire');
    f.backend.remove = () => {
      throw error;
    };
    const { done } = f.store.compact(36);
    f.clock.drain();
    await expect(done).rejects.toBe(error);
    expect(f.fatals).toEqual([error]);
  });

  test('a failing commit at its end is reported', async () => {
    const f = await longHistory();
    const error = new Error('disk full');
    f.backend.commit = () => ({ done: Promise.reject(error), durable: Promise.resolve() });
    const { done } = f.store.compact(36);
    f.clock.drain();
    await expect(done).rejects.toBe(error);
    expect(f.fatals).toEqual([error]);
  });
});

describe('a crash during compaction', () => {
  const points: CrashPointName[] = [
    'compactAfterSchedule',
    'compactBetweenBatches',
    'compactBeforeFinish',
    'compactAfterFinish',
  ];

  for (const point of points) {
    for (const batchLimit of [1, 2, 5]) {
      test(`at ${point} with batches of ${batchLimit} loses no revision, no delete and no key`, async () => {
        let visits = 0;
        for (let nth = 1; ; nth++) {
          const crash = new ArmedCrash();
          const f = await Fixture.open({ compaction: { batchLimit }, crash });
          for (const value of ['2', '3', '4']) f.put('a', value);
          f.put('b', '5');
          f.delete('b');
          f.put('c', '7');
          f.delete('c');
          await f.commit();
          crash.arm(point, nth);
          let crashed = false;
          try {
            f.store.compact(8);
            while (!crashed && f.clock.step()) {
              // Whatever was staged so far may have been committed by the schedule of the member.
              await f.commit();
              crashed = f.fatals.length > 0;
            }
          } catch (error) {
            if (!(error instanceof SimulatedCrash)) throw error;
            await f.commit();
            crashed = true;
          }
          if (!crashed) break;
          visits++;
          await f.crash();
          expect(f.store.currentRevision).toBe(8);
          expect(f.store.compactRevision).toBe(8);
          expect(f.values('\0', '\0')).toEqual(['a=4']);
          f.clock.drain();
          expect(rows(f)).toEqual(['4', '8t']);
          expect([...f.store.dumpIndex()]).toEqual(['"a" 4.0(2,3)', '"c" 8.0(t)']);
          expect(f.put('d')).toBe(9);
        }
        expect(visits).toBeGreaterThan(0);
      });
    }
  }

  test('that loses the compaction altogether leaves the store as it was', async () => {
    const f = await Fixture.open();
    f.put('a', '2');
    f.put('a', '3');
    await f.commit();
    f.store.compact(3);
    await f.crash();
    expect(f.store.compactRevision).toBe(-1);
    expect(f.values('a', '', 2)).toEqual(['a=2']);
  });
});
