import { KvError } from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { etcdHashes } from './testing/etcd-hashes.ts';
import { Fixture } from './testing/fixture.ts';
import type { WriteTxn } from './types.ts';

function keyOf(hex: string): string {
  return Buffer.from(hex, 'hex').toString('latin1');
}

function applyOperation(txn: WriteTxn, operation: string): void {
  const [kind, key = '', third = '', lease = '0'] = operation.split(':');
  if (kind === 'put') txn.put(keyOf(key), Buffer.from(third), BigInt(lease));
  else txn.deleteRange(keyOf(key), keyOf(third));
}

/** A history with versions, tombstones and a second life on both sides of revision 6. */
async function history(batchLimit = 1000): Promise<Fixture> {
  const f = await Fixture.open({ compaction: { batchLimit } });
  f.put('a', '1');
  f.put('a', '2');
  f.put('b', '3');
  f.delete('a');
  f.put('c', '4');
  f.put('a', '5');
  f.delete('c');
  return f;
}

describe('the hash of the history', () => {
  test('is the one etcd answers, at every revision, before and after compactions', async () => {
    const f = await Fixture.open();
    let hashesCompared = 0;
    for (const line of etcdHashes.replaceAll('\\\n', '').trim().split('\n')) {
      const [what, first, ...rest] = line.split(' ');
      const revision = Number(first);
      if (what === 'write') {
        const txn = f.store.write();
        for (const operation of rest) applyOperation(txn, operation);
        txn.end();
        expect(f.store.currentRevision).toBe(revision);
      } else if (what === 'compact') {
        f.store.compact(revision);
        f.clock.drain();
      } else {
        const compactRevision = f.store.compactRevision;
        for (const [i, figure] of rest.entries()) {
          const hash = await f.clock.settle(f.store.hashKv(revision + i));
          expect(hash).toEqual({ hash: Number(figure), hashRevision: revision + i, compactRevision });
          hashesCompared++;
        }
      }
    }
    expect(hashesCompared).toBeGreaterThan(100);
  });

  test('is the same while compaction has not begun, is half done, and is through', async () => {
    const f = await history(1);
    f.store.compact(6);
    const before = await f.clock.settle(f.store.hashKv(0));
    const during: number[] = [];
    while (f.clock.step()) during.push((await f.clock.settle(f.store.hashKv(0))).hash);
    const other = await history();
    other.store.compact(6);
    other.clock.drain();
    const after = await other.clock.settle(other.store.hashKv(0));
    expect(after).toEqual({ ...before, hashRevision: 8, compactRevision: 6 });
    expect(during.length).toBeGreaterThan(1);
    expect(new Set(during)).toEqual(new Set([before.hash]));
  });

  test('a compaction requested while it is computed does not change it', async () => {
    const quiet = await history();
    const expected = await quiet.clock.settle(quiet.store.hashKv(7));
    const f = await history();
    const hashing = f.store.hashKv(7);
    f.store.compact(8);
    f.put('d', '6');
    const compacted = f.store.compact(9).done;
    expect(await f.clock.settle(hashing)).toEqual(expected);
    await f.clock.settle(compacted);
    expect(f.fatals).toEqual([]);
  });

  test('a compaction requested between two of its slices waits for it', async () => {
    const f = await Fixture.open({ compaction: { batchLimit: 10_000 } });
    for (let i = 0; i < 1500; i++) f.put(`k${i % 10}`, String(i));
    const expected = await f.clock.settle(f.store.hashKv(0));
    const hashing = f.store.hashKv(0);
    const compacting = f.store.compact(1400).done;
    const finished: string[] = [];
    await f.clock.settle(
      Promise.all([hashing.then(() => finished.push('hash')), compacting.then(() => finished.push('compaction'))]),
    );
    expect(await hashing).toEqual(expected);
    expect(finished).toEqual(['hash', 'compaction']);
  });

  test('revision 0 means the current revision, and up to a negative one there is nothing', async () => {
    const f = await history();
    const current = await f.clock.settle(f.store.hashKv(8));
    expect(await f.clock.settle(f.store.hashKv(0))).toEqual(current);
    // The sum of the bucket's name alone, as etcd answers it.
    expect(await f.clock.settle(f.store.hashKv(-5))).toMatchObject({ hash: 1_084_519_789, hashRevision: -5 });
  });

  test('below the compact revision and in the future there is none', async () => {
    const f = await history();
    f.store.compact(5);
    await expect(f.store.hashKv(4)).rejects.toThrow(new KvError('compacted'));
    await expect(f.store.hashKv(9)).rejects.toThrow(new KvError('futureRev'));
    await expect(f.clock.settle(f.store.hashKv(5))).resolves.toMatchObject({ hashRevision: 5, compactRevision: 5 });
  });

  test('closing the store ends it', async () => {
    const f = await history();
    const hashing = f.store.hashKv(0);
    f.store.close();
    await expect(f.clock.settle(hashing)).rejects.toThrow(new KvError('stopped'));
    expect(f.fatals).toEqual([]);
  });

  test('a long history is hashed over several turns', async () => {
    const f = await Fixture.open();
    const txn = f.store.write();
    for (let i = 0; i < 5000; i++) txn.put(`k${i}`, Buffer.from('v'), 0n);
    txn.end();
    let turns = 0;
    const soon = f.clock.soon.bind(f.clock);
    f.clock.soon = (fn) => {
      turns++;
      soon(fn);
    };
    await f.clock.settle(f.store.hashKv(0));
    expect(turns).toBeGreaterThanOrEqual(5);
  });
});
