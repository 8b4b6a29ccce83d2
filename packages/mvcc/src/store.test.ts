import { buckets } from '@quorate/backend';
import { CorruptionError, type Key, type LeaseId } from '@quorate/base';
import { KeyValue, KvError } from '@quorate/proto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Store } from './store.ts';
import { decode, Fixture, text } from './testing/fixture.ts';
import type { Change, LeaseBook, RangeOptions } from './types.ts';

/** a=2 b=3 c=4 d=5 e=6, one revision each, from 2 on. */
async function fiveKeys(): Promise<Fixture> {
  const f = await Fixture.open();
  for (const key of 'abcde') f.put(key, String(f.store.currentRevision + 1));
  return f;
}

describe('revisions', () => {
  test('an empty store is at revision 1 and was never compacted', async () => {
    const { store } = await Fixture.open();
    expect(store.currentRevision).toBe(1);
    expect(store.compactRevision).toBe(-1);
    expect(store.keyCount).toBe(0);
    expect(store.read().range('\0', '\0')).toEqual({ rows: [], count: 0, revision: 1, next: undefined });
  });

  test('the first write gets revision 2, each further transaction one more', async () => {
    const f = await Fixture.open();
    expect(f.put('a')).toBe(2);
    expect(f.put('a')).toBe(3);
    expect(f.store.currentRevision).toBe(3);
  });

  test('all changes of a transaction share one revision and count up subs', async () => {
    const f = await Fixture.open();
    f.put('x');
    const txn = f.store.write();
    expect([txn.put('b', Buffer.from('1'), 0n), txn.put('a', Buffer.from('2'), 0n)]).toEqual([3, 3]);
    expect(txn.deleteRange('a', '\0')).toBe(3);
    expect(txn.put('a', Buffer.from('3'), 0n)).toBe(3);
    txn.end();
    expect(txn.changes.map((c) => [c.sub, c.type, c.key, c.modRevision])).toEqual([
      [0, 'put', 'b', 3],
      [1, 'put', 'a', 3],
      [2, 'delete', 'a', 3],
      [3, 'delete', 'b', 3],
      [4, 'delete', 'x', 3],
      [5, 'put', 'a', 3],
    ]);
    expect(f.store.currentRevision).toBe(3);
    expect(f.values('\0', '\0')).toEqual(['a=3']);
  });

  test('a transaction that changes nothing takes no revision', async () => {
    const f = await fiveKeys();
    const heard: number[] = [];
    f.store.onChanges((revision) => heard.push(revision));
    const txn = f.store.write();
    expect(txn.deleteRange('x', 'z')).toBe(0);
    expect(txn.deleteRange('x', '')).toBe(0);
    txn.range('a', '\0');
    expect(txn.changed).toBe(false);
    expect(txn.revision).toBe(6);
    txn.end();
    expect(f.store.currentRevision).toBe(6);
    expect(heard).toEqual([]);
    expect(f.backend.stagedCount).toBe(5);
  });

  test('version, create and mod revision follow the life of a key', async () => {
    const f = await Fixture.open();
    f.put('a', '2');
    f.put('a', '3');
    f.delete('a');
    f.put('a', '5');
    f.put('a', '6');
    const seen = [2, 3, 4, 5, 6].map((revision) => {
      const [kv] = decode(f.store.read().range('a', '', { revision }).rows);
      return kv && [kv.createRevision, kv.modRevision, kv.version];
    });
    expect(seen).toEqual([[2, 2, 1], [2, 3, 2], undefined, [5, 5, 1], [5, 6, 2]]);
  });
});

