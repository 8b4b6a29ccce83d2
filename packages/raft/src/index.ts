export { asV2, leaveJointChange } from './confchange.ts';
export type { RaftConfig, ReadOnlyOption } from './config.ts';
export { ProgressState, type ProgressView } from './progress.ts';
export type { StepResult } from './raft.ts';
export { RawNode, type StepOutcome } from './raw-node.ts';
export { pendingReadsMax } from './read-only.ts';
export type { Ready } from './ready.ts';
export type { RaftStatus } from './status.ts';
export { emptyConfState, emptySnapshot, MemoryStorage, type Storage, snapshotIndex } from './storage.ts';
export {
  type ConfChangeCodec,
  ConfChangeTransition,
  ConfChangeType,
  EntryType,
  emptyBytes,
  entriesSizeBytes,
  isEmptyHardState,
  isLocalThread,
  localAppendThread,
  localApplyThread,
  MessageType,
  type PayloadCodec,
  payloadSizeBytes,
  quietContext,
  type ReadState,
  Role,
  type SoftState,
} from './types.ts';
