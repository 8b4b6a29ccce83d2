export { compactionMarks } from './compaction.ts';
export { decodeMark, encodeMark, isTombstoneKey, parseRowKey, type Revision } from './revision.ts';
export { RowIntake } from './row-intake.ts';
export { Store } from './store.ts';
export { isSound, mustBeSound, recordOf } from './stored-row.ts';
export {
  type Change,
  type ChangeListener,
  type Checksum,
  type Compaction,
  type CompactionOptions,
  type HashResult,
  type LeaseBook,
  noLeases,
  type PastChanges,
  type RangeOptions,
  type RangeResult,
  type ReadTxn,
  type ScrubSlice,
  type StoreOptions,
  type WriteTxn,
} from './types.ts';
export { WatchHub, type WatchHubOptions } from './watch-hub.ts';
export type { WatchBatch, Watcher, WatchOptions, WatchRefusal, WatchSink, WatchStream } from './watch-stream.ts';
