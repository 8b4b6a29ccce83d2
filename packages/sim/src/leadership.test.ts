/** Leadership on three members of virtual time: who gives it up when its disk or processor stands still, and who disturbs nobody. */
import { PutRequest } from '@quorate/proto';
import { memberDefaults } from '@quorate/server';
import { expect, test } from 'vitest';
import { SimCluster } from './sim-cluster.ts';
import type { SimMember } from './sim-member.ts';

const { electionMs } = memberDefaults;

async function startedCluster(seed: number): Promise<SimCluster> {
  const cluster = new SimCluster({ seed, size: 3, config: memberDefaults });
  cluster.start();
  await cluster.runUntil('a leader', () => cluster.converged(), 30_000);
  return cluster;
}

function termOf({ running }: SimMember): number {
  return running!.headers.header(0).raftTerm;
}

function put(member: SimMember, key: string, done: () => void): void {
  const request = PutRequest.create({ key: Buffer.from(key), value: Buffer.from(key) });
  member.running!.kv.put(request, { ok: done, encoded: done, pieces: done, fail: () => {} });
}

function isolate({ members, network }: SimCluster, lone: SimMember): void {
  const id = lone.running!.identity.memberId;
  for (const { running } of members) {
    const other = running!.identity.memberId;
    if (other === id) continue;
    network.cut(id, other);
    network.cut(other, id);
  }
}

test.each([1, 2, 3, 4, 5])(
  'B73: a leader whose disk hangs is succeeded within two election time-outs, though writes keep coming (seed %i)',
  async (seed) => {
    const cluster = await startedCluster(seed);
    const hung = cluster.leader()!;
    const others = cluster.members.filter((member) => member !== hung);
    let tried = 0;
    let written = 0;
    let isOver = false;
    const write = (): void => {
      if (isOver) return;
      put(others[0]!, `k${tried++}`, () => written++);
      cluster.scheduler.after(20, write);
    };
    write();
    await cluster.run(500);
    const startMs = cluster.scheduler.nowMs;
    hung.diskDelayMs = 10_000;
    await cluster.runUntil(
      'another leader',
      () => others.some((member) => member.running!.leadership.isLeader),
      2 * electionMs,
    );
    expect(cluster.scheduler.nowMs - startMs).toBeLessThanOrEqual(2 * electionMs);
    const before = written;
    await cluster.runUntil('writes', () => written > before + 10, electionMs);
    expect(hung.running!.leadership.isLeader).toBe(false);
    isOver = true;
    hung.diskDelayMs = 1;
    await cluster.runUntil('agreement', () => cluster.converged(), 30_000);
    expect(cluster.checkReplicas()).toEqual([]);
  },
);

test('J07: a leader whose processor stood still leads no more when it comes back, and ends equal', async () => {
  const cluster = await startedCluster(11);
  const stalled = cluster.leader()!;
  stalled.pause(3 * electionMs);
  await cluster.run(3 * electionMs + 150);
  expect(stalled.running!.leadership.isLeader).toBe(false);
  await cluster.runUntil('agreement', () => cluster.converged(), 10_000);
});

test('a leader that stood still while all others did steps down too, and one of them is elected', async () => {
  const cluster = await startedCluster(12);
  const term = termOf(cluster.leader()!);
  for (const member of cluster.members) member.pause(3 * electionMs);
  await cluster.run(3 * electionMs + 150);
  expect(cluster.leader()).toBeUndefined();
  await cluster.runUntil('a leader', () => cluster.converged(), 10_000);
  expect(termOf(cluster.leader()!)).toBeGreaterThan(term);
});

test('a pause shorter than an election time-out costs nobody the leadership', async () => {
  const cluster = await startedCluster(13);
  const leader = cluster.leader()!;
  const term = termOf(leader);
  leader.pause(electionMs / 2);
  await cluster.run(5_000);
  expect(cluster.leader()).toBe(leader);
  expect(termOf(leader)).toBe(term);
});

test('B60: a follower that was cut off for a hundred time-outs changes neither the leader nor the term when it returns', async () => {
  const cluster = await startedCluster(14);
  const leader = cluster.leader()!;
  const term = termOf(leader);
  const lone = cluster.members.find((member) => member !== leader)!;
  isolate(cluster, lone);
  await cluster.run(100 * electionMs);
  cluster.network.heal();
  await cluster.run(5 * electionMs);
  expect(cluster.leader()).toBe(leader);
  expect(cluster.members.map(termOf)).toEqual([term, term, term]);
  expect(cluster.converged()).toBe(true);
});

test('B72: with one link cut, between the leader and a follower, leadership changes at most once', async () => {
  const cluster = await startedCluster(15);
  const leader = cluster.leader()!;
  const other = cluster.members.find((member) => member !== leader)!;
  const [a, b] = [leader, other].map(({ running }) => running!.identity.memberId);
  const before = Math.max(...cluster.members.map(termOf));
  cluster.network.cut(a!, b!);
  cluster.network.cut(b!, a!);
  await cluster.run(20 * electionMs);
  expect(Math.max(...cluster.members.map(termOf))).toBeLessThanOrEqual(before + 1);
  let written = 0;
  put(cluster.members.find((member) => member !== leader && member !== other)!, 'k', () => written++);
  await cluster.runUntil('a write', () => written === 1, 10_000);
});
