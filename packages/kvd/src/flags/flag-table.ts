/**
 * Every flag of kvd in one table: its value's type, default and help. Names, meanings and defaults are etcd 3.6's where etcd has
 * the flag; a flag that is listed works. The name on the command line is the field's name with dashes (`--data-dir`), the
 * environment variable is in capitals behind `KVD_` (`KVD_DATA_DIR`).
 */
import { type FeatureGates, parseFeatureGates } from './feature-gates.ts';
import { bool, choice, duration, type FlagSpec, text, uint, urls } from './flag-kinds.ts';
import { FlagValueError, parseInt64, parseUint } from './go-values.ts';
import { type SecurityFlagValues, securityFlags } from './security-flags.ts';
import type { HostUrl } from './urls.ts';

/** All flags with their values; times in milliseconds. */
export interface FlagValues extends SecurityFlagValues {
  readonly name: string;
  readonly dataDir: string;
  readonly walDir: string;
  readonly snapshotCount: number;
  readonly snapshotCatchupEntries: number;
  readonly snapshotBytesPerSecond: number;
  readonly heartbeatInterval: number;
  readonly electionTimeout: number;
  readonly initialElectionTickAdvance: boolean;
  readonly listenPeerUrls: readonly HostUrl[];
  readonly listenClientUrls: readonly HostUrl[];
  readonly quotaBackendBytes: number;
  readonly backendBatchInterval: number;
  readonly backendBatchLimit: number;
  readonly maxTxnOps: number;
  readonly maxRequestBytes: number;
  readonly maxConcurrentStreams: number;
  readonly grpcKeepaliveMinTime: number;
  readonly grpcKeepaliveInterval: number;
  readonly grpcKeepaliveTimeout: number;
  readonly initialAdvertisePeerUrls: readonly HostUrl[];
  readonly initialCluster: string;
  readonly initialClusterState: 'new' | 'existing';
  readonly initialClusterToken: string;
  readonly advertiseClientUrls: readonly HostUrl[];
  readonly strictReconfigCheck: boolean;
  readonly maxLearners: number;
  readonly forceNewCluster: boolean;
  readonly preVote: boolean;
  readonly rebuildStore: 'no' | 'damaged' | 'yes';
  readonly metrics: 'basic' | 'extensive';
  readonly listenMetricsUrls: readonly HostUrl[];
  readonly logLevel: LogLevel;
  readonly logFormat: 'json' | 'console';
  readonly logOutputs: readonly string[];
  readonly leaseCheckpoint: boolean;
  readonly warningApplyDuration: number;
  readonly autoCompactionMode: string;
  readonly autoCompactionRetention: string;
  readonly compactionBatchLimit: number;
  readonly compactionSleepInterval: number;
  readonly watchProgressNotifyInterval: number;
  readonly featureGates: FeatureGates;
  readonly initialCorruptCheck: boolean;
  readonly corruptCheckTime: number;
  readonly compactHashCheckEnabled: boolean;
  readonly compactHashCheckTime: number;
  readonly scrubInterval: number;
  readonly scrubRateBytes: number;
  readonly walSegmentBytes: number;
  readonly rpcTransport: 'h2' | 'grpc-js';
}

/** From the most to the least that is written. */
export const logLevels = ['debug', 'info', 'warn', 'error', 'panic', 'fatal'] as const;
export type LogLevel = (typeof logLevels)[number];

