/**
 * Locks, elections, transactional memory, namespaces and mirrors of the client: against three members of which one dies, against an
 * etcd, which must end in the same state, and together with etcdctl, whose locks are the same locks.
 */
import { atomically, Client, Election, Mirror, Mutex, RpcError, Session } from '@quorate/client';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { neutralEnvironment, runBytes } from '../support/byte-command.ts';
import { EtcdProcess, installedEtcds } from '../support/etcd-process.ts';
import { KvdCluster, waitFor } from '../support/kvd-process.ts';

const oracle = installedEtcds().at(-1);
const clients: Client[] = [];

function connect(endpoints: readonly string[]): Client {
  const client = new Client({ endpoints, timeoutMs: 30_000 });
  clients.push(client);
  return client;
}

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

async function increment(client: Client, key: string): Promise<void> {
  await atomically(client, async (atomic) => {
    atomic.put(key, String(Number((await atomic.get(key))?.toString() ?? 0) + 1));
  });
}

async function numberAt(client: Client, key: string): Promise<number> {
  return Number((await client.kv.get(key)).kvs[0]?.value.toString() ?? 0);
}

describe('three members, the leader killed meanwhile', () => {
  let cluster: KvdCluster;
  beforeAll(async () => {
    cluster = await KvdCluster.start(3);
  });
  afterAll(async () => {
    await cluster?.close();
  });

  /** Kills the leader amid `work`, when it is under way, and starts it again behind it. */
  async function whileLeaderDies(work: () => Promise<unknown>, isUnderWay: () => boolean): Promise<void> {
    const client = connect(cluster.endpoints);
    const statuses = await Promise.all(cluster.endpoints.map((endpoint) => client.maintenance.status(endpoint)));
    const leader = statuses.findIndex(({ header, leader }) => header?.memberId === leader);
    const working = work();
    await waitFor('work under way', 30_000, async () => (isUnderWay() ? true : undefined));
    await cluster.members[leader]!.kill('SIGKILL');
    await working;
    cluster.members[leader]!.start();
    await cluster.healthy();
  }

  test('a lock has one holder at a time', async () => {
    let holders = 0;
    let turns = 0;
    const take = async (client: Client): Promise<void> => {
      const session = await Session.open(client, { ttl: 20, timeoutMs: 40_000 });
      const mutex = new Mutex(session, 'lock');
      for (let i = 0; i < 40; i += 1) {
        await mutex.lock({ timeoutMs: 40_000 });
        holders += 1;
        expect(holders).toBe(1);
        await client.kv.get('lock/', { prefix: true, countOnly: true });
        turns += 1;
        holders -= 1;
        await mutex.unlock({ timeoutMs: 40_000 });
      }
      await session.close({ timeoutMs: 40_000 });
    };
    const takers = Array.from({ length: 3 }, () => connect(cluster.endpoints));
    await whileLeaderDies(
      () => Promise.all(takers.map(take)),
      () => turns >= 10,
    );
    expect(turns).toBe(120);
    expect((await takers[0]!.kv.get('lock/', { prefix: true })).count).toBe(0);
  });

  test('transactional memory counts every increment once, but for those that said they do not know', async () => {
    let known = 0;
    let unknown = 0;
    const add = async (client: Client): Promise<void> => {
      for (let i = 0; i < 60; i += 1) {
        try {
          await increment(client, 'stm/n');
          known += 1;
        } catch (error) {
          if (error instanceof RpcError && !error.sent) throw error;
          unknown += 1;
        }
      }
    };
    const adders = Array.from({ length: 3 }, () => connect(cluster.endpoints));
    await whileLeaderDies(
      () => Promise.all(adders.map(add)),
      () => known >= 10,
    );
    const total = await numberAt(adders[0]!, 'stm/n');
    expect(total).toBeGreaterThanOrEqual(known);
    expect(total).toBeLessThanOrEqual(known + unknown);
    expect(known).toBeGreaterThan(100);
  });

  test('an election goes on when the leader says nothing more, and is seen by others', async () => {
    const [first, second, third] = [1, 2, 3].map(() => connect(cluster.endpoints)) as [Client, Client, Client];
    const sessions = await Promise.all(
      [first, second, third].map((client) => Session.open(client, { ttl: client === first ? 3 : 20 })),
    );
    const [a, b, c] = sessions.map((session) => new Election(session, 'post')) as [Election, Election, Election];
    const seen: string[] = [];
    const abort = new AbortController();
    const observing = (async () => {
      for await (const { kv } of c.observe({ signal: abort.signal })) seen.push(kv.value.toString());
    })().catch((error: unknown) => error);
    await a.campaign('a');
    await waitFor('the first leader', 30_000, async () => (seen.includes('a') ? true : undefined));
    const campaign = b.campaign('b', { timeoutMs: 30_000 });
    // As if the process had died: nobody renews, nobody revokes.
    first.close();
    await whileLeaderDies(
      () => campaign,
      () => true,
    );
    expect(a.isLeader).toBe(false);
    await waitFor('the second leader', 30_000, async () => (seen.includes('b') ? true : undefined));
    expect(seen).toEqual(['a', 'b']);
    expect((await c.leader()).value.toString()).toBe('b');
    abort.abort(new Error('seen'));
    expect(await observing).toMatchObject({ message: 'seen' });
  });

  test('a mirror is the keys, whatever was written while it was made', async () => {
    const client = connect(cluster.endpoints);
    const source = client.namespace('source/');
    const target = client.namespace('target/');
    for (let i = 0; i < 50; i += 1) await source.kv.put(`k${i}`, 'before');
    const mirror = new Mirror(source, { pageKeys: 7 });
    const end = 'the end';
    let at = 0;
    const copy = async (): Promise<void> => {
      for await (const page of mirror.base()) {
        for (const { key, value } of page) await target.kv.put(key, value, {}, { retry: 'always' });
        await source.kv.put(`k${at}`, 'during', {}, { retry: 'always' });
        await source.kv.delete(`k${at + 20}`, {}, { retry: 'always' });
        at += 1;
      }
      await source.kv.put(end, '', {}, { retry: 'always' });
      for await (const update of mirror.updates()) {
        if (update.kind !== 'events') continue;
        for (const { type, kv } of update.events) {
          if (type === 1) await target.kv.delete(kv!.key, {}, { retry: 'always' });
          else await target.kv.put(kv!.key, kv!.value, {}, { retry: 'always' });
        }
        if (update.events.some(({ kv }) => kv!.key.toString() === end)) break;
      }
    };
    await whileLeaderDies(copy, () => at >= 2);
    const [ours, theirs] = await Promise.all([source, target].map((space) => space.kv.get('', { prefix: true })));
    const pairs = ({ kvs }: NonNullable<typeof ours>): string[] => kvs.map(({ key, value }) => `${key}=${value}`);
    expect(pairs(theirs!)).toEqual(pairs(ours!));
    expect(ours!.count).toBe(43);
  });
});

