/**
 * From what the disk holds to a member's parts: a first start writes the founding configuration into an empty log, or begins with
 * an empty one when the member joins a running cluster (join.ts); a restart
 * reads store and log and checks that they belong together. A crash anywhere in a first start is continued by the next one.
 *
 * What must fit, or the start is refused with nothing changed:
 *   - the store may be behind the log's end or at it, never beyond (an applied entry was committed, so it was durable);
 *   - the store is at or beyond the log's beginning, unless a received snapshot waits to be put in place;
 *   - a store without a log, or a log of another member, is somebody's mistake.
 */

import { readConsistentIndex } from '@quorate/apply';
import type { Backend } from '@quorate/backend';
import { type ClusterId, CorruptionError, formatId, type MemberId, randomId } from '@quorate/base';
import { RowIntake } from '@quorate/mvcc';
import {
  ConfChange,
  ConfChangeType,
  ConfState,
  type Entry,
  EntryType,
  type HardState,
  MemberRecord,
} from '@quorate/proto';
import { Wal, type WalOptions, type WalRecovery } from '@quorate/wal';
import type { InitialMember, MemberConfig } from './config.ts';
import { damageNote, isNoted, rebuildAdvice } from './damage.ts';
import { forceNewCluster } from './force-new-cluster.ts';
import { computeClusterId, computeMemberId } from './identity.ts';
import { checkOthersBeforeFounding, checkOthersBeforeRestart, findCluster, mustHaveOwn } from './join.ts';
import type { PeerIdentity } from './peer-transport.ts';
import { rebuildStore } from './rebuild.ts';
import type { Runtime } from './runtime.ts';
import { Snapshotter, storeName } from './snapshotter.ts';
import { StartError } from './start-error.ts';

export const walDirectory = 'wal';

/** What the disk says, ready for raft and the state machine. */
export interface Booted {
  readonly identity: PeerIdentity;
  readonly wal: Wal;
  readonly backend: Backend;
  /** Has seen the rows of {@link backend}; whoever opens the state takes it, once. */
  intake?: RowIntake | undefined;
  /** Where the log begins: index and term of the entry before its first. */
  readonly logStart: { readonly index: number; readonly term: number };
  readonly entries: readonly Entry[];
  readonly hardState: HardState;
  /** Configuration at the store's consistent index. */
  readonly confState: ConfState;
  readonly appliedIndex: number;
  /** True when this start created the data. */
  readonly created: boolean;
}

/** Brings the disk to a state a member can run from, creating it on a first start. */
export async function boot(config: MemberConfig, runtime: Runtime): Promise<Booted> {
  const walOptions = walOptionsOf(config, runtime);
  if (!(await Wal.exists(walOptions))) return createMember(config, runtime, walOptions);
  if (await mustRebuild(config, runtime)) await rebuild(config, runtime, walOptions);
  return restartMember(config, runtime, walOptions);
}

/** Ids of the founding members by name, in the order given. */
export function foundingIds(config: MemberConfig): Map<string, MemberId> {
  return new Map(
    config.initialCluster.map((member) => [member.name, computeMemberId(member.peerUrls, config.initialClusterToken)]),
  );
}

function walOptionsOf(config: MemberConfig, runtime: Runtime): WalOptions {
  const { disk, clock, random, logger, meter, crash } = runtime;
  return {
    disk,
    directory: walDirectory,
    clock,
    random,
    logger,
    meter,
    crash,
    segmentSizeBytes: config.walSegmentBytes,
  };
}

