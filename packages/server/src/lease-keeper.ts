/**
 * The time of leases, on the member that leads: it alone counts, proposes the end of those whose time is over and the checkpoints
 * of long ones, and answers what a lease has left. A member that comes to lead gives every lease an election time-out more, for
 * the time in which nobody could renew it.
 *
 * A leader may have been deposed without noticing: it was stopped, its disk hung, its network was cut. So it proposes no end
 * before a majority confirmed that it still leads; what it proposes names its term, and is refused when it is applied in another.
 * Renewals are confirmed alike: what was revoked anywhere before a renewal was asked for is known here when it is answered.
 */
import type { Clock, Counter, LeaseId, Logger, Meter } from '@quorate/base';
import { keyToBytes } from '@quorate/base';
import type { Lessor } from '@quorate/lease';
import { InternalRaftRequest, KvError, LeaseAnswer, LeaseCheckpointRequest, LeaseRevokeRequest } from '@quorate/proto';
import type { Leadership } from './leadership.ts';
import type { LeaseQuestion } from './peer-transport.ts';
import type { Proposals } from './proposals.ts';
import type { ReadIndex } from './read-index.ts';
import { Renewals, type Renewing } from './renewals.ts';
import type { StateMachine } from './state-machine.ts';

export interface LeaseKeeperOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly meter: Meter;
  readonly leadership: Leadership;
  readonly proposals: Proposals;
  readonly reads: ReadIndex;
  /** The live state; undefined while there is none. */
  readonly state: () => StateMachine | undefined;
  /** Raft's term now. */
  readonly term: () => number;
  readonly electionMs: number;
  /** Milliseconds a request may take; a revocation that was not applied by then is proposed again. */
  readonly timeoutMs: number;
  /** `--lease-checkpoint` */
  readonly checkpoints: boolean;
}

