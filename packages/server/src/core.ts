/**
 * The engine room of a member: log, raft, state, and what joins them. Services stand on it (member.ts); it knows none of them.
 */
import type { ApplyResult } from '@quorate/apply';
import type { Backend } from '@quorate/backend';
import { type Counter, formatId, invariant, type MemberId, nextTurn } from '@quorate/base';
import { type RowIntake, WatchHub } from '@quorate/mvcc';
import { ConfState, type Entry, type InternalRaftRequest, KvError, Message } from '@quorate/proto';
import type { MemoryStorage, RawNode } from '@quorate/raft';
import type { Booted } from './bootstrap.ts';
import { confChangeOf } from './conf-change.ts';
import { type MemberConfig, requestTimeoutMs } from './config.ts';
import { HeaderSource } from './header.ts';
import { Leadership } from './leadership.ts';
import { LeadershipHandOver } from './leadership-hand-over.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { LogCompactor } from './log-compactor.ts';
import { openRaft, openStorage } from './open-raft.ts';
import { answerHash } from './peer-hash.ts';
import type { PeerHandler, SnapshotChunks } from './peer-transport.ts';
import { type Proposal, Proposals } from './proposals.ts';
import { RaftNode } from './raft-node.ts';
import { ReadIndex } from './read-index.ts';
import type { Runtime } from './runtime.ts';
import { SnapshotTransfer } from './snapshot-transfer.ts';
import { Snapshotter, storeName } from './snapshotter.ts';
import { Standing } from './standing.ts';
import { StateMachine } from './state-machine.ts';

export class MemberCore {
  readonly config: MemberConfig;
  readonly runtime: Runtime;
  readonly memberId: MemberId;
  readonly headers: HeaderSource;
  readonly leadership: Leadership;
  readonly proposals: Proposals;
  readonly reads: ReadIndex;
  readonly leases: LeaseKeeper;
  readonly handOver: LeadershipHandOver;
  /** Watchers of the state; they outlive its replacement by a snapshot. */
  readonly watches: WatchHub;
  readonly #booted: Booted;
  readonly #storage: MemoryStorage;
  readonly #rawNode: RawNode;
  readonly #node: RaftNode;
  readonly #snapshotter: Snapshotter;
  readonly #transfer: SnapshotTransfer;
  readonly #compactor: LogCompactor;
  readonly #standing: Standing;
  readonly #tickListeners: (() => void)[] = [];
  readonly #slowApplies: Counter;
  #promote: PeerHandler['promote'] = () => Promise.reject(new KvError('stopped'));
  #state: StateMachine | undefined;
  #stopping = false;

