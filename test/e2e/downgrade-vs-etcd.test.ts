/**
 * `kvctl downgrade` against three members of ours, and against etcd: each begins at its own version, so what is printed is compared
 * with versions named by their distance from it.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ByteResult, neutralEnvironment, runBytes } from '../support/byte-command.ts';
import { EtcdProcess, installedEtcds } from '../support/etcd-process.ts';
import { KvdCluster, kvctlProgram, waitFor } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';

const newest = installedEtcds().findLast(({ minor }) => minor !== '3.4');

let cluster: KvdCluster;
beforeAll(async () => {
  cluster = await KvdCluster.start(3);
});
afterAll(() => cluster.close());

async function kvctl(endpoint: string, line: string): Promise<ByteResult> {
  const words = [process.execPath, kvctlProgram, '--endpoints', endpoint, ...line.split(' ')];
  return runBytes(words, { env: neutralEnvironment() });
}

async function get(path: string, member = 0): Promise<string> {
  const response = await fetch(`http://${cluster.endpoints[member]}${path}`, { signal: AbortSignal.timeout(10_000) });
  return response.text();
}

/** Until every member says that the cluster is of this version, in all places where it says that. */
async function isVersion(version: string): Promise<void> {
  for (const i of cluster.members.keys()) {
    await waitFor(`version ${version}`, 30_000, async () =>
      (await get('/version', i)).includes(`"etcdcluster":"${version}","storage":"${version}"`) ? true : undefined,
    );
    const series = `etcd_cluster_version{cluster_version="${version.replace(/\.0$/, '')}"} 1`;
    await waitFor(series, 30_000, async () => ((await get('/metrics', i)).includes(series) ? true : undefined));
  }
}

describe('a downgrade', () => {
  test('takes the version of the cluster down, is told by every member, outlives them, and is cancelled', async () => {
    const [endpoint = ''] = cluster.endpoints;
    await isVersion('3.6.0');
    expect(await kvctl(endpoint, 'downgrade validate 3.5')).toEqual({
      code: 0,
      stdout: 'Downgrade validate success, cluster version 3.6\n',
      stderr: '',
    });
    expect((await kvctl(endpoint, 'downgrade enable 3.5.0')).stdout).toBe(
      'Downgrade enable success, cluster version 3.6\n',
    );
    await isVersion('3.5.0');
    for (const member of cluster.members) {
      await member.kill('SIGKILL');
      member.start();
    }
    await cluster.healthy(60_000);
    await isVersion('3.5.0');
    for (const one of cluster.endpoints) {
      const client = new RawClient(one);
      const { storageVersion, downgradeInfo, version } = await client.status();
      expect({ storageVersion, downgradeInfo }).toEqual({
        storageVersion: '3.5.0',
        downgradeInfo: { enabled: true, targetVersion: '3.5.0' },
      });
      expect(version).toMatch(/^3\.6\./);
      client.close();
    }
    expect((await kvctl(endpoint, 'downgrade cancel')).stdout).toBe('Downgrade cancel success, cluster version 3.5\n');
    await isVersion('3.6.0');
    // As etcd 3.6; 3.5 answers that there is none.
    expect((await kvctl(endpoint, 'downgrade cancel')).stdout).toBe('Downgrade cancel success, cluster version 3.6\n');
  });
});

/** `V-1` is one minor version below the cluster's. etcd 3.5 carries a downgrade out, but never answers who asked for it. */
const lines = [
  'downgrade validate',
  'downgrade validate V-1 V-1',
  'downgrade validate V-1',
  'downgrade validate V-1.7',
  'downgrade validate V-1.0-rc.1+x',
  'downgrade validate V-0',
  'downgrade validate V-2',
  'downgrade validate 3',
  'downgrade validate x',
  'downgrade validate V-1.0.0',
  'downgrade validate V-1 -w json',
  'downgrade validate V-1 -w fields',
  'downgrade enable V-2',
];

describe.skipIf(newest === undefined)('the same lines against etcd', () => {
  let etcd: EtcdProcess;
  beforeAll(async () => {
    etcd = await EtcdProcess.start({ installation: newest! });
  });
  afterAll(() => etcd.stop());

  // The order matters: each line finds what the ones before it left.
  test.each(lines.map((line, i) => ({ line, i })))('$i $line', async ({ line }) => {
    const theirs = printed(etcd.endpoint, line, Number(newest!.minor.split('.')[1]));
    expect(await printed(cluster.endpoints[0]!, line, 6)).toEqual(await theirs);
  });
});

/** With versions named, and without what tells one cluster from another. */
async function printed(endpoint: string, line: string, minor: number): Promise<ByteResult> {
  const words = line.replace(/V-(\d)/g, (_, below: string) => `3.${minor - Number(below)}`);
  const { code, stdout, stderr } = await kvctl(endpoint, words);
  const level = (text: string): string =>
    text
      .replaceAll(endpoint, '<endpoint>')
      .replace(/"(cluster_id|member_id|revision|raft_term)":\d+/g, '"$1":0')
      // 3.6 answers without a patch level.
      .replace(/3\.(\d+)(?:\.0)?\b/g, (_, found: string) => `V-${minor - Number(found)}`)
      .replace(/"ts":"[^"]*"|\d{4}-\d\d-\d\dT\S+/g, '<time>');
  return { code, stdout: level(stdout), stderr: level(stderr) };
}