async function createMember(config: MemberConfig, runtime: Runtime, walOptions: WalOptions): Promise<Booted> {
  await refuseOrphanStore(runtime);
  const joins = config.initialClusterState === 'existing';
  const { clusterId, memberId } = joins ? await findCluster(config, runtime) : await foundCluster(config, runtime);
  const identity: PeerIdentity = { clusterId, memberId, incarnation: randomId(runtime.random) };
  runtime.crash.hit('bootstrapBeforeWal');
  const wal = await Wal.create(walOptions, identity);
  // One that joins begins with nothing, and is sent the log or a snapshot by the leader.
  const { entries, hardState } = joins ? emptyLog : foundingLog(config.initialCluster, foundingIds(config));
  if (entries.length > 0) {
    wal.append(hardState, entries);
    await wal.sync();
  }
  runtime.crash.hit('bootstrapAfterWal');
  const backend = await runtime.backends.open(storeName);
  runtime.crash.hit('bootstrapAfterBackend');
  runtime.logger.info('created a new member', { member: formatId(memberId), cluster: formatId(clusterId) });
  return {
    identity,
    wal,
    backend,
    logStart: { index: 0, term: 0 },
    entries,
    hardState,
    confState: ConfState.create(),
    appliedIndex: 0,
    created: true,
  };
}

const emptyLog: { readonly entries: Entry[]; readonly hardState: HardState } = {
  entries: [],
  hardState: { term: 0, vote: 0n, commit: 0 },
};

/** The ids that the flags of a founding member mean. Rejects with StartError when they, or what the others say, forbid it. */
async function foundCluster(
  config: MemberConfig,
  runtime: Runtime,
): Promise<Pick<PeerIdentity, 'clusterId' | 'memberId'>> {
  const own = mustHaveOwn(config);
  const ids = foundingIds(config);
  if (new Set(ids.values()).size !== ids.size)
    throw new StartError('two members of the initial cluster have the same URLs');
  const identity = { clusterId: computeClusterId([...ids.values()]), memberId: ids.get(own.name)! };
  await checkOthersBeforeFounding(config, runtime, identity);
  return identity;
}

/** A store that holds data although its log is gone: the log was lost or removed, and with it acknowledged writes. */
async function refuseOrphanStore(runtime: Runtime): Promise<void> {
  if (!(await runtime.backends.exists(storeName))) return;
  const backend = await runtime.backends.open(storeName);
  const { index } = readConsistentIndex(backend);
  await backend.close();
  if (index > 0) {
    throw new StartError(
      `the data directory has a store (at index ${index}) but no write-ahead log; restore the log, or remove the whole ` +
        'data directory and replace this member',
    );
  }
}

/** The founding configuration as the first entries of the log, already committed: every founder writes the same. */
function foundingLog(
  members: readonly InitialMember[],
  ids: ReadonlyMap<string, MemberId>,
): { entries: Entry[]; hardState: HardState } {
  const sorted = [...members].sort((a, b) => (ids.get(a.name)! < ids.get(b.name)! ? -1 : 1));
  const entries = sorted.map((member, i) => {
    const id = ids.get(member.name)!;
    const record = MemberRecord.create({ id, name: '', peerUrls: [...member.peerUrls] });
    const change = ConfChange.create({
      type: ConfChangeType.CONF_CHANGE_ADD_NODE,
      nodeId: id,
      context: MemberRecord.encode(record),
    });
    return { term: 1, index: i + 1, type: EntryType.ENTRY_CONF_CHANGE, data: ConfChange.encode(change) };
  });
  return { entries, hardState: { term: 1, vote: 0n, commit: entries.length } };
}

/** Throws CorruptionError for a store that was found damaged and is not to be rebuilt. */
async function mustRebuild({ rebuildStore: when }: MemberConfig, { disk }: Runtime): Promise<boolean> {
  if (when === 'yes') return true;
  if (!(await isNoted(disk))) return false;
  if (when === 'damaged') return true;
  throw new CorruptionError('backend', `the store was found damaged: ${rebuildAdvice}`, { note: damageNote });
}

async function rebuild(config: MemberConfig, runtime: Runtime, walOptions: WalOptions): Promise<void> {
  const { wal, recovery } = await Wal.open(walOptions);
  try {
    await rebuildStore({ config, runtime, wal, recovery });
  } finally {
    await wal.close();
  }
}

