/**
 * A cluster whose members are changed from one way of serving clients to the other, one at a time, as an operator would: among
 * themselves members always speak the same, so nothing but the clients of the one that is down may notice.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { KvdCluster, type KvdProcess, waitFor } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';

let cluster: KvdCluster;
const clients = new Map<KvdProcess, RawClient>();
const written = new Set<string>();

beforeAll(async () => {
  cluster = await KvdCluster.start(3);
  for (const member of cluster.members) clients.set(member, new RawClient(member.endpoint));
});
afterAll(async () => {
  for (const client of clients.values()) client.close();
  await cluster?.close();
});

/** Tries until it works: leadership may be on its way when somebody asks. */
async function eventually<T>(what: string, attempt: () => Promise<T>): Promise<T> {
  let last: unknown;
  try {
    return await waitFor(what, 60_000, () =>
      attempt().catch((error: unknown) => {
        last = error;
        return undefined;
      }),
    );
  } catch (error) {
    throw new Error(`${String(error)}; ${String(last)}`);
  }
}

async function put(member: KvdProcess, key: string): Promise<void> {
  await eventually(`a put through ${member.options.name}`, () => clients.get(member)!.put(key, key));
  written.add(key);
}

/** Lets `target` lead, whoever does now. */
async function lead(target: KvdProcess): Promise<void> {
  await eventually(`${target.options.name} leads`, async () => {
    const { header, leader } = await clients.get(target)!.status();
    if (header!.memberId === leader) return true;
    for (const client of clients.values()) {
      const other = await client.status();
      if (other.leader === other.header!.memberId) await client.moveLeader(header!.memberId);
    }
    throw new Error(`led by ${leader}`);
  });
}

test.each([
  ['m1', 'grpc-js', ['grpc-js', 'h2', 'h2']],
  ['m2', 'grpc-js', ['grpc-js', 'grpc-js', 'h2']],
  ['m1', 'h2', ['h2', 'grpc-js', 'h2']],
])('%s comes back on %s, all are written through and lead in turn: %j', async (name, transport, kinds) => {
  const changed = cluster.members.find((member) => member.options.name === name)!;
  expect(await changed.kill('SIGTERM')).toBe(0);
  for (const member of cluster.members.filter((one) => one !== changed))
    await put(member, `without ${name} ${transport}`);
  changed.start({ flags: ['--rpc-transport', transport] });
  await changed.healthy();
  await clients.get(changed)!.ready(30_000);
  for (const leader of cluster.members) {
    await lead(leader);
    for (const member of cluster.members) {
      await put(member, `${kinds.join()} ${leader.options.name} leads, through ${member.options.name}`);
    }
  }
  for (const client of clients.values()) {
    const { kvs } = await eventually('a range', () =>
      client.range({ key: Buffer.from('\0'), rangeEnd: Buffer.from('\0') }),
    );
    expect(kvs.map(({ key }) => key.toString())).toEqual([...written].sort());
  }
});
