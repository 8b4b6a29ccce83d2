/**
 * Quorum arithmetic over one set of voters or, while a configuration change is under way, over two at once: what is committed,
 * and how a vote stands. Pure functions; a set of voters is an ascending array of ids. Everything that asks "do enough members
 * agree" asks here: commit index, elections, check-quorum, read-index rounds. (Raft thesis 4.3 for joint consensus.)
 */
import type { MemberId } from '@quorate/base';

/** Voters of the incoming configuration and, while joint, of the outgoing one; both ascending. */
export interface JointVoters {
  readonly incoming: readonly MemberId[];
  /** Empty unless joint. */
  readonly outgoing: readonly MemberId[];
}

/** Knows how far each member acknowledged. */
export interface AckIndexer {
  /** Highest acknowledged index; undefined when nothing is known. */
  ackedIndex(id: MemberId): number | undefined;
}

/** How a vote stands. */
export const VoteResult = { pending: 0, lost: 1, won: 2 } as const;
export type VoteResult = (typeof VoteResult)[keyof typeof VoteResult];

/** Highest index acknowledged by a majority of `voters`; infinite for no voters, which makes a half-empty joint quorum work. */
export function majorityCommitted(voters: readonly MemberId[], acks: AckIndexer): number {
  const count = voters.length;
  if (count === 0) return Number.POSITIVE_INFINITY;
  if (count === 1) return acks.ackedIndex(voters[0]!) ?? 0;
  // Descending insertion sort: voters are few, and a majority of them acknowledged at least what stands in the middle.
  const acked: number[] = [];
  for (let i = 0; i < count; i++) {
    const index = acks.ackedIndex(voters[i]!) ?? 0;
    let at = i;
    while (at > 0 && acked[at - 1]! < index) {
      acked[at] = acked[at - 1]!;
      at--;
    }
    acked[at] = index;
  }
  return acked[count >> 1]!;
}

/** How `votes` (true: yes) stand among `voters`; won for no voters. */
export function majorityVote(voters: readonly MemberId[], votes: ReadonlyMap<MemberId, boolean>): VoteResult {
  const quorum = (voters.length >> 1) + 1;
  let yes = 0;
  let open = 0;
  for (const id of voters) {
    const vote = votes.get(id);
    if (vote === undefined) open++;
    else if (vote) yes++;
  }
  if (voters.length === 0 || yes >= quorum) return VoteResult.won;
  return yes + open >= quorum ? VoteResult.pending : VoteResult.lost;
}

/** Highest index that both majorities acknowledged. */
export function jointCommitted(voters: JointVoters, acks: AckIndexer): number {
  const incoming = majorityCommitted(voters.incoming, acks);
  if (voters.outgoing.length === 0) return incoming;
  return Math.min(incoming, majorityCommitted(voters.outgoing, acks));
}

/** Won when both majorities are, lost as soon as one is. */
export function jointVote(voters: JointVoters, votes: ReadonlyMap<MemberId, boolean>): VoteResult {
  const incoming = majorityVote(voters.incoming, votes);
  const outgoing = majorityVote(voters.outgoing, votes);
  if (incoming === outgoing) return incoming;
  return incoming === VoteResult.lost || outgoing === VoteResult.lost ? VoteResult.lost : VoteResult.pending;
}

/** All voters of both halves, ascending, each once. */
export function jointIds(voters: JointVoters): MemberId[] {
  if (voters.outgoing.length === 0) return [...voters.incoming];
  return sortedIds(new Set([...voters.incoming, ...voters.outgoing]));
}

/** Ascending copy. */
export function sortedIds(ids: Iterable<MemberId>): MemberId[] {
  return [...ids].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}
