import { SeededRandom } from '@quorate/base';
import { KvError, Status } from '@quorate/proto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Client } from './client.ts';
import { CompactedError, RpcError, WatchCanceledError } from './errors.ts';
import { FakeNetwork } from './testing/fake-network.ts';
import { VirtualClock } from './testing/virtual-clock.ts';
import { WatchMembers } from './testing/watch-members.ts';
import type { Watcher, WatchUpdate } from './watch.ts';

function setup(endpoints: readonly string[] = ['a:1', 'b:1']) {
  const clock = new VirtualClock();
  const network = new FakeNetwork(clock);
  for (const endpoint of endpoints) network.behaviour.set(endpoint, Buffer.alloc(0));
  const members = new WatchMembers(network);
  const client = new Client({ endpoints, clock, random: new SeededRandom(1), transport: network.open });
  return { clock, network, members, client };
}

/** Reads in the background, as far as it is let. */
class Reader {
  readonly updates: WatchUpdate[] = [];
  outcome: 'reading' | 'ended' | { readonly error: unknown } = 'reading';
  readonly #watcher: Watcher;

  constructor(watcher: Watcher, count: number = Number.POSITIVE_INFINITY) {
    this.#watcher = watcher;
    void this.read(count);
  }

  /** `key@revision`, deletions with a minus in front. */
  get events(): string[] {
    return this.updates.flatMap((update) => (update.kind === 'events' ? update.events.map(nameOf) : []));
  }

  /** Events of each update together. */
  get batches(): string[] {
    return this.updates.flatMap((update) => (update.kind === 'events' ? [update.events.map(nameOf).join(' ')] : []));
  }

  get kinds(): string[] {
    return this.updates.map(({ kind, header }) => `${kind} ${header.revision}`);
  }

  async read(count: number): Promise<void> {
    try {
      for (let i = 0; i < count; i += 1) {
        const { done, value } = await this.#watcher.next();
        if (done === true) {
          this.outcome = 'ended';
          return;
        }
        this.updates.push(value);
      }
    } catch (error) {
      this.outcome = { error };
    }
  }
}

function nameOf({ type, kv }: { type: number; kv: { key: Buffer; modRevision: number } | undefined }): string {
  return `${type === 1 ? '-' : ''}${kv!.key.toString()}@${kv!.modRevision}`;
}

describe('a watch', () => {
  test('gives what happens from now on, in order', async () => {
    const { clock, members, client } = setup();
    members.commit('k');
    const watcher = client.watch('k');
    const reader = new Reader(watcher);
    await clock.run(1);
    members.commit('k');
    members.commit('other');
    members.commit('-k');
    await clock.run(1);
    expect(reader.events).toEqual(['k@3', '-k@5']);
    expect(await watcher.created).toMatchObject({ revision: 2 });
  });

  test('from a revision on gives what happened since then, first', async () => {
    const { clock, members, client } = setup();
    members.commit('a1');
    members.commit('a2');
    members.commit('b');
    const reader = new Reader(client.watch('a', { prefix: true, startRevision: 3 }));
    await clock.run(1);
    members.commit('a1');
    await clock.run(1);
    expect(reader.events).toEqual(['a2@3', 'a1@5']);
  });

  test('asks for what it was told to', async () => {
    const { clock, members, client } = setup();
    client.watch('k', { prevKv: true, noPut: true, progressNotify: true, startRevision: 9 });
    client.watch('k', { noDelete: true, fragment: false, fromKey: true });
    await clock.run(1);
    expect(members.creates.map(({ request }) => request)).toMatchObject([
      { prevKv: true, filters: [0], progressNotify: true, startRevision: 9, fragment: true, watchId: 0n },
      { prevKv: false, filters: [1], progressNotify: false, fragment: false, rangeEnd: Buffer.from([0]) },
    ]);
  });

  test('shares one stream with the others, and the last one takes the stream with it', async () => {
    const { clock, network, members, client } = setup();
    const watchers = ['a', 'b', 'c'].map((key) => client.watch(key));
    const readers = watchers.map((watcher) => new Reader(watcher));
    await clock.run(1);
    expect(network.openStreams.size).toBe(1);
    members.commit('a', 'b', 'c');
    await clock.run(1);
    expect(readers.map((reader) => reader.events)).toEqual([['a@2'], ['b@2'], ['c@2']]);
    watchers[0]!.cancel();
    watchers[1]!.cancel();
    await clock.run(1);
    expect(members.watchCount).toBe(1);
    watchers[2]!.cancel();
    await clock.run(1);
    expect(network.openStreams.size).toBe(0);
    expect(readers.map((reader) => reader.outcome)).toEqual(['ended', 'ended', 'ended']);
    expect(clock.pending).toBe(0);
  });

  test('begins a new stream after the last one was left', async () => {
    const { clock, members, client } = setup();
    client.watch('k').cancel();
    const reader = new Reader(client.watch('k'));
    await clock.run(1);
    members.commit('k');
    await clock.run(1);
    expect(reader.events).toEqual(['k@2']);
    expect(members.watchCount).toBe(1);
  });

  test('cancelled before the member has answered is taken back when it has', async () => {
    const { clock, network, members, client } = setup();
    const kept = new Reader(client.watch('kept'));
    await clock.run(1);
    const watcher = client.watch('k');
    watcher.cancel();
    await clock.run(1);
    expect(members.watchCount).toBe(1);
    members.commit('kept', 'k');
    await clock.run(1);
    expect(kept.events).toEqual(['kept@2']);
    expect(network.openStreams.size).toBe(1);
    await expect(watcher.created).rejects.toThrow('cancelled');
  });

  test('ends with a loop that is left', async () => {
    const { clock, network, members, client } = setup();
    const read = async (): Promise<number> => {
      for await (const update of client.watch('k')) return update.header.revision;
      return 0;
    };
    const result = read();
    await clock.run(1);
    members.commit('k');
    expect(await clock.settle(result)).toMatchObject({ value: 2 });
    await clock.run(1);
    expect(network.openStreams.size).toBe(0);
  });

  test('tells when it was created, once, if asked', async () => {
    const { clock, members, client } = setup();
    const reader = new Reader(client.watch('k', { createdNotify: true }));
    await clock.run(1);
    members.cut();
    await clock.run(1_000);
    members.commit('k');
    await clock.run(1);
    expect(reader.kinds).toEqual(['created 1', 'events 2']);
  });
});