describe('ranges', () => {
  test('follow the conventions of key and range end', async () => {
    const f = await fiveKeys();
    const keys = (key: Key, end?: Key): string =>
      decode(f.store.read().range(key, end).rows)
        .map((kv) => kv.key)
        .join('');
    expect(keys('b')).toBe('b');
    expect(keys('b', '')).toBe('b');
    expect(keys('x')).toBe('');
    expect(keys('b', 'd')).toBe('bc');
    expect(keys('b', '\0')).toBe('bcde');
    expect(keys('\0', '\0')).toBe('abcde');
    expect(keys('b', 'b')).toBe('');
    expect(keys('c', 'a')).toBe('');
    expect(keys('a\0', 'b\0')).toBe('b');
  });

  test('limit rows, not the count, and name the key to go on with', async () => {
    const f = await fiveKeys();
    const range = (options: RangeOptions): unknown[] => {
      const { rows, count, next } = f.store.read().range('a', '\0', options);
      return [
        decode(rows)
          .map((kv) => kv.key)
          .join(''),
        count,
        next,
      ];
    };
    expect(range({ limit: 2 })).toEqual(['ab', 5, 'c']);
    expect(range({ limit: 5 })).toEqual(['abcde', 5, undefined]);
    expect(range({ limit: 0 })).toEqual(['abcde', 5, undefined]);
    expect(range({ limit: -1 })).toEqual(['abcde', 5, undefined]);
    expect(range({ limit: 2, descending: true })).toEqual(['ed', 5, 'c']);
    expect(range({ limit: 2, countOnly: true })).toEqual(['', 5, undefined]);
    expect(range({ limit: 2, skipCount: true })).toEqual(['ab', 0, 'c']);
    expect(range({ limit: 2, revision: 4 })).toEqual(['ab', 3, 'c']);
  });

  test('stop after the row that reaches the size asked for', async () => {
    const f = await Fixture.open();
    for (const key of 'abcd') f.put(key, 'x'.repeat(100));
    const take = (sizeBytesMax: number): number => f.store.read().range('a', '\0', { sizeBytesMax }).rows.length;
    const one = f.store.read().range('a', '').rows[0]!.length;
    expect([1, one, one + 1, 2 * one, 100 * one].map(take)).toEqual([1, 1, 2, 2, 4]);
  });

  test('carry the current revision, also when they read an old one', async () => {
    const f = await fiveKeys();
    expect(f.store.read().range('a', '\0', { revision: 3 }).revision).toBe(6);
    expect(f.store.read().range('a', '', { revision: 3 }).revision).toBe(6);
  });

  test('at revision 0 and below read the current one, beyond it they fail', async () => {
    const f = await fiveKeys();
    for (const revision of [0, -1, -(2 ** 53) + 1]) expect(f.values('e', '', revision)).toEqual(['e=6']);
    for (const revision of [7, 2 ** 53 - 1])
      expect(() => f.values('e', '', revision)).toThrow(new KvError('futureRev'));
  });

  test('pages at a pinned revision put together are the whole, or a compaction says that it is gone', async () => {
    const write = fc.tuple(fc.nat(300), fc.constantFrom('put', 'put', 'put', 'delete', 'compact'));
    await fc.assert(
      fc.asyncProperty(
        fc.array(write, { minLength: 20, maxLength: 300, size: 'max' }),
        fc.array(write, { maxLength: 60, size: 'max' }),
        fc.integer({ min: 1, max: 40 }),
        fc.boolean(),
        async (before, meanwhile, limit, descending) => {
          const f = await Fixture.open({ compaction: { batchLimit: 20 } });
          const apply = ([n, what]: [number, string]): void => {
            if (what === 'put') f.put(`k${n}`, 'v');
            else if (what === 'delete') f.delete(`k${n}`);
            else if (n <= f.store.currentRevision && n > f.store.compactRevision) f.store.compact(n);
            f.clock.step();
          };
          before.forEach(apply);
          const { revision } = f.store.read();
          const whole = f.store.read().range('k', 'l', { descending }).rows;
          const paged: Buffer[] = [];
          let [from, end]: [Key, Key] = ['k', 'l'];
          for (;;) {
            const options = { revision, limit, descending, skipCount: true };
            if (revision < f.store.compactRevision) {
              expect(() => f.store.read().range(from, end, options)).toThrow(new KvError('compacted'));
              return;
            }
            const page = f.store.read().range(from, end, options);
            paged.push(...page.rows);
            meanwhile.splice(0, 3).forEach(apply);
            if (page.next === undefined) break;
            if (descending) end = `${page.next}\0`;
            else from = page.next;
          }
          expect(text(paged)).toBe(text(whole));
        },
      ),
      { numRuns: 60 },
    );
  }, 60_000);

  test('keys are bytes: zeros, 0xff, prefixes of each other and long ones keep their order', async () => {
    const f = await Fixture.open();
    const keys = [
      '\0',
      '\0\0',
      '\0\xff',
      'a',
      'a\0',
      'a\0\0',
      'aa',
      '\x7f',
      '\x80',
      '\xff',
      '\xff\xff',
      `\xff${'z'.repeat(3000)}`,
    ];
    for (const key of keys.toReversed()) f.put(key);
    const stored = decode(f.store.read().range('\0', '\0').rows).map((kv) => kv.key);
    expect(stored).toEqual(keys.map((key) => Buffer.from(key, 'latin1')).sort(Buffer.compare));
    await f.reopen();
    expect(decode(f.store.read().range('\0', '\0').rows).map((kv) => kv.key)).toEqual(stored);
  });
});

