import { type Backend, buckets, MemoryBackendFactory } from '@quorate/backend';
import { CorruptionError, FatalError, type LeaseId, type Meter, silentMeter } from '@quorate/base';
import { KvError } from '@quorate/proto';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { Lessor } from './lessor.ts';
import { checkpointAfterMs, checkpointAgainMs, leaseTtlMax, minimumTtl } from './rules.ts';

const clock = {
  ms: 0,
  nowMs(): number {
    return this.ms;
  },
};
let backend: Backend;
let lessor: Lessor;

async function openBackend(): Promise<Backend> {
  return new MemoryBackendFactory().forProcess({}).open('db');
}

beforeEach(async () => {
  clock.ms = 1_000_000;
  backend = await openBackend();
  lessor = Lessor.open({ backend, clock, meter: silentMeter });
});

/** The outcome of `run` as text: its KvError's code, or `ok`. */
function outcome(run: () => unknown): string {
  try {
    run();
    return 'ok';
  } catch (error) {
    if (error instanceof KvError) return error.code;
    throw error;
  }
}

/** Promotes a member and lets it count in all its leases at once. */
function promote(member: Lessor, extendMs: number): void {
  member.promote(extendMs);
  while (member.countMore(7));
}

/** The same leases and keys, opened anew. */
function reopened(keys: readonly (readonly [string, LeaseId])[]): Lessor {
  const other = Lessor.open({ backend, clock, meter: silentMeter });
  for (const [key, lease] of keys) other.attach(lease, key);
  return other;
}

describe('grants', () => {
  test('an id is granted once, until it is revoked', () => {
    expect(outcome(() => lessor.grant(7n, 10))).toBe('ok');
    expect(outcome(() => lessor.grant(7n, 20))).toBe('leaseExist');
    expect(lessor.ttlOf(7n)).toBe(10);
    lessor.revoke(7n);
    expect(lessor.has(7n)).toBe(false);
    expect(outcome(() => lessor.grant(7n, 20))).toBe('ok');
  });

  test('B21: ids are any 64 bits but 0, and come back from the store', () => {
    const ids = [1n, 2n ** 53n - 1n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n];
    for (const id of ids) lessor.grant(id, 60);
    expect(outcome(() => lessor.grant(0n, 60))).toBe('leaseNotFound');
    expect(reopened([]).list()).toEqual(ids);
  });

  test('the longest time to live is 9,000,000,000 seconds', () => {
    expect(outcome(() => lessor.grant(1n, leaseTtlMax))).toBe('ok');
    expect(outcome(() => lessor.grant(2n, leaseTtlMax + 1))).toBe('leaseTtlTooLarge');
    expect(lessor.has(2n)).toBe(false);
  });

  test('the shortest is one and a half election time-outs, in whole seconds', () => {
    expect([1_000, 100, 1_334, 5_000, 50_000].map(minimumTtl)).toEqual([2, 1, 3, 8, 75]);
  });
});

