import { SeededRandom, sleep } from '@quorate/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RpcError } from './errors.ts';
import { type Atomic, atomically, type Isolation } from './stm.ts';
import { MiniCluster } from './testing/mini-cluster.ts';

function setup() {
  const cluster = new MiniCluster();
  return { cluster, clock: cluster.clock, client: cluster.client() };
}

const asNumber = (value: Buffer | undefined): number => Number(value?.toString() ?? 0);

async function increment(atomic: Atomic, key: string): Promise<number> {
  const next = asNumber(await atomic.get(key)) + 1;
  atomic.put(key, String(next));
  return next;
}

describe('atomically', () => {
  test('writes what the function wrote, in one revision, and gives what it returned', async () => {
    const { cluster, client } = setup();
    cluster.put('gone', 'x');
    const result = await atomically(client, async (atomic) => {
      atomic.put('a', '1');
      atomic.delete('gone');
      return [await atomic.get('a'), await atomic.get('gone'), await atomic.get('nothing')].map(String);
    });
    expect(result).toEqual(['1', 'undefined', 'undefined']);
    expect(cluster.state).toEqual({ a: '1' });
    expect(cluster.revision).toBe(3);
  });

  test('runs the function again when what it read has changed', async () => {
    const { cluster, client } = setup();
    let runs = 0;
    const result = await atomically(client, async (atomic) => {
      runs += 1;
      const next = await increment(atomic, 'n');
      if (runs < 3) cluster.put('n', String(runs * 10));
      return next;
    });
    expect([runs, result, cluster.state]).toEqual([3, 21, { n: '21' }]);
  });

  test('reads everything at one revision', async () => {
    const { cluster, client } = setup();
    cluster.put('a', '1');
    cluster.put('b', '1');
    const seen: string[] = [];
    await atomically(client, async (atomic) => {
      const a = await atomic.get('a');
      if (seen.length === 0) {
        cluster.put('a', '2');
        cluster.put('b', '2');
      }
      seen.push(`${a!.toString()}${(await atomic.get('b'))!.toString()}`);
    });
    expect(seen).toEqual(['11', '22']);
  });

  test('fetches in one request what is asked for beforehand, and after a conflict what was read', async () => {
    const { cluster, client } = setup();
    cluster.put('a', '1');
    cluster.put('b', '2');
    const sum = await atomically(
      client,
      async (atomic) => {
        const numbers = await Promise.all(['a', 'b', 'a'].map((key) => atomic.get(key)));
        if (cluster.revision === 3) cluster.put('a', '5');
        return numbers.reduce((total, value) => total + asNumber(value), 0);
      },
      { prefetch: ['a', 'b', 'a'] },
    );
    expect(sum).toBe(12);
    expect(cluster.network.seen.map(({ path }) => path.split('/')[2])).toEqual(['Txn', 'Txn', 'Txn']);
  });

  test('begins anew when its revision was compacted away', async () => {
    const { cluster, client } = setup();
    cluster.put('a', '1');
    let runs = 0;
    await atomically(client, async (atomic) => {
      runs += 1;
      await atomic.get('a');
      if (runs === 1) {
        cluster.put('a', '2');
        cluster.compact();
      }
      await increment(atomic, 'b');
    });
    expect([runs, cluster.state]).toEqual([2, { a: '2', b: '1' }]);
  });

  test('tells the revision of a key', async () => {
    const { cluster, client } = setup();
    cluster.put('a', '1');
    const revisions = await atomically(client, (atomic) => Promise.all([atomic.revision('a'), atomic.revision('b')]));
    expect(revisions).toEqual([2, 0]);
  });

  test('puts under a lease', async () => {
    const { cluster, client } = setup();
    const { id } = await client.lease.grant(60);
    await atomically(client, async (atomic) => atomic.put('k', 'v', { lease: id }));
    cluster.endLease(id);
    expect(cluster.state).toEqual({});
  });

  test('writes nothing when the function throws', async () => {
    const { cluster, client } = setup();
    const failing = atomically(client, async (atomic) => {
      await increment(atomic, 'n');
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(cluster.state).toEqual({});
  });

  test('makes no call when the function did nothing', async () => {
    const { cluster, client } = setup();
    expect(await atomically(client, async () => 7)).toBe(7);
    expect(cluster.network.seen).toEqual([]);
  });

  test('does not repeat a commit whose outcome is unknown, unless told to', async () => {
    const { cluster, clock, client } = setup();
    const faults = ['after' as const];
    cluster.fault = () => faults.pop() ?? 'none';
    const error = await atomically(client, (atomic) => increment(atomic, 'n')).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(RpcError);
    expect(error).toMatchObject({ sent: true });
    expect(cluster.state).toEqual({ n: '1' });
    faults.push('after');
    const again = await clock.settle(atomically(client, (atomic) => increment(atomic, 'n'), { retry: 'always' }));
    expect(again).toMatchObject({ value: 3 });
    expect(cluster.state).toEqual({ n: '3' });
  });

  test('ends with its signal, and with its time, however often there are conflicts', async () => {
    const { cluster, clock, client } = setup();
    const abort = new AbortController();
    const contended = async (atomic: Atomic): Promise<void> => {
      await increment(atomic, 'n');
      cluster.put('n', '0');
      await sleep(clock, 100);
    };
    const late = await clock.settle(atomically(client, contended, { timeoutMs: 1_000 }));
    expect(late).toMatchObject({ reason: { message: 'context deadline exceeded' } });
    clock.after(1_000, () => abort.abort(new Error('enough')));
    const aborted = await clock.settle(atomically(client, contended, { signal: abort.signal }));
    expect(aborted).toMatchObject({ reason: { message: 'enough' } });
  });
});

describe('isolation', () => {
  /** Runs once with a change in between; how often the function ran. */
  async function runs(isolation: Isolation, change: (cluster: MiniCluster) => void): Promise<number> {
    const { cluster, client } = setup();
    cluster.put('read', '1');
    cluster.put('written', '1');
    let count = 0;
    await atomically(
      client,
      async (atomic) => {
        count += 1;
        await atomic.get('read');
        atomic.put('written', 'mine');
        if (count === 1) change(cluster);
      },
      { isolation },
    );
    expect(cluster.state['written']).toBe('mine');
    return count;
  }

  test.each([
    ['serializableSnapshot', 2, 2],
    ['serializable', 2, 1],
    ['repeatableReads', 2, 1],
    ['readCommitted', 1, 1],
  ] as const)('%s: %i runs when a read key changes, %i when a written one does', async (isolation, read, written) => {
    expect(await runs(isolation, (cluster) => cluster.put('read', '2'))).toBe(read);
    expect(await runs(isolation, (cluster) => cluster.put('written', '2'))).toBe(written);
  });

  test.each(['repeatableReads', 'readCommitted'] as const)(
    '%s sees what is there when it reads, once',
    async (isolation) => {
      const { cluster, client } = setup();
      cluster.put('a', '1');
      let isFirst = true;
      const seen = await atomically(
        client,
        async (atomic) => {
          const before = asNumber(await atomic.get('a'));
          if (isFirst) cluster.put('b', '2');
          isFirst = false;
          return [before, asNumber(await atomic.get('b')), asNumber(await atomic.get('a'))];
        },
        { isolation },
      );
      expect(seen).toEqual([1, 2, 1]);
    },
  );

  test.each(['serializableSnapshot', 'serializable', 'repeatableReads'] as const)(
    '%s: money moved at random stays the same in all',
    async (isolation) => {
      await fc.assert(
        fc.asyncProperty(fc.integer(), async (seed) => {
          const { cluster, clock, client } = setup();
          const random = new SeededRandom(seed);
          const accounts = ['a', 'b', 'c'];
          for (const account of accounts) cluster.put(account, '100');
          const move = (): Promise<void> => {
            const [from, to] = [accounts[random.below(3)]!, accounts[random.below(3)]!];
            const amount = random.below(50);
            return atomically(
              client,
              async (atomic) => {
                const left = asNumber(await atomic.get(from)) - amount;
                await sleep(clock, random.below(3));
                atomic.put(from, String(left));
                await sleep(clock, random.below(3));
                atomic.put(to, String(asNumber(await atomic.get(to)) + amount));
              },
              { isolation },
            );
          };
          await clock.settle(Promise.all(Array.from({ length: 12 }, move)));
          expect(accounts.reduce((sum, account) => sum + Number(cluster.state[account]), 0)).toBe(300);
        }),
        { numRuns: 40 },
      );
    },
  );
});
