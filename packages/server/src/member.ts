/**
 * One member of a cluster: disk, raft, state and the services on it, joined together. It knows the world only through its
 * Runtime, so a program on Node.js and the simulator run the very same member.
 */
import type { ApplyResult } from '@quorate/apply';
import type { Backend } from '@quorate/backend';
import { formatId, invariant, type MemberId, noMember } from '@quorate/base';
import { ConfState, type Entry, InternalRaftRequest, KvError, MemberAttributesSet, type Message } from '@quorate/proto';
import { Quota } from '@quorate/quota';
import { MemoryStorage, RawNode } from '@quorate/raft';
import { type Booted, boot } from './bootstrap.ts';
import { ClusterServer } from './cluster-server.ts';
import { confChangeCodec, confChangeOf } from './conf-change.ts';
import { type MemberConfig, requestTimeoutMs } from './config.ts';
import { HeaderSource } from './header.ts';
import { KvServer } from './kv-server.ts';
import { Leadership } from './leadership.ts';
import { LogCompactor } from './log-compactor.ts';
import { MaintenanceServer } from './maintenance-server.ts';
import type { PeerHandler, PeerIdentity, SnapshotChunks } from './peer-transport.ts';
import { Proposals } from './proposals.ts';
import { RaftNode } from './raft-node.ts';
import { ReadIndex } from './read-index.ts';
import type { Runtime } from './runtime.ts';
import { Snapshotter, storeName } from './snapshotter.ts';
import { StateMachine } from './state-machine.ts';

/** Raft limits that no flag sets; etcd's where it has them. */
const raftLimits = {
  maxSizePerMsg: 1024 * 1024,
  /** Committed entries handed out at once: a slice of applying that stays within a few milliseconds. */
  maxCommittedSizePerReady: 128 * 1024,
  maxInflightMsgs: 512,
  maxInflightBytes: 64 * 1024 * 1024,
  maxUncommittedEntriesSize: 256 * 1024 * 1024,
};

export class Member {
  readonly identity: PeerIdentity;
  readonly config: MemberConfig;
  readonly kv: KvServer;
  readonly cluster: ClusterServer;
  readonly maintenance: MaintenanceServer;
  readonly leadership: Leadership;
  readonly reads: ReadIndex;
  readonly headers: HeaderSource;
  readonly #runtime: Runtime;
  readonly #proposals: Proposals;
  readonly #rawNode: RawNode;
  readonly #storage: MemoryStorage;
  readonly #node: RaftNode;
  readonly #snapshotter: Snapshotter;
  readonly #compactor: LogCompactor;
  readonly #booted: Booted;
  #state: StateMachine | undefined;
  #stopping = false;

  /**
   * Starts from what the disk holds (or creates it), connects to the peers and takes part in raft. Resolves when the member runs;
   * {@link published} tells when the cluster knows its name and client URLs. Throws StartError when told wrong things, and
   * CorruptionError when the disk contradicts itself.
   */
  static async start(config: MemberConfig, runtime: Runtime): Promise<Member> {
    const booted = await boot(config, runtime);
    const member = new Member(config, runtime, booted);
    await member.#run();
    return member;
  }