  constructor(config: MemberConfig, runtime: Runtime, booted: Booted) {
    const { clock, logger, meter, crash, checksum, backends } = runtime;
    const { memberId, clusterId } = booted.identity;
    this.config = config;
    this.runtime = runtime;
    this.memberId = memberId;
    this.#booted = booted;
    this.#storage = openStorage(booted);
    this.#rawNode = openRaft(config, runtime, booted, this.#storage);
    this.headers = new HeaderSource(clusterId, memberId);
    this.leadership = this.#buildLeadership();
    this.proposals = this.#buildProposals();
    this.reads = this.#buildReads();
    this.leases = this.#buildLeases();
    this.#standing = this.#buildStanding();
    this.handOver = this.#buildHandOver();
    const pause = (): Promise<void> => nextTurn(clock);
    const onFatal = (error: unknown): void => this.fatal(error);
    this.#snapshotter = new Snapshotter({ backends, clusterId, checksum, crash, logger, clock, meter, pause, onFatal });
    this.#transfer = this.#buildTransfer();
    this.watches = new WatchHub({ clock, meter: runtime.meter, onFatal });
    const { wal } = booted;
    this.#compactor = new LogCompactor({ config, crash, logger, wal, storage: this.#storage, onFatal });
    this.#node = this.#buildNode();
    this.#slowApplies = this.runtime.meter.counter({
      name: 'etcd_server_slow_apply_total',
      help: 'Batches of committed requests whose applying took longer than the warning limit.',
    });
    this.#publishGauges();
  }

  /** Opens the state, connects to the peers and begins to take turns. */
  async run(): Promise<void> {
    const { peers, logger } = this.runtime;
    const { backend, intake } = this.#booted;
    this.#booted.intake = undefined;
    this.#state = await this.#openState(backend, intake);
    this.watches.attach(this.#state.store);
    await peers.start(this.#booted.identity, this.#peerHandler());
    this.#membersChanged();
    if (this.config.initialElectionTickAdvance) this.#advanceTicks();
    this.#node.start();
    // A voter that is alone has nobody to wait for, and nobody to disturb.
    const { voters } = this.#rawNode.confState();
    if (voters.length === 1 && voters[0] === this.memberId) this.#node.call(() => this.#rawNode.campaign());
    logger.info('member runs', { name: this.config.name });
  }

  /** Hands leadership over when leading, answers what waits, makes durable what was applied, closes everything. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    await this.handOver.toAnyone();
    this.#stopping = true;
    const stopped = new KvError('stopped');
    this.proposals.stop(stopped);
    this.reads.stop(stopped);
    this.leases.stop();
    await this.runtime.peers.stop();
    await this.#node.stop();
    const state = this.#state;
    this.#state = undefined;
    this.watches.detach();
    await state?.close();
    await this.#booted.wal.close();
  }

  /** The live state. Throws KvError while a received snapshot takes its place, and after the member stopped. */
  get state(): StateMachine {
    if (this.#state === undefined) throw new KvError(this.#stopping ? 'stopped' : 'leaderChanged');
    return this.#state;
  }

  /** Whether the state is open. */
  get isServing(): boolean {
    return this.#state !== undefined;
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** Highest index whose effect a reader here sees. */
  get appliedIndex(): number {
    return this.#state?.applyLoop.appliedIndex ?? 0;
  }

  get committedIndex(): number {
    return this.#rawNode.committedIndex;
  }

  get term(): number {
    return this.#rawNode.term;
  }

  get isLearner(): boolean {
    return this.#rawNode.learner;
  }

  /** Whether the cluster has no other member. */
  get isAlone(): boolean {
    return this.#state?.members.count === 1;
  }

  isVoter(id: MemberId): boolean {
    return this.#rawNode.confState().voters.includes(id);
  }

  /** Highest index known to be on the disk of `id`; undefined for strangers, and when this member does not lead. */
  matchOf(id: MemberId): number | undefined {
    return this.#rawNode.progress(id)?.match;
  }

  transferLeader(to: MemberId): void {
    this.#node.call(() => this.#rawNode.transferLeader(to));
  }

  /** What to do when a peer asks to promote a learner. */
  onPromote(promote: PeerHandler['promote']): void {
    this.#promote = promote;
  }

  /** Proposes and resolves with the outcome once it was applied here; refusals resolve as KvError too. */
  propose(request: InternalRaftRequest): Promise<ApplyResult | KvError> {
    return new Promise((resolve) => {
      try {
        this.proposals.propose(request, resolve);
      } catch (error) {
        if (!(error instanceof KvError)) throw error;
        resolve(error);
      }
    });
  }

  #buildLeadership(): Leadership {
    const { clock, logger, meter, peers } = this.runtime;
    const connectedSinceMs = (peer: MemberId): number | undefined => peers.connectedSinceMs(peer);
    const { electionMs } = this.config;
    return new Leadership({ memberId: this.memberId, clock, logger, meter, electionMs, connectedSinceMs });
  }

  #buildProposals(): Proposals {
    const { clock, meter } = this.runtime;
    return new Proposals({
      memberId: this.memberId,
      clock,
      meter,
      timeoutMs: requestTimeoutMs(this.config),
      timeoutError: (startedMs) => this.leadership.timeoutError(startedMs),
      maxRequestBytes: this.config.maxRequestBytes,
      applyLag: () => this.#rawNode.committedIndex - this.appliedIndex,
      enqueue: (proposal) => this.#node.propose(proposal),
    });
  }

  #buildReads(): ReadIndex {
    const { clock, meter } = this.runtime;
    return new ReadIndex({
      memberId: this.memberId,
      clock,
      meter,
      timeoutMs: requestTimeoutMs(this.config),
      timeoutError: (startedMs) => this.leadership.timeoutError(startedMs),
      request: (context) => this.#rawNode.readIndex(context),
      appliedIndex: () => this.appliedIndex,
      wake: () => this.#node.wake(),
    });
  }

  #buildLeases(): LeaseKeeper {
    const { clock, logger, meter } = this.runtime;
    const { electionMs, leaseCheckpoint: checkpoints } = this.config;
    return new LeaseKeeper({
      clock,
      logger,
      meter,
      leadership: this.leadership,
      proposals: this.proposals,
      reads: this.reads,
      state: () => this.#state,
      term: () => this.#rawNode.term,
      electionMs,
      timeoutMs: requestTimeoutMs(this.config),
      checkpoints,
    });
  }

  #buildStanding(): Standing {
    const { clock, logger, onExpelled, onFatal } = this.runtime;
    return new Standing({
      memberId: this.memberId,
      incarnation: this.#booted.identity.incarnation,
      clock,
      logger,
      members: () => this.#state?.members,
      makeDurable: () => this.state.commits.commitDurably(),
      refusalsChanged: () => {
        if (this.isServing && !this.#stopping) this.#connectPeers();
      },
      onExpelled: (error) => {
        if (!this.#stopping) (onExpelled ?? onFatal)(error);
      },
    });
  }

  #buildTransfer(): SnapshotTransfer {
    const { clock, logger, meter, peers } = this.runtime;
    const { snapshotBytesPerSecond: bytesPerSecond } = this.config;
    return new SnapshotTransfer({ clock, logger, meter, peers, snapshotter: this.#snapshotter, bytesPerSecond });
  }

  #buildHandOver(): LeadershipHandOver {
    const { clock, logger, peers } = this.runtime;
    return new LeadershipHandOver({
      memberId: this.memberId,
      clock,
      logger,
      leadership: this.leadership,
      electionMs: this.config.electionMs,
      voters: () => this.#rawNode.confState().voters,
      connectedSinceMs: (id) => peers.connectedSinceMs(id),
      transferLeader: (to) => this.transferLeader(to),
      stepDown: () => this.#node.call(() => this.#rawNode.stepDown()),
    });
  }

  #publishGauges(): void {
    const { meter } = this.runtime;
    const gauge = (name: string, help: string, read: () => number): void => meter.observedGauge({ name, help }, read);
    gauge(
      'etcd_server_proposals_committed_total',
      'The total number of consensus proposals committed.',
      () => this.committedIndex,
    );
    gauge(
      'etcd_server_proposals_applied_total',
      'The total number of consensus proposals applied.',
      () => this.appliedIndex,
    );
    gauge('etcd_server_is_learner', 'Whether this member is a learner: 0 or 1.', () => Number(this.isLearner));
  }

  #openState(backend: Backend, intake?: RowIntake): Promise<StateMachine> {
    return StateMachine.open({
      config: this.config,
      runtime: { ...this.runtime, onFatal: (error) => this.fatal(error) },
      memberId: this.memberId,
      backend,
      intake,
      hooks: {
        resolve: (requestId, result) => this.proposals.resolve(requestId, result),
        headerPrefix: () => this.headers.prefix(),
        applyConfChange: (entry) =>
          this.#rawNode.applyConfChange(confChangeOf(entry), entry.index) ?? this.state.applyLoop.confState,
        membersChanged: () => this.#membersChanged(),
      },
    });
  }

  #buildNode(): RaftNode {
    const { clock, meter, crash, peers } = this.runtime;
    return new RaftNode({
      memberId: this.memberId,
      clock,
      meter,
      crash,
      peers,
      rawNode: this.#rawNode,
      storage: this.#storage,
      wal: this.#booted.wal,
      tickMs: this.config.heartbeatMs,
      electionMs: this.config.electionMs,
      onFatal: (error) => this.fatal(error),
      hooks: {
        apply: (entries) => this.#apply(entries),
        installSnapshot: (message) => this.#snapshotter.installing(() => this.#install(message)),
        sendSnapshot: (message) => this.#sendSnapshot(message),
        beforeReady: () => this.reads.turn(),
        onReadState: (context, index) => this.reads.onReadState(context, index),
        onSoftState: (state) => this.#leaderChanged(state.leader),
        onTick: () => this.#tick(),
        changeRefused: (proposal: Proposal) => this.proposals.resolve(proposal.id, new KvError('proposalDropped')),
        stoodStill: (what, forMs) => this.handOver.afterStandstill(what, forMs),
        afterApply: () => this.#afterApply(),
      },
    });
  }

  #apply(entries: readonly Entry[]): void {
    const { clock, logger } = this.runtime;
    const startedMs = clock.nowMs();
    const { applyLoop, commits } = this.state;
    applyLoop.apply(entries);
    commits.touched(applyLoop.appliedIndex);
    const tookMs = clock.nowMs() - startedMs;
    if (tookMs > this.config.warningApplyMs) {
      this.#slowApplies.add();
      logger.warn('apply request took too long', { tookMs, entries: entries.length });
    }
    let bytes = 0;
    for (const entry of entries) bytes += entry.data.length;
    this.#compactor.applied(bytes);
  }

  #afterApply(): void {
    this.reads.onApplied(this.appliedIndex);
    this.#compactor.maybeCompact(this.state);
  }

  /** Calls `listener` on every tick. */
  onTick(listener: () => void): void {
    this.#tickListeners.push(listener);
  }

  #tick(): void {
    for (const listener of this.#tickListeners) listener();
    this.proposals.expire();
    this.reads.tick();
  }

  #leaderChanged(leader: MemberId): void {
    this.headers.termChanged(this.#rawNode.term);
    this.leadership.changed(leader);
    this.reads.onLeaderChange();
  }

  #peerHandler(): PeerHandler {
    return {
      // What a removed member says is of no concern any more, whatever its term.
      receive: (messages) => {
        if (messages[0] !== undefined && !this.#standing.isRemoved(messages[0].from)) this.#node.receive(messages);
      },
      receiveSnapshot: (message, chunks) => this.#receiveSnapshot(message, chunks),
      unreachable: (peer) => this.#node.call(() => this.#rawNode.reportUnreachable(peer)),
      gone: (peer) => this.#peerGone(peer),
      lease: (ask) => this.leases.ask(ask),
      info: () => ({
        members: this.#state?.members.records() ?? [],
        leader: this.leadership.leader,
        appliedIndex: this.appliedIndex,
      }),
      state: () => this.#transfer.open(Message.create({ from: this.memberId }), this.state.backend),
      hash: (ask) => answerHash(() => this.state, ask),
      promote: (id) => this.#promote(id),
      peerUrls: () => this.#peerUrls(),
      refusalOf: (speaker) => this.#standing.refusalOf(speaker),
      refusedBy: (peer, refusal) => this.#standing.refusedBy(peer, refusal),
    };
  }

  /**
   * The leader's process is dead: waiting for its silence to last an election time-out would prove nothing more. Everyone who
   * noticed stops to hold on to it, and after a moment, each after another, asks for votes. A member that noticed wrongly is
   * refused by those who still hear the leader (pre-vote).
   */
  #peerGone(peer: MemberId): void {
    if (peer !== this.leadership.leader || !this.config.preVote) return;
    const { clock, random, logger } = this.runtime;
    logger.info('the process of the leader is gone', { leader: formatId(peer) });
    this.#node.call(() => this.#rawNode.forgetLeader());
    const spreadMs = Math.max(1, Math.floor(this.config.electionMs / 5));
    clock.after(this.config.heartbeatMs / 2 + random.below(spreadMs), () => {
      this.#node.call(() => {
        if (!this.#rawNode.hasLeader) this.#rawNode.campaign();
      });
    });
  }

  /** As the cluster has them; before it does, as the flags have them. */
  #peerUrls(): readonly string[] {
    const known = this.#state?.members.get(this.memberId)?.peerURLs;
    return known ?? this.config.initialCluster.find(({ name }) => name === this.config.name)?.peerUrls ?? [];
  }

  #membersChanged(): void {
    this.#connectPeers();
    this.#standing.membersChanged();
  }

  #connectPeers(): void {
    const others = this.state.members.list().filter((member) => member.id !== this.memberId);
    this.runtime.peers.setPeers(others.map((member) => ({ id: member.id, urls: member.peerURLs })));
  }

  /** Starts just before the first election instead of a whole time-out away from it. */
  #advanceTicks(): void {
    const ticks = Math.floor(this.config.electionMs / this.config.heartbeatMs) - 1;
    for (let i = 0; i < ticks; i++) this.#rawNode.tick();
  }

  #sendSnapshot(message: Message): void {
    const { logger } = this.runtime;
    const report = (ok: boolean): void => this.#node.call(() => this.#rawNode.reportSnapshot(message.to, ok));
    this.#transfer.send(message, this.state.backend).then(
      () => report(true),
      (error: unknown) => {
        logger.warn('could not send a snapshot', { to: formatId(message.to), reason: String(error) });
        report(false);
      },
    );
  }

  async #receiveSnapshot(message: Message, chunks: SnapshotChunks): Promise<void> {
    await this.#transfer.receive(message, chunks, () => this.#node.offerSnapshot(message));
  }

  /** Steps 3 to 5 of the snapshotter's table. Reads and applies wait meanwhile; nothing is proposed to the state. */
  async #install(message: Message): Promise<void> {
    const { wal } = this.#booted;
    const metadata = message.snapshot?.metadata;
    invariant(metadata !== undefined && metadata.confState !== undefined, 'snapshot without metadata');
    const { index, term, confState } = metadata;
    // A compaction under way ends here: a mark of its own behind this one would take the log back.
    this.#compactor.restartsAt(index);
    wal.append(undefined, [], { index, term, confState: ConfState.encode(confState) });
    await wal.sync();
    this.runtime.crash.hit('snapshotAfterWalRecord');
    const old = this.state;
    this.#state = undefined;
    this.watches.detach();
    await old.close();
    await this.#snapshotter.swap(index);
    this.#state = await this.#openState(await this.runtime.backends.open(storeName));
    invariant(this.appliedIndex === index, 'the installed state stands elsewhere', {
      applied: this.appliedIndex,
      index,
    });
    this.watches.attach(this.#state.store);
    this.#storage.applySnapshot({ data: Buffer.alloc(0), metadata });
    this.runtime.crash.hit('snapshotBeforeRelease');
    await wal.release(index);
    this.#membersChanged();
    this.reads.onApplied(index);
  }

  /** The process must end; only the first call counts. */
  fatal(error: unknown): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#node.halt();
    this.runtime.onFatal(error);
  }
}
