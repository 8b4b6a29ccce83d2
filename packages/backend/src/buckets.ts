/**
 * The buckets of a backend: prefix spaces with one byte each, so that one ordered store holds them all and one transaction
 * covers them. Ids are on disk and never change.
 */

export interface Bucket {
  readonly name: string;
  /** Prefix byte on disk. */
  readonly id: number;
}

const bucket = (name: string, id: number): Bucket => ({ name, id });

/** What code calls the buckets. */
export type BucketName =
  | 'key'
  | 'meta'
  | 'lease'
  | 'alarm'
  | 'cluster'
  | 'members'
  | 'membersRemoved'
  | 'auth'
  | 'authUsers'
  | 'authRoles';

/** Highest bucket id there may be. */
export const bucketIdMax = 0x1f;

/**
 * All buckets, named as etcd names them. The key bucket comes last in the store: its rows are appended in ascending order, and
 * only at the very end of a B-tree do appended rows leave full pages behind (11 rows of 317 bytes a page against 9, measured).
 * New buckets take the ids between.
 */
export const buckets: Readonly<Record<BucketName, Bucket>> = {
  /** Consistent index, term, configuration, compaction marks. */
  meta: bucket('meta', 0x01),
  lease: bucket('lease', 0x02),
  alarm: bucket('alarm', 0x03),
  cluster: bucket('cluster', 0x04),
  members: bucket('members', 0x05),
  membersRemoved: bucket('members_removed', 0x06),
  auth: bucket('auth', 0x07),
  authUsers: bucket('authUsers', 0x08),
  authRoles: bucket('authRoles', 0x09),
  /** Revision to checksummed KeyValue record. */
  key: bucket('key', bucketIdMax),
};

/** In the order of their ids, which is the order of the store. */
export const allBuckets: readonly Bucket[] = Object.values(buckets).sort((a, b) => a.id - b.id);
