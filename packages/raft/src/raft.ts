/**
 * The state of one member of a Raft group, and the rules that hold in every role: how terms are compared, how roles change, how time
 * passes, how entries enter the log. What a message means to a leader, a follower or a candidate stands in step-leader,
 * step-follower and election; what a configuration change means, in reconfigure.
 *
 * The core is a function of its inputs: it reads no clock, draws chance from the injected Random, and touches no disk or network.
 * Its effects are two lists of messages. `messages` may leave at once. `messagesAfterAppend` promise something about what this
 * member remembers (an append, a vote), so they must wait until everything handed out before them is durable; messages of a member
 * to itself are such promises too: a leader counts its own copy only when its own disk has it.
 */
import { formatId, invariant, type Logger, type MemberId, noMember } from '@quorate/base';
import type { Entry, HardState, Message } from '@quorate/proto';
import { restoreMembership } from './confchange.ts';
import { type RaftConfig, type ResolvedConfig, resolveConfig } from './config.ts';
import { Campaign, campaignTransferContext, handleVoteRequest, hup, learnCommit, refuseVote } from './election.ts';
import { RaftLog } from './raft-log.ts';
import { ReadOnly, type ReadRequest } from './read-only.ts';
import { leaveJointWhenApplied, switchMembership } from './reconfigure.ts';
import { stepCandidate, stepFollower } from './step-follower.ts';
import { stepLeader } from './step-leader.ts';
import { ProgressTracker } from './tracker.ts';
import {
  EntryType,
  emptyBytes,
  entriesSizeBytes,
  MessageType,
  messageTypeName,
  newEntry,
  newMessage,
  payloadSizeBytes,
  type ReadState,
  Role,
} from './types.ts';

/**
 * What became of a message: `taken`; `dropped`, when a proposal, read or transfer cannot be served now (no leader, a transfer under
 * way, a limit reached); `refused`, when a configuration change is not allowed in the present configuration.
 */
export type StepResult = 'taken' | 'dropped' | 'refused';

export class Raft {
  readonly id: MemberId;
  readonly config: ResolvedConfig;
  readonly logger: Logger;
  readonly log: RaftLog;
  readonly tracker: ProgressTracker;
  readonly readOnly: ReadOnly;

  term = 0;
  vote: MemberId = noMember;
  role: Role = Role.follower;
  leader: MemberId = noMember;
  learner = false;

  /** May leave at once. */
  messages: Message[] = [];
  /** Must wait until everything handed out before is durable. */
  messagesAfterAppend: Message[] = [];
  /** Confirmed reads of this member. */
  readStates: ReadState[] = [];
  /** Reads that reached a leader before the first commit of its term. */
  earlyReads: ReadRequest[] = [];

  /** Where leadership is being moved to; 0n when it is not. Proposals are dropped meanwhile (thesis 3.10). */
  leadTransferee: MemberId = noMember;
  /** Index of this leader's first entry. */
  termStart = 0;
  /** No further configuration change may be appended before this index is applied. */
  pendingConfIndex = 0;
  /** Bytes of data proposed in this leader's log and not applied: an estimate, exact while nothing is proposed. */
  uncommittedBytes = 0;

  /** Ticks since the last election timeout (leader), or since word from a leader. */
  electionElapsed = 0;
  /** Ticks since the last heartbeat was sent. */
  heartbeatElapsed = 0;
  /** Ticks since the leadership transfer under way began. */
  transferElapsed = 0;
  /** Drawn anew from [electionTicks, 2 * electionTicks) whenever the role or term changes. */
  randomizedElectionTicks = 0;

  constructor(options: RaftConfig) {
    const config = resolveConfig(options);
    this.id = config.id;
    this.config = config;
    this.logger = config.logger.with({ raft: formatId(config.id) });
    this.log = new RaftLog(config.storage, this.logger, config.maxCommittedSizePerReady);
    this.tracker = new ProgressTracker({ countMax: config.maxInflightMsgs, bytesMax: config.maxInflightBytes });
    this.readOnly = new ReadOnly(this.id, this.config.thriftyReads);
    this.#restore();
    this.becomeFollower(this.term, noMember);
  }

