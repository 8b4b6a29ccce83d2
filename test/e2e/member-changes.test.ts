/** Members that are added, promoted, moved and removed, as real processes; and who is not let in. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ServiceError } from '@grpc/grpc-js';
import { MemberAddRequest, MemberPromoteRequest, MemberRemoveRequest, services } from '@quorate/proto';
import { afterEach, describe, expect, test } from 'vitest';
import { ChangingCluster } from '../support/changing-cluster.ts';
import { type KvdProcess, waitFor } from '../support/kvd-process.ts';
import { freePorts } from '../support/ports.ts';
import { keepsTerm, logsElections } from '../support/steady-term.ts';

const { memberAdd, memberPromote, memberRemove } = services.cluster.methods;
/** Within two seconds of its own time, on a machine with other things to do. */
const soonMs = 10_000;
const calm = ['--strict-reconfig-check=false'];

const open: ChangingCluster[] = [];
afterEach(async () => {
  for (const cluster of open.splice(0)) await cluster.close();
});

async function started(size: number, flags: readonly string[] = calm): Promise<ChangingCluster> {
  const cluster = await ChangingCluster.start(size, flags);
  open.push(cluster);
  return cluster;
}

/** What a call is refused with. */
async function refusal(call: Promise<unknown>): Promise<Pick<ServiceError, 'code' | 'details'>> {
  try {
    await call;
  } catch (error) {
    const { code, details } = error as ServiceError;
    return { code, details };
  }
  throw new Error('was not refused');
}

/** How a process ends that is started now, and how long that takes. */
async function endOf(
  member: KvdProcess,
  flags: readonly string[] = [],
): Promise<{ code: number | string; log: string; tookMs: number }> {
  const before = member.log().length;
  const startMs = performance.now();
  member.start({ flags });
  const code = await member.exited();
  return { code, log: member.log().slice(before), tookMs: performance.now() - startMs };
}

function filesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

describe('a learner', () => {
  test('gets everything, serves what etcd’s learners serve, is promoted when it is level, and then votes', async () => {
    const cluster = await started(1);
    await cluster.with(cluster.member('m1'), async (client) => {
      for (let i = 0; i < 50; i++) await client.put(`k${i}`, `v${i}`);
    });
    const [peerPort = 0] = await freePorts(1);
    const idle = await cluster.tryAll('a learner that never starts', (client) =>
      client.call(
        memberAdd,
        MemberAddRequest.create({ peerURLs: [`http://127.0.0.1:${peerPort}`], isLearner: true }),
        5_000,
      ),
    );
    const { id: idleId } = idle.member!;
    await cluster.with(cluster.member('m1'), async (client) => {
      const notReady = await refusal(client.call(memberPromote, MemberPromoteRequest.create({ id: idleId })));
      expect(notReady).toEqual({
        code: 9,
        details: 'etcdserver: can only promote a learner member which is in sync with leader',
      });
      const another = MemberAddRequest.create({ peerURLs: ['http://127.0.0.1:1'], isLearner: true });
      expect(await refusal(client.call(memberAdd, another))).toEqual({
        code: 9,
        details: 'etcdserver: too many learner members in cluster',
      });
      await client.call(memberRemove, MemberRemoveRequest.create({ id: idleId }));
    });

    const id = await cluster.add('m2', { isLearner: true });
    const learner = cluster.member('m2');
    await learner.healthy();
    await cluster.with(learner, async (client) => {
      const gate = { code: 9, details: 'etcdserver: rpc not supported for learner' };
      expect(await refusal(client.put('a', 'b'))).toEqual(gate);
      expect(await refusal(client.range({ key: Buffer.from('k1') }))).toEqual(gate);
      const { kvs } = await client.range({ key: Buffer.from('k1'), serializable: true });
      expect(kvs[0]?.value.toString()).toBe('v1');
      expect((await client.status()).isLearner).toBe(true);
    });
    await cluster.promote(id);
    await cluster.with(learner, async (client) => {
      await waitFor('the member to know that it votes', 30_000, async () =>
        (await client.status()).isLearner ? undefined : true,
      );
      await client.put('by', 'm2');
      const { leader } = await client.status();
      const m1 = cluster.member('m1');
      await cluster.with(m1, (other) => other.moveLeader(id));
      expect((await cluster.leader()).options.name).toBe('m2');
      expect(leader).not.toBe(id);
    });
    await cluster.remove('m1');
    await cluster.with(learner, async (client) => {
      await client.put('alone', 'again');
      expect(await refusal(client.call(memberRemove, MemberRemoveRequest.create({ id })))).toEqual({
        code: 9,
        details: 'etcdserver: re-configuration failed due to not enough started members',
      });
    });
  });
});

