/**
 * One member of a cluster, as programs, the embedding library and the simulator hold it: its services on top of its core. It
 * knows the world only through its Runtime, so a program on Node.js and the simulator run the very same member.
 */
import { type MemberId, nextTurn } from '@quorate/base';
import { type InternalRaftRequest, MemberAttributesSet } from '@quorate/proto';
import { Quota } from '@quorate/quota';
import { autoCompact } from './auto-compactor.ts';
import { BackendHash } from './backend-hash.ts';
import { boot } from './bootstrap.ts';
import { ClusterServer } from './cluster-server.ts';
import { ClusterVersion } from './cluster-version.ts';
import { type MemberConfig, requestTimeoutMs } from './config.ts';
import { MemberCore } from './core.ts';
import { DowngradeServer } from './downgrade-server.ts';
import { ElectionServer } from './election-server.ts';
import type { HeaderSource } from './header.ts';
import { KvServer } from './kv-server.ts';
import type { Leadership } from './leadership.ts';
import { LeaseServer } from './lease-server.ts';
import { LocalKv } from './local-kv.ts';
import { LockServer } from './lock-server.ts';
import { type MaintenanceOptions, MaintenanceServer } from './maintenance-server.ts';
import type { PeerIdentity } from './peer-transport.ts';
import { publish } from './publish.ts';
import type { ReadIndex } from './read-index.ts';
import type { Runtime } from './runtime.ts';
import { SpaceGate } from './space-gate.ts';
import { SpaceWatch } from './space-watch.ts';
import type { StateMachine } from './state-machine.ts';
import { StoreChecks } from './store-checks.ts';
import { StoreDefragmenter } from './store-defragmenter.ts';
import { WatchServer } from './watch-server.ts';

export class Member {
  readonly identity: PeerIdentity;
  readonly config: MemberConfig;
  readonly kv: KvServer;
  readonly leases: LeaseServer;
  readonly watch: WatchServer;
  readonly locks: LockServer;
  readonly elections: ElectionServer;
  readonly cluster: ClusterServer;
  readonly maintenance: MaintenanceServer;
  /** How full the store is. */
  readonly space: SpaceWatch;
  readonly downgrades: DowngradeServer;
  readonly #core: MemberCore;
  readonly #local: LocalKv;
  readonly #hash: BackendHash;
  readonly #stopAutoCompaction: () => void;
  readonly #checks: StoreChecks;

  /**
   * Starts from what the disk holds (or creates it), connects to the peers and takes part in raft. Resolves when the member runs;
   * {@link published} tells when the cluster knows its name and client URLs. Throws StartError when told wrong things, and
   * CorruptionError when the disk contradicts itself.
   */
  static async start(config: MemberConfig, runtime: Runtime): Promise<Member> {
    const booted = await boot(config, runtime);
    const core = new MemberCore(config, runtime, booted);
    const member = new Member(core, booted.identity);
    await core.run();
    try {
      await member.#checks.start();
    } catch (error) {
      await member.stop();
      throw error;
    }
    return member;
  }

