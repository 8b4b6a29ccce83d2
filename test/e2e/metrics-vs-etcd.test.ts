/** Dashboards and alerts that were made for etcd find their metrics here: names and kinds, beside those of a real etcd. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EtcdProcess, installedEtcds } from '../support/etcd-process.ts';
import { KvdCluster } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';

const installation = installedEtcds().at(-1);

/** What kvd has nothing to tell of: docs/differences.md has the reasons. */
const absent = [
  /^go_/,
  /^promhttp_/,
  /^process_(network|virtual_memory_max)_/,
  /^etcd_server_go_version$/,
  /^etcd_server_heartbeat_send_failures_total$/,
  /^etcd_server_snapshot_apply_in_progress_total$/,
  /^etcd_grpc_proxy_/,
  /^etcd_debugging_store_/,
  /^etcd_debugging_(disk_backend_commit|snap)_/,
  /^etcd_debugging_(auth_revision|mvcc_range_total|mvcc_index_compaction_pause_duration_milliseconds)$/,
  /^etcd_disk_backend_snapshot_/,
  /^etcd_mvcc_(db_open_read_transactions|hash_duration_seconds)$/,
  /^etcd_snap_/,
];
/** etcd calls this one a gauge, and it only grows. */
const counters = new Set(['etcd_disk_wal_write_bytes_total']);

async function kindsAt(endpoint: string): Promise<Map<string, string>> {
  const text = await (await fetch(`http://${endpoint}/metrics`)).text();
  return new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, kind]) => [name!, kind!]));
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
        const raw = new RawClient(endpoint);
        await raw.put('a', 'b');
        raw.close();
        return kindsAt(endpoint);
      }),
    );
    const expected = [...theirs!]
      .filter(([name]) => !absent.some((pattern) => pattern.test(name)))
      .map(([name, kind]) => [name, counters.has(name) ? 'counter' : kind]);
    expect(expected.length).toBeGreaterThan(50);
    expect(expected.map(([name]) => [name, ours!.get(name!)])).toEqual(expected);
  });
});

if (installation === undefined) test.skip('needs etcd, which is not installed here', () => {});
