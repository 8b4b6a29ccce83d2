/**
 * The quota story, on one member and on three: filled to the quota the whole cluster refuses to grow, everything else works, and
 * only disarming lifts it.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { runKvctl } from '../support/kvctl.ts';
import { KvdCluster } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';

const noSpace = 'etcdserver: mvcc: database space exceeded';
const quotaBytes = 4 * 1024 * 1024;
const raisedBytes = 64 * 1024 * 1024;

const open: KvdCluster[] = [];
afterEach(async () => {
  for (const cluster of open.splice(0)) await cluster.close();
});

async function restartAll(cluster: KvdCluster, quota: number): Promise<void> {
  await Promise.all(cluster.members.map((member) => member.kill('SIGKILL')));
  for (const member of cluster.members) member.start({ flags: ['--quota-backend-bytes', String(quota)] });
}

/** /health answers 503 under the alarm, so readiness is asked of the member itself. */
async function answering(cluster: KvdCluster): Promise<void> {
  await Promise.all(
    cluster.members.map(async (member) => {
      const deadline = Date.now() + 20_000;
      for (;;) {
        const answer = await fetch(`http://${member.endpoint}/health?exclude=NOSPACE`).catch(() => undefined);
        if (answer?.ok === true) return;
        if (Date.now() > deadline)
          throw new Error(`${member.options.name} does not answer\n${member.log().slice(-2000)}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }),
  );
}

async function fill(client: RawClient): Promise<number> {
  const value = Buffer.alloc(64 * 1024, 'x');
  for (let i = 0; i < 1_000; i++) {
    try {
      await client.put(`fill${i}`, value);
    } catch (error) {
      expect((error as { details: string }).details).toBe(noSpace);
      return i;
    }
  }
  throw new Error('the quota was never reached');
}

describe.each([1, 3])('on %i members', (size) => {
  test('fill, alarm, refuse, survive a restart, compact, raise, still refuse, disarm, write again', async () => {
    const cluster = await KvdCluster.create(size);
    open.push(cluster);
    for (const member of cluster.members) member.start({ flags: ['--quota-backend-bytes', String(quotaBytes)] });
    await cluster.healthy();
    const clients = cluster.members.map((member) => new RawClient(member.endpoint));
    const first = clients[0]!;
    const endpoints = cluster.endpoints.join(',');

    const written = await fill(first);
    expect(written).toBeGreaterThan(20);
    for (const client of clients) {
      await expect(client.put('more', 'x')).rejects.toMatchObject({ details: noSpace, code: 8 });
      const { kvs } = await client.range({ key: Buffer.from('fill0') });
      expect(kvs).toHaveLength(1);
    }
    const alarms = await runKvctl(['alarm', 'list', '--endpoints', endpoints]);
    expect(alarms.stdout).toMatch(/^memberID:\d+ alarm:NOSPACE/);
    const health = await fetch(`http://${cluster.endpoints[0]}/health`);
    expect(health.status).toBe(503);
    expect(await health.text()).toContain('ALARM NOSPACE');

    const removed = await runKvctl(['del', 'fill', '--prefix', '--endpoints', endpoints]);
    expect(removed).toMatchObject({ code: 0, stdout: `${written}\n` });
    await expect(first.put('more', 'x')).rejects.toMatchObject({ details: noSpace });

    await restartAll(cluster, raisedBytes);
    await answering(cluster);
    await expect(first.put('more', 'x')).rejects.toMatchObject({ details: noSpace });
    const { revision } = (await first.range({ key: Buffer.from('a') })).header!;
    const compacted = await runKvctl(['compaction', String(revision), '--physical', '--endpoints', endpoints]);
    expect(compacted).toMatchObject({ code: 0, stdout: `compacted revision ${revision}\n` });
    await expect(first.put('more', 'x')).rejects.toMatchObject({ details: noSpace });

    const disarmed = await runKvctl(['alarm', 'disarm', '--endpoints', endpoints]);
    expect(disarmed.code).toBe(0);
    for (const client of clients) await client.put('more', 'again');
    const none = await runKvctl(['alarm', 'list', '--endpoints', endpoints]);
    expect(none).toMatchObject({ code: 0, stdout: '' });
    for (const client of clients) client.close();
  });
});
