import { SeededRandom } from '@quorate/base';
import {
  KvError,
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseLeasesResponse,
  LeaseRevokeResponse,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
  ResponseHeader,
  Status,
} from '@quorate/proto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Client } from './client.ts';
import { LeaseLostError } from './errors.ts';
import { FakeNetwork } from './testing/fake-network.ts';
import { LeaseMembers } from './testing/lease-members.ts';
import { VirtualClock } from './testing/virtual-clock.ts';

function setup(endpoints: readonly string[] = ['a:1', 'b:1', 'c:1']) {
  const clock = new VirtualClock();
  const network = new FakeNetwork(clock);
  for (const endpoint of endpoints) network.behaviour.set(endpoint, Buffer.alloc(0));
  const members = new LeaseMembers(network, clock);
  const client = new Client({ endpoints, clock, random: new SeededRandom(1), transport: network.open });
  return { clock, network, members, client };
}

const header = ResponseHeader.create({ revision: 1 });

describe('calls about a lease', () => {
  test('say what was asked and answer what was answered', async () => {
    const { clock, network, client } = setup(['a:1']);
    const answer = (bytes: Buffer): void => void network.behaviour.set('a:1', bytes);
    const last = (): Buffer => network.seen.at(-1)!.request;

    answer(LeaseGrantResponse.encode(LeaseGrantResponse.create({ header, id: 7n, ttl: 60 })));
    expect(await clock.settle(client.lease.grant(60, { id: 7n }))).toMatchObject({ value: { id: 7n, ttl: 60 } });
    expect(LeaseGrantRequest.decode(last())).toEqual({ ttl: 60, id: 7n });
    answer(LeaseRevokeResponse.encode(LeaseRevokeResponse.create({ header })));
    expect(await clock.settle(client.lease.revoke(7n))).toMatchObject({ status: 'fulfilled' });
    answer(LeaseTimeToLiveResponse.encode(LeaseTimeToLiveResponse.create({ header, id: 7n, ttl: -1 })));
    expect(await clock.settle(client.lease.timeToLive(7n, { keys: true }))).toMatchObject({ value: { ttl: -1 } });
    expect(LeaseTimeToLiveRequest.decode(last())).toEqual({ id: 7n, keys: true });
    answer(LeaseLeasesResponse.encode(LeaseLeasesResponse.create({ header, leases: [{ id: 7n }] })));
    expect(await clock.settle(client.lease.list())).toMatchObject({ value: { leases: [{ id: 7n }] } });
    expect(network.seen.map(({ path }) => path.split('/')[2])).toEqual([
      'LeaseGrant',
      'LeaseRevoke',
      'LeaseTimeToLive',
      'LeaseLeases',
    ]);
  });
});

describe('renewing once', () => {
  test('answers with the TTL and leaves no stream', async () => {
    const { clock, network, members, client } = setup();
    members.ttls.set(7n, 60);
    expect(await clock.settle(client.lease.keepAliveOnce(7n))).toMatchObject({ value: { id: 7n, ttl: 60 } });
    await clock.run(1);
    expect(network.openStreams.size).toBe(0);
  });

  test('a lease that has ended is not found', async () => {
    const { clock, client } = setup();
    const result = await clock.settle(client.lease.keepAliveOnce(7n));
    expect(result).toMatchObject({ status: 'rejected', reason: new KvError('leaseNotFound') });
  });

  test.each(['Connection dropped', 'etcdserver: no leader'])('goes on elsewhere after "%s"', async (details) => {
    const { clock, network, members, client } = setup();
    members.ttls.set(7n, 60);
    const { serveStream } = network;
    let failures = 2;
    network.serveStream = (stream) => {
      if (failures === 0) serveStream(stream);
      else stream.fail(Status.UNAVAILABLE, details);
      failures = Math.max(failures - 1, 0);
    };
    expect(await clock.settle(client.lease.keepAliveOnce(7n))).toMatchObject({ value: { ttl: 60 } });
  });

  test('ends with its time, and with its signal', async () => {
    const { clock, network, client } = setup();
    network.serveStream = (stream) => stream.fail(Status.UNAVAILABLE, 'etcdserver: no leader');
    expect(await clock.settle(client.lease.keepAliveOnce(7n, { timeoutMs: 2_000 }))).toMatchObject({
      reason: { message: 'context deadline exceeded' },
    });
    expect(clock.nowMs()).toBe(2_000);
    const abort = new AbortController();
    clock.after(500, () => abort.abort(new Error('enough')));
    expect(await clock.settle(client.lease.keepAliveOnce(7n, { signal: abort.signal }))).toMatchObject({
      reason: { message: 'enough' },
    });
  });
});