describe('progress', () => {
  test('comes when asked for, behind the events', async () => {
    const { clock, members, client } = setup();
    const watcher = client.watch('k');
    const reader = new Reader(watcher);
    const silent = new Reader(client.watch('k'));
    await clock.run(1);
    members.commit('k');
    watcher.requestProgress();
    await clock.run(1);
    expect(reader.kinds).toEqual(['events 2', 'progress 2']);
    expect(silent.kinds).toEqual(['events 2']);
  });

  test('asked for before there is a stream is asked for on the first one', async () => {
    const { clock, client } = setup();
    const watcher = client.watch('k');
    const reader = new Reader(watcher);
    watcher.requestProgress();
    await clock.run(1);
    expect(reader.kinds).toEqual(['progress 1']);
  });

  test('moves the place where a watch goes on, so that compaction behind it does no harm', async () => {
    const { clock, members, client } = setup();
    const reader = new Reader(client.watch('k', { startRevision: 1, progressNotify: true }));
    await clock.run(1);
    for (let i = 0; i < 5; i += 1) members.commit('other');
    members.notifyProgress();
    await clock.run(1);
    members.compactRevision = members.revision;
    members.cut();
    await clock.run(1_000);
    members.commit('k');
    await clock.run(1);
    expect(reader.kinds).toEqual(['progress 6', 'events 7']);
  });
});