describe.runIf(oracle !== undefined)('beside an etcd', () => {
  let cluster: KvdCluster;
  let etcd: EtcdProcess;
  beforeAll(async () => {
    [cluster, etcd] = await Promise.all([KvdCluster.start(1), EtcdProcess.start({ installation: oracle! })]);
  });
  afterAll(async () => {
    await cluster?.close();
    etcd?.stop();
  });

  test('recipes end in the same state', async () => {
    const told = await Promise.all([...cluster.endpoints, etcd.endpoint].map((endpoint) => story(connect([endpoint]))));
    expect(told[0]).toEqual(told[1]);
  });

  async function story(client: Client): Promise<unknown> {
    const [one, two] = await Promise.all([
      Session.open(client, { lease: (await client.lease.grant(60, { id: 17n })).id }),
      Session.open(client, { lease: (await client.lease.grant(60, { id: 18n })).id }),
    ]);
    const [first, second] = [new Mutex(one, 'm'), new Mutex(two, 'm')];
    await first.lock();
    const tried = await second.tryLock();
    const second2 = second.lock();
    await waitFor('a second in line', 30_000, async () =>
      (await client.kv.get('m/', { prefix: true })).count === 2 ? true : undefined,
    );
    await first.unlock();
    await second2;
    const owned = await client.kv.txn({ compare: [second.isOwner()] });
    const election = new Election(one, 'e');
    await election.campaign('x');
    await election.proclaim('y');
    const space = client.namespace('ns/');
    await Promise.all(Array.from({ length: 10 }, () => atomically(space, (atomic) => add(atomic))));
    await two.close();
    const { kvs } = await client.kv.get('', { prefix: true });
    const leader = await election.leader();
    return {
      tried,
      owned: owned.succeeded,
      leader: [leader.key.toString(), leader.value.toString()],
      pairs: kvs.map(({ key, value, lease, version }) => [key.toString(), value.toString(), lease, version]),
    };
  }

  async function add(atomic: Parameters<Parameters<typeof atomically>[1]>[0]): Promise<void> {
    atomic.put('n', String(Number((await atomic.get('n'))?.toString() ?? 0) + 1));
  }

  test('etcdctl waits for a lock that the client holds', async () => {
    const client = connect(cluster.endpoints);
    const session = await Session.open(client);
    const mutex = new Mutex(session, 'shared');
    await mutex.lock();
    let isDone = false;
    const waiting = runBytes(
      [oracle!.etcdctl, '--endpoints', cluster.endpoints[0]!, 'lock', 'shared', 'echo', 'mine'],
      {
        env: { ...neutralEnvironment(), ETCDCTL_API: '3' },
      },
    ).finally(() => {
      isDone = true;
    });
    await waitFor('etcdctl in line', 30_000, async () =>
      (await client.kv.get('shared/', { prefix: true })).count === 2 ? true : undefined,
    );
    expect(isDone).toBe(false);
    await mutex.unlock();
    expect(await waiting).toMatchObject({ code: 0, stdout: 'mine\n' });
    await session.close();
  });
});
