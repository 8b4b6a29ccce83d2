/** Dashboards and alerts that were made for etcd find their metrics here: names and kinds, beside those of a real etcd. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EtcdProcess, installedEtcds } from '../support/etcd-process.ts';
import { KvdCluster, waitFor } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';

const installation = installedEtcds().at(-1);

/** What kvd has nothing to tell of: docs/differences.md has the reasons. */
const absent = [
  /^go_/,
  /^promhttp_/,
  /^process_(network|virtual_memory_max)_/,
  /^etcd_server_go_version$/,
  /^etcd_grpc_proxy_/,
  /^etcd_debugging_store_/,
  /^etcd_debugging_(disk_backend_commit|snap)_/,
  /^etcd_debugging_(auth_revision|mvcc_index_compaction_pause_duration_milliseconds)$/,
  /^etcd_disk_backend_snapshot_/,
  /^etcd_snap_fsync_/,
];
/** etcd calls this one a gauge, and it only grows. */
const counters = new Set(['etcd_disk_wal_write_bytes_total']);

async function kindsAt(endpoint: string): Promise<Map<string, string>> {
  const text = await (await fetch(`http://${endpoint}/metrics`)).text();
  return new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, kind]) => [name!, kind!]));
}

/** Names and kinds of what etcd tells and kvd is to tell, too. */
function expectedOf(theirs: ReadonlyMap<string, string>): string[][] {
  return [...theirs]
    .filter(([name]) => !absent.some((pattern) => pattern.test(name)))
    .map(([name, kind]) => [name, counters.has(name) ? 'counter' : kind]);
}

async function put(endpoint: string): Promise<void> {
  const raw = new RawClient(endpoint);
  await raw.put('a', 'b');
  raw.close();
}

describe.runIf(installation !== undefined)('the metrics of one member', () => {
  let cluster: KvdCluster;
  let etcd: EtcdProcess;
  beforeAll(async () => {
    cluster = await KvdCluster.start(1);
    etcd = await EtcdProcess.start({ installation: installation! });
  });
  afterAll(async () => {
    await cluster?.close();
    etcd?.stop();
  });

  test('have the names and kinds of those of etcd, after a call', async () => {
    const [ours, theirs] = await Promise.all(
      [cluster.endpoints[0]!, etcd.endpoint].map(async (endpoint) => {
        await put(endpoint);
        return kindsAt(endpoint);
      }),
    );
    const expected = expectedOf(theirs!);
    expect(expected.length).toBeGreaterThan(50);
    expect(expected.map(([name]) => [name, ours!.get(name!)])).toEqual(expected);
  });
});

/** What is told of the network between members, with its labels: name and labels to value. */
async function networkAt(endpoint: string): Promise<Map<string, number>> {
  const text = await (await fetch(`http://${endpoint}/metrics`)).text();
  const rows = text.matchAll(/^(etcd_network_(?:peer|active|disconnected|known)_\S+?)(?:\{(.*)\})? (\S+)$/gm);
  return new Map([...rows].map(([, name, labels, value]) => [`${name}{${labels}}`, Number(value)]));
}

/** The sum over all series of a name. */
function sum(rows: ReadonlyMap<string, number>, name: string): number {
  return [...rows].reduce((all, [series, value]) => (series.startsWith(`${name}{`) ? all + value : all), 0);
}

/** Names with the names of their labels. */
function shapes(rows: ReadonlyMap<string, number>): string[] {
  const shape = (series: string): string => {
    const labels = [...series.matchAll(/(\w+)="/g)].map(([, label]) => label!).sort();
    return `${series.split('{')[0]} ${labels.join()}`;
  };
  return [...new Set([...rows.keys()].map(shape))];
}

describe.runIf(installation !== undefined)('the metrics of three members', { timeout: 120_000 }, () => {
  let cluster: KvdCluster;
  let etcds: EtcdProcess[] = [];
  beforeAll(async () => {
    cluster = await KvdCluster.start(3);
    etcds = await EtcdProcess.startCluster(3, installation!);
  }, 120_000);
  afterAll(async () => {
    await cluster?.close();
    for (const etcd of etcds) etcd.stop();
  });

  const roundTrips = 'etcd_network_peer_round_trip_time_seconds_count';

  test('have the names, kinds and labels of those of etcd, and count between all of them', async () => {
    const [ours, theirs] = [cluster.endpoints[0]!, etcds[0]!.endpoint];
    await Promise.all([put(ours), put(theirs)]);
    for (const endpoint of [ours, theirs]) {
      await waitFor(`round trips at ${endpoint}`, 60_000, async () => {
        return sum(await networkAt(endpoint), roundTrips) >= 2 || undefined;
      });
    }
    const expected = expectedOf(await kindsAt(theirs));
    const kinds = await kindsAt(ours);
    expect(expected.map(([name]) => [name, kinds.get(name!)])).toEqual(expected);
    const rows = await networkAt(ours);
    expect(shapes(rows)).toEqual(expect.arrayContaining(shapes(await networkAt(theirs))));
    expect(sum(rows, 'etcd_network_active_peers')).toBe(2);
    expect(sum(rows, 'etcd_network_known_peers')).toBe(3);
    for (const name of ['sent', 'received']) {
      const bytes = [...rows].filter(([series]) => series.startsWith(`etcd_network_peer_${name}_bytes_total{`));
      expect(bytes).toHaveLength(2);
      expect(bytes.every(([, value]) => value > 0)).toBe(true);
    }
  });

  test('tell of a member that is gone: not active, a connection lost, messages dropped', async () => {
    const [first, , last] = cluster.members;
    await last!.kill('SIGKILL');
    const rows = async (): Promise<Map<string, number>> => networkAt(first!.endpoint);
    await waitFor('the loss to show', 60_000, async () => {
      return sum(await rows(), 'etcd_network_active_peers') === 1 || undefined;
    });
    expect(sum(await rows(), 'etcd_network_disconnected_peers_total')).toBeGreaterThanOrEqual(1);
    expect(sum(await rows(), 'etcd_network_known_peers')).toBe(3);
  });
});

if (installation === undefined) test.skip('needs etcd, which is not installed here', () => {});