describe('a break', () => {
  test('is followed by a new stream on another endpoint, at the next revision', async () => {
    const { clock, members, client } = setup();
    const reader = new Reader(client.watch('k', { startRevision: 1 }));
    await clock.run(1);
    members.commit('k');
    await clock.run(1);
    const before = members.streams[0]!.endpoint;
    members.cut();
    members.commit('k');
    await clock.run(1_000);
    expect(reader.events).toEqual(['k@2', 'k@3']);
    expect(members.creates.map(({ request }) => request.startRevision)).toEqual([1, 3]);
    expect(members.streams[0]!.endpoint).not.toBe(before);
  });

  test('does not lose what happens during it to a watch that began "now"', async () => {
    const { clock, members, client } = setup();
    members.commit('k');
    const reader = new Reader(client.watch('k'));
    await clock.run(1);
    members.cut();
    members.commit('k');
    await clock.run(1_000);
    expect(reader.events).toEqual(['k@3']);
  });

  test('leading to a member that is behind gives nothing twice', async () => {
    const { clock, members, client } = setup();
    const reader = new Reader(client.watch('k', { startRevision: 1 }));
    await clock.run(1);
    members.commit('k');
    members.commit('k');
    await clock.run(1);
    const other = members.streams[0]!.endpoint === 'a:1' ? 'b:1' : 'a:1';
    members.stalled.set(other, 2);
    members.cut();
    await clock.run(1_000);
    members.stalled.delete(other);
    members.commit('k');
    await clock.run(1);
    expect(reader.events).toEqual(['k@2', 'k@3', 'k@4']);
  });

  test('leading to a member that repeats what was given gives nothing twice either', async () => {
    const { clock, members, client } = setup();
    const reader = new Reader(client.watch('k', { startRevision: 1 }));
    await clock.run(1);
    members.commit('k');
    members.commit('k');
    members.rewind(2);
    members.commit('k');
    await clock.run(1);
    expect(reader.events).toEqual(['k@2', 'k@3', 'k@4']);
  });

  test.each([
    ['etcdserver: watch canceled', Status.CANCELLED],
    ['etcdserver: server stopped', Status.UNAVAILABLE],
    ['etcdserver: no leader', Status.UNAVAILABLE],
    ['Received RST_STREAM with code 2', Status.INTERNAL],
  ] as const)('with "%s" is one of them', async (details, status) => {
    const { clock, members, client } = setup();
    const reader = new Reader(client.watch('k'));
    await clock.run(1);
    members.streams[0]!.fail(status, details);
    await clock.run(1_000);
    members.commit('k');
    await clock.run(1);
    expect(reader.events).toEqual(['k@2']);
  });

  test('without an error is one too', async () => {
    const { clock, members, client } = setup(['a:1']);
    const reader = new Reader(client.watch('k'));
    await clock.run(1);
    members.streams[0]!.end();
    await clock.run(1_000);
    members.commit('k');
    await clock.run(1);
    expect(reader.events).toEqual(['k@2']);
  });

  test('that lasts is waited out, however long', async () => {
    const { clock, network, members, client } = setup();
    const reader = new Reader(client.watch('k'));
    await clock.run(1);
    for (const endpoint of client.endpoints) network.behaviour.set(endpoint, 'refused');
    members.cut();
    await clock.run(3_600_000);
    members.commit('k');
    network.behaviour.set('b:1', Buffer.alloc(0));
    await clock.run(10_000);
    expect(reader.events).toEqual(['k@2']);
  });

  test('of a permission is the end', async () => {
    const { clock, members, client } = setup();
    const reader = new Reader(client.watch('k'));
    await clock.run(1);
    members.streams[0]!.fail(Status.UNAUTHENTICATED, 'etcdserver: invalid auth token');
    await clock.run(1);
    expect(reader.outcome).toMatchObject({ error: new KvError('invalidAuthToken') });
  });

  const revisions = fc.array(fc.array(fc.constantFrom('k1', 'k2', '-k1', 'x'), { minLength: 1, maxLength: 4 }), {
    minLength: 1,
    maxLength: 12,
  });

  test('anywhere, also amid the fragments of a revision, changes nothing about what is given', async () => {
    await fc.assert(
      fc.asyncProperty(
        revisions,
        fc.record({
          // How many revisions there are before the watch begins, and how many responses lie between two breaks.
          before: fc.nat(12),
          breaks: fc.array(fc.nat(6), { maxLength: 8 }),
          fragmentEvents: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 5 }),
          bufferBytesMax: fc.constantFrom(1, 500, 1_000_000),
          reads: fc.array(fc.nat(3), { minLength: 1, maxLength: 6 }),
        }),
        async (changes, plan) => {
          const { clock, members, client } = setup(['a:1', 'b:1', 'c:1']);
          const gaps = [...plan.breaks];
          let left = gaps.shift() ?? Number.POSITIVE_INFINITY;
          members.breaks = () => {
            if (left > 0) {
              left -= 1;
              return false;
            }
            left = gaps.shift() ?? Number.POSITIVE_INFINITY;
            return true;
          };
          let piece = 0;
          members.fragmentEvents = () => {
            piece += 1;
            return plan.fragmentEvents[piece % plan.fragmentEvents.length]!;
          };
          for (const change of changes.slice(0, plan.before)) members.commit(...change);
          const { bufferBytesMax } = plan;
          const reader = new Reader(client.watch('k', { prefix: true, startRevision: 1, bufferBytesMax }), 0);
          for (const [i, change] of changes.slice(plan.before).entries()) {
            await clock.run(20);
            void reader.read(plan.reads[i % plan.reads.length]!);
            members.commit(...change);
          }
          void reader.read(Number.POSITIVE_INFINITY);
          await clock.run(60_000);
          const expected = changes.flatMap((change, i) =>
            change.filter((key) => key !== 'x').map((key) => `${key}@${i + 2}`),
          );
          expect(reader.events).toEqual(expected);
          const seen = reader.batches.map((batch) => new Set(batch.split(' ').map((name) => name.split('@')[1])));
          expect(seen.reduce((sum, batch) => sum + batch.size, 0)).toBe(new Set(seen.flatMap((one) => [...one])).size);
          client.close();
          await clock.run(1);
          expect(clock.pending).toBe(0);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('many watches on one stream', () => {
  test('each give their own, whichever come and go, and whatever breaks', async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('commit' as const), keys: fc.array(fc.nat(3), { minLength: 1, maxLength: 3 }) }),
      fc.record({ kind: fc.constant('watch' as const), key: fc.nat(3), back: fc.nat(4) }),
      fc.record({ kind: fc.constant('cancel' as const), index: fc.nat(4) }),
      fc.record({ kind: fc.constant('cut' as const) }),
      fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(60) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.integer({ min: 1, max: 4 }), async (plan, pieceMax) => {
        const { clock, members, client } = setup(['a:1', 'b:1']);
        members.fragmentEvents = () => pieceMax;
        const committed: { readonly revision: number; readonly keys: readonly number[] }[] = [];
        const live: { watcher: Watcher; reader: Reader; key: number; start: number }[] = [];
        for (const one of plan) {
          if (one.kind === 'commit') {
            committed.push({ revision: members.commit(...one.keys.map((key) => `k${key}`)), keys: one.keys });
          } else if (one.kind === 'watch') {
            const start = Math.max(members.revision + 1 - one.back, 2);
            const watcher = client.watch(`k${one.key}`, { startRevision: start, bufferBytesMax: 300 * one.back });
            live.push({ watcher, reader: new Reader(watcher), key: one.key, start });
          } else if (one.kind === 'cancel') {
            for (const { watcher } of live.splice(one.index, 1)) watcher.cancel();
          } else if (one.kind === 'cut') members.cut();
          else await clock.run(one.ms);
        }
        await clock.run(10_000);
        for (const { reader, key, start } of live) {
          const expected = committed
            .filter(({ revision }) => revision >= start)
            .flatMap(({ revision, keys }) => keys.filter((one) => one === key).map(() => `k${key}@${revision}`));
          expect(reader.events).toEqual(expected);
        }
        expect(members.watchCount).toBe(live.length);
        for (const { watcher } of live) watcher.cancel();
        await clock.run(10_000);
        expect(members.streams).toEqual([]);
        expect(clock.pending).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});

describe('a slow reader', () => {
  test('leaves what is too much with the members, and others are served meanwhile', async () => {
    const { clock, members, client } = setup();
    const slow = new Reader(client.watch('k', { bufferBytesMax: 1_000 }), 0);
    const quick = new Reader(client.watch('k'));
    await clock.run(1);
    for (let i = 0; i < 100; i += 1) {
      members.commit('k');
      await clock.run(1);
    }
    expect(quick.events).toHaveLength(100);
    expect(members.watchCount).toBe(1);
    void slow.read(Number.POSITIVE_INFINITY);
    await clock.run(1);
    expect(slow.events).toEqual(quick.events);
    expect(members.watchCount).toBe(2);
  });

  test('does not make progress that nobody reads pile up', async () => {
    const { clock, members, client } = setup();
    const reader = new Reader(client.watch('k', { progressNotify: true, bufferBytesMax: 1_000 }), 0);
    await clock.run(1);
    for (let i = 0; i < 100; i += 1) {
      members.notifyProgress();
      await clock.run(1);
    }
    void reader.read(Number.POSITIVE_INFINITY);
    await clock.run(1);
    expect(reader.kinds.length).toBeLessThan(10);
  });

  test('that comes back after compaction is told so, behind what it was given', async () => {
    const { clock, members, client } = setup();
    const reader = new Reader(client.watch('k', { bufferBytesMax: 1_000 }), 0);
    await clock.run(1);
    for (let i = 0; i < 20; i += 1) members.commit('k');
    await clock.run(1);
    members.compactRevision = 15;
    void reader.read(Number.POSITIVE_INFINITY);
    await clock.run(1);
    expect(reader.events.length).toBeGreaterThan(0);
    expect(reader.outcome).toMatchObject({ error: { code: 'compacted', compactRevision: 15 } });
  });
});

describe('the end', () => {
  test('by compaction tells the revision', async () => {
    const { clock, members, client } = setup();
    for (let i = 0; i < 5; i += 1) members.commit('k');
    members.compactRevision = 4;
    const reader = new Reader(client.watch('k', { startRevision: 2 }));
    await clock.run(1);
    const { error } = reader.outcome as { error: CompactedError };
    expect(error).toBeInstanceOf(CompactedError);
    expect(error).toBeInstanceOf(KvError);
    expect(error.compactRevision).toBe(4);
    expect(error.header).toMatchObject({ memberId: 0n, revision: 0 });
    expect(members.streams).toEqual([]);
  });

  test.each([
    ['rpc error: code = PermissionDenied desc = etcdserver: permission denied', new KvError('permissionDenied')],
    ['mvcc: watcher range is empty', new WatchCanceledError('mvcc: watcher range is empty')],
  ])('by refusal tells why: %s', async (reason, error) => {
    const { clock, members, client } = setup();
    const kept = new Reader(client.watch('k'));
    await clock.run(1);
    members.refusal = reason;
    const watcher = client.watch('k');
    const refused = new Reader(watcher);
    await clock.run(1);
    members.commit('k');
    await clock.run(1);
    expect(refused.outcome).toEqual({ error });
    await expect(watcher.created).rejects.toEqual(error);
    expect(kept.events).toEqual(['k@2']);
  });

  test('by signal gives its reason at once', async () => {
    const { clock, network, client } = setup();
    const abort = new AbortController();
    const reader = new Reader(client.watch('k', { signal: abort.signal }));
    await clock.run(1);
    abort.abort(new Error('enough'));
    await clock.run(1);
    expect(reader.outcome).toMatchObject({ error: { message: 'enough' } });
    expect(network.openStreams.size).toBe(0);
    expect(() => client.watch('k', { signal: abort.signal })).toThrow('enough');
  });

  test('by signal while no member can be reached leaves nothing behind', async () => {
    const { clock, network, client } = setup(['a:1']);
    network.behaviour.set('a:1', 'refused');
    const abort = new AbortController();
    const reader = new Reader(client.watch('k', { signal: abort.signal }));
    await clock.run(500);
    abort.abort(new Error('enough'));
    await clock.run(1);
    expect(reader.outcome).toMatchObject({ error: { message: 'enough' } });
    expect(clock.pending).toBe(0);
  });

  test.each(['refused', Buffer.alloc(0)])('by closing the client, whether connected or not', async (behaviour) => {
    const { clock, network, client } = setup(['a:1']);
    network.behaviour.set('a:1', behaviour as 'refused');
    const reader = new Reader(client.watch('k'));
    await clock.run(500);
    client.close();
    await clock.run(1);
    expect(reader.outcome).toMatchObject({ error: { message: 'the client is closed' } });
    expect((reader.outcome as { error: unknown }).error).toBeInstanceOf(RpcError);
    expect(network.openStreams.size).toBe(0);
    expect(clock.pending).toBe(0);
  });
});

describe('with requireLeader', () => {
  test('a watch asks for it on a stream of its own', async () => {
    const { clock, members, client } = setup();
    client.watch('k');
    client.watch('k', { requireLeader: true });
    await clock.run(1);
    expect(members.streams.map(({ attempt }) => attempt.metadata)).toEqual([{}, { hasleader: 'true' }]);
  });

  test('a watch leaves a member that lost its leader for one that has one', async () => {
    const { clock, members, client } = setup();
    const reader = new Reader(client.watch('k', { requireLeader: true }));
    await clock.run(1);
    members.cut(undefined, 'etcdserver: no leader');
    await clock.run(1_000);
    members.commit('k');
    await clock.run(1);
    expect(reader.events).toEqual(['k@2']);
  });

  test.each([0, 1, 2])('a watch ends when no endpoint sees a leader, %i of three being down', async (down) => {
    const { clock, network, client } = setup(['a:1', 'b:1', 'c:1']);
    for (const endpoint of client.endpoints.slice(0, down)) network.behaviour.set(endpoint, 'refused');
    network.serveStream = (stream) => stream.fail(Status.UNAVAILABLE, 'etcdserver: no leader');
    const reader = new Reader(client.watch('k', { requireLeader: true }));
    await clock.run(1_000);
    expect(reader.outcome).toMatchObject({ error: { code: 'noLeader' } });
    expect(clock.pending).toBe(0);
  });
});
