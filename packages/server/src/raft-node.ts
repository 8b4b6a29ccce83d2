/**
 * The shell around the raft core: one turn takes in everything that arrived (messages, proposals, reads), asks the core what to
 * do, and does it. Disk work follows raft's asynchronous storage writes: the core hands out an append as a message to the local
 * append thread together with the answers it allows, and goes on ({@link GroupCommit}). The leader's own messages to followers go
 * out at once, so that all disks work in parallel.
 *
 * Committed entries are applied within the turn, synchronously. A turn that takes longer than its budget continues on the next
 * turn of the event loop, after heartbeats and requests that wait.
 */
import { type Clock, type CrashPoints, invariant, type MemberId, type Meter } from '@quorate/base';
import type { Entry, Message } from '@quorate/proto';
import {
  localAppendThread,
  localApplyThread,
  type MemoryStorage,
  type RawNode,
  Role,
  type SoftState,
} from '@quorate/raft';
import type { Wal } from '@quorate/wal';
import { GroupCommit } from './group-commit.ts';
import { LateHeartbeats } from './late-heartbeats.ts';
import type { PeerTransport } from './peer-transport.ts';
import { ProposalQueue } from './proposal-queue.ts';
import type { Proposal } from './proposals.ts';
import { ThriftyAppends } from './thrifty-appends.ts';

/** What the raft node drives. */
export interface RaftNodeOptions {
  readonly memberId: MemberId;
  readonly clock: Clock;
  readonly meter: Meter;
  readonly crash: CrashPoints;
  readonly rawNode: RawNode;
  readonly storage: MemoryStorage;
  readonly wal: Wal;
  readonly peers: Pick<PeerTransport, 'send' | 'connectedSinceMs'>;
  /** Milliseconds of one tick. */
  readonly tickMs: number;
  /** A sync that takes longer than half of this stops the ticks: a member whose disk hangs must neither lead nor campaign. */
  readonly electionMs: number;
  readonly hooks: RaftNodeHooks;
  /** Any error here is the end of the member. */
  readonly onFatal: (error: unknown) => void;
}

export interface RaftNodeHooks {
  /** Applies committed entries, in order, synchronously. */
  apply(entries: readonly Entry[]): void;
  /** A snapshot was accepted: makes it the member's state, durably, before anything later is saved. */
  installSnapshot(message: Message): Promise<void>;
  /** A snapshot must be sent; the message is complete but for the state. */
  sendSnapshot(message: Message): void;
  /** Called on every turn before the core is asked: starts read-index rounds. */
  beforeReady(): void;
  onReadState(context: Buffer, index: number): void;
  onSoftState(state: SoftState): void;
  onTick(): void;
  /** Raft does not let this change of configuration into the log: it does not fit the configuration in force. */
  changeRefused(proposal: Proposal): void;
  /** This member leads, and its disk or its processor stood still for longer than an election time-out. */
  stoodStill(what: 'disk' | 'event loop', forMs: number): void;
  /** After the turn's applies: bookkeeping such as log compaction. */
  afterApply(): void;
}

/** Milliseconds a turn may hold the event loop before it lets others in. */
const turnBudgetMs = 5;

export class RaftNode {
  readonly #options: RaftNodeOptions;
  readonly #heartbeats: LateHeartbeats;
  readonly #queue: ProposalQueue;
  readonly #groups: GroupCommit;
  readonly #appends: ThriftyAppends;
  #inbox: Message[] = [];
  #calls: (() => void)[] = [];
  /** Received snapshots that raft was given; answered at the end of the turn that looked at them. */
  #offers: { readonly index: number; readonly resolve: (taken: boolean) => void }[] = [];
  /** Index of the newest snapshot raft took. */
  #snapshotTaken = 0;
  #lastTickMs: number;
  /** The sync under way for which this leader was already told that it stood still. */
  #reportedSyncMs: number | undefined;
  #turnScheduled = false;
  #inTurn = false;
  #stopped = false;

