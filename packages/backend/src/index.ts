export type {
  Backend,
  BackendFactory,
  BackendView,
  Commit,
  Defragmentation,
  Place,
  Row,
  RowRange,
  RowSight,
  RowVisit,
} from './backend.ts';
export { allBuckets, type Bucket, type BucketName, buckets } from './buckets.ts';
export { CommitSchedule, type CommitScheduleOptions } from './commit-schedule.ts';
export { DefragmentError } from './defragmenter.ts';
export { type LmdbFactoryOptions, lmdbBackendFactory } from './lmdb-factory.ts';
export { type WalkedRow, type WalkSink, walkLmdbFile } from './lmdb-walk.ts';
export { type CommitStep, MemoryBackendFactory, type MemoryProcessOptions } from './memory-backend.ts';