describe('time', () => {
  test('J01: times to live beyond 2^31 milliseconds are none the shorter', () => {
    const ttls = [2 ** 31 / 1000, 2 ** 32, leaseTtlMax].map(Math.floor);
    for (const [i, ttl] of ttls.entries()) lessor.grant(BigInt(i + 1), ttl);
    promote(lessor, 1_000);
    clock.ms += 10_000;
    expect(lessor.hasDue).toBe(false);
    for (const [i, ttl] of ttls.entries()) expect(lessor.remainingOf(BigInt(i + 1))).toBe(ttl - 9);
    clock.ms += ttls[0]! * 1_000;
    expect(lessor.takeDue(10, 1)).toEqual([1n]);
  });

  test('nothing falls due where nobody counts', () => {
    lessor.grant(1n, 2);
    clock.ms += 1e12;
    expect(lessor.hasDue).toBe(false);
    expect(lessor.renew(1n)).toEqual({ is: 'notPrimary' });
  });

  test('a promotion gives every lease its time and the extension, a grant after it just its time', () => {
    lessor.grant(1n, 10);
    promote(lessor, 1_000);
    lessor.grant(2n, 10);
    clock.ms += 9_999;
    expect(lessor.hasDue).toBe(false);
    clock.ms += 1;
    expect(lessor.takeDue(10, 100)).toEqual([2n]);
    clock.ms += 1_000;
    expect(lessor.takeDue(1, 100)).toEqual([2n]);
    expect(lessor.takeDue(10, 100)).toEqual([1n]);
  });

  test('what is left is never negative and never more than was granted', () => {
    lessor.grant(1n, 10);
    promote(lessor, 5_000);
    expect(lessor.remainingOf(1n)).toBe(10);
    clock.ms += 14_500;
    expect(lessor.remainingOf(1n)).toBe(0);
    clock.ms += 100_000;
    expect(lessor.remainingOf(1n)).toBe(0);
  });

  test('the end of a lease is proposed again while it is not gone', () => {
    lessor.grant(1n, 2);
    promote(lessor, 0);
    clock.ms += 2_000;
    expect(lessor.takeDue(5, 7_000)).toEqual([1n]);
    expect(lessor.takeDue(5, 7_000)).toEqual([]);
    clock.ms += 7_000;
    expect(lessor.takeDue(5, 7_000)).toEqual([1n]);
    lessor.revoke(1n);
    clock.ms += 7_000;
    expect(lessor.hasDue).toBe(false);
  });

  test('B79: 5,000 leases that a new leader finds do not end all at once, and all of them end', () => {
    for (let i = 1; i <= 5_000; i++) lessor.grant(BigInt(i), 10);
    promote(lessor, 1_000);
    clock.ms += 11_000;
    const perSecond: number[] = [];
    for (let second = 0; second < 7; second++) {
      const due = lessor.takeDue(10_000, 60_000);
      for (const id of due) lessor.revoke(id);
      perSecond.push(due.length);
      clock.ms += 1_000;
    }
    expect(perSecond).toEqual([750, 750, 750, 750, 750, 750, 500]);
    expect(lessor.size).toBe(0);
  });

  test('a lease that is not counted in yet has its time all the same, and none ends before it is', () => {
    for (let i = 1; i <= 10; i++) lessor.grant(BigInt(i), 10);
    lessor.promote(1_000);
    expect(lessor.countMore(4)).toBe(true);
    clock.ms += 5_000;
    expect(lessor.renew(9n)).toEqual({ is: 'renewed', ttl: 10 });
    expect(lessor.remainingOf(8n)).toBe(6);
    lessor.revoke(7n);
    clock.ms += 6_000;
    // Counted in so far: the first four and the one that was asked about.
    expect(lessor.takeDue(10, 1_000_000).sort()).toEqual([1n, 2n, 3n, 4n, 8n]);
    expect(lessor.renew(6n)).toEqual({ is: 'expired' });
    expect(lessor.countMore(10)).toBe(false);
    expect(lessor.takeDue(10, 1_000_000).sort()).toEqual([10n, 5n, 6n].sort());
    clock.ms += 4_000;
    expect(lessor.takeDue(10, 1_000_000)).toEqual([9n]);
  });

  test('what a member counted before it was deposed is forgotten', () => {
    lessor.grant(1n, 10);
    promote(lessor, 0);
    clock.ms += 10_000;
    lessor.demote();
    expect(lessor.hasDue).toBe(false);
    expect(lessor.takeDue(10, 1)).toEqual([]);
    lessor.promote(500);
    expect(lessor.hasDue).toBe(false);
    expect(lessor.remainingOf(1n)).toBe(10);
    expect(lessor.countMore(1)).toBe(true);
    lessor.demote();
    expect(lessor.countMore(1)).toBe(false);
    expect(lessor.takeCheckpoints(1)).toEqual([]);
  });

  test('those that end first are listed first', () => {
    lessor.grant(1n, 30);
    lessor.grant(2n, 10);
    lessor.grant(3n, 20);
    expect(lessor.list()).toEqual([2n, 3n, 1n]);
    promote(lessor, 0);
    clock.ms += 5_000;
    lessor.renew(2n);
    clock.ms += 9_000;
    lessor.renew(2n);
    expect(lessor.list()).toEqual([3n, 2n, 1n]);
  });
});

