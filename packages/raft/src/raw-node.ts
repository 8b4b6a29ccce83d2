/**
 * RawNode: the core as its owner sees it. The owner puts in ticks, messages and proposals, and takes out readies. Everything is
 * synchronous and happens on the caller's stack; nothing is done between calls.
 *
 *   synchronous writes    while (hasReady()) { r = ready(); save, send, apply r; advance(); }
 *   asynchronous writes   while (hasReady()) { r = ready(); route r.messages; }     no advance(); step() the local threads' answers
 *
 * Between ready() and advance() more input may arrive; it shows in the next ready.
 */
import { invariant, type MemberId, noMember } from '@quorate/base';
import type { ConfChange, ConfChangeV2, ConfState, Entry, HardState, Message } from '@quorate/proto';
import { asV2 } from './confchange.ts';
import type { RaftConfig } from './config.ts';
import type { ProgressView } from './progress.ts';
import { Raft, type StepResult } from './raft.ts';
import {
  mustSync,
  type Ready,
  softStateOf,
  storageAppend,
  storageAppendResponse,
  storageApply,
  storageApplyResponse,
} from './ready.ts';
import { applyConfChange } from './reconfigure.ts';
import { type RaftStatus, statusOf } from './status.ts';
import {
  EntryType,
  entriesSizeBytes,
  isEmptyHardState,
  isLocalThread,
  MessageType,
  newEntry,
  newMessage,
  Role,
  type SoftState,
} from './types.ts';

/**
 * What became of a message handed to step(): as StepResult, or why it was not looked at. `wrongTarget`: it is for another member,
 * whose address this one may have inherited. `localOnly`: it is of a kind that never comes from another member, or lacks the term
 * that it would have. `unknownPeer`: an answer from someone who is not in the configuration.
 */
export type StepOutcome = StepResult | 'wrongTarget' | 'localOnly' | 'unknownPeer';

export class RawNode {
  /** The state machine itself, for this package's tests; owners have no use for it. */
  readonly core: Raft;
  readonly #async: boolean;
  #softState: SoftState;
  #hardState: HardState;
  /** Own answers and acknowledgements of the ready under way, stepped by advance(). */
  #onAdvance: Message[] | undefined;

  constructor(config: RaftConfig) {
    this.core = new Raft(config);
    this.#async = this.core.config.asyncStorageWrites;
    this.#softState = softStateOf(this.core);
    this.#hardState = this.core.hardState;
  }

  // ── input ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** One tick of the logical clock passed. */
  tick(): void {
    this.core.tick();
  }

  /** Takes in a message from another member or, with asynchronous writes, an answer of a local thread. */
  step(message: Message): StepOutcome {
    const { type, from, to } = message;
    if (to !== this.core.id) return 'wrongTarget';
    const local = isLocalThread(from);
    if (!local && (isLocalType(type) || (message.term === 0 && !isTermless(type)))) return 'localOnly';
    if (isAnswer(type) && !local && !this.core.tracker.progress.has(from)) return 'unknownPeer';
    if (type === MessageType.MSG_PROP && message.entries.length === 0) return 'dropped';
    return this.core.step(message);
  }

  /** Proposes `data`, which the log owns from now on. False when it was dropped: no leader, a transfer under way, a limit. */
  propose(data: Buffer): boolean {
    return this.#propose([newEntry(EntryType.ENTRY_NORMAL, data)]) === 'taken';
  }

  /** Proposes many payloads as one append: one message per follower, one log write. All or none are taken. */
  proposeBatch(datas: readonly Buffer[]): boolean {
    if (datas.length === 0) return true;
    const entries: Entry[] = [];
    for (let i = 0; i < datas.length; i++) entries.push(newEntry(EntryType.ENTRY_NORMAL, datas[i]!));
    return this.#propose(entries) === 'taken';
  }

  /**
   * Proposes a configuration change. `refused`: the leader is this member and the change is not allowed now (another one may
   * not be applied, it does not fit the configuration, nothing is committed in this term yet); an empty entry took its place.
   * A follower forwards it and only knows that it did.
   */
  proposeConfChange(change: ConfChange | ConfChangeV2): StepResult {
    const { v1, v2 } = this.core.config.confChangeCodec;
    const entry =
      'changes' in change
        ? newEntry(EntryType.ENTRY_CONF_CHANGE_V2, v2.encode(change))
        : newEntry(EntryType.ENTRY_CONF_CHANGE, v1.encode(change));
    return this.#propose([entry]);
  }

