/** Where a real member passes each crash point, so that suites can visit all of them and none is forgotten. */
import type { CrashPointName } from '@quorate/base';

/**
 *   alone      a member of a cluster of one under load; `passes`: how often it surely passes within a few hundred writes
 *   recovery   a start after a crash; `torn`: only when the log ends in a group that was half written
 *   leader     a leader of three, under load or with a follower that lags
 *   receiver   a follower that lagged behind the log and is sent the whole state
 */
export type CrashPlace =
  | { readonly at: 'alone'; readonly passes: number }
  | { readonly at: 'recovery'; readonly torn: boolean }
  | { readonly at: 'leader'; readonly passes: number }
  | { readonly at: 'receiver' };

const alone = (passes: number): CrashPlace => ({ at: 'alone', passes });
const recovery = (torn: boolean): CrashPlace => ({ at: 'recovery', torn });
const receiver: CrashPlace = { at: 'receiver' };

export const crashPlaces: Readonly<Record<CrashPointName, CrashPlace>> = {
  walBeforeAppend: alone(60),
  walAfterAppendBeforeSync: alone(60),
  walAfterSyncBeforeAck: alone(60),
  // Every segment but the first, which is made without a cut.
  walBeforeCut: alone(3),
  walAfterPreallocate: alone(4),
  walAfterSegmentHeader: alone(4),
  walAfterRename: alone(4),
  walAfterDirectorySync: alone(4),
  walBeforeRelease: alone(4),
  walMidRelease: alone(2),
  walRecoverBeforeRepair: recovery(false),
  walRecoverAfterTornCopy: recovery(true),
  walRecoverBeforeSync: recovery(false),
  // A member alone has nobody to send to.
  raftBeforeSendLeader: { at: 'leader', passes: 100 },
  raftBeforeSave: alone(60),
  raftAfterSave: alone(60),
  raftBeforeSendFollower: alone(60),
  raftBeforeApply: alone(60),
  raftAfterApply: alone(60),
  raftBeforeAdvance: alone(60),
  applyBeforeEntry: alone(100),
  applyAfterDataBeforeIndex: alone(100),
  applyAfterEntry: alone(100),
  applyBeforeRespond: alone(100),
  applyBetweenEntries: alone(20),
  backendBeforeCommit: alone(10),
  backendAfterCommitBeforeFlush: alone(10),
  backendAfterFlush: alone(10),
  compactAfterSchedule: alone(4),
  compactBetweenBatches: alone(4),
  compactBeforeFinish: alone(4),
  compactAfterFinish: alone(4),
  // Once in a defragmentation: the load asks for some.
  defragBeforeCopy: alone(3),
  defragAfterCopy: alone(3),
  defragBeforeRename: alone(3),
  defragAfterRename: alone(3),
  snapshotBeforeCreate: { at: 'leader', passes: 1 },
  snapshotMidReceive: receiver,
  snapshotAfterReceiveSync: receiver,
  snapshotAfterWalRecord: receiver,
  snapshotBeforeSwap: receiver,
  snapshotAfterSwap: receiver,
  // The log is also released where no snapshot was received.
  snapshotBeforeRelease: alone(4),
  bootstrapBeforeWal: alone(1),
  bootstrapAfterWal: alone(1),
  bootstrapAfterBackend: alone(1),
};

/** Names of the points at a place. */
export function crashPointsAt(at: CrashPlace['at']): CrashPointName[] {
  return (Object.keys(crashPlaces) as CrashPointName[]).filter((name) => crashPlaces[name].at === at);
}
