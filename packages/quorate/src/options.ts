/** What an embedded member is told, and the member's configuration that follows from it. */
import type { Logger, Meter } from '@quorate/base';
import { type InitialMember, type MemberConfig, memberDefaults } from '@quorate/server';

/** Settings of a member that mean the same embedded as in kvd; defaults are etcd's. */
export type Tuning = Partial<
  Pick<
    MemberConfig,
    | 'heartbeatMs'
    | 'electionMs'
    | 'snapshotCount'
    | 'snapshotCatchUpEntries'
    | 'quotaBackendBytes'
    | 'maxTxnOps'
    | 'maxRequestBytes'
    | 'backendBatchIntervalMs'
    | 'backendBatchLimit'
    | 'compactionBatchLimit'
    | 'compactionSleepMs'
    | 'watchProgressIntervalMs'
    | 'walSegmentBytes'
  >
>;

/** Where a member of several stands in its cluster. */
export interface ClusterPlace {
  /** Peer URLs of all founding members by name, this one included; read only when there is no data yet. */
  readonly members: Readonly<Record<string, string | readonly string[]>>;
  /** Where peers reach this process. Default: the peer URLs that `members` names for it. */
  readonly listenPeerUrls?: readonly string[];
  /** `existing` joins a cluster that runs and has added this member (etcd --initial-cluster-state). Default `new`. */
  readonly state?: 'new' | 'existing';
  /** Goes into the ids of the cluster and its members (etcd --initial-cluster-token). Default `etcd-cluster`. */
  readonly token?: string;
}

interface CommonOptions {
  /** This member's name in its cluster. Default `default`, as kvd's. */
  readonly name?: string;
  /** Default: a cluster of this member alone, which listens nowhere. */
  readonly cluster?: ClusterPlace;
  /** Also serve clients (etcdctl, kvctl, any etcd client) at these URLs, `http://host:port`. Default: none. */
  readonly listenClientUrls?: readonly string[];
  /** What clients are told about where they are served. Default: `listenClientUrls`. */
  readonly advertiseClientUrls?: readonly string[];
  readonly tuning?: Tuning;
  /** Default: silent. */
  readonly logger?: Logger;
  /** Default: nothing is measured. */
  readonly meter?: Meter;
  /**
   * Called once when the member can no longer be trusted: its disk failed, or the state broke its own rules. All calls have been
   * rejected by then, and the directory stays locked until the process ends: what the disk holds after a failed sync, only a new
   * process can tell. Default: the error is thrown where nobody can catch it, which ends the process.
   */
  readonly onFatal?: (error: unknown) => void;
}

/** On a disk: everything acknowledged survives the process and the machine. */
export interface DurableOptions extends CommonOptions {
  /** Directory of the data, made if need be; one process at a time. A kvd of the same name can go on with it. */
  readonly dataDir: string;
  readonly inMemory?: false;
}

/** In memory, for tests: everything is gone with the process. */
export interface InMemoryOptions extends CommonOptions {
  readonly inMemory: true;
  readonly dataDir?: undefined;
}

/** How a member is opened. */
export type OpenOptions = DurableOptions | InMemoryOptions;

/** The only member of a cluster needs a peer URL for its id; kvd's default, so that kvd computes the same. */
const lonePeerUrl = 'http://localhost:2380';
/** Segments in memory are for nobody's benefit. */
const memorySegmentBytes = 1024 * 1024;

/** The member's configuration. Throws TypeError when the cluster does not name the member. */
export function memberConfigOf(options: OpenOptions): MemberConfig {
  const { name = 'default', cluster, listenClientUrls = [], advertiseClientUrls = listenClientUrls } = options;
  const initialCluster = foundersOf(name, cluster);
  if (!initialCluster.some((member) => member.name === name)) {
    throw new TypeError(`cluster.members does not name this member, ${JSON.stringify(name)}`);
  }
  return {
    ...memberDefaults,
    ...(options.inMemory === true ? { walSegmentBytes: memorySegmentBytes } : {}),
    ...options.tuning,
    name,
    initialCluster,
    initialClusterState: cluster?.state ?? memberDefaults.initialClusterState,
    initialClusterToken: cluster?.token ?? memberDefaults.initialClusterToken,
    advertiseClientUrls,
  };
}

/** Where the member listens for its peers; empty when it has none. */
export function listenPeerUrlsOf({ name = 'default', cluster }: OpenOptions): readonly string[] {
  if (cluster === undefined) return [];
  return cluster.listenPeerUrls ?? urlsOf(cluster.members[name] ?? []);
}

function foundersOf(name: string, cluster: ClusterPlace | undefined): InitialMember[] {
  if (cluster === undefined) return [{ name, peerUrls: [lonePeerUrl] }];
  return Object.entries(cluster.members).map(([member, urls]) => ({ name: member, peerUrls: urlsOf(urls) }));
}

function urlsOf(urls: string | readonly string[]): readonly string[] {
  return typeof urls === 'string' ? [urls] : urls;
}
