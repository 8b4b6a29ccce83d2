/** Member and cluster ids as etcd computes them, so that the same flags give the same ids. */
import { createHash } from 'node:crypto';
import type { ClusterId, MemberId } from '@quorate/base';

/** First 8 bytes of SHA-1 over the sorted peer URLs, concatenated, and the cluster token. */
export function computeMemberId(peerUrls: readonly string[], clusterToken: string): MemberId {
  const hash = createHash('sha1');
  for (const url of [...peerUrls].sort()) hash.update(url);
  hash.update(clusterToken);
  return hash.digest().readBigUInt64BE(0);
}

/**
 * Id of a member that is added to a running cluster: the time, in seconds since 1970, in the place of the token, so that another
 * member at the same address is another one.
 */
export function computeAddedMemberId(peerUrls: readonly string[], unixSeconds: number): MemberId {
  return computeMemberId(peerUrls, String(unixSeconds));
}

/** First 8 bytes of SHA-1 over the founding members' ids as 8 big-endian bytes each, ascending. */
export function computeClusterId(memberIds: readonly MemberId[]): ClusterId {
  const hash = createHash('sha1');
  const sorted = [...memberIds].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  for (const id of sorted) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(id);
    hash.update(bytes);
  }
  return hash.digest().readBigUInt64BE(0);
}
