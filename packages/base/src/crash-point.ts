/**
 * Named places where dying is interesting. Production passes `noCrashPoints`; a test process arms one by environment and kills
 * itself with SIGKILL there; the simulator throws the member away there. Every name is listed here so that a suite can visit
 * each of them.
 */
export const crashPointNames = [
  // write-ahead log
  'walBeforeAppend',
  'walAfterAppendBeforeSync',
  'walAfterSyncBeforeAck',
  'walBeforeCut',
  'walAfterPreallocate',
  'walAfterSegmentHeader',
  'walAfterRename',
  'walAfterDirectorySync',
  'walBeforeRelease',
  'walMidRelease',
  'walRecoverBeforeRepair',
  'walRecoverAfterTornCopy',
  'walRecoverBeforeSync',
  // raft node: the ready loop
  'raftBeforeSendLeader',
  'raftBeforeSave',
  'raftAfterSave',
  'raftBeforeSendFollower',
  'raftBeforeApply',
  'raftAfterApply',
  'raftBeforeAdvance',
  // apply loop
  'applyBeforeEntry',
  'applyAfterDataBeforeIndex',
  'applyAfterEntry',
  'applyBeforeRespond',
  'applyBetweenEntries',
  // backend
  'backendBeforeCommit',
  'backendAfterCommitBeforeFlush',
  'backendAfterFlush',
  // compaction
  'compactAfterSchedule',
  'compactBetweenBatches',
  'compactBeforeFinish',
  'compactAfterFinish',
  // defragmentation
  'defragBeforeCopy',
  'defragAfterCopy',
  'defragBeforeRename',
  'defragAfterRename',
  // snapshots
  'snapshotBeforeCreate',
  'snapshotMidReceive',
  'snapshotAfterReceiveSync',
  'snapshotAfterWalRecord',
  'snapshotBeforeSwap',
  'snapshotAfterSwap',
  'snapshotBeforeRelease',
  // first start
  'bootstrapBeforeWal',
  'bootstrapAfterWal',
  'bootstrapAfterBackend',
] as const;

export type CrashPointName = (typeof crashPointNames)[number];

/** Where the code says "here". */
export interface CrashPoints {
  /** Returns when not armed. When armed it does not return: the process is gone, or SimulatedCrash unwinds. */
  hit(name: CrashPointName): void;
}

export const noCrashPoints: CrashPoints = { hit: () => {} };

/** Thrown by the simulator's crash points. Production code never catches it by type; whatever it reaches is dead anyway. */
export class SimulatedCrash extends Error {
  constructor(name: string) {
    super(`simulated crash at ${name}`);
    this.name = 'SimulatedCrash';
  }
}
