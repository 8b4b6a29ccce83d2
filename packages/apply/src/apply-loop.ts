/**
 * Committed entries into state: each exactly once, in order, synchronously, so that nobody sees a half of one. Every entry, of
 * whatever kind and whatever comes of it, moves the consistent index by exactly one, in the same commit as what it changed. The
 * index is staged once for all entries of a call, and before that when somebody commits in the middle of it.
 *
 * An entry runs through these steps; a crash between any two of them loses the entry or nothing, and the restart applies it:
 *
 * | step | crash point behind it |
 * |---|---|
 * | skip what the consistent index covers | applyBeforeEntry |
 * | decode; guards; state | applyAfterDataBeforeIndex |
 * | all of it staged; consistent index | applyAfterEntry |
 * | encode the answer, if its caller is here | applyBeforeRespond |
 * | tell the caller | applyBetweenEntries |
 *
 * A refusal (KvError) is the outcome of an entry like any other. Any other error means that this member's state can no longer be
 * trusted: it ends the process, and nothing of the entry can be committed any more (see entry-backend.ts).
 */
import { type Clock, CorruptionError, type CrashPoints, FatalError, type MemberId, type Meter } from '@quorate/base';
import {
  type ConfState,
  DecodeError,
  type Entry,
  EntryType,
  type HeaderPrefix,
  InternalRaftRequest,
  KvError,
} from '@quorate/proto';
import { type ApplyResult, encodeOutcome } from './answer.ts';
import type { AlarmBook, Applier, LeaseTable, Outcome, ReplicatedStore } from './applier.ts';
import { buildApplyChain } from './apply-chain.ts';
import { ConsistentIndex } from './consistent-index.ts';
import type { EntryBackend } from './entry-backend.ts';
import { changeOriginOf, membershipChangeOf } from './membership-change.ts';
import type { MembershipStore } from './membership-store.ts';

/** What the loop asks of and tells to the rest of the member. */
export interface ApplyHooks {
  /**
   * The request this member proposed under `requestId` was applied, or refused. Called for entries replayed after a restart too,
   * whose callers are gone.
   */
  resolve(requestId: number, result: ApplyResult): void;
  /** The header of answers but for the revision, asked for each time one is encoded. */
  headerPrefix(): HeaderPrefix;
  /** Gives an accepted configuration change to raft and returns the configuration after it. */
  applyConfChange(entry: Entry): ConfState;
  /** The list of members changed, or what is known of one: its URLs, its data directory. */
  membersChanged(): void;
}

export interface ApplyLoopOptions {
  /** This member: the callers of its proposals wait here. */
  readonly memberId: MemberId;
  /** The one the rest of the state works on. */
  readonly backend: EntryBackend;
  readonly store: ReplicatedStore;
  readonly alarms: AlarmBook;
  readonly members: MembershipStore;
  readonly leases: LeaseTable;
  /** Only to tell how long requests took: nothing that is applied depends on it. */
  readonly clock: Clock;
  readonly meter: Meter;
  readonly crash: CrashPoints;
  readonly hooks: ApplyHooks;
}

export class ApplyLoop {
  readonly #memberId: MemberId;
  readonly #backend: EntryBackend;
  readonly #index: ConsistentIndex;
  readonly #chain: Applier;
  readonly #members: MembershipStore;
  readonly #store: ReplicatedStore;
  readonly #crash: CrashPoints;
  readonly #hooks: ApplyHooks;