  /**
   * Makes a committed configuration change take effect; to be called when its entry, at `index`, is applied, in order. To refuse
   * a committed change, apply one that names member 0 instead. Returns the configuration now in force, to be stored with the
   * applied state; undefined, and nothing changes, when a snapshot that was accepted meanwhile includes the entry: its state is
   * about to replace the one being applied to.
   */
  applyConfChange(change: ConfChange | ConfChangeV2, index: number): ConfState | undefined {
    if (index <= this.core.log.overtakenTo()) return undefined;
    return applyConfChange(this.core, asV2(change));
  }

  /** Campaigns now, if this member may. */
  campaign(): void {
    this.core.step(this.#own(MessageType.MSG_HUP));
  }

  /**
   * Asks for an index at which a linearizable read may run; it comes with `context` in a later ready's readStates, or never: then
   * ask again, with another context. False when there is no leader to ask, or it has too many reads waiting.
   */
  readIndex(context: Buffer): boolean {
    const message = this.#own(MessageType.MSG_READ_INDEX);
    message.context = context;
    return this.core.step(message) === 'taken';
  }

  /** Asks the leader to hand leadership to `id`. False when there is no leader, or `id` cannot lead or does already. */
  transferLeader(id: MemberId): boolean {
    const message = this.#own(MessageType.MSG_TRANSFER_LEADER);
    message.from = id;
    return this.core.step(message) === 'taken';
  }

  /**
   * Gives leadership up without naming a successor: for a leader that has reason to think that others should lead, such as a disk
   * or a processor that stood still. Nothing when it does not lead.
   */
  stepDown(): void {
    if (this.core.role === Role.leader) this.core.becomeFollower(this.core.term, noMember);
  }

  /** Stops to hold on to the present leader, when there is reason to believe that it is dead: helps others to be elected early. */
  forgetLeader(): void {
    this.core.step(this.#own(MessageType.MSG_FORGET_LEADER));
  }

  /** A message to `id` could not be sent. */
  reportUnreachable(id: MemberId): void {
    const message = this.#own(MessageType.MSG_UNREACHABLE);
    message.from = id;
    this.core.step(message);
  }

  /** The snapshot for `id` was delivered, or was not. Must be called once for every snapshot sent, or `id` gets nothing more. */
  reportSnapshot(id: MemberId, ok: boolean): void {
    const message = this.#own(MessageType.MSG_SNAP_STATUS);
    message.from = id;
    message.reject = !ok;
    this.core.step(message);
  }

  #propose(entries: Entry[]): StepResult {
    const message = this.#own(MessageType.MSG_PROP);
    message.entries = entries;
    return this.core.step(message);
  }

  #own(type: number): Message {
    const message = newMessage(type, this.core.id);
    message.from = this.core.id;
    return message;
  }

