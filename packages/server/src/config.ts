/** What a member is told at start. Every field names the etcd flag it mirrors; defaults are etcd 3.6's. */

import { segmentSizeDefault } from '@quorate/wal';

/** One member of the initial cluster: a name and where its peers reach it. */
export interface InitialMember {
  readonly name: string;
  readonly peerUrls: readonly string[];
}

/** `--auto-compaction-mode` and `--auto-compaction-retention`: how much history stays. */
export type AutoCompaction =
  | { readonly mode: 'periodic'; readonly periodMs: number }
  | { readonly mode: 'revision'; readonly revisions: number };

export interface MemberConfig {
  /** `--name` */
  readonly name: string;
  /** `--initial-cluster`: all founding members, this one included. Read only when the member has no data yet. */
  readonly initialCluster: readonly InitialMember[];
  /**
   * `--initial-cluster-state`: `existing` takes the cluster's and the own id from the members that run. Read only when the member
   * has no data yet.
   */
  readonly initialClusterState: 'new' | 'existing';
  /** `--initial-cluster-token`: goes into the member and cluster ids. */
  readonly initialClusterToken: string;
  /** `--advertise-client-urls`: published through the log for clients to find. */
  readonly advertiseClientUrls: readonly string[];
  /** `--heartbeat-interval`: one raft tick, in milliseconds. */
  readonly heartbeatMs: number;
  /** `--election-timeout` in milliseconds; at least five heartbeats. */
  readonly electionMs: number;
  /** `--pre-vote` */
  readonly preVote: boolean;
  /** `--initial-election-tick-advance`: start just before the first election instead of waiting a whole time-out. */
  readonly initialElectionTickAdvance: boolean;
  /** `--snapshot-count`: applied entries between two compactions of the log. */
  readonly snapshotCount: number;
  /** `--snapshot-catchup-entries`: entries kept behind a compaction for slow followers. */
  readonly snapshotCatchUpEntries: number;
  /** `--snapshot-bytes-per-second`: most bytes a second that one snapshot is sent to another member with; 0 for no limit. */
  readonly snapshotBytesPerSecond: number;
  /** Most bytes of entries kept in memory behind the applied index, whatever their number. */
  readonly logWindowBytesMax: number;
  /** `--quota-backend-bytes`: 0 means 2 GiB, negative switches the quota off. */
  readonly quotaBackendBytes: number;
  /** `--max-txn-ops` */
  readonly maxTxnOps: number;
  /** `--max-request-bytes`: largest encoded request that is proposed. */
  readonly maxRequestBytes: number;
  /** `--backend-batch-interval` in milliseconds. */
  readonly backendBatchIntervalMs: number;
  /** `--backend-batch-limit` in staged operations. */
  readonly backendBatchLimit: number;
  /** `--compaction-batch-limit`: rows removed in one slice. */
  readonly compactionBatchLimit: number;
  /** `--compaction-sleep-interval` in milliseconds. */
  readonly compactionSleepMs: number;
  /** Undefined: history goes when somebody asks for a compaction. */
  readonly autoCompaction: AutoCompaction | undefined;
  /** `--lease-checkpoint`: whether what is left of long leases outlives the leader that counts it. */
  readonly leaseCheckpoint: boolean;
  /** `--watch-progress-notify-interval` in milliseconds: how often idle watches that asked for it are told how far they are. */
  readonly watchProgressIntervalMs: number;
  /** `--strict-reconfig-check`: whether changes of members are refused that could leave the cluster without a quorum. */
  readonly strictReconfigCheck: boolean;
  /** `--max-learners`: learners there may be at a time. */
  readonly maxLearners: number;
  /** `--force-new-cluster`: go on alone, without the members there were. */
  readonly forceNewCluster: boolean;
  /**
   * `--rebuild-store`: whether the state of another member takes the place of the own store at this start: `no` refuses a store
   * that was found damaged, `damaged` rebuilds such a one, `yes` rebuilds whatever is there.
   */
  readonly rebuildStore: 'no' | 'damaged' | 'yes';
  /** `--feature-gates=InitialCorruptCheck=true`: whether to compare this member with the others before it serves. */
  readonly initialCorruptCheck: boolean;
  /** `--corrupt-check-time` in milliseconds: how often the leader compares all members; 0 means never. */
  readonly corruptCheckMs: number;
  /** `--feature-gates=CompactHashCheck=true`: whether members keep hashes of compactions, and the leader compares them. */
  readonly compactHashCheck: boolean;
  /** `--compact-hash-check-time` in milliseconds. */
  readonly compactHashCheckMs: number;
  /** `--scrub-interval` in milliseconds: the pause between two searches of the store for damage; 0 means none. */
  readonly scrubIntervalMs: number;
  /** `--scrub-rate-bytes`: how many bytes a search reads in a second. */
  readonly scrubBytesPerSecond: number;
  /** `--warning-apply-duration` in milliseconds: an apply step that takes longer is logged. */
  readonly warningApplyMs: number;
  /** Size of a WAL segment in bytes. */
  readonly walSegmentBytes: number;
}

/** etcd's defaults; name and cluster have none that fit two members. */
export const memberDefaults: Omit<MemberConfig, 'name' | 'initialCluster' | 'advertiseClientUrls'> = {
  initialClusterState: 'new',
  initialClusterToken: 'etcd-cluster',
  heartbeatMs: 100,
  electionMs: 1000,
  preVote: true,
  initialElectionTickAdvance: true,
  snapshotCount: 10_000,
  snapshotCatchUpEntries: 5_000,
  snapshotBytesPerSecond: 20 * 1024 * 1024,
  logWindowBytesMax: 64 * 1024 * 1024,
  quotaBackendBytes: 0,
  maxTxnOps: 128,
  maxRequestBytes: 1_572_864,
  backendBatchIntervalMs: 100,
  backendBatchLimit: 10_000,
  compactionBatchLimit: 1_000,
  compactionSleepMs: 10,
  autoCompaction: undefined,
  leaseCheckpoint: true,
  watchProgressIntervalMs: 600_000,
  strictReconfigCheck: true,
  maxLearners: 1,
  forceNewCluster: false,
  rebuildStore: 'no',
  initialCorruptCheck: false,
  corruptCheckMs: 0,
  compactHashCheck: false,
  compactHashCheckMs: 60_000,
  scrubIntervalMs: 30_000,
  scrubBytesPerSecond: 2 * 1024 * 1024,
  warningApplyMs: 100,
  walSegmentBytes: segmentSizeDefault,
};

/** How long a proposal or a linearizable read may take: etcd's ReqTimeout, 5 s + 2 election time-outs. */
export function requestTimeoutMs(config: Pick<MemberConfig, 'electionMs'>): number {
  return 5_000 + 2 * config.electionMs;
}
