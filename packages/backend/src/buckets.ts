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

/** All buckets, named as etcd names them. */
export const buckets: Readonly<Record<BucketName, Bucket>> = {
  /** Revision to checksummed KeyValue record. */
  key: bucket('key', 0x01),
  /** Consistent index, term, configuration, compaction marks. */
  meta: bucket('meta', 0x02),
  lease: bucket('lease', 0x03),
  alarm: bucket('alarm', 0x04),
  cluster: bucket('cluster', 0x05),
  members: bucket('members', 0x06),
  membersRemoved: bucket('members_removed', 0x07),
  auth: bucket('auth', 0x08),
  authUsers: bucket('authUsers', 0x09),
  authRoles: bucket('authRoles', 0x0a),
};

/** In the order of their ids, which is the order of the store. */
export const allBuckets: readonly Bucket[] = Object.values(buckets).sort((a, b) => a.id - b.id);