  constructor(options: RaftNodeOptions) {
    this.#options = options;
    const { memberId, rawNode, storage, wal, peers, hooks, clock, meter, crash, tickMs } = options;
    this.#queue = new ProposalQueue({
      ...{ memberId, rawNode, peers, changeRefused: hooks.changeRefused },
      firstOf: (count) => this.#groups.firstOf(count),
    });
    this.#heartbeats = new LateHeartbeats({ clock, meter, heartbeatMs: tickMs });
    this.#groups = new GroupCommit({
      ...{ storage, wal, clock, crash },
      installSnapshot: (message) => hooks.installSnapshot(message),
      deliver: (responses) => this.#deliver(responses),
      saved: () => this.#turn(),
      onFatal: (error) => this.#fail(error),
    });
    this.#appends = new ThriftyAppends({ memberId, clock, rawNode, send: (messages) => peers.send(messages) });
    this.#lastTickMs = clock.nowMs();
  }

  start(): void {
    this.#lastTickMs = this.#options.clock.nowMs();
    this.#scheduleTick();
    this.wake();
  }

  /** Stops taking turns; resolves when the group under way is on disk. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#appends.reset();
    await this.#groups.stop();
  }

  /** Takes no turn any more: nothing is written, sent or applied from now on. */
  halt(): void {
    this.#stopped = true;
    this.#appends.reset();
    this.#groups.halt();
  }

  /** Messages from other members. */
  receive(messages: readonly Message[]): void {
    for (const message of messages) this.#inbox.push(message);
    this.wake();
  }

  /**
   * Hands a received snapshot to raft; resolves with whether raft took it, in which case it is or will be installed. Raft ignores
   * one that is behind its log or from a deposed leader.
   */
  offerSnapshot(message: Message): Promise<boolean> {
    return new Promise((resolve) => {
      this.#offers.push({ index: message.snapshot?.metadata?.index ?? 0, resolve });
      this.receive([message]);
    });
  }

  /** Runs `fn`, which speaks to the core, outside of any turn's work, and then takes a turn. */
  call(fn: () => void): void {
    if (this.#stopped) return;
    this.#calls.push(fn);
    this.wake();
  }

  propose(proposal: Proposal): void {
    this.#queue.add(proposal);
    this.wake();
  }

  /** Takes a turn soon; many calls before it make one turn. */
  wake(): void {
    if (this.#turnScheduled || this.#stopped) return;
    this.#turnScheduled = true;
    this.#options.clock.soon(() => {
      this.#turnScheduled = false;
      this.#guardedTurn();
    });
  }

  #guardedTurn(): void {
    if (this.#stopped) return;
    try {
      this.#turn();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.halt();
    this.#options.onFatal(error);
  }

  #turn(): void {
    invariant(!this.#inTurn, 'turns do not nest');
    this.#inTurn = true;
    const { rawNode, clock, hooks } = this.#options;
    const startedMs = clock.nowMs();
    this.#runCalls();
    this.#stepInbox();
    this.#queue.propose();
    hooks.beforeReady();
    while (rawNode.hasReady() && !this.#stopped) {
      this.#handleReady();
      if (this.#inbox.length > 0) this.#stepInbox();
      if (clock.nowMs() - startedMs > turnBudgetMs) break;
    }
    this.#inTurn = false;
    if (!rawNode.hasReady()) this.#answerOffers();
    this.#groups.save();
    if (rawNode.hasReady() || this.#inbox.length > 0 || this.#queue.hasMore) this.wake();
  }

  #runCalls(): void {
    if (this.#calls.length === 0) return;
    const calls = this.#calls;
    this.#calls = [];
    for (const call of calls) call();
  }

  #stepInbox(): void {
    const messages = this.#inbox;
    this.#inbox = [];
    for (const message of messages) {
      this.#appends.heard(message);
      if (!this.#queue.takeForwarded(message)) this.#options.rawNode.step(message);
    }
  }

  #handleReady(): void {
    const { rawNode, crash, hooks } = this.#options;
    const ready = rawNode.ready();
    if (ready.softState !== undefined) {
      this.#heartbeats.leaderChanged();
      this.#appends.reset();
      hooks.onSoftState(ready.softState);
      this.wake();
    }
    for (const state of ready.readStates) hooks.onReadState(state.requestContext, state.index);
    const outgoing: Message[] = [];
    const applies: Message[] = [];
    for (const message of ready.messages) {
      if (message.to === localAppendThread) this.#takeAppend(message);
      else if (message.to === localApplyThread) applies.push(message);
      else outgoing.push(message);
    }
    if (outgoing.length > 0) {
      crash.hit('raftBeforeSendLeader');
      this.#send(outgoing);
    }
    for (const message of applies) this.#apply(message);
  }

  #takeAppend(message: Message): void {
    this.#groups.take(message);
    const index = message.snapshot?.metadata?.index;
    if (index !== undefined) this.#snapshotTaken = index;
  }

  #answerOffers(): void {
    for (const offer of this.#offers.splice(0)) offer.resolve(offer.index === this.#snapshotTaken);
  }

  #apply(message: Message): void {
    const { crash, hooks } = this.#options;
    crash.hit('raftBeforeApply');
    hooks.apply(message.entries);
    crash.hit('raftAfterApply');
    this.#deliver(message.responses);
    hooks.afterApply();
  }

  /** Answers that a storage message allowed: to ourselves at once, to peers over the network. */
  #deliver(responses: readonly Message[]): void {
    if (responses.length === 0) return;
    const outgoing: Message[] = [];
    for (const response of responses) {
      if (response.to === this.#options.memberId) this.#inbox.push(response);
      else outgoing.push(response);
    }
    if (outgoing.length > 0) this.#send(outgoing);
  }

  #send(messages: readonly Message[]): void {
    const { peers, hooks } = this.#options;
    this.#heartbeats.sent(messages);
    let bare = messages;
    if (messages.some((message) => message.snapshot !== undefined)) {
      for (const message of messages) if (message.snapshot !== undefined) hooks.sendSnapshot(message);
      bare = messages.filter((message) => message.snapshot === undefined);
    }
    const leaving = this.#appends.pass(bare);
    if (leaving.length > 0) peers.send(leaving);
  }

  #scheduleTick(): void {
    this.#options.clock.after(this.#options.tickMs, () => {
      if (this.#stopped) return;
      this.#scheduleTick();
      try {
        this.#tick();
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  /** One tick per timer, however late it fires: a loop that was held up must not count the others' silence as theirs. */
  #tick(): void {
    const { rawNode, clock, hooks, wal, electionMs } = this.#options;
    const now = clock.nowMs();
    const syncing = wal.syncStartedAtMs;
    const stalledMs = syncing === undefined ? 0 : now - syncing;
    this.#lookForStandstill(now, stalledMs);
    this.#lastTickMs = now;
    if (stalledMs <= electionMs / 2) rawNode.tick();
    hooks.onTick();
    this.wake();
  }

  /** A leader that stood still has been given up by the others, or holds them up: it does not go on as if nothing had happened. */
  #lookForStandstill(now: number, stalledMs: number): void {
    const { rawNode, hooks, wal, electionMs, tickMs } = this.#options;
    if (rawNode.role !== Role.leader) return;
    const lateMs = now - this.#lastTickMs - tickMs;
    if (lateMs > electionMs) {
      hooks.stoodStill('event loop', lateMs);
    } else if (stalledMs > electionMs && this.#reportedSyncMs !== wal.syncStartedAtMs) {
      this.#reportedSyncMs = wal.syncStartedAtMs;
      hooks.stoodStill('disk', stalledMs);
    }
  }
}