/** Milliseconds between two looks at what is over; with the next figure, etcd's 1,000 revocations a second. */
const passMs = 500;
const revokesPerPass = 500;
/** Most leases in one checkpoint entry. */
const checkpointsMax = 1_000;
/** Leases counted in by one turn after a promotion: less than a millisecond, a few before that code is warm. */
const countedPerTurn = 1_000;
/** Passes between two looks at what needs a checkpoint: that look is at every lease. */
const passesPerCheckpoint = 4;

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  readonly #expired: Counter;
  readonly #renewals: Renewals;
  /** The term this member counts in; 0 while it does not. */
  #term = 0;
  #isConfirming = false;
  #isCheckpointing = false;
  #passes = 0;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
    this.#expired = options.meter.counter({
      name: 'etcd_debugging_server_lease_expired_total',
      help: 'The total number of expired leases.',
    });
    const { clock, reads, electionMs } = options;
    this.#renewals = new Renewals({ clock, reads, electionMs, primary: () => this.#primary() });
    options.leadership.onChange(() => this.#leaderChanged());
  }

  /** Renews a lease as {@link ask} does, if that can be told without waiting: the way for very many. */
  renew(renewing: Renewing): void {
    this.#renewals.add(renewing);
  }

  /** Answers for a lease when this member leads, confirmed by a majority. Rejects with KvError. */
  async ask(question: LeaseQuestion): Promise<LeaseAnswer> {
    const { clock, timeoutMs, leadership } = this.#options;
    const startedMs = clock.nowMs();
    while (clock.nowMs() - startedMs < timeoutMs) {
      await this.#confirm();
      const lessor = this.#primary();
      if (lessor === undefined) return LeaseAnswer.create({ notLeader: true });
      if (!question.renew) return describe(lessor, question);
      const renewal = lessor.renew(question.id);
      if (renewal.is === 'renewed') return describe(lessor, question);
      if (renewal.is === 'unknown') return LeaseAnswer.create();
      if (renewal.is === 'expired') await this.#settled(lessor, question.id, startedMs + timeoutMs - clock.nowMs());
      else if (renewal.is === 'checkpointed') await this.#takeBackCheckpoint(question.id);
    }
    throw leadership.timeoutError(startedMs);
  }

  /** Counts no more, whoever leads. */
  stop(): void {
    this.#term = 0;
  }

  #leaderChanged(): void {
    const { leadership, state, logger } = this.#options;
    const lessor = state()?.leases;
    if (!leadership.isLeader) {
      this.#term = 0;
      lessor?.demote();
      return;
    }
    if (lessor === undefined) return;
    this.#promote(lessor);
    logger.info('counts the time of leases', { leases: lessor.size, term: this.#term });
    this.#schedulePass(this.#term);
  }

  #promote(lessor: Lessor): void {
    this.#term = this.#options.term();
    lessor.promote(this.#options.electionMs);
    this.#countMore(lessor, this.#term);
  }

  /** Very many leases are counted in over many turns. */
  #countMore(lessor: Lessor, term: number): void {
    if (!lessor.countMore(countedPerTurn)) return;
    this.#options.clock.soon(() => {
      if (this.#term === term && this.#primary() === lessor) this.#countMore(lessor, term);
    });
  }

  /** The leases, while this member counts their time. */
  #primary(): Lessor | undefined {
    const lessor = this.#term === 0 ? undefined : this.#options.state()?.leases;
    return lessor?.isPrimary === true ? lessor : undefined;
  }

  #schedulePass(term: number): void {
    this.#options.clock.after(passMs, () => {
      if (this.#term !== term) return;
      this.#pass();
      if (this.#term !== 0) this.#schedulePass(this.#term);
    });
  }

  #pass(): void {
    const { leadership, term, checkpoints } = this.#options;
    const lessor = this.#primary();
    if (lessor === undefined || !leadership.isLeader) return;
    // Deposed and elected again within one turn: nobody was told, but another may have counted in between.
    if (term() !== this.#term) this.#promote(lessor);
    if (lessor.hasDue && !this.#isConfirming) this.#revokeConfirmed();
    if (checkpoints && ++this.#passes % passesPerCheckpoint === 0) this.#checkpoint(lessor);
  }

  #revokeConfirmed(): void {
    this.#isConfirming = true;
    const term = this.#term;
    this.#options.reads.confirm((error) => {
      this.#isConfirming = false;
      const lessor = this.#primary();
      if (error === undefined && lessor !== undefined && this.#term === term) this.#revoke(lessor);
    });
  }

  #revoke(lessor: Lessor): void {
    for (const id of lessor.takeDue(revokesPerPass, this.#options.timeoutMs)) {
      const leaseRevoke = LeaseRevokeRequest.create({ id });
      const isProposed = this.#propose(InternalRaftRequest.create({ leaseRevoke }), (outcome) => {
        if (!(outcome instanceof KvError)) this.#expired.add();
      });
      if (!isProposed) return;
    }
  }

  /** One entry at a time: what is left over goes with the next. */
  #checkpoint(lessor: Lessor): void {
    if (this.#isCheckpointing) return;
    const checkpoints = lessor.takeCheckpoints(checkpointsMax);
    if (checkpoints.length === 0) return;
    const leaseCheckpoint = LeaseCheckpointRequest.create({ checkpoints });
    this.#isCheckpointing = this.#propose(InternalRaftRequest.create({ leaseCheckpoint }), () => {
      this.#isCheckpointing = false;
    });
  }

  /** Rejects with KvError when the log does not take it. */
  #takeBackCheckpoint(id: LeaseId): Promise<void> {
    return new Promise((resolve, reject) => {
      const leaseCheckpoint = LeaseCheckpointRequest.create({ checkpoints: [{ id, remainingTTL: 0 }] });
      const isProposed = this.#propose(InternalRaftRequest.create({ leaseCheckpoint }), (outcome) => {
        if (outcome instanceof KvError) reject(outcome);
        else resolve();
      });
      if (!isProposed) reject(new KvError('tooManyRequests'));
    });
  }

  /** False when it was refused at once. */
  #propose(request: InternalRaftRequest, done: Parameters<Proposals['propose']>[1]): boolean {
    try {
      this.#options.proposals.propose(request, done, this.#term);
      return true;
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      return false;
    }
  }

  #confirm(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#options.reads.confirm((error) => {
        if (error === undefined) resolve();
        else reject(error);
      });
    });
  }

  /** Resolves when the end of a lease is decided, at the latest after `limitMs`. */
  #settled(lessor: Lessor, id: LeaseId, limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(Math.max(limitMs, 0), () => {
        forget();
        resolve();
      });
      const forget = lessor.whenSettled(id, () => {
        timer.cancel();
        resolve();
      });
    });
  }
}

function describe(lessor: Lessor, { id, renew, keys }: LeaseQuestion): LeaseAnswer {
  if (!lessor.has(id)) return LeaseAnswer.create();
  const grantedTTL = lessor.ttlOf(id);
  return LeaseAnswer.create({
    found: true,
    grantedTTL,
    ttl: renew ? grantedTTL : lessor.remainingOf(id),
    keys: keys ? lessor.keysOf(id).map(keyToBytes) : [],
  });
}
