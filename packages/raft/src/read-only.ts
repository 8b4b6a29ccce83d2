/**
 * Bookkeeping of read-index rounds on a leader (Raft thesis 6.4). A read is safe at the commit index of the moment it arrived,
 * once a majority has confirmed, by answering a heartbeat sent after that moment, that the leader still leads.
 *
 * Every read gets a round number of its own, which its heartbeat carries and the answer brings back. Callers' contexts are not used
 * for that: a caller that reuses one, or an answer to an earlier attempt that arrives late, cannot confirm a later read. Round
 * numbers ascend, so an answer to a round confirms all earlier ones, and "which rounds does a majority confirm" is the same
 * arithmetic as the commit index. Numbers are only compared within a term: answers of another term never get here.
 */
import { invariant, type MemberId } from '@quorate/base';
import { type AckIndexer, type JointVoters, jointCommitted } from './quorum.ts';

/** A read that a member, or this one, asked for. */
export interface ReadRequest {
  readonly from: MemberId;
  readonly context: Buffer;
}

/** A read under way, or done. */
export interface ReadRound {
  readonly number: number;
  /** Commit index when the read arrived. */
  readonly index: number;
  readonly request: ReadRequest;
}

/** Reads a leader keeps at once, waiting for confirmation or for its first commit; further ones are dropped and asked again. */
export const pendingReadsMax = 4096;

/** Bytes of a round number in a heartbeat's context. */
const roundBytes = 6;

export class ReadOnly implements AckIndexer {
  readonly #self: MemberId;
  #rounds: ReadRound[] = [];
  #lastRound = 0;
  readonly #acked = new Map<MemberId, number>();

  constructor(self: MemberId) {
    this.#self = self;
  }

  get pending(): number {
    return this.#rounds.length;
  }

  /** Notes a read that arrived when `index` was committed. Heartbeats sent from now on can confirm it. */
  add(index: number, request: ReadRequest): void {
    invariant(this.#rounds.length < pendingReadsMax, 'too many reads under way', { pending: this.#rounds.length });
    this.#lastRound++;
    this.#rounds.push({ number: this.#lastRound, index, request });
  }

  /** Context for heartbeats: the newest round that waits; undefined when none does. */
  lastPendingContext(): Buffer | undefined {
    const last = this.#rounds[this.#rounds.length - 1];
    return last === undefined ? undefined : encodeRound(last.number);
  }

  /** A member answered a heartbeat with this context. */
  acknowledge(from: MemberId, context: Buffer): void {
    if (context.length !== roundBytes) return;
    const round = context.readUIntBE(0, roundBytes);
    if (round <= this.#lastRound && round > (this.#acked.get(from) ?? 0)) this.#acked.set(from, round);
  }

  ackedIndex(id: MemberId): number | undefined {
    return id === this.#self ? this.#lastRound : this.#acked.get(id);
  }

  /** Takes the rounds that a quorum of `voters` has confirmed, in order of arrival. */
  takeConfirmed(voters: JointVoters): ReadRound[] {
    const confirmed = jointCommitted(voters, this);
    let count = 0;
    while (count < this.#rounds.length && this.#rounds[count]!.number <= confirmed) count++;
    return count === 0 ? [] : this.#rounds.splice(0, count);
  }

  /** Forgets all reads and answers: a new term begins. Numbers go on. */
  reset(): void {
    this.#rounds = [];
    this.#acked.clear();
  }
}

function encodeRound(round: number): Buffer {
  const context = Buffer.allocUnsafe(roundBytes);
  context.writeUIntBE(round, 0, roundBytes);
  return context;
}