  #restore(): void {
    const { hardState, confState } = this.config.storage.initialState();
    const { inflightLimits } = this.tracker;
    const restored = restoreMembership(confState, { lastIndex: this.log.lastIndex(), inflightLimits });
    invariant(restored.ok, 'the stored configuration cannot be restored');
    switchMembership(this, restored.membership, restored.progress);
    this.term = hardState.term;
    this.vote = hardState.vote;
    // The stored commit index need not be synced and may lag. What was compacted away or applied was committed, and the log
    // itself may prove more.
    this.log.commitTo(hardState.commit);
    if (!this.config.disableConfChangeValidation) this.log.commitTo(this.log.provenByConfChanges());
    const { applied } = this.config;
    if (applied === 0) return;
    this.log.commitTo(applied);
    this.log.appliedTo(applied, 0);
  }

  get hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.log.committed };
  }

  /** Whether this member may become leader: it votes, and no snapshot is about to replace its state. */
  get promotable(): boolean {
    const progress = this.tracker.progress.get(this.id);
    return progress !== undefined && !progress.learner && !this.log.hasPendingSnapshot();
  }

  /** Whether this leader committed an entry of its own: only then does it know what else is committed (thesis 6.4, step 1). */
  get committedInTerm(): boolean {
    return this.log.committed >= this.termStart;
  }

  // ── roles ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  becomeFollower(term: number, leader: MemberId): void {
    this.#reset(term);
    this.leader = leader;
    this.role = Role.follower;
    this.logger.info('became follower', { term });
  }

  becomeCandidate(): void {
    invariant(this.role !== Role.leader, 'a leader cannot become candidate');
    this.#reset(this.term + 1);
    this.vote = this.id;
    this.role = Role.candidate;
    this.logger.info('became candidate', { term: this.term });
  }

  /** Neither term nor vote change: a pre-candidate promises nothing (thesis 9.6). */
  becomePreCandidate(): void {
    invariant(this.role !== Role.leader, 'a leader cannot become pre-candidate');
    this.tracker.resetVotes();
    this.leader = noMember;
    this.role = Role.preCandidate;
    this.logger.info('became pre-candidate', { term: this.term });
  }

  becomeLeader(): void {
    invariant(this.role !== Role.follower, 'a follower cannot become leader');
    this.#reset(this.term);
    this.leader = this.id;
    this.role = Role.leader;
    const own = this.tracker.progress.get(this.id)!;
    own.becomeReplicate();
    own.recentActive = true;
    // There may be a configuration change in what is not applied yet: none may be added before all of that is.
    this.pendingConfIndex = this.log.lastIndex();
    // Entries of former terms are committed by one of this term (thesis 3.6.2).
    const appended = this.appendEntries([newEntry(EntryType.ENTRY_NORMAL, emptyBytes)]);
    invariant(appended, 'the first entry of a term was dropped');
    this.termStart = this.log.lastIndex();
    this.logger.info('became leader', { term: this.term });
  }

  #reset(term: number): void {
    if (this.term !== term) {
      invariant(term > this.term, 'term moved back', { term, current: this.term });
      this.term = term;
      this.vote = noMember;
    }
    this.leader = noMember;
    this.electionElapsed = 0;
    this.heartbeatElapsed = 0;
    const { electionTicks, random } = this.config;
    this.randomizedElectionTicks = electionTicks + random.below(electionTicks);
    this.abortLeaderTransfer();
    this.tracker.resetVotes();
    this.tracker.resetProgress(this.id, this.log.lastIndex());
    this.pendingConfIndex = 0;
    this.uncommittedBytes = 0;
    this.readOnly.reset();
    this.earlyReads = [];
  }

  abortLeaderTransfer(): void {
    this.leadTransferee = noMember;
  }

  // ── time ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  tick(): void {
    if (this.role === Role.leader) this.#tickLeader();
    else this.#tickElection();
  }

  #tickElection(): void {
    this.electionElapsed++;
    if (this.electionElapsed < this.randomizedElectionTicks || !this.promotable) return;
    this.electionElapsed = 0;
    this.step(this.#own(MessageType.MSG_HUP));
  }

  #tickLeader(): void {
    this.heartbeatElapsed++;
    this.electionElapsed++;
    this.#tickTransfer();
    if (this.electionElapsed >= this.config.electionTicks) {
      this.electionElapsed = 0;
      if (this.config.checkQuorum) this.step(this.#own(MessageType.MSG_CHECK_QUORUM));
    }
    if (this.role !== Role.leader || this.heartbeatElapsed < this.config.heartbeatTicks) return;
    this.heartbeatElapsed = 0;
    this.step(this.#own(MessageType.MSG_BEAT));
  }

  /** A transfer that does not succeed within an election timeout is given up: the leader serves again (thesis 3.10). */
  #tickTransfer(): void {
    if (this.leadTransferee === noMember || ++this.transferElapsed < this.config.electionTicks) return;
    this.logger.info('gave up the leadership transfer', { to: formatId(this.leadTransferee) });
    this.abortLeaderTransfer();
    leaveJointWhenApplied(this);
  }

  #own(type: number): Message {
    const message = newMessage(type, this.id);
    message.from = this.id;
    return message;
  }

  // ── messages ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes in a message, from a member or from this one itself. */
  step(message: Message): StepResult {
    if (message.reject && isVoteResponse(message.type)) learnCommit(this, message.context);
    if (message.term !== 0 && !this.#admitTerm(message)) return 'taken';
    switch (message.type) {
      case MessageType.MSG_HUP:
        hup(this, this.config.preVote ? Campaign.preElection : Campaign.election);
        return 'taken';
      case MessageType.MSG_STORAGE_APPEND_RESP:
        if (message.index !== 0) this.log.unstable.stableTo(message.index, message.logTerm);
        this.#snapshotStored(message);
        return 'taken';
      case MessageType.MSG_STORAGE_APPLY_RESP:
        this.#entriesApplied(message.entries);
        return 'taken';
      case MessageType.MSG_VOTE:
      case MessageType.MSG_PRE_VOTE:
        handleVoteRequest(this, message);
        return 'taken';
    }
    if (this.role === Role.leader) return stepLeader(this, message);
    return this.role === Role.follower ? stepFollower(this, message) : stepCandidate(this, message);
  }

  /** Compares terms, and follows a higher one. False when the message needs no further attention. */
  #admitTerm(message: Message): boolean {
    const { type, term } = message;
    if (term === this.term) return true;
    if (term < this.term) {
      this.#answerLowerTerm(message);
      return false;
    }
    if (type === MessageType.MSG_VOTE || type === MessageType.MSG_PRE_VOTE) {
      if (this.#leaderIsFresh() && !message.context.equals(campaignTransferContext)) {
        this.logger.info('ignored a vote request: a leader was heard from recently', { from: formatId(message.from) });
        return false;
      }
    }
    // A pre-vote does not change our term, and neither does its grant, which carries the term asked for.
    if (type === MessageType.MSG_PRE_VOTE) return true;
    if (type === MessageType.MSG_PRE_VOTE_RESP && !message.reject) return true;
    const facts = { type: messageTypeName(type), from: formatId(message.from), term };
    this.logger.info('received a message with a higher term', facts);
    const fromLeader =
      type === MessageType.MSG_APP || type === MessageType.MSG_HEARTBEAT || type === MessageType.MSG_SNAP;
    this.becomeFollower(term, fromLeader ? message.from : noMember);
    return true;
  }

  /** Within an election timeout of hearing from a leader, members do not help to depose it (thesis 4.2.3). */
  #leaderIsFresh(): boolean {
    const { checkQuorum, electionTicks } = this.config;
    return checkQuorum && this.leader !== noMember && this.electionElapsed < electionTicks;
  }

  #answerLowerTerm(message: Message): void {
    const { checkQuorum, preVote } = this.config;
    switch (message.type) {
      case MessageType.MSG_HEARTBEAT:
      case MessageType.MSG_APP:
        // A deposed leader, or one of a term this member left behind when it campaigned alone. If others ignore its vote
        // requests, or it cannot campaign any more, it would be stuck with its higher term; so it tells the leader of it: the
        // leader steps down and the next election takes in everyone.
        if (checkQuorum || preVote || !this.promotable) this.send(newMessage(MessageType.MSG_APP_RESP, message.from));
        return;
      case MessageType.MSG_VOTE:
      case MessageType.MSG_PRE_VOTE:
        // The candidate learns of our term, and of what is committed: it may be the only one that can be elected, and if others
        // raise their terms as fast as it does, it would never catch up.
        refuseVote(this, message);
        return;
      case MessageType.MSG_STORAGE_APPEND_RESP:
        // The entries may have been overwritten in a later term by others of the same index and, coming back in yet another
        // term, of the same term, while that later write is still under way. So entries are stable only by acknowledgements
        // of the present term; each append repeats the request for one while anything is unstable. A snapshot is committed
        // state and stays true in any term.
        this.#snapshotStored(message);
        return;
      default:
        this.logger.debug('ignored a message with a lower term', { type: message.type, from: formatId(message.from) });
    }
  }

  /** Queues a message. Term and sender are filled in. */
  send(message: Message): void {
    if (message.from === noMember) message.from = this.id;
    const { type } = message;
    switch (type) {
      case MessageType.MSG_VOTE:
      case MessageType.MSG_PRE_VOTE:
      case MessageType.MSG_VOTE_RESP:
      case MessageType.MSG_PRE_VOTE_RESP:
        invariant(message.term !== 0, 'a vote needs a term');
        break;
      case MessageType.MSG_PROP:
      case MessageType.MSG_READ_INDEX:
        // Forwarded to whoever leads, whatever the term.
        break;
      default:
        invariant(message.term === 0, 'the term is filled in when a message is sent', { type });
        message.term = this.term;
    }
    if (
      type === MessageType.MSG_APP_RESP ||
      type === MessageType.MSG_VOTE_RESP ||
      type === MessageType.MSG_PRE_VOTE_RESP
    ) {
      this.messagesAfterAppend.push(message);
      return;
    }
    invariant(message.to !== this.id, 'message to ourselves', { type });
    this.messages.push(message);
  }

  // ── log ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Appends entries of a leader, giving them term and index. False when the limit of uncommitted bytes does not allow it. */
  appendEntries(entries: readonly Entry[]): boolean {
    if (!this.#admitBytes(payloadSizeBytes(entries))) return false;
    const last = this.log.lastIndex();
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      entry.term = this.term;
      entry.index = last + 1 + i;
    }
    this.log.append(entries);
    // The leader's own acknowledgement, delivered once its disk has the entries.
    const ack = newMessage(MessageType.MSG_APP_RESP, this.id);
    ack.index = last + entries.length;
    this.send(ack);
    return true;
  }

  /**
   * Counts proposed bytes. When nothing is outstanding, a proposal of any size passes. Empty entries always pass: the first one
   * of a term and the one that leaves a joint configuration must not be refused.
   */
  #admitBytes(bytes: number): boolean {
    const outstanding = this.uncommittedBytes;
    if (outstanding > 0 && bytes > 0 && outstanding + bytes > this.config.maxUncommittedEntriesSize) return false;
    this.uncommittedBytes = outstanding + bytes;
    return true;
  }

  /** Entries handed out before were applied. */
  #entriesApplied(entries: readonly Entry[]): void {
    const last = entries[entries.length - 1];
    if (last === undefined) return;
    this.#appliedTo(last.index, entriesSizeBytes(entries));
    // Entries of former leaders were not counted, hence the floor.
    this.uncommittedBytes = Math.max(0, this.uncommittedBytes - payloadSizeBytes(entries));
  }

  #snapshotStored(message: Message): void {
    const metadata = message.snapshot?.metadata;
    if (metadata === undefined) return;
    this.log.unstable.stableSnapshotTo(metadata.index);
    this.#appliedTo(metadata.index, 0);
  }

  /** A snapshot may have overtaken the entries: then their acknowledgement only frees their bytes. */
  #appliedTo(index: number, bytes: number): void {
    this.log.appliedTo(Math.max(index, this.log.applied), bytes);
    leaveJointWhenApplied(this);
  }
}

function isVoteResponse(type: number): boolean {
  return type === MessageType.MSG_VOTE_RESP || type === MessageType.MSG_PRE_VOTE_RESP;
}