describe('write transactions', () => {
  test('see what they wrote; nobody else does before their end', async () => {
    const f = await fiveKeys();
    const before = f.store.read();
    const txn = f.store.write();
    txn.put('a', Buffer.from('new'), 0n);
    txn.deleteRange('b', '');
    txn.put('f', Buffer.from('7'), 0n);
    expect(f.values('\0', '\0', 0, txn)).toEqual(['a=new', 'c=4', 'd=5', 'e=6', 'f=7']);
    expect(txn.range('\0', '\0', { countOnly: true }).count).toBe(5);
    expect(f.values('\0', '\0', 6, txn)).toEqual(['a=2', 'b=3', 'c=4', 'd=5', 'e=6']);
    expect(f.values('\0', '\0', 0, f.store.read())).toEqual(['a=2', 'b=3', 'c=4', 'd=5', 'e=6']);
    expect(f.store.keyCount).toBe(5);
    txn.end();
    expect(f.values('\0', '\0', 0, before)).toEqual(['a=2', 'b=3', 'c=4', 'd=5', 'e=6']);
    expect(f.values('\0', '\0')).toEqual(['a=new', 'c=4', 'd=5', 'e=6', 'f=7']);
  });

  test('one torn apart leaves nothing in the backend, and no other begins', async () => {
    const f = await fiveKeys();
    await f.commit();
    const before = f.backend.range(buckets.key, { from: '' });
    const txn = f.store.write();
    txn.put('a', Buffer.from('half'), 0n);
    txn.deleteRange('b', '\0');
    expect(() => f.store.write()).toThrow('write transaction begun before the one before it ended');
    await f.commit();
    expect(f.backend.range(buckets.key, { from: '' })).toEqual(before);
    await f.crash();
    expect(f.values('\0', '\0')).toEqual(['a=2', 'b=3', 'c=4', 'd=5', 'e=6']);
  });

  test('are over after their end', async () => {
    const f = await Fixture.open();
    const txn = f.store.write();
    txn.put('a', Buffer.alloc(0), 0n);
    txn.end();
    expect(() => txn.end()).toThrow('write transaction ended twice');
    expect(() => txn.put('a', Buffer.alloc(0), 0n)).toThrow('used after its end');
    expect(() => txn.deleteRange('a', '')).toThrow('used after its end');
    expect(() => txn.range('a', '')).toThrow('used after its end');
  });

  test('the bytes of a value may be reused after the put', async () => {
    const f = await Fixture.open();
    const value = Buffer.from('first');
    const txn = f.store.write();
    txn.put('a', value, 0n);
    value.fill('x');
    txn.end();
    expect(f.values('a')).toEqual(['a=first']);
  });
});

describe('changes', () => {
  test('are told in order at the end of the transaction, when their revision can be read', async () => {
    const f = await Fixture.open();
    const heard: [number, readonly Change[], string[]][] = [];
    const off = f.store.onChanges((revision, changes) =>
      heard.push([revision, changes, f.values('\0', '\0', revision)]),
    );
    const txn = f.store.write();
    txn.put('a', Buffer.from('1'), 5n);
    txn.put('b', Buffer.from('2'), 0n);
    expect(heard).toEqual([]);
    txn.end();
    f.delete('a');
    off();
    f.put('c');
    expect(heard.map(([revision, , values]) => [revision, values])).toEqual([
      [2, ['a=1', 'b=2']],
      [3, ['b=2']],
    ]);
    expect(KeyValue.decode(heard[0]![1][0]!.record)).toMatchObject({ modRevision: 2, version: 1, lease: 5n });
    expect(heard[1]![1]).toMatchObject([{ type: 'delete', key: 'a', modRevision: 3, sub: 0 }]);
    const record = KeyValue.encode(KeyValue.create({ key: Buffer.from('a'), modRevision: 3 }));
    expect(heard[1]![1][0]!.record).toEqual(record);
  });
});