  private constructor(config: MemberConfig, runtime: Runtime, booted: Booted) {
    this.config = config;
    this.identity = booted.identity;
    this.#runtime = runtime;
    this.#booted = booted;
    const { clock, random, logger, meter, crash, checksum, peers } = runtime;
    const { memberId, clusterId } = booted.identity;
    this.headers = new HeaderSource(clusterId, memberId);
    this.leadership = new Leadership({
      memberId,
      clock,
      meter,
      electionMs: config.electionMs,
      connectedSinceMs: (peer) => peers.connectedSinceMs(peer),
    });
    this.#storage = openStorage(booted);
    this.#rawNode = new RawNode({
      id: memberId,
      electionTicks: Math.floor(config.electionMs / config.heartbeatMs),
      heartbeatTicks: 1,
      storage: this.#storage,
      applied: booted.appliedIndex,
      asyncStorageWrites: true,
      checkQuorum: true,
      preVote: config.preVote,
      random,
      confChangeCodec,
      ...raftLimits,
    });
    const timeoutMs = requestTimeoutMs(config);
    const timeoutError = (startedMs: number): KvError => this.leadership.timeoutError(startedMs);
    this.#proposals = new Proposals({
      memberId,
      clock,
      meter,
      timeoutMs,
      timeoutError,
      maxRequestBytes: config.maxRequestBytes,
      applyLag: () => this.#rawNode.committedIndex - this.appliedIndex,
      enqueue: (proposal) => this.#node.propose(proposal),
    });
    this.reads = new ReadIndex({
      memberId,
      clock,
      meter,
      timeoutMs,
      timeoutError,
      request: (context) => this.#rawNode.readIndex(context),
      appliedIndex: () => this.appliedIndex,
      wake: () => this.#node.wake(),
    });
    this.#snapshotter = new Snapshotter({
      backends: runtime.backends,
      clusterId,
      checksum,
      crash,
      logger,
      pause: () => new Promise((resolve) => clock.soon(resolve)),
    });
    this.#compactor = new LogCompactor({
      config,
      clock,
      crash,
      logger,
      wal: booted.wal,
      storage: this.#storage,
      onFatal: (error) => this.#fatal(error),
    });
    this.#node = this.#buildNode();
    const quota = new Quota({ limitBytes: config.quotaBackendBytes, logger, meter });
    const state = (): StateMachine => this.state;
    this.kv = new KvServer({
      memberId,
      headers: this.headers,
      proposals: this.#proposals,
      reads: this.reads,
      quota,
      state,
      maxTxnOps: config.maxTxnOps,
    });
    this.cluster = new ClusterServer({ headers: this.headers, reads: this.reads, state });
    this.maintenance = new MaintenanceServer({
      headers: this.headers,
      leadership: this.leadership,
      proposals: this.#proposals,
      state,
      raft: () => ({
        committedIndex: this.#rawNode.committedIndex,
        term: this.#rawNode.term,
        isLearner: this.#rawNode.learner,
      }),
      quotaBytes: quota.limitBytes,
      electionMs: config.electionMs,
      transferLeader: (to) => this.#transferLeader(to),
      isVoter: (id) => this.#isVoter(id),
    });
  }

  /** The live state. Throws KvError while a received snapshot takes its place, and after the member stopped. */
  get state(): StateMachine {
    if (this.#state === undefined) throw new KvError(this.#stopping ? 'stopped' : 'leaderChanged');
    return this.#state;
  }

  /** Highest index whose effect a reader here sees. */
  get appliedIndex(): number {
    return this.#state?.applyLoop.appliedIndex ?? 0;
  }

  /** Whether the state is open: false while a received snapshot takes its place, and after the member stopped. */
  get isServing(): boolean {
    return this.#state !== undefined;
  }

  get isLearner(): boolean {
    return this.#rawNode.learner;
  }

  /**
   * Proposes this member's name and client URLs until the cluster has them, then resolves: the point at which etcd opens its
   * client port. Resolves early when the member stops.
   */
  async published(): Promise<void> {
    const { memberId } = this.identity;
    const attributes = { memberId, name: this.config.name, clientUrls: [...this.config.advertiseClientUrls] };
    while (!this.#stopping) {
      const memberAttributesSet = MemberAttributesSet.create(attributes);
      const outcome = await this.propose(InternalRaftRequest.create({ memberAttributesSet }));
      if (!(outcome instanceof KvError)) return;
      this.#runtime.logger.warn('could not publish the member to the cluster, trying again', {
        reason: outcome.message,
      });
    }
  }

  /**
   * Hands leadership over when leading, answers what waits, writes what was applied and closes everything. The data can be opened
   * again as soon as this resolves.
   */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    await this.#handOver();
    this.#stopping = true;
    const stopped = new KvError('stopped');
    this.#proposals.stop(stopped);
    this.reads.stop(stopped);
    await this.#runtime.peers.stop();
    await this.#node.stop();
    const state = this.#state;
    this.#state = undefined;
    await state?.close();
    await this.#booted.wal.close();
  }

  async #run(): Promise<void> {
    const { peers, logger } = this.#runtime;
    this.#state = await this.#openState();
    await peers.start(this.identity, this.#peerHandler());
    this.#connectPeers();
    if (this.config.initialElectionTickAdvance) this.#advanceTicks();
    this.#node.start();
    logger.info('member runs', { name: this.config.name });
  }

  /** Proposes and resolves with the outcome once it was applied here; refusals resolve as KvError too. */
  propose(request: InternalRaftRequest): Promise<ApplyResult | KvError> {
    return new Promise((resolve) => {
      try {
        this.#proposals.propose(request, resolve);
      } catch (error) {
        if (!(error instanceof KvError)) throw error;
        resolve(error);
      }
    });
  }

  #openState(): Promise<StateMachine> {
    return this.#openStateOn(this.#booted.backend);
  }

  #openStateOn(backend: Backend): Promise<StateMachine> {
    return StateMachine.open({
      config: this.config,
      runtime: { ...this.#runtime, onFatal: (error) => this.#fatal(error) },
      memberId: this.identity.memberId,
      backend,
      hooks: {
        resolve: (requestId, result) => this.#proposals.resolve(requestId, result),
        headerPrefix: () => this.headers.prefix(),
        applyConfChange: (entry) =>
          this.#rawNode.applyConfChange(confChangeOf(entry), entry.index) ?? this.state.applyLoop.confState,
        membersChanged: () => this.#connectPeers(),
      },
    });
  }

  #buildNode(): RaftNode {
    const { clock, crash, peers } = this.#runtime;
    return new RaftNode({
      memberId: this.identity.memberId,
      clock,
      crash,
      peers,
      rawNode: this.#rawNode,
      storage: this.#storage,
      wal: this.#booted.wal,
      tickMs: this.config.heartbeatMs,
      diskStallMs: this.config.electionMs / 2,
      onFatal: (error) => this.#fatal(error),
      hooks: {
        apply: (entries) => this.#apply(entries),
        installSnapshot: (message) => this.#install(message),
        sendSnapshot: (message) => this.#sendSnapshot(message),
        beforeReady: () => this.reads.turn(),
        onReadState: (context, index) => this.reads.onReadState(context, index),
        onSoftState: (state) => this.#leaderChanged(state.leader),
        onTick: () => this.#tick(),
        afterApply: () => this.#afterApply(),
      },
    });
  }

  #apply(entries: readonly Entry[]): void {
    const { clock, logger } = this.#runtime;
    const startedMs = clock.nowMs();
    const { applyLoop, commits } = this.state;
    applyLoop.apply(entries);
    commits.touched(applyLoop.appliedIndex);
    const tookMs = clock.nowMs() - startedMs;
    if (tookMs > this.config.warningApplyMs) {
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

  #tick(): void {
    this.#proposals.expire();
    this.reads.tick();
  }

  #leaderChanged(leader: MemberId): void {
    this.headers.termChanged(this.#rawNode.term);
    this.leadership.changed(leader);
    this.reads.onLeaderChange();
  }

  #peerHandler(): PeerHandler {
    return {
      receive: (messages) => this.#node.receive(messages),
      receiveSnapshot: (message, chunks) => this.#receiveSnapshot(message, chunks),
      unreachable: (peer) => this.#node.call(() => this.#rawNode.reportUnreachable(peer)),
      info: () => ({
        members: this.#state?.members.list() ?? [],
        leader: this.leadership.leader,
        appliedIndex: this.appliedIndex,
      }),
    };
  }

  #connectPeers(): void {
    const others = this.state.members.list().filter((member) => member.id !== this.identity.memberId);
    this.#runtime.peers.setPeers(others.map((member) => ({ id: member.id, urls: member.peerURLs })));
  }

  /** Starts just before the first election instead of a whole time-out away from it. */
  #advanceTicks(): void {
    const ticks = Math.floor(this.config.electionMs / this.config.heartbeatMs) - 1;
    for (let i = 0; i < ticks; i++) this.#rawNode.tick();
  }

  #sendSnapshot(message: Message): void {
    const { logger, peers } = this.#runtime;
    const report = (ok: boolean): void => this.#node.call(() => this.#rawNode.reportSnapshot(message.to, ok));
    this.#snapshotter
      .prepare(message, this.state.backend)
      .then(({ message: complete, chunks }) => peers.sendSnapshot(complete, chunks))
      .then(
        () => report(true),
        (error: unknown) => {
          logger.warn('could not send a snapshot', { to: formatId(message.to), reason: String(error) });
          report(false);
        },
      );
  }

  async #receiveSnapshot(message: Message, chunks: SnapshotChunks): Promise<void> {
    await this.#snapshotter.receive(message, chunks, () => this.#node.offerSnapshot(message));
  }

  /** Steps 3 to 5 of the snapshotter's table. Reads and applies wait meanwhile; nothing is proposed to the state. */
  async #install(message: Message): Promise<void> {
    const { wal } = this.#booted;
    const metadata = message.snapshot?.metadata;
    invariant(metadata !== undefined && metadata.confState !== undefined, 'snapshot without metadata');
    const { index, term, confState } = metadata;
    wal.append(undefined, [], { index, term, confState: ConfState.encode(confState) });
    await wal.sync();
    this.#runtime.crash.hit('snapshotAfterWalRecord');
    const old = this.state;
    this.#state = undefined;
    await old.close();
    await this.#snapshotter.swap(index);
    this.#state = await this.#openStateOn(await this.#runtime.backends.open(storeName));
    invariant(this.appliedIndex === index, 'the installed state stands elsewhere', {
      applied: this.appliedIndex,
      index,
    });
    this.#storage.applySnapshot({ data: Buffer.alloc(0), metadata });
    this.#compactor.restartedAt(index);
    this.#runtime.crash.hit('snapshotBeforeRelease');
    await wal.release(index);
    this.#connectPeers();
    this.reads.onApplied(index);
  }

  #isVoter(id: MemberId): boolean {
    return this.#rawNode.confState().voters.includes(id);
  }

  #transferLeader(to: MemberId): void {
    this.#node.call(() => this.#rawNode.transferLeader(to));
  }

  /** A leader that stops first gives leadership to the voter connected longest, so that no election time-out passes. */
  async #handOver(): Promise<void> {
    if (!this.leadership.isLeader) return;
    const { peers } = this.#runtime;
    let best: { id: MemberId; sinceMs: number } | undefined;
    for (const { id } of this.state.members.list()) {
      const sinceMs = this.#isVoter(id) ? peers.connectedSinceMs(id) : undefined;
      if (sinceMs !== undefined && (best === undefined || sinceMs < best.sinceMs)) best = { id, sinceMs };
    }
    if (best === undefined) return;
    this.#transferLeader(best.id);
    const { memberId } = this.identity;
    await this.leadership.waitFor((leader) => leader !== memberId && leader !== noMember, 2 * this.config.electionMs);
  }

  #fatal(error: unknown): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#runtime.onFatal(error);
  }
}

/** The log in memory, as the disk has it. */
function openStorage(booted: Booted): MemoryStorage {
  const { logStart, confState, entries, hardState } = booted;
  const storage = new MemoryStorage();
  if (logStart.index > 0) storage.applySnapshot({ data: Buffer.alloc(0), metadata: { ...logStart, confState } });
  storage.append(entries);
  storage.setHardState(hardState);
  // The state may be ahead of where the log begins, and the configuration comes with the state.
  storage.setConfState(confState);
  return storage;
}