  /** Starts where the backend stands. Throws CorruptionError. */
  constructor(options: ApplyLoopOptions) {
    const { memberId, backend, store, alarms, members, leases, clock, meter, crash, hooks } = options;
    this.#memberId = memberId;
    this.#backend = backend;
    this.#index = new ConsistentIndex(backend, backend.behind);
    backend.beforeCommits(() => this.#index.stage());
    this.#chain = buildApplyChain({ store, alarms, members, leases }, clock, meter);
    this.#members = members;
    this.#store = store;
    this.#crash = crash;
    this.#hooks = hooks;
  }

  /** Index of the last entry applied. */
  get appliedIndex(): number {
    return this.#index.index;
  }

  /** Term of the last entry applied. */
  get appliedTerm(): number {
    return this.#index.term;
  }

  /** The configuration of the cluster after the last entry applied. */
  get confState(): ConfState {
    return this.#index.confState;
  }

  /**
   * Applies committed entries; those the consistent index covers already are skipped, the rest must follow it without a gap.
   * Throws FatalError and its kinds only; the loop is of no use afterwards.
   */
  apply(entries: readonly Entry[]): void {
    try {
      for (const entry of entries) {
        if (entry.index > this.#index.index) this.#applyEntry(entry);
      }
    } finally {
      // Also when an entry fails: a commit that waits its turn takes the entries before it.
      this.#index.stage();
    }
  }

  #applyEntry(entry: Entry): void {
    this.#index.mustBeFollowedBy(entry);
    this.#crash.hit('applyBeforeEntry');
    this.#backend.beginEntry(entry.index);
    if (entry.type === EntryType.ENTRY_NORMAL) this.#applyNormal(entry);
    else this.#applyConfChange(entry);
    this.#crash.hit('applyBetweenEntries');
  }

  /** An empty entry is what a new leader begins its term with. */
  #applyNormal(entry: Entry): void {
    if (entry.data.length === 0) {
      this.#finishEntry(entry);
      return;
    }
    const request = decodeRequest(entry);
    const { header } = request;
    const answered = header !== undefined && header.proposer === this.#memberId;
    const outcome = this.#outcomeOf(entry, request, answered);
    this.#finishEntry(entry);
    if (request.memberAttributesSet !== undefined) this.#hooks.membersChanged();
    if (!answered) return;
    const result = outcome instanceof KvError ? outcome : encodeOutcome(outcome, this.#hooks.headerPrefix());
    this.#crash.hit('applyBeforeRespond');
    this.#hooks.resolve(header.id, result);
  }

  #outcomeOf(entry: Entry, request: InternalRaftRequest, answered: boolean): Outcome | KvError {
    try {
      checkTerm(entry, request);
      return this.#chain.apply(request, answered);
    } catch (error) {
      if (error instanceof KvError) return error;
      if (error instanceof FatalError) throw error;
      const { index, term } = entry;
      throw new FatalError('entry could not be applied', { index, term }, { cause: error });
    }
  }

  /** A change against the rules is refused as a whole: raft never hears of it, and nobody can have seen it in effect. */
  #applyConfChange(entry: Entry): void {
    const outcome = this.#changeMembers(entry);
    const isAccepted = !(outcome instanceof KvError);
    if (isAccepted) this.#index.setConfState(this.#hooks.applyConfChange(entry));
    this.#finishEntry(entry);
    if (isAccepted) this.#hooks.membersChanged();
    const origin = changeOriginOf(entry);
    if (origin?.proposer !== this.#memberId) return;
    const result = isAccepted ? encodeOutcome(outcome, this.#hooks.headerPrefix()) : outcome;
    this.#crash.hit('applyBeforeRespond');
    this.#hooks.resolve(origin.requestId, result);
  }

  #changeMembers(entry: Entry): Outcome | KvError {
    try {
      const change = membershipChangeOf(entry);
      if (change !== undefined) {
        this.#members.check(change);
        this.#members.apply(change);
      }
      return { op: 'done', revision: this.#store.currentRevision };
    } catch (error) {
      if (error instanceof KvError) return error;
      throw error instanceof DecodeError ? undecodable(entry, error) : error;
    }
  }

  #finishEntry(entry: Entry): void {
    this.#crash.hit('applyAfterDataBeforeIndex');
    this.#backend.endEntry();
    this.#index.moveTo(entry);
    this.#crash.hit('applyAfterEntry');
  }
}

/**
 * What only the leader of a term may decide holds in that term alone. A leader that was deposed without noticing may still have
 * proposed it, and its successor have taken it in. Throws KvError leaderChanged.
 */
function checkTerm({ term }: Entry, { header }: InternalRaftRequest): void {
  if (header !== undefined && header.leaderTerm !== 0 && header.leaderTerm !== term) throw new KvError('leaderChanged');
}

function decodeRequest(entry: Entry): InternalRaftRequest {
  try {
    return InternalRaftRequest.decode(entry.data);
  } catch (error) {
    throw error instanceof DecodeError ? undecodable(entry, error) : error;
  }
}

/** Whoever proposed the entry encoded a request: other bytes are damage, and others may have read them well. */
function undecodable({ index, term }: Entry, cause: DecodeError): CorruptionError {
  return new CorruptionError('wal', 'committed entry cannot be decoded', { index, term, reason: cause.message });
}