describe('a removed member', () => {
  test('stops with a clear word, the leader too, and is refused for ever; the others go on in the same term', async () => {
    const cluster = await started(3, [...calm, ...logsElections]);
    const leader = await cluster.leader();
    const { name } = leader.options;
    const startMs = performance.now();
    await cluster.remove(name);
    await cluster.with(await cluster.leader(), (client) => client.put('after', 'removal', 3_000));
    expect(performance.now() - startMs).toBeLessThan(soonMs);
    expect(await leader.exited()).toBe(1);
    expect(leader.log()).toContain('the member has been permanently removed from the cluster');
    expect(leader.log()).toContain('the data-dir used by this member must be removed');
    await keepsTerm(cluster, [leader], async () => {
      const again = await endOf(leader);
      expect(again).toMatchObject({ code: 1 });
      expect(again.log).toContain('permanently removed');
      expect(again.tookMs).toBeLessThan(soonMs);
    });
  });

  test('B68: that was down meanwhile and comes back with its old data is told so, and raises no term', async () => {
    const cluster = await started(3, [...calm, ...logsElections]);
    const away = await cluster.follower();
    await away.kill('SIGKILL');
    await cluster.remove(away.options.name);
    await keepsTerm(cluster, [away], async () => {
      const again = await endOf(away);
      expect(again).toMatchObject({ code: 1 });
      expect(again.log).toContain('the member has been permanently removed from the cluster');
      await cluster.with(await cluster.leader(), (client) => client.put('still', 'there'));
    });
  });
});

describe('other peer URLs', () => {
  test('are followed by the others while the member moves there', async () => {
    const cluster = await started(3);
    const mover = await cluster.follower();
    const id = await cluster.idOf(mover.options.name);
    const [peerPort = 0] = await freePorts(1);
    await mover.kill('SIGTERM');
    const url = `http://127.0.0.1:${peerPort}`;
    await cluster.update(id, [url]);
    mover.start({ flags: ['--listen-peer-urls', url, '--initial-advertise-peer-urls', url] });
    await mover.healthy();
    await cluster.with(mover, (client) => client.put('moved', 'yes'));
    const others = (await cluster.list()).filter((member) => member.id !== id);
    expect(others.every((member) => member.peerURLs[0] !== url)).toBe(true);
  });

  test('several of a member are tried in turn', async () => {
    const cluster = await started(3);
    const member = await cluster.follower();
    const id = await cluster.idOf(member.options.name);
    const [deadPort = 0] = await freePorts(1);
    const dead = `http://127.0.0.1:${deadPort}`;
    const live = `http://127.0.0.1:${member.options.peerPort}`;
    await cluster.update(id, [dead, live]);
    await member.kill('SIGKILL');
    member.start();
    await member.healthy();
    await cluster.with(member, (client) => client.put('reached', 'yes'));
  });
});

