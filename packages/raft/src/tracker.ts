/**
 * The configuration in force and what is known about each member of it: progress, for a leader, and votes, for a candidate.
 * Members are visited in ascending order of id, so that equal inputs give equal outputs.
 */
import { invariant, type MemberId } from '@quorate/base';
import type { ConfState } from '@quorate/proto';
import { Inflights } from './inflights.ts';
import { Progress } from './progress.ts';
import { type AckIndexer, type JointVoters, jointCommitted, jointVote, sortedIds, VoteResult } from './quorum.ts';

/** A configuration: who votes, who only listens, and how a change under way will end. Immutable; all id lists ascend. */
export interface Membership {
  readonly voters: JointVoters;
  /** Members that receive the log and do not vote. Disjoint from both halves of `voters`. */
  readonly learners: readonly MemberId[];
  /** Voters of the outgoing half that become learners when the joint configuration is left. */
  readonly learnersNext: readonly MemberId[];
  /** The leader leaves the joint configuration by itself once it is applied. */
  readonly autoLeave: boolean;
}

/** A member and its progress. */
export interface Peer {
  readonly id: MemberId;
  readonly progress: Progress;
}

export type ProgressMap = ReadonlyMap<MemberId, Progress>;

/** Limits of the in-flight window of each member. */
export interface InflightLimits {
  readonly countMax: number;
  readonly bytesMax: number;
}

export const emptyMembership: Membership = {
  voters: { incoming: [], outgoing: [] },
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

export class ProgressTracker implements AckIndexer {
  readonly inflightLimits: InflightLimits;
  #membership: Membership = emptyMembership;
  #progress: ProgressMap = new Map();
  #peers: readonly Peer[] = [];
  readonly #votes = new Map<MemberId, boolean>();

  constructor(inflightLimits: InflightLimits) {
    this.inflightLimits = inflightLimits;
  }

  get membership(): Membership {
    return this.#membership;
  }

  get progress(): ProgressMap {
    return this.#progress;
  }

  /** Every member with its progress, ascending. */
  get peers(): readonly Peer[] {
    return this.#peers;
  }

  /** Replaces configuration and progress together. */
  switchTo(membership: Membership, progress: ProgressMap): void {
    this.#membership = membership;
    this.#progress = progress;
    this.#peers = sortedIds(progress.keys()).map((id) => ({ id, progress: progress.get(id)! }));
  }

  /** Starts every member's progress anew, for a new term: nothing is known but that `self` matches itself. */
  resetProgress(self: MemberId, lastIndex: number): void {
    const fresh = new Map<MemberId, Progress>();
    for (const { id, progress } of this.#peers) {
      const match = id === self ? lastIndex : 0;
      const { learner } = progress;
      const inflights = new Inflights(this.inflightLimits);
      fresh.set(id, new Progress({ match, next: lastIndex + 1, learner, recentActive: false, inflights }));
    }
    this.switchTo(this.#membership, fresh);
  }

  ackedIndex(id: MemberId): number | undefined {
    return this.#progress.get(id)?.match;
  }

  /** Highest index that a quorum is known to hold. */
  committed(): number {
    return jointCommitted(this.#membership.voters, this);
  }

  isVoter(id: MemberId): boolean {
    const { incoming, outgoing } = this.#membership.voters;
    return incoming.includes(id) || outgoing.includes(id);
  }

  get isJoint(): boolean {
    return this.#membership.voters.outgoing.length > 0;
  }

  /** Whether there is exactly one voter and no change under way. */
  get isSingleton(): boolean {
    return this.#membership.voters.incoming.length === 1 && !this.isJoint;
  }

  /** Whether a quorum was heard from since the last time it was asked. */
  quorumActive(): boolean {
    const active = new Map<MemberId, boolean>();
    for (const { id, progress } of this.#peers) if (!progress.learner) active.set(id, progress.recentActive);
    return jointVote(this.#membership.voters, active) === VoteResult.won;
  }

  resetVotes(): void {
    this.#votes.clear();
  }

  /** The first vote of a member counts; a repetition changes nothing. */
  recordVote(id: MemberId, granted: boolean): void {
    if (!this.#votes.has(id)) this.#votes.set(id, granted);
  }

  /** The standing of the vote, and how many voters said what. */
  tallyVotes(): { readonly granted: number; readonly rejected: number; readonly result: VoteResult } {
    let granted = 0;
    let rejected = 0;
    for (const { id, progress } of this.#peers) {
      const vote = progress.learner ? undefined : this.#votes.get(id);
      if (vote === true) granted++;
      if (vote === false) rejected++;
    }
    return { granted, rejected, result: jointVote(this.#membership.voters, this.#votes) };
  }

  confState(): ConfState {
    const { voters, learners, learnersNext, autoLeave } = this.#membership;
    return {
      voters: [...voters.incoming],
      learners: [...learners],
      votersOutgoing: [...voters.outgoing],
      learnersNext: [...learnersNext],
      autoLeave,
    };
  }
}

/** Stops when `membership` contradicts itself or does not fit `progress`. */
export function checkMembership(membership: Membership, progress: ProgressMap): void {
  const { voters, learners, learnersNext, autoLeave } = membership;
  const all = new Set([...voters.incoming, ...voters.outgoing, ...learners, ...learnersNext]);
  for (const id of all) invariant(progress.has(id), 'member without progress', { id });
  for (const id of progress.keys()) invariant(all.has(id), 'progress of a stranger', { id });
  for (const id of learnersNext) {
    invariant(voters.outgoing.includes(id), 'next learner is not an outgoing voter', { id });
    invariant(!voters.incoming.includes(id), 'next learner is an incoming voter', { id });
    invariant(progress.get(id)?.learner === false, 'next learner is a learner already', { id });
  }
  for (const id of learners) {
    invariant(!voters.incoming.includes(id), 'learner is a voter', { id });
    invariant(!voters.outgoing.includes(id), 'learner is an outgoing voter', { id });
    invariant(progress.get(id)?.learner === true, 'learner is not marked as such', { id });
  }
  if (voters.outgoing.length > 0) return;
  invariant(learnersNext.length === 0, 'next learners outside a joint configuration');
  invariant(!autoLeave, 'auto-leave outside a joint configuration');
}
