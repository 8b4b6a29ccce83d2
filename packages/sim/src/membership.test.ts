/** Single changes of members on virtual time, with members dying at the worst moments of them. */
import type { CrashPointName, MemberId } from '@quorate/base';
import {
  MemberAddRequest,
  type MemberAddResponse,
  MemberPromoteRequest,
  MemberRemoveRequest,
  MemberUpdateRequest,
  PutRequest,
} from '@quorate/proto';
import { type Member, memberDefaults } from '@quorate/server';
import { expect, test } from 'vitest';
import { SimCluster } from './sim-cluster.ts';
import { SimMember } from './sim-member.ts';

const config = { ...memberDefaults, strictReconfigCheck: false };

async function startedCluster(seed: number, size: number): Promise<SimCluster> {
  const cluster = new SimCluster({ seed, size, config });
  cluster.start();
  await cluster.runUntil('a leader', () => cluster.converged(), 30_000);
  // All have said their names and which data they have.
  await cluster.run(1_000);
  return cluster;
}

/** What comes of a call within twenty seconds: its answer, or its error. */
async function outcome<T>(cluster: SimCluster, call: Promise<T>): Promise<T | Error> {
  let settled: { readonly value: T | Error } | undefined;
  call.then(
    (value) => (settled = { value }),
    (error: Error) => (settled = { value: error }),
  );
  await cluster.runUntil('an answer', () => settled !== undefined, 20_000);
  return settled!.value;
}

/** A new member's machine; not started. */
function joiner(cluster: SimCluster, name: string, member: Member): SimMember {
  const { scheduler, random, network, trace, truth } = cluster;
  const others = member.state.members.list().filter((one) => one.name !== '');
  const initialCluster = [
    { name, peerUrls: [`http://${name}:2380`] },
    ...others.map((one) => ({ name: one.name, peerUrls: one.peerURLs })),
  ];
  const own = { ...config, name, initialCluster, initialClusterState: 'existing' as const, advertiseClientUrls: [] };
  return new SimMember({ config: own, scheduler, random, network, trace, truth });
}

async function add(cluster: SimCluster, name: string, isLearner: boolean): Promise<MemberId> {
  const request = MemberAddRequest.create({ peerURLs: [`http://${name}:2380`], isLearner });
  const answer = await outcome(cluster, cluster.leader()!.running!.cluster.memberAdd(request));
  return (answer as MemberAddResponse).member!.id;
}

function follower(cluster: SimCluster): Member {
  return cluster.members.find((member) => member.running?.leadership.isLeader === false)!.running!;
}

const points: CrashPointName[] = ['bootstrapBeforeWal', 'bootstrapAfterWal', 'bootstrapAfterBackend'];
test.each(points)('a member that dies at %s of its first start joins at the next', async (point) => {
  const cluster = await startedCluster(1, 3);
  const id = await add(cluster, 'n1', true);
  const joined = joiner(cluster, 'n1', cluster.leader()!.running!);
  joined.start();
  joined.arm(point, 1);
  joined.armKind('power');
  await cluster.run(2_000);
  expect(joined.crashCount).toBe(1);
  joined.start();
  cluster.members.push(joined);
  await cluster.runUntil('agreement', () => cluster.converged(), 20_000);
  expect(joined.running!.identity.memberId).toBe(id);
  expect(joined.running!.isLearner).toBe(true);
});

test('a change asked of a follower is answered by it, and promotion is decided by the leader', async () => {
  const cluster = await startedCluster(2, 3);
  const asked = follower(cluster);
  const request = MemberAddRequest.create({ peerURLs: ['http://n1:2380'], isLearner: true });
  const added = (await outcome(cluster, asked.cluster.memberAdd(request))) as MemberAddResponse;
  expect(added.header?.memberId).toBe(asked.identity.memberId);
  expect(added.members).toHaveLength(4);
  const promote = MemberPromoteRequest.create({ id: added.member!.id });
  expect(await outcome(cluster, asked.cluster.memberPromote(promote))).toMatchObject({ code: 'learnerNotReady' });
  const joined = joiner(cluster, 'n1', asked);
  joined.start();
  cluster.members.push(joined);
  await cluster.runUntil('agreement', () => cluster.converged(), 20_000);
  expect(await outcome(cluster, asked.cluster.memberPromote(promote))).toMatchObject({
    members: expect.arrayContaining([expect.objectContaining({ id: added.member!.id, isLearner: false })]),
  });
  await cluster.run(500);
  expect(joined.running!.isLearner).toBe(false);
});

test('changes asked of one member at the same time are all answered, one after the other', async () => {
  const cluster = await startedCluster(3, 3);
  for (const member of [cluster.leader()!.running!, follower(cluster)]) {
    const urls = [1, 2, 3].map((i) => `http://${member.identity.memberId}-${i}:2380`);
    const asked = urls.map((url) =>
      outcome(
        cluster,
        member.cluster.memberUpdate(MemberUpdateRequest.create({ id: member.identity.memberId, peerURLs: [url] })),
      ),
    );
    const answers = await Promise.all(asked);
    for (const [i, url] of urls.entries()) {
      expect(answers[i]).toMatchObject({
        members: expect.arrayContaining([expect.objectContaining({ id: member.identity.memberId, peerURLs: [url] })]),
      });
    }
  }
});

test('B64: the leader that is removed hands over first: writes go on within less than an election time-out', async () => {
  const cluster = await startedCluster(4, 3);
  const removed = cluster.leader()!;
  const asked = follower(cluster);
  const request = MemberRemoveRequest.create({ id: removed.running!.identity.memberId });
  const startMs = cluster.scheduler.nowMs;
  expect(await outcome(cluster, asked.cluster.memberRemove(request))).toMatchObject({
    members: [expect.anything(), expect.anything()],
  });
  let isWritten = false;
  const done = (): void => {
    isWritten = true;
  };
  const put = PutRequest.create({ key: Buffer.from('k'), value: Buffer.from('v') });
  asked.kv.put(put, { ok: done, encoded: done, pieces: done, fail: () => {} });
  await cluster.runUntil('a write', () => isWritten, 5_000);
  expect(cluster.scheduler.nowMs - startMs).toBeLessThan(config.electionMs);
  await cluster.runUntil('its end', () => !removed.alive, 5_000);
  expect(removed.refusal).toContain('permanently removed');
});

test('of two members one removes the other, loses power at once, and leads alone', async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const cluster = await startedCluster(100 + seed, 2);
    const [left, removed] = [cluster.leader()!, cluster.members.find((member) => member !== cluster.leader())!];
    const { memberId: id } = removed.running!.identity;
    left.running!.cluster.memberRemove(MemberRemoveRequest.create({ id })).catch(() => {});
    await cluster.runUntil('the removal', () => left.running!.state.members.wasRemoved(id), 5_000);
    await cluster.run(cluster.random.below(20));
    left.crash('power');
    await cluster.run(100);
    left.start();
    await cluster.runUntil('a leader', () => left.running?.leadership.isLeader === true, 20_000);
    // The other one's vote may have been needed to get there; now it can go.
    await cluster.runUntil('its end', () => !removed.alive, 70_000);
    expect(left.running!.state.members.list()).toHaveLength(1);
  }
}, 60_000);
