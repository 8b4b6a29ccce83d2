/**
 * Who is wrong, from the hashes of members, as etcd judges it (server/etcdserver/corrupt.go). An answer that cannot be compared
 * proves nothing: a member that lags, or compacts at another time, is not a wrong one.
 */
import type { MemberId } from '@quorate/base';
import { noMember } from '@quorate/base';
import type { HashResult } from '@quorate/mvcc';

/** What a member answered; undefined when it did not, or had no such hash. */
export interface PeerHash {
  readonly member: MemberId;
  /** `revision`: where the member is. */
  readonly found: (HashResult & { readonly revision: number }) | undefined;
}

/** What the leader knows in a periodic check. */
export interface OwnHashes {
  readonly member: MemberId;
  /** Made before the others were asked. */
  readonly before: HashResult;
  /** Made after all answered and a majority confirmed that this member leads. */
  readonly after: HashResult;
}

/** The member that the leader's periodic check proves wrong; undefined when it proves nothing. */
export function wrongInPeriodicCheck(own: OwnHashes, peers: readonly PeerHash[]): MemberId | undefined {
  const { before, after } = own;
  const isSame = before.hashRevision === after.hashRevision && before.compactRevision === after.compactRevision;
  if (isSame && before.hash !== after.hash) return own.member;
  for (const { member, found } of peers) {
    if (found === undefined) continue;
    // The leader has everything that anybody can have applied.
    if (found.revision > after.hashRevision || found.compactRevision > after.compactRevision) return member;
    if (found.compactRevision === before.compactRevision && found.hash !== before.hash) return member;
  }
  return undefined;
}

/** The verdict on the hashes of one compaction. */
export interface CompactionVerdict {
  /** All members answered, and alike: this compaction needs no further look. */
  readonly agreed: boolean;
  /** Members that differ from a majority; noMember when they differ and there is none. */
  readonly wrong: readonly MemberId[];
}

/** Groups members by the hash of one compaction. */
export function judgeCompaction(
  own: { readonly member: MemberId; readonly hash: HashResult },
  peers: readonly PeerHash[],
): CompactionVerdict {
  const groups = new Map<number, MemberId[]>([[own.hash.hash, [own.member]]]);
  let compared = 0;
  for (const { member, found } of peers) {
    if (found === undefined || found.compactRevision !== own.hash.compactRevision) continue;
    compared++;
    const group = groups.get(found.hash);
    if (group === undefined) groups.set(found.hash, [member]);
    else group.push(member);
  }
  if (groups.size === 1) return { agreed: compared === peers.length, wrong: [] };
  const quorum = Math.floor((peers.length + 1) / 2) + 1;
  const isMinority = (group: readonly MemberId[]): boolean => group.length < quorum;
  const minorities = [...groups.values()].filter(isMinority);
  return { agreed: false, wrong: minorities.length === groups.size ? [noMember] : minorities.flat() };
}

/** Members whose history differs from this one's at the same revisions. */
export function differing(own: HashResult, peers: readonly PeerHash[]): MemberId[] {
  return peers
    .filter(({ found }) => found?.compactRevision === own.compactRevision && found.hash !== own.hash)
    .map(({ member }) => member);
}