describe('renewals', () => {
  test('begin the time anew', () => {
    lessor.grant(1n, 10);
    promote(lessor, 0);
    for (let i = 0; i < 5; i++) {
      clock.ms += 9_999;
      expect(lessor.renew(1n)).toEqual({ is: 'renewed', ttl: 10 });
    }
    clock.ms += 10_000;
    expect(lessor.takeDue(1, 1)).toEqual([1n]);
  });

  test('B76: a lease whose time is over is not renewed, and whoever asked is told when its end is decided', () => {
    lessor.grant(1n, 2);
    promote(lessor, 0);
    clock.ms += 2_000;
    expect(lessor.renew(1n)).toEqual({ is: 'expired' });
    let told = 0;
    lessor.whenSettled(1n, () => told++);
    lessor.whenSettled(1n, () => told++)();
    lessor.revoke(1n);
    expect(told).toBe(1);
    expect(lessor.renew(1n)).toEqual({ is: 'unknown' });
    lessor.whenSettled(1n, () => told++);
    expect(told).toBe(2);
  });

  test('whoever waits for an end is told when nobody counts any more', () => {
    lessor.grant(1n, 2);
    promote(lessor, 0);
    let told = 0;
    lessor.whenSettled(1n, () => told++);
    lessor.demote();
    expect(told).toBe(1);
    expect(lessor.renew(1n)).toEqual({ is: 'notPrimary' });
  });

  test('B81: a lease is unknown before its grant is applied', () => {
    promote(lessor, 0);
    expect(lessor.renew(1n)).toEqual({ is: 'unknown' });
  });
});

describe('checkpoints', () => {
  test('are taken of long leases that have run for a while, and again much later', () => {
    lessor.grant(1n, 600);
    lessor.grant(2n, 300);
    promote(lessor, 0);
    clock.ms += checkpointAfterMs - 1;
    expect(lessor.takeCheckpoints(10)).toEqual([]);
    clock.ms += 1;
    expect(lessor.takeCheckpoints(10)).toEqual([{ id: 1n, remainingTTL: 590 }]);
    expect(lessor.takeCheckpoints(10)).toEqual([]);
    lessor.checkpoint(1n, 590);
    clock.ms += checkpointAgainMs - 1;
    expect(lessor.takeCheckpoints(10)).toEqual([]);
    clock.ms += 1;
    expect(lessor.takeCheckpoints(10)).toEqual([{ id: 1n, remainingTTL: 290 }]);
  });

  test('are kept over a restart', () => {
    lessor.grant(1n, 600);
    lessor.checkpoint(1n, 100);
    const other = reopened([]);
    promote(other, 1_000);
    expect(other.remainingOf(1n)).toBe(101);
    expect(other.ttlOf(1n)).toBe(600);
  });

  test('let every member count: a new leader goes on where the lease stands', () => {
    lessor.grant(1n, 600);
    lessor.checkpoint(1n, 590);
    clock.ms += 400_000;
    promote(lessor, 1_000);
    expect(lessor.remainingOf(1n)).toBe(191);
  });

  test('are taken back before a renewal counts', () => {
    lessor.grant(1n, 600);
    promote(lessor, 0);
    lessor.checkpoint(1n, 100);
    clock.ms += 50_000;
    expect(lessor.renew(1n)).toEqual({ is: 'checkpointed' });
    lessor.checkpoint(1n, 0);
    expect(lessor.renew(1n)).toEqual({ is: 'renewed', ttl: 600 });
    lessor.demote();
    promote(lessor, 0);
    expect(lessor.remainingOf(1n)).toBe(600);
  });

  test('that may still stand in the log are taken back too', () => {
    lessor.grant(1n, 600);
    promote(lessor, 0);
    clock.ms += 20_000;
    lessor.takeCheckpoints(1);
    expect(lessor.renew(1n)).toEqual({ is: 'checkpointed' });
    // The own one is applied behind the renewal: it must not end the lease before the renewal is through.
    lessor.checkpoint(1n, 1);
    clock.ms += 5_000;
    expect(lessor.hasDue).toBe(false);
    expect(lessor.renew(1n)).toEqual({ is: 'checkpointed' });
    lessor.checkpoint(1n, 0);
    expect(lessor.renew(1n)).toEqual({ is: 'renewed', ttl: 600 });
  });

  test('of the leader before, applied after the promotion, are believed', () => {
    lessor.grant(1n, 600);
    promote(lessor, 1_000);
    lessor.checkpoint(1n, 100);
    expect(lessor.remainingOf(1n)).toBe(101);
  });

  test('of leases that are gone, and of more than is possible, do no harm', () => {
    lessor.checkpoint(9n, 5);
    lessor.grant(1n, 10);
    lessor.checkpoint(1n, 1e9);
    promote(lessor, 0);
    expect(lessor.remainingOf(1n)).toBe(10);
    lessor.checkpoint(1n, -5);
    expect(lessor.renew(1n)).toEqual({ is: 'renewed', ttl: 10 });
  });

  test('B77: a new leader every minute does not reset a lease of ten minutes', async () => {
    const tenureMs = 60_000;
    const electionMs = 1_000;
    const members = await Promise.all(
      [1, 2, 3].map(async () => Lessor.open({ backend: await openBackend(), clock, meter: silentMeter })),
    );
    for (const member of members) member.grant(1n, 600);
    const grantedMs = clock.ms;
    let changes = 0;
    let leader = members[0]!;
    promote(leader, electionMs);
    for (; !leader.hasDue; clock.ms += 500) {
      expect(clock.ms - grantedMs).toBeLessThan(3_600_000);
      for (const { id, remainingTTL } of leader.takeCheckpoints(10)) {
        for (const member of members) member.checkpoint(id, remainingTTL);
      }
      if ((clock.ms - grantedMs) % tenureMs !== 0 || clock.ms === grantedMs) continue;
      changes++;
      leader.demote();
      leader = members[changes % 3]!;
      promote(leader, electionMs);
    }
    const livedMs = clock.ms - grantedMs;
    expect(livedMs).toBeGreaterThanOrEqual(600_000);
    expect(livedMs).toBeLessThanOrEqual(600_000 + (changes + 1) * electionMs + checkpointAfterMs);
  });
});

