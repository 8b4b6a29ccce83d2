/** Leases on three members of virtual time: who ends them, when, and what a deposed leader can no longer do. */
import type { LeaseId } from '@quorate/base';
import {
  LeaseGrantRequest,
  LeaseGrantResponse,
  type LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  LeaseTimeToLiveRequest,
  type LeaseTimeToLiveResponse,
  PutRequest,
} from '@quorate/proto';
import type { ClientStream, Reply, ServerCall } from '@quorate/rpc';
import { type Member, memberDefaults } from '@quorate/server';
import { expect, test, vi } from 'vitest';
import { SimCluster } from './sim-cluster.ts';
import type { SimMember } from './sim-member.ts';

// Virtual time is quick, but the machine may not be.
vi.setConfig({ testTimeout: 60_000 });

const electionMs = memberDefaults.electionMs;

async function startedCluster(seed: number): Promise<SimCluster> {
  const cluster = new SimCluster({ seed, size: 3, config: memberDefaults });
  cluster.start();
  await cluster.runUntil('a leader', () => cluster.converged(), 30_000);
  return cluster;
}

/** Makes a call and lets virtual time run until it is answered. */
async function answered<T>(cluster: SimCluster, call: (reply: Reply<unknown>) => void): Promise<T> {
  let answer: { readonly value: unknown } | undefined;
  call({
    ok: (value) => (answer = { value }),
    encoded: (value) => (answer = { value }),
    pieces: (value) => (answer = { value: Buffer.concat(value) }),
    fail: (value) => (answer = { value }),
  });
  await cluster.runUntil('an answer', () => answer !== undefined, 20_000);
  return answer!.value as T;
}

async function grant(cluster: SimCluster, member: Member, ttl: number, keys: readonly string[]): Promise<LeaseId> {
  const bytes = await answered<Buffer>(cluster, (reply) =>
    member.leases.grant(LeaseGrantRequest.create({ ttl }), reply),
  );
  const { id } = LeaseGrantResponse.decode(bytes);
  for (const key of keys) {
    const put = PutRequest.create({ key: Buffer.from(key), value: Buffer.from(key), lease: id });
    await answered(cluster, (reply) => member.kv.put(put, reply));
  }
  return id;
}

function timeToLive(cluster: SimCluster, member: Member, id: LeaseId): Promise<LeaseTimeToLiveResponse> {
  return answered(cluster, (reply) => {
    member.leases
      .timeToLive(LeaseTimeToLiveRequest.create({ id, keys: true }))
      .then(reply.ok, (error: unknown) => reply.fail(error));
  });
}

/** One renewal on a stream of its own. */
function renewed(cluster: SimCluster, member: Member, id: LeaseId): Promise<LeaseKeepAliveResponse> {
  return answered(cluster, (reply) => {
    let take: (request: LeaseKeepAliveRequest) => void = () => {};
    const requests: ClientStream<LeaseKeepAliveRequest> = {
      onMessage: (fn) => (take = fn),
      onEnd: () => {},
      pause: () => {},
      resume: () => {},
    };
    const stream = { send: reply.ok, fail: reply.fail, onDrain: () => {} };
    const call = { cancelled: false };
    member.leases.keepAlive(requests, call as ServerCall, stream as never);
    take({ id });
  });
}

function followerOf(cluster: SimCluster): SimMember {
  return cluster.members.find((member) => member.running?.leadership.isLeader === false)!;
}

function countOf(member: Member): number {
  return member.state.store.read().range('\0', '\0', { countOnly: true }).count;
}

test('keys end with their lease, in one revision, on every member', async () => {
  const cluster = await startedCluster(1);
  const follower = followerOf(cluster).running!;
  const startMs = cluster.scheduler.nowMs;
  const id = await grant(cluster, follower, 5, ['b', 'a', 'c']);
  expect((await timeToLive(cluster, follower, id)).keys.map(String)).toEqual(['a', 'b', 'c']);
  const before = follower.state.store.currentRevision;
  await cluster.runUntil('the end', () => countOf(follower) === 0, 8_000);
  expect(cluster.scheduler.nowMs - startMs).toBeGreaterThanOrEqual(5_000);
  await cluster.runUntil('agreement', () => cluster.converged(), 5_000);
  for (const { running } of cluster.members) {
    expect(running!.state.store.currentRevision).toBe(before + 1);
    expect(running!.state.leases.has(id)).toBe(false);
  }
  expect(await timeToLive(cluster, follower, id)).toMatchObject({ id, ttl: -1, grantedTTL: 0 });
});

test('a leader that dies takes no lease with it, and holds none up', async () => {
  const cluster = await startedCluster(2);
  const observer = followerOf(cluster).running!;
  await grant(cluster, observer, 5, ['a']);
  await cluster.run(3_000);
  const killedMs = cluster.scheduler.nowMs;
  cluster.leader()!.crash('process');
  await cluster.runUntil('the end', () => countOf(observer) === 0, 5_000 + 2 * electionMs + 2_000);
  expect(cluster.scheduler.nowMs - killedMs).toBeGreaterThanOrEqual(5_000);
});

test('B75: a leader that slept through its deposition ends no lease of its successor', async () => {
  const cluster = await startedCluster(3);
  const sleeper = cluster.leader()!;
  const id = await grant(cluster, sleeper.running!, 10, ['a']);
  sleeper.pause(30_000);
  const others = cluster.members.filter((member) => member !== sleeper);
  await cluster.runUntil('another leader', () => others.some((member) => member.running!.leadership.isLeader), 20_000);
  const successor = others.find((member) => member.running!.leadership.isLeader)!.running!;
  // Kept alive at the successor until long after the sleeper woke up with a lease that is over by its own count.
  for (let i = 0; i < 40; i++) {
    expect(await renewed(cluster, successor, id)).toMatchObject({ id, ttl: 10 });
    await cluster.run(1_000);
  }
  await cluster.runUntil('agreement', () => cluster.converged(), 10_000);
  for (const { running } of cluster.members) expect(countOf(running!)).toBe(1);
});