describe('leases', () => {
  class Book implements LeaseBook {
    readonly log: string[] = [];
    readonly keys = new Map<Key, LeaseId>();
    leaseOf(key: Key): LeaseId {
      return this.keys.get(key) ?? 0n;
    }
    attach(lease: LeaseId, key: Key): void {
      this.log.push(`+${lease}:${key}`);
      this.keys.set(key, lease);
    }
    detach(lease: LeaseId, key: Key): void {
      this.log.push(`-${lease}:${key}`);
      this.keys.delete(key);
    }
  }

  test('a put sets the lease of its key to exactly the one given, a delete takes it off', async () => {
    const leases = new Book();
    const f = await Fixture.open({ leases });
    f.put('a', '', 1n);
    f.put('a', '', 1n);
    f.put('a', '', 2n);
    f.put('a', '', 0n);
    f.put('b', '', 3n);
    f.delete('a', '\0');
    expect(leases.log).toEqual(['+1:a', '-1:a', '+2:a', '-2:a', '+3:b', '-3:b']);
  });

  test('opening attaches the keys that live on one, whatever it is', async () => {
    const f = await Fixture.open();
    const ids = [1n, 2n ** 53n - 1n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n];
    for (const [i, id] of ids.entries()) f.put(`k${i}`, '', id);
    f.put('gone', '', 7n);
    f.delete('gone');
    f.put('left', '', 7n);
    f.put('left', '', 0n);
    f.put('moved', '', 7n);
    f.put('moved', '', 8n);
    const leases = new Book();
    f.options = { leases };
    await f.reopen();
    expect(leases.log.sort()).toEqual([...ids.map((id, i) => `+${id}:k${i}`), '+8:moved'].sort());
    expect(decode(f.store.read().range('k', 'l').rows).map((kv) => kv.lease)).toEqual(ids);
  });
});

describe('damage', () => {
  async function damaged(damage: (rows: { key: Key; value: Buffer }[], f: Fixture) => void): Promise<Fixture> {
    const f = await fiveKeys();
    damage(f.backend.range(buckets.key, { from: '' }), f);
    return f;
  }

  /** Everything is on the disk, and read while that is opened. */
  async function startAgain(f: Fixture): Promise<Store> {
    await f.backend.close();
    return f.openAsAtStart();
  }

  test('any flipped bit of a row is found at the next read', async () => {
    const f = await fiveKeys();
    const [row] = f.backend.range(buckets.key, { from: '' });
    for (let bit = 0; bit < row!.value.length * 8; bit++) {
      const value = Buffer.from(row!.value);
      value[bit >>> 3]! ^= 1 << (bit & 7);
      f.backend.put(buckets.key, row!.key, value);
      expect(() => f.values('a')).toThrow(CorruptionError);
    }
  });

  test('rows that changed places are found, at reads and at the start', async () => {
    const f = await damaged(([a, b], { backend }) => {
      backend.put(buckets.key, a!.key, b!.value);
      backend.put(buckets.key, b!.key, a!.value);
    });
    expect(() => f.values('a')).toThrow('row does not match its checksum');
    await expect(f.reopen()).rejects.toThrow(CorruptionError);
    await expect(startAgain(f)).rejects.toThrow('row does not match its checksum');
  });

  test('a row that is gone or cut off is found', async () => {
    const f = await damaged(([a, b], { backend }) => {
      backend.remove(buckets.key, a!.key);
      backend.put(buckets.key, b!.key, b!.value.subarray(0, 3));
    });
    expect(() => f.values('a')).toThrow('row of a version is missing');
    expect(() => f.values('b')).toThrow('row is too short');
  });

  test('a key that is no revision stops the start', async () => {
    const f = await damaged((_, { backend }) => backend.put(buckets.key, 'junk', Buffer.alloc(9)));
    await expect(f.reopen()).rejects.toThrow('not the key of a revision');
    await expect(startAgain(f)).rejects.toThrow('not the key of a revision');
  });

  test('any row that is damaged, exchanged, gone, or of nobody is found by a scrub, and nothing else is', async () => {
    const rows = (f: Fixture) => f.backend.range(buckets.key, { from: '' });
    const history = async (): Promise<Fixture> => {
      const f = await fiveKeys();
      f.put('a', 'again');
      const txn = f.store.write();
      txn.deleteRange('b', undefined);
      txn.put('b', Buffer.from('back'), 0n);
      txn.deleteRange('c', undefined);
      txn.end();
      return f;
    };
    const sound = await history();
    const count = rows(sound).length;
    const total = [...sound.store.scrub()].reduce((sum, slice) => sum + slice.rows, 0);
    // Puts are read twice, by order and by key; tombstones, and what only the past has, once.
    expect(total).toBeGreaterThanOrEqual(count + sound.store.keyCount);
    for (let i = 0; i < count; i++) {
      const f = await history();
      const row = rows(f)[i]!;
      const value = Buffer.from(row.value);
      value[value.length - 1]! ^= 1;
      f.backend.put(buckets.key, row.key, value);
      expect(() => [...f.store.scrub()]).toThrow('row does not match its checksum');
    }
    const gone = await history();
    gone.backend.remove(buckets.key, rows(gone)[0]!.key);
    expect(() => [...gone.store.scrub()]).toThrow('row of a version is missing');
    const foreign = await history();
    const other = await history();
    other.put('z');
    const stray = rows(other).at(-1)!;
    foreign.backend.put(buckets.key, stray.key, stray.value);
    expect(() => [...foreign.store.scrub()]).toThrow('row is not in the index');
  });

  test('a scrub reads the rows of all other buckets, too', async () => {
    const f = await fiveKeys();
    const rows = (): number => [...f.store.scrub()].reduce((sum, slice) => sum + slice.rows, 0);
    const before = rows();
    for (let i = 0; i < 600; i++) f.backend.put(buckets.lease, `lease ${i}`, Buffer.alloc(10, i));
    f.backend.put(buckets.members, 'member', Buffer.alloc(0));
    expect(rows()).toBe(before + 601);
  });

  test('a scrub goes on through writes and compactions between its slices', async () => {
    const f = await Fixture.open({ compaction: { batchLimit: 50, sleepMs: 1 } });
    for (let i = 0; i < 2_000; i++) f.put(`key ${i % 300}`, 'x'.repeat(100));
    let slices = 0;
    for (const _ of f.store.scrub()) {
      f.put(`key ${slices % 300}`, 'y');
      if (slices % 3 === 0) f.delete(`key ${(slices * 7) % 300}`);
      if (slices === 4) f.store.compact(f.store.currentRevision - 100);
      if (slices > 4) f.clock.step();
      slices++;
    }
    expect(slices).toBeGreaterThan(10);
  });

  test('a scrub of a key that was written all the time takes slices no larger than others', async () => {
    const f = await Fixture.open();
    for (let i = 0; i < 3_000; i++) {
      f.put('hot', `${i}`);
      if (i % 100 === 0) f.put(`other ${i}`, 'x');
    }
    const { currentRevision } = f.store;
    const slices = [...f.store.scrub()].map(({ rows }) => rows);
    expect(Math.max(...slices)).toBeLessThanOrEqual(64);
    expect(slices.reduce((sum, rows) => sum + rows, 0)).toBe(2 * (currentRevision - 1));
  });

  test('met while hashing it is answered and reported', async () => {
    const f = await damaged(([a], { backend }) => backend.put(buckets.key, a!.key, Buffer.alloc(20)));
    await expect(f.clock.settle(f.store.hashKv(0))).rejects.toThrow(CorruptionError);
    expect(f.fatals).toEqual([expect.any(CorruptionError)]);
  });
});