describe('a wiped data directory', () => {
  test('B67: is noticed, whichever way the member is started, with nothing written and advice given', async () => {
    const cluster = await started(3, [...calm, ...logsElections]);
    const victim = await cluster.follower();
    const { name, directory } = victim.options;
    await cluster.with(await cluster.leader(), (client) => client.put('promised', 'yes'));
    await victim.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
    await keepsTerm(cluster, [victim], async () => {
      for (const state of ['new', 'existing']) {
        const end = await endOf(victim, ['--initial-cluster-state', state]);
        expect(end).toMatchObject({ code: 1 });
        expect(end.log).toMatch(/has already been bootstrapped.*kvctl member remove/);
        expect(filesIn(directory)).toEqual([]);
        expect(end.tookMs).toBeLessThan(soonMs);
      }
      await cluster.with(await cluster.leader(), (client) => client.put('goes', 'on'));
    });
    // What the advice says works.
    await cluster.remove(name);
    await cluster.add('replacement');
    await cluster.member('replacement').healthy();
    await cluster.with(cluster.member('replacement'), async (client) => {
      expect((await client.range({ key: Buffer.from('promised') })).kvs[0]?.value.toString()).toBe('yes');
    });
  });

  test('is noticed by the others when the member could ask nobody before it began anew', async () => {
    // Nothing of the members reaches their stores: who had which data is in their logs alone, and known when that is applied again.
    const cluster = await started(3, [...calm, '--backend-batch-interval', '10m', '--backend-batch-limit', '1000000']);
    const victim = await cluster.follower();
    // What only two of them knew, one of which is wiped, nobody could know.
    for (const member of cluster.members.values()) await cluster.knowsAll(member);
    const others = [...cluster.members.values()].filter((member) => member !== victim);
    for (const member of cluster.members.values()) await member.kill('SIGKILL');
    rmSync(victim.options.directory, { recursive: true, force: true });
    victim.start();
    await waitFor('a new log', 30_000, async () =>
      filesIn(join(victim.options.directory, 'wal')).some((file) => file.endsWith('.wal')) ? true : undefined,
    );
    for (const member of others) member.start();
    expect(await victim.exited()).toBe(1);
    expect(victim.log()).toContain('has already been bootstrapped from another data directory');
    await Promise.all(others.map((member) => member.healthy(60_000)));
  });
});

describe('one member left of three', () => {
  test('goes on alone with --force-new-cluster and everything it has, and can grow again', async () => {
    const cluster = await started(3);
    const survivor = await cluster.follower();
    await cluster.with(survivor, (client) => client.put('kept', 'yes'));
    const lost = [...cluster.members.values()].filter((member) => member !== survivor);
    for (const member of cluster.members.values()) await member.kill('SIGKILL');
    survivor.start({ flags: ['--force-new-cluster'] });
    await survivor.healthy();
    for (const { options } of lost) cluster.members.delete(options.name);
    expect((await cluster.list()).map((member) => member.name)).toEqual([survivor.options.name]);
    await cluster.with(survivor, async (client) => {
      expect((await client.range({ key: Buffer.from('kept') })).kvs[0]?.value.toString()).toBe('yes');
      await client.put('alone', 'yes');
    });
    await survivor.kill('SIGKILL');
    survivor.start();
    await survivor.healthy();
    await cluster.add('second');
    await cluster.member('second').healthy();
    const end = await endOf(lost[0]!);
    expect(end).toMatchObject({ code: 1 });
    expect(end.log).toContain('permanently removed');
  });
});