  private constructor(core: MemberCore, identity: PeerIdentity) {
    const { config, runtime, memberId, headers, leadership, proposals, reads } = core;
    this.#core = core;
    this.identity = identity;
    this.config = config;
    const quota = new Quota({ limitBytes: config.quotaBackendBytes, logger: runtime.logger, meter: runtime.meter });
    const state = (): StateMachine => core.state;
    const { clock, random, peers } = runtime;
    const { maxTxnOps, electionMs } = config;
    const space = new SpaceGate({ memberId, proposals, quota, state });
    this.kv = new KvServer({ clock, headers, proposals, reads, space, state, maxTxnOps });
    this.leases = new LeaseServer({
      clock,
      random,
      headers,
      leadership,
      proposals,
      keeper: core.leases,
      peers,
      space,
      state,
      electionMs,
      timeoutMs: requestTimeoutMs(config),
    });
    this.watch = new WatchServer({
      clock,
      random,
      headers,
      hub: core.watches,
      maxRequestBytes: config.maxRequestBytes,
      progressIntervalMs: config.watchProgressIntervalMs,
    });
    this.#hash = new BackendHash(runtime);
    this.#local = new LocalKv({ kv: this.kv, leases: this.leases, hub: core.watches });
    this.locks = new LockServer(this.#local);
    this.elections = new ElectionServer(this.#local, headers);
    this.cluster = new ClusterServer({
      memberId,
      clock,
      logger: runtime.logger,
      meter: runtime.meter,
      headers,
      leadership,
      proposals,
      reads,
      state,
      peers,
      matchOf: (id) => core.matchOf(id),
      moveLeadershipFrom: (id) => core.handOver.awayFrom(id),
      strictReconfigCheck: config.strictReconfigCheck,
      maxLearners: config.maxLearners,
      timeoutMs: requestTimeoutMs(config),
    });
    core.onPromote((id) => this.cluster.promoteHere(id));
    this.maintenance = new MaintenanceServer({
      headers,
      leadership,
      proposals,
      state,
      raft: () => ({ committedIndex: core.committedIndex, term: core.term, isLearner: core.isLearner }),
      quotaBytes: quota.limitBytes,
      defragmenter: new StoreDefragmenter({ clock, logger: runtime.logger, meter: runtime.meter, state }),
      electionMs,
      transferLeader: (to) => core.transferLeader(to),
      isVoter: (id: MemberId) => core.isVoter(id),
      backup: backupPartsOf(core, identity),
    });
    this.downgrades = downgradesOf(core);
    watchVersion(core);
    this.space = watchSpace(core, quota);
    this.#stopAutoCompaction = this.#startAutoCompaction();
    this.#checks = new StoreChecks(core);
  }

  get leadership(): Leadership {
    return this.#core.leadership;
  }

  get headers(): HeaderSource {
    return this.#core.headers;
  }

  /** Linearizable reads: confirm() before reading {@link state}. */
  get reads(): ReadIndex {
    return this.#core.reads;
  }

  /** The live state. Throws KvError while a received snapshot takes its place, and after the member stopped. */
  get state(): StateMachine {
    return this.#core.state;
  }

  /** Whether the state is open: false while a received snapshot takes its place, and after the member stopped. */
  get isServing(): boolean {
    return this.#core.isServing;
  }

  /** Highest index whose effect a reader here sees. */
  get appliedIndex(): number {
    return this.#core.appliedIndex;
  }

  /** A checksum over everything that is stored here (Maintenance.Hash). */
  hash(): Promise<number> {
    return this.#hash.run(this.#core.state.backend);
  }

  /** As decided by the cluster, `3.6.0`; undefined before the first decision, and while a received snapshot takes its place. */
  get clusterVersion(): string | undefined {
    return this.#core.isServing ? this.#core.state.members.clusterVersion : undefined;
  }

  get isLearner(): boolean {
    return this.#core.isLearner;
  }

  /** Whether the cluster has no other member. */
  get isAlone(): boolean {
    return this.#core.isAlone;
  }

  /**
   * Proposes this member's name and client URLs until the cluster has them, then resolves: the point at which etcd opens its
   * client port. Resolves early when the member stops.
   */
  published(): Promise<void> {
    const core = this.#core;
    const { memberId, incarnation } = this.identity;
    const { name, advertiseClientUrls } = this.config;
    return publish({
      clock: core.runtime.clock,
      attributes: MemberAttributesSet.create({ memberId, name, clientUrls: [...advertiseClientUrls], incarnation }),
      leadership: core.leadership,
      propose: (request) => core.propose(request),
      timeoutMs: requestTimeoutMs(this.config),
      stopping: () => core.stopping,
      logger: core.runtime.logger,
    });
  }

  #startAutoCompaction(): () => void {
    const { config, runtime, leadership } = this.#core;
    if (config.autoCompaction === undefined) return () => undefined;
    return autoCompact(config.autoCompaction, {
      clock: runtime.clock,
      logger: runtime.logger,
      isLeader: () => leadership.isLeader,
      currentRevision: () => (this.isServing ? this.state.store.currentRevision : undefined),
      compact: (request, reply) => this.kv.compact(request, reply),
    });
  }

  /** Ends what would not end by itself, watches and those who wait for a lock or an election: their clients go on elsewhere. */
  endStreams(): void {
    this.watch.stop();
    this.#local.stop();
  }

  /**
   * Hands leadership over when leading, answers what waits, writes what was applied and closes everything. The data can be opened
   * again as soon as this resolves.
   */
  stop(): Promise<void> {
    this.#checks.stop();
    this.endStreams();
    this.#stopAutoCompaction();
    return this.#core.stop();
  }
}

function watchSpace(core: MemberCore, quota: Quota): SpaceWatch {
  const watch = new SpaceWatch({ quota, logger: core.runtime.logger, meter: core.runtime.meter });
  core.onTick(() => {
    if (core.isServing) watch.look(core.state.backend.sizeInUseBytes(), core.state.store.currentRevision);
  });
  return watch;
}

/** What a backup needs besides the state. */
function backupPartsOf(core: MemberCore, { clusterId }: PeerIdentity): MaintenanceOptions['backup'] {
  const { checksum, clock } = core.runtime;
  return { clusterId, checksum, pause: () => nextTurn(clock), onFatal: (error) => core.fatal(error) };
}

function downgradesOf(core: MemberCore): DowngradeServer {
  const { headers, reads, runtime } = core;
  const propose = (request: InternalRaftRequest) => core.propose(request);
  return new DowngradeServer({ headers, logger: runtime.logger, reads, state: () => core.state, propose });
}

function watchVersion(core: MemberCore): void {
  const { memberId, leadership, proposals, runtime } = core;
  const { clock, logger, meter, peers } = runtime;
  const state = (): StateMachine | undefined => (core.isServing ? core.state : undefined);
  const term = (): number => core.term;
  const version = new ClusterVersion({ memberId, clock, logger, meter, leadership, proposals, peers, state, term });
  core.onTick(() => version.tick());
}
