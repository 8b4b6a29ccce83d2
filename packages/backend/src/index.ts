export type { Backend, BackendFactory, BackendView, Commit, Row, RowRange } from './backend.ts';
export { allBuckets, type Bucket, type BucketName, buckets } from './buckets.ts';
