/**
 * The version the cluster runs as: decided by the leader from the versions of all members, kept in the replicated membership, told
 * by `/version` and the metrics. It rises when the last member was upgraded, and falls only in a downgrade (downgrade-server.ts).
 */
import { type Clock, type Gauge, type Logger, type MemberId, type Meter, noMember } from '@quorate/base';
import { ClusterVersionSet, DowngradeInfoSet, InternalRaftRequest } from '@quorate/proto';
import type { Leadership } from './leadership.ts';
import { etcdVersion } from './maintenance-server.ts';
import type { PeerTransport } from './peer-transport.ts';
import type { Proposals } from './proposals.ts';
import type { StateMachine } from './state-machine.ts';
import { decideClusterVersion, isDowngraded, shortVersion, type VersionFacts } from './version-rules.ts';

export interface ClusterVersionOptions {
  readonly memberId: MemberId;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly meter: Meter;
  readonly leadership: Pick<Leadership, 'isLeader' | 'onChange'>;
  readonly proposals: Pick<Proposals, 'propose'>;
  readonly peers: Pick<PeerTransport, 'versionOf'>;
  /** Undefined while a received snapshot takes its place, and after the member stopped. */
  readonly state: () => Pick<StateMachine, 'members'> | undefined;
  readonly term: () => number;
}

/** How often a leader looks at the members' versions, in milliseconds. */
const lookMs = 1_000;

export class ClusterVersion {
  readonly #options: ClusterVersionOptions;
  #proposing = false;
  #lookedMs = Number.NEGATIVE_INFINITY;
  /** As last shown in the metrics. */
  #shown: string | undefined;
  #gauge: Gauge | undefined;

  constructor(options: ClusterVersionOptions) {
    this.#options = options;
    options.leadership.onChange((leader) => {
      if (leader !== noMember) this.#look();
    });
  }

  /** Called on every tick. */
  tick(): void {
    const { clock, state } = this.#options;
    this.#show(state()?.members.clusterVersion);
    if (clock.nowMs() - this.#lookedMs >= lookMs) this.#look();
  }

  #look(): void {
    const { clock, leadership, state } = this.#options;
    this.#lookedMs = clock.nowMs();
    const members = state()?.members;
    if (members === undefined || this.#proposing || !leadership.isLeader) return;
    const facts = this.#facts(members);
    const version = decideClusterVersion(facts);
    if (version !== undefined) this.#propose({ clusterVersionSet: ClusterVersionSet.create({ version }) }, version);
    else if (isDowngraded(facts)) this.#propose({ downgradeInfoSet: DowngradeInfoSet.create() }, facts.cluster);
  }

  #facts(members: StateMachine['members']): VersionFacts {
    const { memberId, peers } = this.#options;
    const servers = members.records().map(({ id }) => (id === memberId ? etcdVersion : peers.versionOf(id)));
    return { cluster: members.clusterVersion, downgrade: members.downgrade, servers };
  }

  /** Holds in this leader's term only; what is refused or lost is decided again, by whoever leads then. */
  #propose(fields: Partial<InternalRaftRequest>, version: string | undefined): void {
    const { proposals, logger, term } = this.#options;
    this.#proposing = true;
    logger.info('decides the version of the cluster', {
      version,
      isDowngradeOver: fields.clusterVersionSet === undefined,
    });
    try {
      proposals.propose(InternalRaftRequest.create(fields), () => (this.#proposing = false), term());
    } catch (error) {
      this.#proposing = false;
      logger.debug('could not propose a version of the cluster', { reason: String(error) });
    }
  }

  /** One series per version there was, of which the present one is 1, as etcd has it. */
  #show(version: string | undefined): void {
    if (version === undefined || version === this.#shown) return;
    this.#gauge?.set(0);
    this.#shown = version;
    this.#gauge = this.#options.meter.gauge({
      name: 'etcd_cluster_version',
      help: "Which version is running. 1 for 'cluster_version' label with current cluster version",
      labels: { cluster_version: shortVersion(version) },
    });
    this.#gauge.set(1);
  }
}