describe('keeping alive', () => {
  test('renews at once and then every third of the TTL', async () => {
    const { clock, members, client } = setup();
    members.ttls.set(7n, 6);
    const alive = client.lease.keepAlive(7n);
    expect(alive.isAlive).toBe(false);
    await clock.run(7_000);
    expect(members.log).toEqual(['7@0', '7@2000', '7@4000', '7@6000']);
    expect(alive.isAlive).toBe(true);
    expect(alive.validUntilMs).toBe(12_000);
  });

  test('uses one stream for all leases, and asks for a leader', async () => {
    const { clock, network, members, client } = setup();
    for (const id of [1n, 2n, 3n]) {
      members.ttls.set(id, 6);
      client.lease.keepAlive(id);
    }
    await clock.run(5_000);
    expect(members.log).toEqual(['1@0', '2@0', '3@0', '1@2000', '2@2000', '3@2000', '1@4000', '2@4000', '3@4000']);
    expect(network.openStreams.size).toBe(1);
    expect(members.streams[0]!.attempt.metadata).toEqual({ hasleader: 'true' });
  });

  test('twice renews once', async () => {
    const { clock, members, client } = setup();
    members.ttls.set(7n, 6);
    const [one, two] = [client.lease.keepAlive(7n), client.lease.keepAlive(7n)];
    await clock.run(3_000);
    expect(members.log).toEqual(['7@0', '7@2000']);
    one.stop();
    await clock.run(2_000);
    expect(members.log).toHaveLength(3);
    expect([one.isAlive, two.isAlive]).toEqual([true, true]);
    two.stop();
    await clock.run(10_000);
    expect(members.log).toHaveLength(3);
  });

  test('goes on at once on another endpoint when the stream breaks', async () => {
    const { clock, members, client } = setup();
    members.ttls.set(7n, 6);
    const alive = client.lease.keepAlive(7n);
    await clock.run(500);
    members.cut();
    await clock.run(0);
    expect(members.renewals.map(({ endpoint }) => endpoint)).toEqual(['a:1', 'b:1']);
    await clock.run(3_000);
    expect(members.log).toEqual(['7@0', '7@500', '7@2500']);
    expect(alive.lost.aborted).toBe(false);
  });

  test('leaves a member that takes renewals and does not answer, in time', async () => {
    const { clock, members, client } = setup();
    members.ttls.set(7n, 6);
    const alive = client.lease.keepAlive(7n);
    await clock.run(1_000);
    members.mute.add('a:1');
    await clock.run(20_000);
    expect(members.renewals.slice(0, 3)).toMatchObject([
      { endpoint: 'a:1', atMs: 0 },
      { endpoint: 'a:1', atMs: 2_000 },
      { endpoint: 'b:1', atMs: 4_000 },
    ]);
    expect(alive.lost.aborted).toBe(false);
  });

  test.each([
    ['knows from the grant how long a member may take', { validUntilMs: 3_000 }, 1_000],
    ['does not wait for a third of a long TTL', {}, 10_000],
  ])('%s', async (_name, options, leftMs) => {
    const { clock, members, client } = setup();
    members.ttls.set(7n, 3_600);
    members.mute.add('a:1');
    client.lease.keepAlive(7n, options);
    await clock.run(10_000);
    expect(members.renewals).toMatchObject([
      { endpoint: 'a:1', atMs: 0 },
      { endpoint: 'b:1', atMs: leftMs },
    ]);
  });

  test('tells that the lease is gone when a member says so', async () => {
    const { clock, network, members, client } = setup();
    members.ttls.set(7n, 6);
    const alive = client.lease.keepAlive(7n);
    await clock.run(1_000);
    members.ttls.delete(7n);
    await clock.run(1_000);
    expect(alive.lost.reason).toEqual(new LeaseLostError(7n, 'gone'));
    expect(alive.isAlive).toBe(false);
    await clock.run(1);
    expect(network.openStreams.size).toBe(0);
    expect(clock.pending).toBe(0);
  });

  test('tells that the lease is lost when its time by the local clock is over, no member having said anything', async () => {
    const { clock, members, client } = setup();
    members.ttls.set(7n, 6);
    members.delayMs = 100;
    const alive = client.lease.keepAlive(7n);
    await clock.run(1_000);
    for (const endpoint of client.endpoints) members.mute.add(endpoint);
    await clock.run(4_900);
    expect([alive.isAlive, alive.lost.aborted]).toEqual([true, false]);
    // Six seconds after the renewal that was answered had been sent, not after its answer had come.
    await clock.run(100);
    expect(alive.lost.reason).toMatchObject({ how: 'expired' });
    expect(alive.isAlive).toBe(false);
  });

  test('does not call a lease alive in a process that was stopped beyond its TTL, before any timer ran', async () => {
    const { clock, members, client } = setup();
    members.ttls.set(7n, 6);
    const alive = client.lease.keepAlive(7n);
    await clock.run(1_000);
    clock.advance(6_000);
    expect(alive.isAlive).toBe(false);
  });

  test('does not call a lease alive on a machine that slept beyond its TTL, before it was renewed', async () => {
    const { clock, members, client } = setup();
    members.ttls.set(7n, 6);
    const alive = client.lease.keepAlive(7n);
    await clock.run(1_000);
    const before = clock.wallMs.bind(clock);
    clock.wallMs = () => before() + 3_600_000;
    expect([alive.isAlive, alive.lost.aborted]).toEqual([false, false]);
    await clock.run(1_000);
    expect(alive.isAlive).toBe(true);
  });

  test('knows from the grant on until when the lease lives', async () => {
    const { clock, network, client } = setup();
    for (const endpoint of client.endpoints) network.behaviour.set(endpoint, 'refused');
    const alive = client.lease.keepAlive(7n, { validUntilMs: 5_000 });
    expect(alive.isAlive).toBe(true);
    await clock.run(5_000);
    expect(alive.lost.reason).toMatchObject({ how: 'expired', lease: 7n });
    expect(client.lease.keepAlive(7n, { validUntilMs: 4_000 }).lost.aborted).toBe(true);
    await clock.run(10_000);
    expect(clock.pending).toBe(0);
  });

  test('gives the answers, the newest when they are not read, and then the end or the loss', async () => {
    const { clock, members, client } = setup();
    members.ttls.set(7n, 3);
    members.ttls.set(8n, 3);
    const [kept, lost] = [client.lease.keepAlive(7n), client.lease.keepAlive(8n)];
    await clock.run(30_000);
    members.ttls.delete(8n);
    await clock.run(1_000);
    kept.stop();
    const read = async (answers: AsyncIterable<{ ttl: number }>): Promise<number[]> => {
      const ttls: number[] = [];
      for await (const { ttl } of answers) ttls.push(ttl);
      return ttls;
    };
    expect(await clock.settle(read(kept))).toMatchObject({ value: Array.from({ length: 16 }, () => 3) });
    expect(await clock.settle(read(lost))).toMatchObject({ reason: new LeaseLostError(8n, 'gone') });
  });

  test('stops with its signal, and with the client', async () => {
    const { clock, network, members, client } = setup();
    for (const id of [7n, 8n]) members.ttls.set(id, 6);
    const abort = new AbortController();
    const signalled = client.lease.keepAlive(7n, { signal: abort.signal });
    const closed = client.lease.keepAlive(8n);
    await clock.run(1_000);
    abort.abort(new Error('enough'));
    expect(await clock.settle(signalled[Symbol.asyncIterator]().next())).toMatchObject({
      reason: { message: 'enough' },
    });
    await clock.run(3_000);
    expect(members.log).toEqual(['7@0', '8@0', '8@2000', '8@4000']);
    expect(signalled.lost.aborted).toBe(false);
    client.close();
    await clock.run(1);
    expect(closed.lost.reason).toMatchObject({ message: 'the client is closed' });
    expect(clock.pending).toBe(0);
    expect(network.openStreams.size).toBe(0);
  });

  test('never calls a lease alive that a member may have ended, whatever breaks', async () => {
    const faults = fc.record({
      afterMs: fc.nat(3_000),
      what: fc.constantFrom('cut', 'mute', 'unmute', 'refuse', 'accept', 'slow', 'quick'),
      endpoint: fc.constantFrom('a:1', 'b:1', 'c:1'),
    });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 2, max: 9 }), fc.array(faults, { maxLength: 25 }), async (ttl, plan) => {
        const { clock, network, members, client } = setup();
        members.ttls.set(7n, ttl);
        const alive = client.lease.keepAlive(7n);
        for (const { afterMs, what, endpoint } of plan) {
          await clock.run(afterMs);
          if (what === 'cut') members.cut(endpoint);
          if (what === 'mute') members.mute.add(endpoint);
          if (what === 'unmute') members.mute.delete(endpoint);
          if (what === 'refuse') {
            network.behaviour.set(endpoint, 'refused');
            members.cut(endpoint);
          }
          if (what === 'accept') network.behaviour.set(endpoint, Buffer.alloc(0));
          if (what === 'slow') members.delayMs = ttl * 400;
          if (what === 'quick') members.delayMs = 0;
          if (alive.isAlive) expect(clock.nowMs()).toBeLessThan(members.expiryMs.get(7n)!);
          expect(alive.isAlive && alive.lost.aborted).toBe(false);
          if (members.ttls.has(7n) && alive.lost.aborted) expect(alive.lost.reason).toMatchObject({ how: 'expired' });
        }
        alive.stop();
        client.close();
        await clock.run(20_000);
        expect(clock.pending).toBe(0);
        expect(network.openStreams.size).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});
