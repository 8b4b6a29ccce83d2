import { SeededRandom } from '@quorate/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Mutex } from './mutex.ts';
import { Session } from './session.ts';
import { type Fault, MiniCluster } from './testing/mini-cluster.ts';
import { op } from './txn.ts';

async function setup(count = 3) {
  const cluster = new MiniCluster();
  const client = cluster.client();
  const sessions = await Promise.all(Array.from({ length: count }, () => Session.open(client)));
  const mutexes = sessions.map((session) => new Mutex(session, 'lock'));
  return { cluster, clock: cluster.clock, client, sessions, mutexes };
}

/** Whether a promise has settled, and how. */
function watched(promise: Promise<unknown>): { state: string } {
  const seen = { state: 'waiting' };
  promise.then(
    () => {
      seen.state = 'held';
    },
    (error: unknown) => {
      seen.state = String((error as Error).message);
    },
  );
  return seen;
}

describe('a lock', () => {
  test('has one holder at a time, in the order of asking', async () => {
    const { clock, mutexes } = await setup();
    const states: { state: string }[] = [];
    for (const mutex of mutexes) {
      states.push(watched(mutex.lock()));
      await clock.run(1);
    }
    expect(states.map(({ state }) => state)).toEqual(['held', 'waiting', 'waiting']);
    await mutexes[0]!.unlock();
    await clock.run(1);
    expect(states.map(({ state }) => state)).toEqual(['held', 'held', 'waiting']);
    expect(mutexes.map((mutex) => mutex.isHeld)).toEqual([false, true, false]);
    await mutexes[1]!.unlock();
    await clock.run(1);
    expect(states[2]!.state).toBe('held');
  });

  test('is named by the lease in base 16, under the name and a slash', async () => {
    const { sessions, mutexes, cluster } = await setup(1);
    await mutexes[0]!.lock();
    expect(Object.keys(cluster.state)).toEqual([`lock/${sessions[0]!.lease.toString(16)}`]);
    expect(mutexes[0]!.key.toString()).toBe(`lock/${sessions[0]!.lease.toString(16)}`);
  });

  test('passes on when the session of its holder ends', async () => {
    const { cluster, clock, sessions, mutexes } = await setup(2);
    await mutexes[0]!.lock();
    const next = watched(mutexes[1]!.lock());
    await clock.run(1);
    cluster.endLease(sessions[0]!.lease);
    await clock.run(1);
    expect(next.state).toBe('held');
  });

  test('is not given to one who waited and whose session ended before its turn', async () => {
    const { cluster, clock, sessions, mutexes } = await setup(2);
    await mutexes[0]!.lock();
    const next = watched(mutexes[1]!.lock());
    await clock.run(1);
    cluster.endLease(sessions[1]!.lease);
    await mutexes[0]!.unlock();
    await clock.run(1);
    expect(next.state).toMatch(/requested lease not found/);
    expect(mutexes[1]!.isHeld).toBe(false);
  });

  test('is not given to one whose session is over', async () => {
    const { sessions, mutexes } = await setup(1);
    await sessions[0]!.close();
    await expect(mutexes[0]!.lock()).rejects.toThrow('the session is closed');
  });

  test('waited for by one who gives up is waited for no more', async () => {
    const { cluster, clock, mutexes } = await setup(3);
    await mutexes[0]!.lock();
    const abort = new AbortController();
    const second = watched(mutexes[1]!.lock({ signal: abort.signal }));
    await clock.run(1);
    const third = watched(mutexes[2]!.lock({ timeoutMs: 500 }));
    await clock.run(1);
    abort.abort(new Error('enough'));
    await clock.run(1);
    expect(second.state).toBe('enough');
    await clock.run(500);
    expect(third.state).toBe('context deadline exceeded');
    expect(Object.keys(cluster.state)).toEqual([mutexes[0]!.key.toString()]);
    expect(cluster.watches.watchCount).toBe(0);
  });

  test('may be tried', async () => {
    const { cluster, mutexes } = await setup(2);
    expect(await mutexes[0]!.tryLock()).toBe(true);
    expect(await mutexes[1]!.tryLock()).toBe(false);
    expect(Object.keys(cluster.state)).toHaveLength(1);
    await mutexes[0]!.unlock();
    expect(await mutexes[1]!.tryLock()).toBe(true);
  });

  test('is taken and given back although answers are lost', async () => {
    const { cluster, mutexes } = await setup(2);
    const faults: Fault[] = ['after', 'before', 'none'];
    cluster.fault = () => faults.shift() ?? 'none';
    await cluster.clock.settle(mutexes[0]!.lock());
    faults.push('after', 'before');
    await cluster.clock.settle(mutexes[0]!.unlock());
    expect(cluster.state).toEqual({});
    expect(await mutexes[1]!.tryLock()).toBe(true);
  });

  test('can be asked for in a transaction, which fails once it is lost', async () => {
    const { cluster, client, sessions, mutexes } = await setup(1);
    expect(() => mutexes[0]!.isOwner()).toThrow('the lock is not held');
    await expect(mutexes[0]!.unlock()).rejects.toThrow('the lock is not held');
    await mutexes[0]!.lock();
    const guarded = { compare: [mutexes[0]!.isOwner()], success: [op.put('k', 'v')] };
    expect((await client.kv.txn(guarded)).succeeded).toBe(true);
    cluster.endLease(sessions[0]!.lease);
    expect((await client.kv.txn(guarded)).succeeded).toBe(false);
  });

  test('given back between looking and watching is not waited for', async () => {
    const { cluster, clock, sessions, mutexes } = await setup(2);
    await mutexes[0]!.lock();
    const { serveStream } = cluster.network;
    cluster.network.serveStream = (stream) => {
      if (stream.path.includes('Watch')) cluster.endLease(sessions[0]!.lease);
      serveStream(stream);
    };
    const next = watched(mutexes[1]!.lock());
    await clock.run(1);
    expect(next.state).toBe('held');
  });

  test('looks again when the revision it watches from is compacted away', async () => {
    const { cluster, clock, mutexes } = await setup(2);
    await mutexes[0]!.lock();
    let isFirst = true;
    const { serveStream } = cluster.network;
    cluster.network.serveStream = (stream) => {
      if (isFirst && stream.path.includes('Watch')) {
        isFirst = false;
        cluster.put('other', '1');
        cluster.put('other', '2');
        cluster.compact();
      }
      serveStream(stream);
    };
    const next = watched(mutexes[1]!.lock());
    await clock.run(1);
    await mutexes[0]!.unlock();
    await clock.run(1);
    expect(next.state).toBe('held');
  });

  test('never has two holders, whatever sessions end and answers are lost', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.array(fc.nat(11), { minLength: 5, maxLength: 40 }), async (seed, plan) => {
        const { cluster, clock, sessions, mutexes } = await setup(4);
        const random = new SeededRandom(seed);
        const doing = mutexes.map(() => false);
        cluster.fault = () => (['none', 'none', 'before', 'after'] as const)[random.below(4)]!;
        const act = async (i: number, kind: number): Promise<void> => {
          const mutex = mutexes[i]!;
          doing[i] = true;
          try {
            if (mutex.isHeld) await mutex.unlock();
            else if (kind === 0) await mutex.lock({ timeoutMs: 5_000 });
            else await mutex.tryLock({ timeoutMs: 5_000 });
          } catch {
            // Losing a session or running out of time is not what this is about.
          }
          doing[i] = false;
        };
        for (const step of plan) {
          const i = step % 4;
          if (step >= 11) cluster.endLease(sessions[i]!.lease);
          else if (doing[i] === false) void act(i, step >> 2);
          await clock.run(random.below(400));
          const holders = mutexes.filter((mutex, at) => mutex.isHeld && cluster.leases.has(sessions[at]!.lease));
          expect(holders.length).toBeLessThanOrEqual(1);
        }
      }),
      { numRuns: 100 },
    );
  });
});