describe('a start with the wrong flags', () => {
  test('is refused by the cluster’s word, within seconds, and nothing is written', async () => {
    const cluster = await started(2);
    const stranger = await started(1);
    const urlsOf = (list: Iterable<KvdProcess>): string[] =>
      [...list].map(({ options }) => `${options.name}=http://127.0.0.1:${options.peerPort}`);
    const newcomer = await cluster.newcomer('m9');
    const own = `m9=http://127.0.0.1:${newcomer.options.peerPort}`;
    const members = urlsOf(cluster.members.values()).join(',');
    const foreign = urlsOf(stranger.members.values()).map((text) => text.replace('m1=', 'm8='));
    const cases: [string[], RegExp][] = [
      [
        ['--initial-cluster', `${own},${members}`, '--initial-cluster-state', 'existing'],
        /error validating peerURLs \{ClusterID:[0-9a-f]+ Members:\[&\{ID:.*member count is unequal/,
      ],
      [
        ['--initial-cluster', `${own},${members.split(',')[0]}`, '--initial-cluster-state', 'existing'],
        /PeerURLs: no match found for existing member/,
      ],
      [
        ['--initial-cluster', `${own},${members.split(',')[0]},${foreign}`, '--initial-cluster-state', 'existing'],
        /names members of different clusters/,
      ],
      [
        ['--initial-cluster', own, '--initial-cluster-state', 'existing'],
        /cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs/,
      ],
      [['--initial-cluster', `${own},${members}`], /cluster ID mismatch/],
      [['--initial-cluster', `m7=http://127.0.0.1:${newcomer.options.peerPort}`], /couldn't find local name \\"m9\\"/],
    ];
    for (const [flags, words] of cases) {
      const end = await endOf(newcomer, flags);
      expect(end.log).toMatch(words);
      expect(end).toMatchObject({ code: 1 });
      expect(end.tookMs).toBeLessThan(soonMs);
      expect(filesIn(newcomer.options.directory)).toEqual([]);
    }
    // The directory of one cluster with the flags of another.
    const misplaced = stranger.member('m1');
    await misplaced.kill('SIGKILL');
    const moved = await endOf(misplaced, [
      '--initial-cluster',
      `${own.replace('m9=', 'm1=')},${members.replace('m1=', 'm7=')}`,
    ]);
    expect(moved.log).toMatch(
      /the data directory is of member [0-9a-f]+ of cluster .* give this member its own --data-dir/,
    );
    expect(moved).toMatchObject({ code: 1 });
    misplaced.start();
    await misplaced.healthy();
    // Another token means another cluster, and other ids.
    const [m1] = [...cluster.members.values()];
    await m1!.kill('SIGKILL');
    rmSync(m1!.options.directory, { recursive: true, force: true });
    const token = await endOf(m1!, ['--initial-cluster-token', 'other']);
    expect(token.log).toMatch(/cluster ID mismatch.*--initial-cluster-token must be the same/);
    expect(filesIn(m1!.options.directory)).toEqual([]);
  });
});

describe('--strict-reconfig-check', () => {
  test('keeps a cluster from being changed into one without a quorum', async () => {
    const cluster = await started(3, []);
    const follower = await cluster.follower();
    const down = [...cluster.members.values()].find((member) => member.running && member !== follower)!;
    const leader = await cluster.leader();
    const downer = down === leader ? follower : down;
    const alive = [...cluster.members.values()].filter((member) => member !== downer);
    const aliveFollower = alive.find((member) => member !== leader)!;
    const idOfAlive = await cluster.idOf(aliveFollower.options.name);
    const idOfDown = await cluster.idOf(downer.options.name);
    await downer.kill('SIGKILL');
    await cluster.with(leader, async (client) => {
      expect(await refusal(client.call(memberRemove, MemberRemoveRequest.create({ id: idOfAlive })))).toEqual({
        code: 14,
        details: 'etcdserver: unhealthy cluster',
      });
      expect(await refusal(client.call(memberRemove, MemberRemoveRequest.create({ id: 1n })))).toEqual({
        code: 5,
        details: 'etcdserver: member not found',
      });
      await client.call(memberRemove, MemberRemoveRequest.create({ id: idOfDown }));
      cluster.members.delete(downer.options.name);
      // Two added and not started: a third would leave two started of five.
      const urls = (await freePorts(2)).map((port) => `http://127.0.0.1:${port}`);
      const add = (url: string): MemberAddRequest => MemberAddRequest.create({ peerURLs: [url] });
      await waitFor('a connection of five seconds', 30_000, async () =>
        client.call(memberAdd, add(urls[0]!)).catch(() => undefined),
      );
      expect(await refusal(client.call(memberAdd, add(urls[1]!)))).toEqual({
        code: 9,
        details: 'etcdserver: re-configuration failed due to not enough started members',
      });
      expect(await refusal(client.call(memberAdd, add(urls[0]!)))).toMatchObject({ code: 9 });
    });
  });
});
