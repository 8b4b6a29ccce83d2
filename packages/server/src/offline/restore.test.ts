import { ConsistentIndex, MembershipStore, readConsistentIndex } from '@quorate/apply';
import { type Backend, buckets, MemoryBackendFactory } from '@quorate/backend';
import { MemoryDisk, SeededRandom, silentLogger } from '@quorate/base';
import { compactionMarks, decodeMark, encodeMark } from '@quorate/mvcc';
import { ConfState, MemberRecord } from '@quorate/proto';
import { crc32c, verifyWal } from '@quorate/wal';
import { describe, expect, test } from 'vitest';
import { computeClusterId, computeMemberId } from '../identity.ts';
import { backupOf, fileOf } from '../testing/backup.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { storedRow } from '../testing/rows.ts';
import { BackupError } from './backup-file.ts';
import { type Restored, type RestoreOptions, restoreBackup } from './restore.ts';

const rowKey = '\0\0\0\0\0\0\0\x07_\0\0\0\0\0\0\0\0';
const row = storedRow(rowKey, Buffer.from('record'));
const ids = ['http://a:1', 'http://b:1'].map((url) => computeMemberId([url], 'new'));
const members = ['a', 'b'].map((name) => ({ name, peerUrls: [`http://${name}:1`] }));

/** A store of the old cluster at index 3 of term 2, with a row in each bucket. */
async function oldStore(): Promise<Backend> {
  const store = await new MemoryBackendFactory().open('db');
  const index = new ConsistentIndex(store);
  for (const term of [1, 1, 2]) index.moveTo({ index: index.index + 1, term });
  index.stage();
  index.setConfState(ConfState.create({ voters: [77n, 78n], learners: [79n] }));
  const list = MembershipStore.open(store);
  const member = MemberRecord.create({ id: 77n, name: 'old', peerUrls: ['http://a:1'], incarnation: 5n });
  list.apply({ kind: 'add', member, learnersMax: 0 });
  list.apply({ kind: 'add', member: { ...member, id: 78n, peerUrls: ['http://z:1'] }, learnersMax: 0 });
  list.apply({ kind: 'remove', id: 78n });
  list.setClusterVersion('3.6.0');
  for (const bucket of [buckets.alarm, buckets.lease, buckets.auth, buckets.authUsers, buckets.authRoles]) {
    store.put(bucket, 'row', Buffer.from(bucket.name));
  }
  store.put(buckets.key, rowKey, row);
  return store;
}

interface Made extends Restored {
  readonly store: Backend;
  readonly disk: MemoryDisk;
}

async function restore(bytes: Buffer, more: Partial<RestoreOptions> = {}): Promise<Made> {
  const disk = new MemoryDisk();
  const backends = new MemoryBackendFactory();
  const restored = await restoreBackup({
    file: await fileOf(bytes),
    disk,
    backends,
    clock: new ManualClock(),
    random: new SeededRandom(1),
    logger: silentLogger,
    checksum: crc32c,
    name: 'b',
    members,
    clusterToken: 'new',
    skipHashCheck: false,
    bumpRevision: 0,
    ...more,
  });
  return { ...restored, disk, store: await backends.open('db') };
}

describe('a restored directory', { timeout: 60_000 }, () => {
  test('has the ids that a first start with these flags would have, and the index and term of the backup', async () => {
    const made = await restore(await backupOf(await oldStore()));
    expect(made).toMatchObject({ clusterId: computeClusterId(ids), memberId: ids[1], index: 3, revision: 7 });
    const { index, term, confState } = readConsistentIndex(made.store);
    expect({ index, term, voters: new Set(confState.voters), learners: confState.learners }).toEqual({
      index: 3,
      term: 2,
      voters: new Set(ids),
      learners: [],
    });
  });

  test('has a log that begins behind the backup, is committed up to it and belongs to the new member', async () => {
    const { disk, clusterId, memberId } = await restore(await backupOf(await oldStore()));
    const report = await verifyWal({ disk, directory: 'wal', logger: silentLogger }, { committedAtLeast: 3 });
    expect(report).toMatchObject({ snapshotIndex: 3, lastIndex: 3, commitIndex: 3, tornBytes: 0 });
    expect(report.metadata).toMatchObject({ clusterId, memberId });
  });

  test('lists the new members, not started yet, and forgets the old ones, those removed and all alarms', async () => {
    const { store } = await restore(await backupOf(await oldStore()));
    const list = MembershipStore.open(store);
    expect(new Map(list.records().map((record) => [record.id, record]))).toEqual(
      new Map(
        members.map(({ peerUrls }, i) => [ids[i], MemberRecord.create({ id: ids[i]!, peerUrls: [...peerUrls] })]),
      ),
    );
    expect(list.removedIds()).toEqual([]);
    expect(list.clusterVersion).toBe('3.6.0');
    expect(store.range(buckets.alarm, { from: '' })).toEqual([]);
  });

  test('keeps keys, leases, users and roles byte for byte', async () => {
    const { store } = await restore(await backupOf(await oldStore()));
    for (const bucket of [buckets.lease, buckets.auth, buckets.authUsers, buckets.authRoles]) {
      expect(store.range(bucket, { from: '' })).toEqual([{ key: 'row', value: Buffer.from(bucket.name) }]);
    }
    expect(store.range(buckets.key, { from: '' })).toEqual([{ key: rowKey, value: row }]);
    expect(store.get(buckets.meta, compactionMarks.scheduled)).toBeUndefined();
  });

  test('with a raised revision counts everything below it as compacted', async () => {
    const old = await oldStore();
    const once = await restore(await backupOf(old), { bumpRevision: 1_000 });
    expect(once.revision).toBe(1_007);
    expect(decodeMark(once.store.get(buckets.meta, compactionMarks.scheduled)!)).toBe(1_007);
    // Also above a compaction that took the newest row.
    old.put(buckets.meta, compactionMarks.finished, encodeMark(50));
    expect(await restore(await backupOf(old), { bumpRevision: 10 })).toMatchObject({ revision: 60 });
  });

  test('is the same on all members but for the id and the incarnation in the log', async () => {
    const bytes = await backupOf(await oldStore());
    const all = await Promise.all([restore(bytes, { name: 'a' }), restore(bytes, { name: 'b' })]);
    const rows = all.map(({ store }) => Object.values(buckets).map((bucket) => store.range(bucket, { from: '' })));
    expect(rows[0]).toEqual(rows[1]);
    expect(new Set(all.map(({ clusterId }) => clusterId)).size).toBe(1);
    expect(new Set(all.map(({ memberId }) => memberId)).size).toBe(2);
  });

  test('is not made of a file that contradicts its own consistent index, or of a cluster that never was', async () => {
    const empty = await new MemoryBackendFactory().open('db');
    await expect(restore(await backupOf(empty))).rejects.toThrow(BackupError);
    const bytes = await backupOf(await oldStore());
    bytes[60]! ^= 1;
    await expect(restore(bytes)).rejects.toThrow('checksum mismatch');
  });
});