describe('keys', () => {
  test('move from lease to lease, and go with their detachment', () => {
    lessor.grant(1n, 10);
    lessor.grant(2n, 10);
    lessor.attach(1n, 'b');
    lessor.attach(1n, 'a');
    lessor.attach(1n, '\xff');
    expect(lessor.keysOf(1n)).toEqual(['a', 'b', '\xff']);
    lessor.attach(2n, 'b');
    expect(lessor.keysOf(1n)).toEqual(['a', '\xff']);
    expect(lessor.leaseOf('b')).toBe(2n);
    lessor.detach(1n, 'b');
    expect(lessor.leaseOf('b')).toBe(2n);
    lessor.detach(2n, 'b');
    expect(lessor.leaseOf('b')).toBe(0n);
  });

  test('detaching from a lease that is not there is nothing', () => {
    expect(() => lessor.detach(9n, 'a')).not.toThrow();
  });

  test('attaching to a lease that is not there, or dropping one with keys, breaks the state', () => {
    expect(() => lessor.attach(9n, 'a')).toThrow(FatalError);
    lessor.grant(1n, 10);
    lessor.attach(1n, 'a');
    expect(() => lessor.revoke(1n)).toThrow(FatalError);
  });
});

describe('laws', () => {
  const ids = fc.constantFrom(1n, 2n, 3n, 2n ** 64n - 1n);
  const keys = fc.constantFrom('a', 'b', 'c', '\xff');
  const step = fc.oneof(
    fc.record({ do: fc.constant('grant' as const), id: ids, ttl: fc.constantFrom(2, 400) }),
    fc.record({ do: fc.constant('revoke' as const), id: ids }),
    fc.record({ do: fc.constant('attach' as const), id: ids, key: keys }),
    fc.record({ do: fc.constant('detach' as const), key: keys }),
    fc.record({ do: fc.constant('renew' as const), id: ids }),
    fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 250_000 }) }),
    fc.record({ do: fc.constant('checkpoint' as const) }),
    fc.record({ do: fc.constant('expire' as const) }),
    fc.record({ do: fc.constant('newLeader' as const) }),
    fc.record({ do: fc.constant('countMore' as const), max: fc.nat({ max: 3 }) }),
  );

  /** Leases as one would write them down: when each was last granted or renewed, and what hangs on it. */
  interface Model {
    readonly leases: Map<LeaseId, { ttl: number; sinceMs: number }>;
    readonly keys: Map<string, LeaseId>;
  }

  test('B76, B79, B80: leases, keys and times are those of a naive model, and a restart finds the same', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        backend = await openBackend();
        lessor = Lessor.open({ backend, clock, meter: silentMeter });
        promote(lessor, 0);
        const model: Model = { leases: new Map(), keys: new Map() };
        for (const one of steps) take(one, model);
        const all = [...model.keys];
        for (const member of [lessor, reopened(all)]) {
          expect(new Set(member.list())).toEqual(new Set(model.leases.keys()));
          for (const [id, { ttl }] of model.leases) {
            expect(member.ttlOf(id)).toBe(ttl);
            expect(member.keysOf(id)).toEqual(
              all
                .filter(([, lease]) => lease === id)
                .map(([key]) => key)
                .sort(),
            );
          }
          for (const key of ['a', 'b', 'c', '\xff']) expect(member.leaseOf(key)).toBe(model.keys.get(key) ?? 0n);
        }
        expectAllToEnd(model);
      }),
      { numRuns: 300 },
    );
  });

  /** Every lease that nobody renews any more ends, none of them early. */
  function expectAllToEnd(model: Model): void {
    while (lessor.countMore(1));
    for (let passes = 0; model.leases.size > 0 && passes < 10; passes++) {
      clock.ms += 100_000;
      take({ do: 'expire' }, model);
    }
    expect([...model.leases.keys()]).toEqual([]);
    expect(lessor.hasDue).toBe(false);
  }

  function drop(id: LeaseId, model: Model): void {
    for (const key of lessor.keysOf(id)) {
      lessor.detach(id, key);
      model.keys.delete(key);
    }
    lessor.revoke(id);
    model.leases.delete(id);
  }

  function take(one: typeof step extends fc.Arbitrary<infer T> ? T : never, model: Model): void {
    switch (one.do) {
      case 'grant':
        if (outcome(() => lessor.grant(one.id, one.ttl)) === 'ok') {
          expect(model.leases.has(one.id)).toBe(false);
          model.leases.set(one.id, { ttl: one.ttl, sinceMs: clock.ms });
        }
        break;
      case 'revoke':
        if (model.leases.has(one.id)) drop(one.id, model);
        else expect(outcome(() => lessor.keysOf(one.id))).toBe('leaseNotFound');
        break;
      case 'attach':
        if (!lessor.has(one.id)) break;
        lessor.attach(one.id, one.key);
        model.keys.set(one.key, one.id);
        break;
      case 'detach':
        lessor.detach(model.keys.get(one.key) ?? 9n, one.key);
        model.keys.delete(one.key);
        break;
      case 'renew':
        renew(one.id, model);
        break;
      case 'wait':
        clock.ms += one.ms;
        break;
      case 'checkpoint':
        for (const { id, remainingTTL } of lessor.takeCheckpoints(10)) lessor.checkpoint(id, remainingTTL);
        break;
      case 'newLeader':
        lessor.demote();
        lessor.promote(1_000);
        break;
      case 'countMore':
        lessor.countMore(one.max);
        break;
      case 'expire':
        for (const id of lessor.takeDue(10, 1)) {
          const { ttl, sinceMs } = model.leases.get(id)!;
          // Never early.
          expect(clock.ms).toBeGreaterThanOrEqual(sinceMs + ttl * 1000);
          drop(id, model);
        }
        break;
    }
  }

  function renew(id: LeaseId, model: Model): void {
    let renewal = lessor.renew(id);
    if (renewal.is === 'checkpointed') {
      lessor.checkpoint(id, 0);
      renewal = lessor.renew(id);
      expect(renewal.is).toBe('renewed');
    }
    expect(renewal.is === 'unknown').toBe(!model.leases.has(id));
    if (renewal.is === 'renewed') model.leases.get(id)!.sinceMs = clock.ms;
  }
});