export const flagTable: { readonly [Name in keyof FlagValues]: FlagSpec<FlagValues[Name]> } = {
  name: text('Member', 'default', 'Human-readable name for this member.'),
  dataDir: text('Member', '', 'Path to the data directory; <name>.kvd when empty.'),
  walDir: text(
    'Member',
    '',
    'Path to a directory for the write-ahead log alone; inside the data directory when empty.',
  ),
  snapshotCount: uint('Member', 10_000, 'Number of applied entries between two compactions of the raft log.'),
  snapshotCatchupEntries: uint('Member', 5_000, 'Number of entries kept behind a compaction for slow followers.'),
  snapshotBytesPerSecond: uint(
    'Member',
    20_971_520,
    'Most bytes per second that a snapshot is sent to another member with; 0 means no limit.',
  ),
  heartbeatInterval: uint('Member', 100, 'Time (in milliseconds) of a heartbeat interval.'),
  electionTimeout: uint('Member', 1_000, 'Time (in milliseconds) for an election to time out.'),
  initialElectionTickAdvance: bool('Member', true, 'Whether to start just before the first election at boot.'),
  listenPeerUrls: urls('Member', 'http://localhost:2380', 'List of URLs to listen on for peer traffic.'),
  listenClientUrls: urls('Member', 'http://localhost:2379', 'List of URLs to listen on for clients, gRPC and HTTP.'),
  quotaBackendBytes: {
    group: 'Member',
    help: 'Bytes the store may use before an alarm makes the cluster refuse writes. 0 means 2 GiB, negative no limit.',
    default: '0',
    parse: parseInt64,
  },
  backendBatchInterval: duration('Member', '100ms', 'Longest time before staged changes are committed to the store.'),
  backendBatchLimit: uint('Member', 10_000, 'Most staged changes before they are committed to the store.'),
  maxTxnOps: uint('Member', 128, 'Most operations in a transaction.'),
  maxRequestBytes: uint('Member', 1_572_864, 'Largest client request in bytes.'),
  maxConcurrentStreams: {
    group: 'Member',
    help: 'Most streams a client may have open at a time on one connection.',
    default: '4294967295',
    parse: (value) => parseUint(value, 0xffff_ffff),
  },
  grpcKeepaliveMinTime: duration('Member', '5s', 'Shortest interval at which clients may ping.'),
  grpcKeepaliveInterval: duration('Member', '2h', 'Interval at which the server pings clients (0 to disable).'),
  grpcKeepaliveTimeout: duration(
    'Member',
    '20s',
    'How long a ping may stay unanswered before the connection is closed.',
  ),
  initialAdvertisePeerUrls: urls(
    'Clustering',
    'http://localhost:2380',
    "List of this member's peer URLs to advertise to the rest of the cluster.",
  ),
  initialCluster: text(
    'Clustering',
    '',
    'Founding members as name=url,…; when empty, this member alone: <name>=<initial-advertise-peer-urls>.',
  ),
  initialClusterState: choice(
    'Clustering',
    ['new', 'existing'],
    "'new' to found a cluster, 'existing' to join one. Ignored once the member has data.",
  ),
  initialClusterToken: text('Clustering', 'etcd-cluster', 'Token that tells clusters of the same addresses apart.'),
  advertiseClientUrls: urls(
    'Clustering',
    'http://localhost:2379',
    "List of this member's client URLs to tell clients; required with --listen-client-urls.",
  ),
  strictReconfigCheck: bool(
    'Clustering',
    true,
    'Whether to refuse changes of members that could leave the cluster without a quorum.',
  ),
  maxLearners: uint('Clustering', 1, 'Most learners in the cluster at a time.'),
  forceNewCluster: bool(
    'Clustering',
    false,
    'Whether this member goes on alone, with its data and without all others. For when a majority is lost for good.',
  ),
  rebuildStore: choice(
    'Clustering',
    ['no', 'damaged', 'yes'],
    "Whether the store is rebuilt from another member at this start: 'no' refuses a store that was found damaged, 'damaged' " +
      "rebuilds it, 'yes' rebuilds whatever is there.",
  ),
  preVote: bool('Clustering', true, 'Whether to ask before an election, so that a returning member disturbs nobody.'),
  ...securityFlags,
  rpcTransport: choice(
    'Tuning',
    ['h2', 'grpc-js'],
    "How client calls are served: 'h2' reads HTTP/2 from the socket itself, 'grpc-js' goes through that library and is slower.",
  ),
  metrics: choice(
    'Monitoring',
    ['basic', 'extensive'],
    "Detail of exported metrics; 'extensive' adds a histogram of the time of every call.",
  ),
  listenMetricsUrls: urls('Monitoring', '', 'List of URLs that serve /metrics, /health, /livez and /readyz as well.'),
  logLevel: choice(
    'Logging',
    logLevels,
    'Least level that is written: debug, info, warn, error, panic or fatal.',
    'info',
  ),
  logFormat: choice('Logging', ['json', 'console'], 'How log lines look.'),
  logOutputs: {
    group: 'Logging',
    help: "Where the log goes: 'stdout', 'stderr', or paths of files, separated by commas. 'default' is stderr.",
    default: 'default',
    parse: parseOutputs,
  },
  leaseCheckpoint: bool(
    'Tuning',
    true,
    'Whether what is left of leases of more than five minutes outlives the leader that counts it.',
  ),
  warningApplyDuration: duration('Tuning', '100ms', 'Applying entries for longer than this is logged as a warning.'),
  autoCompactionMode: text(
    'Tuning',
    'periodic',
    "What --auto-compaction-retention counts: 'periodic' a time, 'revision' revisions.",
  ),
  autoCompactionRetention: text(
    'Tuning',
    '0',
    "History that automatic compaction keeps: hours, a duration such as '5m', or a number of revisions. 0 switches it off.",
  ),
  compactionBatchLimit: uint('Tuning', 1_000, 'Most revisions removed in one slice of a compaction.'),
  compactionSleepInterval: duration('Tuning', '10ms', 'Pause between two slices of a compaction.'),
  watchProgressNotifyInterval: duration(
    'Tuning',
    '10m',
    'How often idle watches that asked for it are told how far they are.',
  ),
  featureGates: {
    group: 'Tuning',
    help:
      'Features to switch on, as name=true,…: CompactHashCheck and InitialCorruptCheck, which are ' +
      '--compact-hash-check-enabled and --initial-corrupt-check.',
    default: '',
    parse: parseFeatureGates,
  },
  initialCorruptCheck: bool('Tuning', false, 'Whether to compare the history with the other members before serving.'),
  corruptCheckTime: duration(
    'Tuning',
    '0s',
    'How often the leader compares the history of all members (0 to disable).',
  ),
  compactHashCheckEnabled: bool(
    'Tuning',
    false,
    'Whether members keep hashes of compactions, and the leader compares them.',
  ),
  compactHashCheckTime: duration('Tuning', '1m', 'How often the leader compares hashes of compactions.'),
  scrubInterval: duration('Tuning', '30s', 'Pause between two searches of the store for damage (0 to disable).'),
  scrubRateBytes: uint('Tuning', 2_097_152, 'Bytes that a search of the store for damage reads in a second.'),
  walSegmentBytes: uint('Tuning', 16_777_216, 'Size of a segment of the write-ahead log, filled with zeros when made.'),
};

