/**
 * Members that stand still without being dead, as under a debugger, a paused container or a swapping machine: their connections stay open,
 * and nobody is told. A leader asks only some of its followers to confirm a read, so each of them stands still once.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { KvdCluster, type KvdProcess, waitFor } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';
import { leaderOf } from '../support/storm.ts';

let cluster: KvdCluster;
const clients: RawClient[] = [];

beforeAll(async () => {
  cluster = await KvdCluster.start(3);
});

afterAll(async () => {
  for (const client of clients) client.close();
  await cluster?.close();
});

function clientOf(member: KvdProcess): RawClient {
  const client = new RawClient(member.endpoint);
  clients.push(client);
  return client;
}

async function read(client: RawClient, key: string): Promise<string | undefined> {
  const { kvs } = await client.range({ key: Buffer.from(key) });
  return kvs[0]?.value.toString();
}

/** Puts and reads `count` times, one after the other. */
async function putAndRead(client: RawClient, tag: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await client.put('k', `${tag} ${i}`);
    expect(await read(client, 'k')).toBe(`${tag} ${i}`);
  }
}

test('reads and writes go on while either follower stands still', async () => {
  const leader = await leaderOf(cluster);
  const client = clientOf(leader);
  for (const follower of cluster.members.filter((member) => member !== leader)) {
    await putAndRead(client, 'before', 20);
    follower.signal('SIGSTOP');
    await putAndRead(client, 'meanwhile', 100);
    follower.signal('SIGCONT');
    await follower.healthy();
    expect(await read(clientOf(follower), 'k')).toBe('meanwhile 99');
  }
  expect(await leaderOf(cluster)).toBe(leader);
});

test('a leader that stood still while another was elected answers no read with what it last knew', async () => {
  const former = await leaderOf(cluster);
  const others = cluster.members.filter((member) => member !== former);
  const sleeping = clientOf(former);
  await sleeping.put('k', 'old');
  former.signal('SIGSTOP');
  const awake = clientOf(others[0]!);
  await waitFor('a put by the others', 30_000, () =>
    awake.put('k', 'new', 2_000).then(
      () => true,
      () => undefined,
    ),
  );
  // These lie in its socket when it wakes up, before it can have heard of its successor.
  const answers = Array.from({ length: 20 }, () => read(sleeping, 'k').catch(() => 'refused'));
  former.signal('SIGCONT');
  expect(new Set(await Promise.all(answers))).not.toContain('old');
  await waitFor('a read by the former leader', 30_000, async () => {
    const value = await read(sleeping, 'k').catch(() => undefined);
    expect(value).not.toBe('old');
    return value;
  });
});
