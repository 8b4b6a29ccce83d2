/** Three real members as a user starts them: every member answers for the cluster, restarts keep everything, leaving is clean. */
import { afterEach, describe, expect, test } from 'vitest';
import { runKvctl } from '../support/kvctl.ts';
import { KvdCluster, KvdProcess, waitFor } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';

const open: KvdCluster[] = [];
afterEach(async () => {
  for (const cluster of open.splice(0)) await cluster.close();
});

async function started(size: number, flags: readonly string[] = []): Promise<KvdCluster> {
  const cluster = await KvdCluster.start(size, flags);
  open.push(cluster);
  return cluster;
}

async function leaderOf(cluster: KvdCluster): Promise<KvdProcess> {
  return waitFor('a leader', 30_000, async () => {
    for (const member of cluster.members) {
      const client = new RawClient(member.endpoint);
      const status = await client.status(1_000).catch(() => undefined);
      client.close();
      if (status !== undefined && status.leader !== 0n && status.leader === status.header?.memberId) return member;
    }
    return undefined;
  });
}

describe('a cluster of three', () => {
  test('a key put at one member is read at each of them', async () => {
    const cluster = await started(3);
    const put = await runKvctl(['put', 'hello', 'world', '--endpoints', cluster.endpoints[0]!]);
    expect(put).toMatchObject({ code: 0, stdout: 'OK\n' });
    for (const endpoint of cluster.endpoints) {
      const got = await runKvctl(['get', 'hello', '--endpoints', endpoint]);
      expect(got).toMatchObject({ code: 0, stdout: 'hello\nworld\n' });
    }
  });

  test('all members name the same cluster, each its own id, with the urls they published', async () => {
    const cluster = await started(3);
    const { stdout } = await runKvctl(['member', 'list', '--endpoints', cluster.endpoints[1]!]);
    const lines = stdout.trim().split('\n');
    expect(lines).toHaveLength(3);
    for (const member of cluster.members) {
      const line = lines.find((candidate) => candidate.includes(`, ${member.options.name}, `));
      expect(line).toContain('started');
      expect(line).toContain(`http://127.0.0.1:${member.options.peerPort}`);
      expect(line).toContain(`http://${member.endpoint}`);
    }
  });

  test('writes go on with one member down, stop with two, and everything is there when they are back', async () => {
    const cluster = await started(3);
    const [a, b, c] = cluster.members as [KvdProcess, KvdProcess, KvdProcess];
    const client = new RawClient(a.endpoint);
    await client.put('one', '1');
    await c.kill('SIGKILL');
    await waitFor('a write with one member down', 30_000, () => client.put('two', '2', 3_000).catch(() => undefined));
    await b.kill('SIGKILL');
    await expect(client.put('three', '3', 1_500)).rejects.toThrow();
    const stale = await client.range({ key: Buffer.from('two'), serializable: true });
    expect(stale.kvs[0]?.value.toString()).toBe('2');
    b.start();
    c.start();
    await cluster.healthy();
    for (const member of cluster.members) {
      const reader = new RawClient(member.endpoint);
      const { kvs } = await reader.range({ key: Buffer.from('two') });
      expect(kvs[0]?.value.toString()).toBe('2');
      reader.close();
    }
    client.close();
  });

  test('a leader that is asked to stop hands over: writes go on well within an election time-out', async () => {
    const cluster = await started(3, ['--election-timeout', '5000', '--heartbeat-interval', '500']);
    const leader = await leaderOf(cluster);
    const other = cluster.members.find((member) => member !== leader)!;
    const client = new RawClient(other.endpoint);
    await client.put('before', '1');
    const stopping = leader.kill('SIGTERM');
    const startedAt = performance.now();
    await waitFor('a write at another member', 30_000, () => client.put('after', '2', 2_000).catch(() => undefined));
    expect(performance.now() - startedAt).toBeLessThan(4_000);
    expect(await stopping).toBe(0);
    client.close();
  });

  test('a member that was away longer than the log reaches is brought up by a snapshot', async () => {
    const cluster = await started(3, ['--snapshot-count', '100', '--snapshot-catchup-entries', '10']);
    const leader = await leaderOf(cluster);
    const away = cluster.members.find((member) => member !== leader)!;
    await away.kill('SIGKILL');
    const client = new RawClient(leader.endpoint);
    for (let i = 0; i < 1_500; i += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, j) => client.put(`k${i + j}`, `v${i + j}`)));
    }
    const { revision } = (await client.range({ key: Buffer.from('k0') })).header!;
    away.start();
    await away.healthy(30_000);
    const reader = new RawClient(away.endpoint);
    const kvs = await reader.everything(revision);
    expect(kvs).toHaveLength(1_500);
    expect((await reader.hashKv(revision)).hash).toBe((await client.hashKv(revision)).hash);
    // Counted where it was sent from, whoever led then, and where it went to.
    const metrics = await Promise.all(
      cluster.endpoints.map(async (one) => (await fetch(`http://${one}/metrics`)).text()),
    );
    expect(metrics.join()).toMatch(/etcd_network_snapshot_send_success\{To="[0-9a-f]+"\} [1-9]/);
    expect(metrics[cluster.members.indexOf(away)]).toMatch(
      /etcd_network_snapshot_receive_success\{From="[0-9a-f]+"\} [1-9]/,
    );
    await away.kill('SIGKILL');
    away.start();
    await away.healthy(30_000);
    await reader.ready();
    expect(await reader.everything(revision)).toHaveLength(1_500);
    reader.close();
    client.close();
  });
});

describe('a member alone', () => {
  test('keeps its data through clean and unclean restarts', async () => {
    const cluster = await started(1);
    const member = cluster.members[0]!;
    const client = new RawClient(member.endpoint);
    for (const [i, signal] of (['SIGTERM', 'SIGKILL', 'SIGTERM', 'SIGKILL'] as const).entries()) {
      await client.put(`key${i}`, `value${i}`);
      await member.kill(signal);
      member.start();
      await member.healthy();
      await client.ready();
      for (let j = 0; j <= i; j++) {
        const { kvs } = await client.range({ key: Buffer.from(`key${j}`) });
        expect(kvs[0]).toMatchObject({ modRevision: j + 2 });
      }
    }
    client.close();
  });

  test('serves HTTP/1.1 and gRPC on one port', async () => {
    const cluster = await started(1);
    const { endpoint } = cluster.members[0]!;
    const health = await fetch(`http://${endpoint}/health`);
    expect(await health.json()).toEqual({ health: 'true', reason: '' });
    const version = (await (await fetch(`http://${endpoint}/version`)).json()) as Record<string, string>;
    expect(version['etcdserver']).toMatch(/^3\.6\.\d+$/);
    const metrics = await (await fetch(`http://${endpoint}/metrics`)).text();
    expect(metrics).toMatch(/^etcd_server_has_leader 1$/m);
    expect(metrics).toMatch(/^etcd_disk_wal_fsync_duration_seconds_count \d+$/m);
  });

  test('a second daemon on the same directory is refused and harms nothing', async () => {
    const cluster = await started(1);
    const member = cluster.members[0]!;
    const ports = await KvdCluster.create(1);
    open.push(ports);
    const intruder = new KvdProcess({
      ...ports.members[0]!.options,
      name: member.options.name,
      directory: member.options.directory,
      initialCluster: ports.members[0]!.options.initialCluster,
    });
    intruder.start();
    expect(await intruder.exited()).not.toBe(0);
    const client = new RawClient(member.endpoint);
    await client.put('still', 'here');
    client.close();
  });
});
