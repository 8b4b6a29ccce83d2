/**
 * Proposals under way: gives each request its id, encodes it once (that buffer is the log entry's data, the WAL payload and what
 * peers are sent), keeps its caller waiting and answers it when the entry was applied here. A proposal whose time is up is
 * answered with a time-out although its entry may still commit: its outcome is then unknown, as in etcd.
 */
import type { ApplyResult } from '@quorate/apply';
import { type Clock, type Counter, IdTable, invariant, type MemberId, type Meter } from '@quorate/base';
import { ConfChange, InternalRaftRequest, KvError, MemberRecord, RequestHeader } from '@quorate/proto';

/** What a caller is told: the applied result, or why there is none. */
export type ProposalDone = (outcome: ApplyResult | KvError) => void;

/**
 * A proposal from its registration to its answer. Of a class, not a literal: when a burst of calls keeps thousands of a literal's objects
 * alive at a time, V8 makes all later ones in the old generation, where each keeps its caller, promise and data until the next full
 * collection.
 */
export class Proposal {
  readonly id: number;
  /** Encoded request, owned: becomes the entry's data. */
  readonly data: Buffer;
  /** The change of configuration that {@link data} is the encoding of; undefined for requests. */
  readonly change: ConfChange | undefined;
  readonly startedMs: number;
  readonly done: ProposalDone;
  /** False once answered; a proposal nobody waits for any more is not handed to raft. */
  waiting = true;

  constructor(id: number, data: Buffer, change: ConfChange | undefined, startedMs: number, done: ProposalDone) {
    this.id = id;
    this.data = data;
    this.change = change;
    this.startedMs = startedMs;
    this.done = done;
  }
}

export interface ProposalsOptions {
  readonly memberId: MemberId;
  readonly clock: Clock;
  readonly meter: Meter;
  /** Milliseconds after which a caller is told that it timed out. */
  readonly timeoutMs: number;
  /** `--max-request-bytes` */
  readonly maxRequestBytes: number;
  /** Committed minus applied index now. */
  readonly applyLag: () => number;
  /** Which of the time-out answers fits a request that started then. */
  readonly timeoutError: (startedMs: number) => KvError;
  /** Takes a proposal to raft on its next turn. */
  readonly enqueue: (proposal: Proposal) => void;
}

/** Beyond this lag new proposals are refused: etcd's maxGapBetweenApplyAndCommitIndex. */
export const applyLagMax = 5_000;

export class Proposals {
  readonly #options: ProposalsOptions;
  readonly #pending = new IdTable<Proposal>();
  readonly #failed: Counter;
  #lastId: number;
  #stopped: KvError | undefined;

  constructor(options: ProposalsOptions) {
    this.#options = options;
    // Ids must not repeat over a restart while entries of the former run may still be applied: they start from the wall clock,
    // which moves on faster (4,096 per millisecond) than any run can use them up.
    this.#lastId = (Math.floor(options.clock.wallMs()) * 4096) % Number.MAX_SAFE_INTEGER;
    this.#failed = options.meter.counter({
      name: 'etcd_server_proposals_failed_total',
      help: 'The total number of failed proposals seen.',
    });
    options.meter.observedGauge(
      { name: 'etcd_server_proposals_pending', help: 'The current number of pending proposals to commit.' },
      () => this.#pending.count,
    );
  }

  get pendingCount(): number {
    return this.#pending.count;
  }

  /**
   * Proposes `request` (its header is filled here) and calls `done` exactly once, never before this returns. With a `leaderTerm`
   * it is refused, when it comes to be applied, unless its entry is of that term. Throws KvError when refused.
   */
  propose(request: InternalRaftRequest, done: ProposalDone, leaderTerm = 0): Proposal {
    if (this.#stopped !== undefined) throw this.#stopped;
    if (this.#options.applyLag() > applyLagMax) throw new KvError('tooManyRequests');
    const id = this.#nextId();
    request.header = RequestHeader.create({ id, proposer: this.#options.memberId, leaderTerm });
    return this.#register(id, InternalRaftRequest.encode(request), undefined, done);
  }

  /**
   * Proposes a change of configuration of kind `type` (a number of ConfChangeType) to the member described; who waits for it is
   * filled in here. Otherwise like {@link propose}; the outcome's response has only a header.
   */
  proposeChange(type: number, record: Partial<MemberRecord> & { readonly id: MemberId }, done: ProposalDone): Proposal {
    if (this.#stopped !== undefined) throw this.#stopped;
    const id = this.#nextId();
    const described = MemberRecord.create({ ...record, proposer: this.#options.memberId });
    const change = ConfChange.create({ id, type, nodeId: record.id, context: MemberRecord.encode(described) });
    return this.#register(id, ConfChange.encode(change), change, done);
  }

  #register(id: number, data: Buffer, change: ConfChange | undefined, done: ProposalDone): Proposal {
    if (data.length > this.#options.maxRequestBytes) throw new KvError('requestTooLarge');
    const proposal = new Proposal(id, data, change, this.#options.clock.nowMs(), done);
    this.#pending.add(proposal);
    this.#options.enqueue(proposal);
    return proposal;
  }

  /** The entry of proposal `id` was applied. Ids that nobody waits for are fine: the caller timed out or another run proposed it. */
  resolve(id: number, result: ApplyResult): void {
    const proposal = this.#pending.get(id);
    if (proposal !== undefined) this.#answer(proposal, result);
  }

  /** Answers those whose time is up; called once per tick. */
  expire(): void {
    const deadline = this.#options.clock.nowMs() - this.#options.timeoutMs;
    for (const proposal of this.#pending.all()) {
      if (!proposal.waiting || proposal.startedMs > deadline) continue;
      this.#failed.add();
      this.#answer(proposal, this.#options.timeoutError(proposal.startedMs));
    }
  }

  /** Answers all and refuses what comes later. */
  stop(error: KvError): void {
    this.#stopped = error;
    // Whoever is told may have others told.
    for (const proposal of this.#pending.all()) if (proposal.waiting) this.#answer(proposal, error);
  }

  #answer(proposal: Proposal, outcome: ApplyResult | KvError): void {
    invariant(proposal.waiting, 'proposal answered twice', { id: proposal.id });
    proposal.waiting = false;
    this.#pending.delete(proposal.id);
    proposal.done(outcome);
  }

  #nextId(): number {
    this.#lastId = this.#lastId >= Number.MAX_SAFE_INTEGER ? 1 : this.#lastId + 1;
    return this.#lastId;
  }
}
