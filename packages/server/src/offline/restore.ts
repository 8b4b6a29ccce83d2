/**
 * A backup becomes the data directory of a member of a new cluster. The store keeps what clients wrote: keys with all their revisions,
 * leases, users and roles. What was true of the old cluster goes:
 *
 * | of the old cluster | in the new one |
 * |---|---|
 * | members, removed members, configuration | the founding members, all voters, none started yet |
 * | member and cluster id, incarnation | computed from the flags, as at a first start; a new incarnation |
 * | alarms | none |
 * | log | begins behind the backup: one mark with its index, term and the new configuration |
 * | index and term | kept, so that all members restored from one file stand at the same place |
 *
 * The result is what a member leaves that compacted its log right at the backup, and it starts like one. Everything is durable when
 * {@link restoreBackup} resolves.
 */
import { ConsistentIndex, MembershipStore } from '@quorate/apply';
import { type Backend, type BackendFactory, type Bucket, buckets } from '@quorate/backend';
import type { Clock, Logger, Random } from '@quorate/base';
import {
  type ClusterId,
  type Disk,
  type DiskFile,
  type MemberId,
  noCrashPoints,
  randomId,
  silentMeter,
} from '@quorate/base';
import { compactionMarks, encodeMark } from '@quorate/mvcc';
import { ConfState, MemberRecord } from '@quorate/proto';
import { Wal } from '@quorate/wal';
import { walDirectory } from '../bootstrap.ts';
import type { InitialMember } from '../config.ts';
import { computeClusterId, computeMemberId } from '../identity.ts';
import type { Checksum, SnapshotRow } from '../snapshot-codec.ts';
import { storeName } from '../snapshotter.ts';
import { BackupError, readBackup } from './backup-file.ts';
import { RevisionSeen } from './backup-status.ts';

export interface RestoreOptions {
  readonly file: DiskFile;
  /** Of the new data directory, which is empty. */
  readonly disk: Disk;
  /** In the same directory. */
  readonly backends: BackendFactory;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly checksum: Checksum;
  /** `--name`: which of the members this directory is for. */
  readonly name: string;
  /** All of them, see foundingMembers. */
  readonly members: readonly InitialMember[];
  /** `--initial-cluster-token` */
  readonly clusterToken: string;
  /** `--skip-hash-check` */
  readonly skipHashCheck: boolean;
  /**
   * `--bump-revision` with `--mark-compacted`: the revision is raised by this much and everything below counts as compacted, so that
   * whoever saw revisions that are not in the backup is told to read everything again. 0: neither.
   */
  readonly bumpRevision: number;
}

/** What was made. */
export interface Restored {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  readonly index: number;
  /** Of the store, once it is opened. */
  readonly revision: number;
}

/** Rows handed to the store in one commit. */
const rowsPerCommit = 5_000;

/** What stands in these buckets is about the old cluster. */
const dropped: ReadonlySet<Bucket> = new Set([buckets.members, buckets.membersRemoved, buckets.alarm]);

/**
 * Makes the directory. Rejects with BackupError or CorruptionError when the file is not whole; what is in the directory is then to be
 * thrown away.
 */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const ids = new Map(
    options.members.map(({ name, peerUrls }) => [name, computeMemberId(peerUrls, options.clusterToken)]),
  );
  const clusterId = computeClusterId([...ids.values()]);
  const memberId = ids.get(options.name)!;
  const store = await options.backends.open(storeName);
  try {
    const revision = await fillStore(store, options);
    const index = foundCluster(store, options.members, ids);
    await store.commit().durable;
    await beginLog(options, { clusterId, memberId }, index);
    return { clusterId, memberId, index: index.index, revision };
  } finally {
    await store.close();
  }
}

/** Copies the rows that stay. Returns the revision the store will open at. */
async function fillStore(store: Backend, options: RestoreOptions): Promise<number> {
  const { file, checksum, skipHashCheck, bumpRevision } = options;
  const seen = new RevisionSeen();
  const onRows = (rows: readonly SnapshotRow[]): void => {
    for (const row of rows) {
      if (dropped.has(row.bucket)) continue;
      seen.see(row);
      store.put(row.bucket, row.key, row.value);
    }
  };
  const onPiece = async (): Promise<void> => {
    if (store.stagedCount >= rowsPerCommit) await store.commit().done;
  };
  const { header } = await readBackup(file, { onRows, onPiece }, { checksum, skipHashCheck });
  const { index, term } = new ConsistentIndex(store);
  if (index !== header.index || term !== header.term || index === 0) {
    throw new BackupError(`snapshot contradicts its own consistent index: ${header.index}, and ${index} inside`);
  }
  if (bumpRevision === 0) return seen.value;
  const revision = seen.value + bumpRevision;
  if (!Number.isSafeInteger(revision)) throw new BackupError(`--bump-revision goes beyond the last revision there is`);
  // The store opens at the revision of the mark when no row is newer, and forgets what is behind it.
  store.put(buckets.meta, compactionMarks.scheduled, encodeMark(revision));
  return revision;
}

/** The founding members in the place of the old ones. Returns where the store stands. */
function foundCluster(
  store: Backend,
  members: readonly InitialMember[],
  ids: ReadonlyMap<string, MemberId>,
): ConsistentIndex {
  const list = MembershipStore.open(store);
  for (const { name, peerUrls } of members) {
    // As at a first start: a member brings its name when it runs.
    const member = MemberRecord.create({ id: ids.get(name)!, name: '', peerUrls: [...peerUrls] });
    list.apply({ kind: 'add', member, learnersMax: 0 });
  }
  const index = new ConsistentIndex(store);
  const voters = list.records().map(({ id }) => id);
  index.setConfState(ConfState.create({ voters }));
  return index;
}

/** A log that begins behind the store. */
async function beginLog(
  { disk, clock, random, logger }: RestoreOptions,
  ids: { readonly clusterId: ClusterId; readonly memberId: MemberId },
  { index, term, confState }: ConsistentIndex,
): Promise<void> {
  const place = { disk, directory: walDirectory, clock, random, logger };
  const options = { ...place, meter: silentMeter, crash: noCrashPoints };
  const wal = await Wal.create(options, { ...ids, incarnation: randomId(random) });
  try {
    const hardState = { term, vote: 0n, commit: index };
    wal.append(hardState, [], { index, term, confState: ConfState.encode(confState) });
    await wal.sync();
  } finally {
    await wal.close();
  }
}