async function restartMember(config: MemberConfig, runtime: Runtime, walOptions: WalOptions): Promise<Booted> {
  const intake = new RowIntake(runtime.checksum);
  const stored = await storedIndex(runtime, intake);
  const { wal, recovery } = await Wal.open(walOptions, { committedAtLeast: stored });
  const { metadata, snapshot } = recovery;
  const clusterId: ClusterId = metadata.clusterId;
  // Flags that fit the data need no second opinion.
  if (computeClusterId([...foundingIds(config).values()]) !== clusterId) {
    await checkOthersBeforeRestart(config, runtime, metadata);
  }
  const logStart = { index: snapshot?.index ?? 0, term: snapshot?.term ?? 0 };
  const isReplaced = await settleReceivedSnapshot(runtime, clusterId, logStart.index, stored);
  const backend = await runtime.backends.open(storeName);
  const { index: appliedIndex, confState } = readConsistentIndex(backend);
  const founding = await completeFounding(config, wal, recovery, clusterId);
  const before = { ...(founding ?? recovery), appliedIndex, confState };
  const { entries, hardState } = config.forceNewCluster
    ? await forceNewCluster({ ...before, memberId: metadata.memberId, wal, logger: runtime.logger })
    : before;
  const lastIndex = entries.at(-1)?.index ?? logStart.index;
  checkFit({ appliedIndex, lastIndex, logStart: logStart.index });
  runtime.logger.info('restarting a member', {
    member: formatId(metadata.memberId),
    cluster: formatId(clusterId),
    applied: appliedIndex,
    commit: hardState.commit,
    last: lastIndex,
  });
  return {
    identity: metadata,
    wal,
    backend,
    intake: isReplaced ? undefined : intake,
    logStart,
    entries,
    // The store may have seen more commits than the log recorded: the commit index alone is never synced.
    hardState: { ...hardState, commit: Math.max(hardState.commit, appliedIndex) },
    confState,
    appliedIndex,
    created: false,
  };
}

async function storedIndex(runtime: Runtime, intake: RowIntake): Promise<number> {
  if (!(await runtime.backends.exists(storeName))) return 0;
  const backend = await runtime.backends.open(storeName, intake);
  const { index } = readConsistentIndex(backend);
  await backend.close();
  return index;
}

/** Finishes the installation of a snapshot that the log already speaks of, and is true then; removes one it does not. */
async function settleReceivedSnapshot(
  runtime: Runtime,
  clusterId: ClusterId,
  logStart: number,
  stored: number,
): Promise<boolean> {
  const { logger } = runtime;
  const snapshotter = new Snapshotter({ ...runtime, clusterId, pause: () => Promise.resolve() });
  const received = await snapshotter.receivedIndex();
  if (received === logStart && stored < logStart) {
    logger.info('finishing the installation of a received snapshot', { index: received });
    await snapshotter.swap(received);
    return true;
  }
  await snapshotter.discardReceived();
  return false;
}

/** A first start that died between creating the log and writing the founding configuration is continued here. */
async function completeFounding(
  config: MemberConfig,
  wal: Wal,
  recovery: WalRecovery,
  clusterId: ClusterId,
): Promise<{ entries: Entry[]; hardState: HardState } | undefined> {
  if (recovery.entries.length > 0 || recovery.hardState.term > 0 || recovery.snapshot !== undefined) return undefined;
  const ids = foundingIds(config);
  if (config.initialClusterState === 'existing' || computeClusterId([...ids.values()]) !== clusterId) return undefined;
  const log = foundingLog(config.initialCluster, ids);
  wal.append(log.hardState, log.entries);
  await wal.sync();
  return log;
}

function checkFit(at: { appliedIndex: number; lastIndex: number; logStart: number }): void {
  if (at.appliedIndex > at.lastIndex) {
    throw new CorruptionError(
      'wal',
      'the store is ahead of the write-ahead log: committed entries are missing from it',
      at,
    );
  }
  if (at.appliedIndex < at.logStart) {
    throw new CorruptionError('backend', 'the store is behind the beginning of the write-ahead log', at);
  }
}
