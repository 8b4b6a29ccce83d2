/**
 * A real member killed with SIGKILL at every crash point of the write path, then started again: everything acknowledged is
 * there, each revision once, and it goes on serving. `QUORATE_CRASH_ROUNDS` repeats the whole round.
 */
import { type CrashPointName, crashPointNames } from '@quorate/base';
import { afterAll, describe, expect, test } from 'vitest';
import { KvdCluster } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';

const rounds = Number(process.env['QUORATE_CRASH_ROUNDS'] ?? 1);

/** Points that a single member never passes: they belong to followers, to receiving a snapshot, or to repairing a torn log. */
const elsewhere: ReadonlySet<CrashPointName> = new Set<CrashPointName>([
  'raftBeforeSendLeader',
  'snapshotBeforeCreate',
  'snapshotMidReceive',
  'snapshotAfterReceiveSync',
  'snapshotAfterWalRecord',
  'snapshotBeforeSwap',
  'snapshotAfterSwap',
  'walRecoverBeforeRepair',
  'walRecoverAfterTornCopy',
]);

const open: KvdCluster[] = [];
afterAll(async () => {
  for (const cluster of open.splice(0)) await cluster.close();
});

describe.each(Array.from({ length: rounds }, (_, i) => i + 1))('round %i', (round) => {
  test.each(crashPointNames.filter((name) => !elsewhere.has(name)))('%s', async (name) => {
    const cluster = await KvdCluster.create(1, ['--snapshot-count', '40', '--snapshot-catchup-entries', '5']);
    open.push(cluster);
    const member = cluster.members[0]!;
    const acked = new Map<string, number>();
    const nth = 1 + ((round * 7) % 23);
    member.start({ env: { KVD_CRASH_AT: `${name}:${nth}`, KVD_WAL_SEGMENT_BYTES: '65536' } });
    const client = new RawClient(member.endpoint);
    const death = member.exited();
    const gone = { now: false };
    void death.then(() => (gone.now = true));
    for (let i = 0; !gone.now && i < 4_000; i++) {
      try {
        const { header } = await client.put(`k${i % 500}`, `v${i}`, 1_000);
        acked.set(`k${i % 500}`, header!.revision);
        if (i % 100 === 99) await client.compact(header!.revision - 10);
      } catch {
        // The member is starting, or died during this call.
      }
    }
    expect(await death).toBe('SIGKILL');
    member.start();
    await member.healthy();
    const kvs = await client.everything();
    const stored = new Map(kvs.map((kv) => [kv.key.toString(), kv.modRevision]));
    const lost = [...acked].filter(([key, revision]) => (stored.get(key) ?? 0) < revision);
    expect(lost).toEqual([]);
    const revisions = [...stored.values()];
    expect(new Set(revisions).size).toBe(revisions.length);
    const { header } = await client.put('after', 'restart');
    expect(header!.revision).toBeGreaterThan(Math.max(1, ...revisions, ...acked.values()));
    client.close();
    await cluster.close();
    open.splice(open.indexOf(cluster), 1);
  });
});