/** Names of etcd 3.5 that still work, with a warning. */
export const oldNames: Readonly<Record<string, keyof FlagValues>> = {
  'experimental-max-learners': 'maxLearners',
  'experimental-snapshot-catchup-entries': 'snapshotCatchupEntries',
  'experimental-enable-lease-checkpoint': 'leaseCheckpoint',
  'experimental-warning-apply-duration': 'warningApplyDuration',
  'experimental-compaction-batch-limit': 'compactionBatchLimit',
  'experimental-compaction-sleep-interval': 'compactionSleepInterval',
  'experimental-initial-corrupt-check': 'initialCorruptCheck',
  'experimental-corrupt-check-time': 'corruptCheckTime',
  'experimental-compact-hash-check-enabled': 'compactHashCheckEnabled',
  'experimental-compact-hash-check-time': 'compactHashCheckTime',
  'experimental-watch-progress-notify-interval': 'watchProgressNotifyInterval',
};

/** `data-dir` of `dataDir`. */
export function flagName(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `KVD_DATA_DIR` of `data-dir`. */
export function environmentName(flag: string): string {
  return `KVD_${flag.toUpperCase().replaceAll('-', '_')}`;
}

function parseOutputs(given: string): readonly string[] {
  const outputs = given.split(',').map((output) => (output === 'default' ? 'stderr' : output));
  if (outputs.includes('')) throw new FlagValueError('invalid value');
  if (outputs.includes('systemd/journal')) throw new FlagValueError('systemd/journal is not supported, use stderr');
  return [...new Set(outputs)];
}
