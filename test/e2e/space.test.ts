/** Space: defragmentation under load and beside etcd's, compaction by itself. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { EtcdProcess, installedEtcds } from '../support/etcd-process.ts';
import { runCommand, runKvctl } from '../support/kvctl.ts';
import { KvdCluster, type KvdProcess, waitFor } from '../support/kvd-process.ts';
import { Ledger } from '../support/ledger.ts';
import { load } from '../support/load.ts';
import { RawClient } from '../support/raw-client.ts';

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const resource of open.splice(0).reverse()) await resource.close();
});

async function started(size: number, flags: readonly string[] = []): Promise<[KvdCluster, RawClient]> {
  const cluster = await KvdCluster.start(size, flags);
  open.push(cluster);
  const client = new RawClient(cluster.endpoints[0]!);
  open.push(client);
  return [cluster, client];
}

/** Versions of a few keys, about 6 MB, of which compaction leaves one each. */
async function fragment(client: RawClient): Promise<void> {
  const versions = Array.from({ length: 1_500 }, (_, i) => i);
  const puts = versions.map((i) => client.put(`old/${i % 20}`, Buffer.alloc(4_000, i)));
  const last = (await Promise.all(puts)).map(({ header }) => header!.revision);
  await client.compact(Math.max(...last));
  await waitFor('the rows to go', 30_000, async () => {
    const { dbSize, dbSizeInUse } = await client.status();
    return dbSizeInUse < dbSize / 3 ? true : undefined;
  });
}

describe('defragmentation', () => {
  test('makes the file smaller while callers write, loses nothing, and the member starts again from it', async () => {
    const [cluster, client] = await started(1);
    const member = cluster.members[0]!;
    await fragment(client);
    const before = await client.status();
    const ledger = new Ledger(300);
    let ended = false;
    const callsMax = Number.POSITIVE_INFINITY;
    const writing = load({ client, ledger, name: 'load', callsMax, maintains: false, until: () => ended });
    const { code, stdout, stderr } = await runKvctl(['defrag', '--endpoints', member.endpoint]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^Finished defragmenting etcd member\[127\.0\.0\.1:\d+\]\. took \S+\n$/);
    ended = true;
    await writing;
    const after = await client.status();
    expect(after.dbSize).toBeLessThan(before.dbSize / 2);
    expect(after.dbSizeInUse).toBeLessThanOrEqual(after.dbSize);
    expect(statSync(join(member.options.directory, 'db')).size).toBeLessThan(before.dbSize / 2);
    expect(await metric(member, 'etcd_mvcc_db_total_size_in_bytes')).toBeLessThan(before.dbSize / 2);
    expect(await metric(member, 'etcd_disk_backend_defrag_duration_seconds_count')).toBe(1);
    expect(await metric(member, 'etcd_disk_defrag_inflight')).toBe(0);
    await member.kill('SIGKILL');
    member.start();
    await member.healthy();
    await client.ready();
    const { kvs } = await client.range({ key: Buffer.from('load'), rangeEnd: Buffer.from('loae') });
    expect(ledger.problems(kvs)).toEqual([]);
    await member.kill('SIGTERM');
    const offline = await runKvctl(['defrag', '--data-dir', member.options.directory]);
    expect({ code: offline.code, stderr: offline.stderr }).toEqual({ code: 0, stderr: '' });
    expect(offline.stdout).toMatch(
      /^Finished defragmenting directory\[.*\]\. \d+ bytes before, \d+ after\. took \S+\n$/,
    );
    member.start();
    await member.healthy();
    await client.ready();
    expect((await client.range({ key: Buffer.from('load'), rangeEnd: Buffer.from('loae') })).kvs).toEqual(kvs);
  });

  test('of all members is asked through one', async () => {
    const [cluster] = await started(3);
    const { code, stdout } = await runKvctl(['defrag', '--cluster', '--endpoints', cluster.endpoints[0]!]);
    const named = [...stdout.matchAll(/^Finished defragmenting etcd member\[http:\/\/(\S+)\]\. took \S+$/gm)];
    expect([code, named.map(([, endpoint]) => endpoint).sort()]).toEqual([0, [...cluster.endpoints].sort()]);
  });
});

describe.skipIf(installedEtcds().length === 0)('etcdctl defrag', () => {
  test.each(installedEtcds())('of version $version prints the same about kvd and etcd', async (installation) => {
    const [cluster] = await started(1);
    const etcd = await EtcdProcess.start({ installation });
    open.push({ close: () => etcd.stop() });
    const nobody = '127.0.0.1:1';
    const said = async (endpoint: string, words: readonly string[]) => {
      const args = ['defrag', '--endpoints', endpoint, '--command-timeout', '2s', ...words];
      const { code, stdout, stderr } = await runCommand(installation.etcdctl, args, { env: { ETCDCTL_API: '3' } });
      const leveled = (text: string): string =>
        text
          .replaceAll(/\{"level".*\n/g, '')
          .replaceAll(endpoint.split(',')[0]!, 'MEMBER')
          .replaceAll(/took [\d.]+(ns|µs|ms|s)/g, 'took TIME');
      return { code, stdout: leveled(stdout), stderr: leveled(stderr) };
    };
    const ours = cluster.endpoints[0]!;
    for (const words of [[], ['--cluster']]) expect(await said(ours, words)).toEqual(await said(etcd.endpoint, words));
    const half = await said(`${ours},${nobody}`, []);
    expect(half).toEqual(await said(`${etcd.endpoint},${nobody}`, []));
    expect(half.code).toBe(1);
  });
});

describe('automatic compaction', () => {
  test('forgets what is older than the time it keeps, on every member, whoever leads', async () => {
    const [cluster, client] = await started(3, ['--auto-compaction-retention', '1s']);
    await compactedBeyond(cluster.members, 0, client);
    const { leader } = await client.status();
    const leading = await leaderAmong(cluster.members, leader);
    await leading.kill('SIGKILL');
    const rest = cluster.members.filter((member) => member !== leading);
    const other = new RawClient(rest[0]!.endpoint);
    open.push(other);
    const { revision } = (await other.range({ key: Buffer.from('n'), serializable: true })).header!;
    await compactedBeyond(rest, revision, other);
    await expect(other.range({ key: Buffer.from('n'), revision: 2 })).rejects.toMatchObject({
      code: 11,
      details: 'etcdserver: mvcc: required revision has been compacted',
    });
  });
});

/** Writes until every member has compacted beyond `revision`. */
async function compactedBeyond(members: readonly KvdProcess[], revision: number, client: RawClient): Promise<void> {
  await waitFor(`compaction beyond ${revision}`, 60_000, async () => {
    await client.put('n', 'v').catch(() => undefined);
    const all = await Promise.all(members.map((member) => metric(member, 'etcd_debugging_mvcc_compact_revision')));
    return all.every((compacted) => compacted > revision) ? true : undefined;
  });
}

async function leaderAmong(members: readonly KvdProcess[], id: bigint): Promise<KvdProcess> {
  for (const member of members) {
    const client = new RawClient(member.endpoint);
    const { header } = await client.status();
    client.close();
    if (header?.memberId === id) return member;
  }
  throw new Error('nobody leads');
}

/** The value of a metric without labels. */
async function metric(member: KvdProcess, name: string): Promise<number> {
  const text = await (await fetch(`http://${member.endpoint}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}