  // ── output ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whether ready() has something to say. Cheap. */
  hasReady(): boolean {
    const { core } = this;
    const { log } = core;
    return (
      core.messages.length > 0 ||
      core.messagesAfterAppend.length > 0 ||
      log.unstable.hasNextEntries() ||
      log.hasNextCommitted(!this.#async) ||
      core.readStates.length > 0 ||
      log.unstable.nextSnapshot() !== undefined ||
      this.#softStateChanged() ||
      this.#hardStateChanged()
    );
  }

  /** Takes the next batch of work; what it contains counts as handed out. With synchronous writes advance() must follow. */
  ready(): Ready {
    invariant(this.#onAdvance === undefined, 'a ready was taken and not advanced');
    const { core } = this;
    const { log } = core;
    const hardState = this.#hardStateChanged() ? core.hardState : undefined;
    const entries = log.unstable.nextEntries();
    const snapshot = log.unstable.nextSnapshot();
    const work = { hardState, entries, snapshot };
    const ready: Ready = {
      softState: this.#softStateChanged() ? softStateOf(core) : undefined,
      ...work,
      readStates: core.readStates,
      committedEntries: log.nextCommitted(!this.#async),
      messages: core.messages,
      mustSync: mustSync(this.#hardState, work),
    };
    if (this.#async) this.#handOutStorageWork(ready);
    else this.#holdBackOwnAnswers(ready);
    this.#accept(ready);
    return ready;
  }

  /** The last ready was carried out. Only with synchronous writes. */
  advance(): void {
    const answers = this.#onAdvance;
    invariant(answers !== undefined, 'no ready to advance');
    this.#onAdvance = undefined;
    for (const answer of answers) this.core.step(answer);
  }

  #handOutStorageWork(ready: Ready): void {
    const append = storageAppend(this.core, ready);
    if (append !== undefined) ready.messages.push(append);
    if (ready.committedEntries.length > 0) ready.messages.push(storageApply(this.core, ready.committedEntries));
  }

  /** What this member promises itself counts once the ready was carried out; what it promises others is sent with it. */
  #holdBackOwnAnswers(ready: Ready): void {
    const { core } = this;
    const answers: Message[] = [];
    for (const message of core.messagesAfterAppend) {
      if (message.to === core.id) answers.push(message);
      else ready.messages.push(message);
    }
    const stored = storageAppendResponse(core, ready.snapshot);
    if (stored !== undefined) answers.push(stored);
    if (ready.committedEntries.length > 0) answers.push(storageApplyResponse(core, ready.committedEntries));
    this.#onAdvance = answers;
  }

  #accept(ready: Ready): void {
    const { core } = this;
    if (ready.softState !== undefined) this.#softState = ready.softState;
    if (ready.hardState !== undefined) this.#hardState = ready.hardState;
    core.readStates = [];
    core.messages = [];
    core.messagesAfterAppend = [];
    core.log.unstable.acceptInProgress();
    const { committedEntries } = ready;
    const last = committedEntries[committedEntries.length - 1];
    if (last !== undefined) core.log.acceptApplying(last.index, entriesSizeBytes(committedEntries), !this.#async);
  }

  #softStateChanged(): boolean {
    return this.core.leader !== this.#softState.leader || this.core.role !== this.#softState.role;
  }

  #hardStateChanged(): boolean {
    const { core } = this;
    const previous = this.#hardState;
    if (core.term === previous.term && core.vote === previous.vote && core.log.committed === previous.commit)
      return false;
    return !isEmptyHardState(core.hardState);
  }

  // ── views: cheap enough for every turn ─────────────────────────────────────────────────────────────────────────────────────

  get id(): MemberId {
    return this.core.id;
  }

  get term(): number {
    return this.core.term;
  }

  /** The leader of this term; 0n when none is known. */
  get leader(): MemberId {
    return this.core.leader;
  }

  get hasLeader(): boolean {
    return this.core.leader !== noMember;
  }

  get role(): Role {
    return this.core.role;
  }

  /** Whether this member is a learner in the configuration in force. */
  get learner(): boolean {
    return this.core.learner;
  }

  get committedIndex(): number {
    return this.core.log.committed;
  }

  get appliedIndex(): number {
    return this.core.log.applied;
  }

  get lastIndex(): number {
    return this.core.log.lastIndex();
  }

  /**
   * Whether a configuration change may be proposed now: always on others than the leader, who do not know. A leader waits until
   * an earlier one is applied, and until it committed an entry of its own term.
   */
  get mayChangeConfiguration(): boolean {
    const { role, pendingConfIndex, log, committedInTerm, tracker } = this.core;
    if (role !== Role.leader) return true;
    return pendingConfIndex <= log.applied && (committedInTerm || tracker.isSingleton);
  }

  /** What a leader knows about `id`; undefined for strangers and on others than the leader. */
  progress(id: MemberId): ProgressView | undefined {
    if (this.core.leader !== this.core.id) return undefined;
    return this.core.tracker.progress.get(id)?.view();
  }

  /** The configuration in force. */
  confState(): ConfState {
    return this.core.tracker.confState();
  }

  /** Everything at once, copied. */
  status(): RaftStatus {
    return statusOf(this.core);
  }
}

/** Kinds that a member only tells itself. */
function isLocalType(type: number): boolean {
  switch (type) {
    case MessageType.MSG_HUP:
    case MessageType.MSG_BEAT:
    case MessageType.MSG_UNREACHABLE:
    case MessageType.MSG_SNAP_STATUS:
    case MessageType.MSG_CHECK_QUORUM:
    case MessageType.MSG_STORAGE_APPEND:
    case MessageType.MSG_STORAGE_APPEND_RESP:
    case MessageType.MSG_STORAGE_APPLY:
    case MessageType.MSG_STORAGE_APPLY_RESP:
    case MessageType.MSG_FORGET_LEADER:
      return true;
    default:
      return false;
  }
}

/** Kinds that are for the leader of any term. */
function isTermless(type: number): boolean {
  return type === MessageType.MSG_PROP || type === MessageType.MSG_READ_INDEX;
}

/** Kinds that only make sense from a member of the configuration. */
function isAnswer(type: number): boolean {
  switch (type) {
    case MessageType.MSG_APP_RESP:
    case MessageType.MSG_VOTE_RESP:
    case MessageType.MSG_HEARTBEAT_RESP:
    case MessageType.MSG_PRE_VOTE_RESP:
      return true;
    default:
      return false;
  }
}