describe('opening', () => {
  test('a long history is restored over several turns, equal to what it was', async () => {
    const f = await Fixture.open();
    const txn = f.store.write();
    for (let i = 0; i < 12_000; i++) txn.put(`key${i % 9000}`, Buffer.from(`${i}`), 0n);
    txn.end();
    const live = [...f.store.dumpIndex()];
    let turns = 0;
    const soon = f.clock.soon.bind(f.clock);
    f.clock.soon = (fn) => {
      turns++;
      soon(fn);
    };
    await f.reopen();
    expect(turns).toBeGreaterThan(3);
    expect([...f.store.dumpIndex()]).toEqual(live);
    expect(f.store.keyCount).toBe(9000);
    expect(f.store.currentRevision).toBe(2);
  });

  test('big rows make small chunks', async () => {
    const f = await Fixture.open();
    for (let i = 0; i < 300; i++) f.put(`key${i}`, 'x'.repeat(20_000));
    const chunks: number[] = [];
    const visit = f.backend.visit.bind(f.backend);
    f.backend.visit = (bucket, range, look) => {
      const at = chunks.push(0) - 1;
      visit(bucket, range, (row) => {
        chunks[at]! += row.value.length;
        return look(row);
      });
    };
    await f.reopen();
    expect(chunks.length).toBeGreaterThan(1);
    expect(Math.max(...chunks)).toBeLessThan(4 * 1024 * 1024 + 21_000);
  });

  test('a current revision below the compact revision is raised to it', async () => {
    const f = await Fixture.open();
    for (let i = 0; i < 5; i++) f.put('a');
    f.store.compact(6);
    f.clock.drain();
    for (const row of f.backend.range(buckets.key, { from: '' })) f.backend.remove(buckets.key, row.key);
    await f.reopen();
    expect([f.store.currentRevision, f.store.compactRevision]).toEqual([6, 6]);
    expect(f.store.read().range('a', '', { revision: 6 }).count).toBe(0);
  });

  test('a closed store is over', async () => {
    const f = await Fixture.open();
    f.store.close();
    f.store.close();
    expect(() => f.store.read()).toThrow('store used after close');
    expect(() => f.store.write()).toThrow('store used after close');
  });
});
