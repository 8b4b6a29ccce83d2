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
import { type AckIndexer, type JointVoters, jointCommitted, jointIds } from './quorum.ts';

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

/** Of so many reads one is confirmed by whoever is quickest, and its quorum is asked from then on. */
const openReadEvery = 64;
/** With so many reads under way, whoever is asked is slow. */
const slowPendingMin = 4;

/** Bytes of a round number in a heartbeat's context. */
const roundBytes = 6;

export class ReadOnly implements AckIndexer {
  readonly #self: MemberId;
  readonly #thrifty: boolean;
  #rounds: ReadRound[] = [];
  #lastRound = 0;
  readonly #acked = new Map<MemberId, number>();
  /**
   * Those who confirmed the last reads or hold the last commit, this member left out: a quorum of the present configuration. Empty when
   * there is none known.
   */
  #quorum: readonly MemberId[] = [];
  #untilOpen = openReadEvery;

  /** `thrifty`: see RaftConfig.thriftyReads. */
  constructor(self: MemberId, thrifty = false) {
    this.#self = self;
    this.#thrifty = thrifty;
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

  /** Who should be asked to confirm the newest read; undefined for everyone. */
  whomToAsk(): readonly MemberId[] | undefined {
    this.#untilOpen--;
    if (this.#quorum.length > 0 && this.#untilOpen > 0 && this.#rounds.length < slowPendingMin) return this.#quorum;
    this.#untilOpen = openReadEvery;
    return undefined;
  }

  /** Asks everyone the next time: the configuration is another, or nothing is known yet. */
  askEveryone(): void {
    this.#quorum = [];
  }

  /**
   * These, with this member, are a quorum that holds what was committed just now, the quickest to have it. Reads ask them too, so that
   * whoever is slower, or gets its entries several at a time, is left alone by both.
   */
  relyOn(quorum: readonly MemberId[]): void {
    if (this.#thrifty) this.#quorum = quorum;
  }

  /** Stops relying on `id`. True when reads did. */
  giveUp(id: MemberId): boolean {
    if (!this.#quorum.includes(id)) return false;
    this.askEveryone();
    return true;
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
    if (count === 0) return [];
    if (this.#thrifty) this.#noteQuorum(voters, this.#rounds[count - 1]!.number);
    return this.#rounds.splice(0, count);
  }

  /** At the moment a quorum is complete, those who confirmed are the quickest. */
  #noteQuorum(voters: JointVoters, round: number): void {
    const confirmed = (id: MemberId): boolean => id !== this.#self && (this.#acked.get(id) ?? 0) >= round;
    this.#quorum = jointIds(voters).filter(confirmed);
  }

  /** Forgets all reads and answers: a new term begins. Numbers go on. */
  reset(): void {
    this.#rounds = [];
    this.#acked.clear();
    this.askEveryone();
  }
}

function encodeRound(round: number): Buffer {
  const context = Buffer.allocUnsafe(roundBytes);
  context.writeUIntBE(round, 0, roundBytes);
  return context;
}
