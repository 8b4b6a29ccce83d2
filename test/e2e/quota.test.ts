/**
 * The quota story, on one member and on three: filled to the quota the whole cluster refuses to grow, everything else works, and
 * only disarming lifts it.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { type CommandResult, runKvctl } from '../support/kvctl.ts';
import { KvdCluster, type KvdProcess, waitFor } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';

const noSpace = { code: 8, details: 'etcdserver: mvcc: database space exceeded' };
const quotaBytes = 2 * 1024 * 1024;
const raisedBytes = 64 * 1024 * 1024;
const valueBytes = 64 * 1024;

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const resource of open.splice(0).reverse()) await resource.close();
});

/** A cluster whose members have `quotaBytes`, and a client of each. */
async function filled(size: number): Promise<{ cluster: KvdCluster; clients: RawClient[]; written: number }> {
  const cluster = await KvdCluster.create(size);
  open.push(cluster);
  startAll(cluster, quotaBytes);
  await cluster.healthy();
  const clients = cluster.members.map((member) => new RawClient(member.endpoint));
  open.push(...clients);
  const written = await fill(clients[0]!);
  return { cluster, clients, written };
}

function startAll(cluster: KvdCluster, quota: number): void {
  for (const member of cluster.members) member.start({ flags: ['--quota-backend-bytes', String(quota)] });
}

/** Writes until the answer is that there is no space; returns how many writes were taken. */
async function fill(client: RawClient): Promise<number> {
  const value = Buffer.alloc(valueBytes, 'x');
  for (let i = 0; i < (2 * quotaBytes) / valueBytes; i++) {
    const refusal = await client.put(`fill${i}`, value).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (refusal === undefined) continue;
    expect(refusal).toMatchObject(noSpace);
    return i;
  }
  throw new Error('the quota was never reached');
}

/** /health answers 503 under the alarm, so readiness is asked of the member itself. */
async function answering({ members }: KvdCluster): Promise<void> {
  const answers = async (member: KvdProcess): Promise<true | undefined> => {
    const answer = await fetch(`http://${member.endpoint}/health?exclude=NOSPACE`).catch(() => undefined);
    return answer?.ok === true ? true : undefined;
  };
  await Promise.all(
    members.map((member) =>
      waitFor(`${member.options.name} answers`, 30_000, () => answers(member)).catch((error: unknown) => {
        throw new Error(member.log().slice(-4_000), { cause: error });
      }),
    ),
  );
}

function kvctlAt(cluster: KvdCluster, words: string): Promise<CommandResult> {
  return runKvctl([...words.split(' '), '--endpoints', cluster.endpoints.join(',')]);
}

async function expectAllRefuse(clients: readonly RawClient[]): Promise<void> {
  for (const client of clients) await expect(client.put('more', 'x')).rejects.toMatchObject(noSpace);
}

describe.each([1, 3])('on %i members', (size) => {
  test('a full store refuses writes at every member, serves reads and deletes, and says why', async () => {
    const { cluster, clients, written } = await filled(size);
    expect(written).toBeGreaterThan((0.8 * quotaBytes) / valueBytes);
    await expectAllRefuse(clients);
    for (const [i, client] of clients.entries()) {
      const { kvs } = await client.range({ key: Buffer.from(`fill${i}`) });
      expect(kvs[0]?.value).toHaveLength(valueBytes);
      const removed = await runKvctl(['del', `fill${i}`, '--endpoints', client.endpoint]);
      expect(removed).toMatchObject({ code: 0, stdout: '1\n' });
      const alarms = await runKvctl(['alarm', 'list', '--endpoints', client.endpoint]);
      expect(alarms.stdout).toMatch(/^(?:memberID:\d+ alarm:NOSPACE ?\n)+$/);
      const health = await fetch(`http://${client.endpoint}/health`);
      expect(health.status).toBe(503);
      expect(await health.json()).toEqual({ health: 'false', reason: 'ALARM NOSPACE' });
    }
    const hashes = await Promise.all(clients.map(async (client) => (await client.hashKv()).hash));
    expect(new Set(hashes).size).toBe(1);
    expect((await kvctlAt(cluster, 'endpoint health')).code).toBe(1);
  });

  test('the alarm outlives a restart with more quota, deletes and compaction; disarming lifts it', async () => {
    const { cluster, clients, written } = await filled(size);
    const first = clients[0]!;
    expect(await kvctlAt(cluster, 'del fill --prefix')).toMatchObject({ code: 0, stdout: `${written}\n` });
    await expectAllRefuse(clients);

    await Promise.all(cluster.members.map((member) => member.kill('SIGKILL')));
    startAll(cluster, raisedBytes);
    await answering(cluster);
    await Promise.all(clients.map((client) => client.ready()));
    await expectAllRefuse(clients);

    const { revision } = (await first.range({ key: Buffer.from('a') })).header!;
    expect(await kvctlAt(cluster, `compaction ${revision} --physical`)).toMatchObject({
      code: 0,
      stdout: `compacted revision ${revision}\n`,
    });
    await expectAllRefuse(clients);

    expect(await kvctlAt(cluster, 'alarm disarm')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^(?:memberID:\d+ alarm:NOSPACE ?\n)+$/),
    });
    for (const client of clients) await client.put('more', 'again');
    expect(await kvctlAt(cluster, 'alarm list')).toMatchObject({ code: 0, stdout: '' });
    await cluster.healthy();
  });

  test('what was freed by deleting and compacting can be written again under the same quota', async () => {
    const { cluster, clients, written } = await filled(size);
    await kvctlAt(cluster, 'del fill --prefix');
    const { revision } = (await clients[0]!.range({ key: Buffer.from('a') })).header!;
    await kvctlAt(cluster, `compaction ${revision} --physical`);
    await kvctlAt(cluster, 'alarm disarm');
    expect(await fill(clients[0]!)).toBeGreaterThan(0.8 * written);
  });
});