test('a row that is no lease, or another lease than its key says, is corruption', () => {
  const key = '\0\0\0\0\0\0\0\x01';
  backend.put(buckets.lease, key, Buffer.from([0xff]));
  expect(() => reopened([])).toThrow(CorruptionError);
  backend.put(buckets.lease, key, Buffer.alloc(0));
  expect(() => reopened([])).toThrow(CorruptionError);
});

test('metrics count grants, revocations, renewals that were granted, and the times to live asked for', async () => {
  const figures = new Map<string, number[]>();
  const note = (name: string, value: number): void => void figures.set(name, [...(figures.get(name) ?? []), value]);
  const meter: Meter = {
    ...silentMeter,
    counter: ({ name }) => ({ add: (amount = 1) => note(name.replace('etcd_debugging_lease_', ''), amount) }),
    histogram: ({ name }) => ({ observe: (value) => note(name.replace('etcd_debugging_lease_', ''), value) }),
  };
  const counted = Lessor.open({ backend: await openBackend(), clock, meter });
  promote(counted, 0);
  counted.grant(1n, 60);
  counted.grant(2n, 5);
  expect(outcome(() => counted.grant(2n, 5))).toBe('leaseExist');
  counted.renew(1n);
  counted.renew(3n);
  counted.revoke(2n);
  expect(Object.fromEntries(figures)).toEqual({
    granted_total: [1, 1],
    ttl_total: [60, 5],
    renewed_total: [1],
    revoked_total: [1],
  });
});
