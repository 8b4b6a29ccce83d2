/**
 * From flag values to what the daemon runs with, refused in etcd's words where etcd refuses. What only matters to a member
 * without data, the founding cluster, is checked in founding.ts when it turns out to be one.
 */

import type { KeepaliveOptions } from '@quorate/rpc';
import { type AutoCompaction, type MemberConfig, memberDefaults } from '@quorate/server';
import type { FlagValues, LogLevel } from './flags/flag-table.ts';
import { FlagValueError, parseDurationMs } from './flags/go-values.ts';
import type { ParsedFlags } from './flags/parse.ts';
import type { HostUrl } from './flags/urls.ts';
import { ConfigError, clusterOf, parseInitialCluster } from './initial-cluster.ts';
import { clientTlsOf, type EndSettings, peerTlsOf } from './tls-config.ts';

/** Everything the daemon is told. */
export interface DaemonConfig {
  readonly member: MemberConfig;
  readonly dataDir: string;
  /** Undefined: inside the data directory. */
  readonly walDir: string | undefined;
  readonly advertisePeerUrls: readonly string[];
  readonly listenPeerUrls: readonly HostUrl[];
  readonly listenClientUrls: readonly HostUrl[];
  readonly listenMetricsUrls: readonly HostUrl[];
  readonly maxConcurrentStreams: number;
  readonly keepalive: KeepaliveOptions;
  readonly hasCallTimes: boolean;
  readonly rpcTransport: 'h2' | 'grpc-js';
  readonly clientTls: EndSettings;
  readonly peerTls: EndSettings;
  readonly selfSignedYears: number;
}

/** How the log looks; needed before the rest can be judged. */
export interface LogConfig {
  readonly level: LogLevel;
  readonly format: 'json' | 'console';
  readonly outputs: readonly string[];
}

const hourMs = 3_600_000;
/** Longest election time-out, as in etcd. */
const electionMsMax = 50_000;
/** Shortest interval of progress notifications, as in etcd. */
const watchProgressMsMin = 100;
/** A segment must have room for its own header, a few groups and its seal. */
const walSegmentBytesMin = 64 * 1024;

export function logConfigOf({ values }: ParsedFlags): LogConfig {
  return { level: values.logLevel, format: values.logFormat, outputs: values.logOutputs };
}

/** Throws ConfigError. */
export function daemonConfigOf({ values, given }: ParsedFlags): DaemonConfig {
  checkUrls(values);
  checkTimes(values);
  if (values.walSegmentBytes < walSegmentBytesMin) {
    throw new ConfigError(`--wal-segment-bytes must be >=${walSegmentBytesMin} (set to ${values.walSegmentBytes})`);
  }
  if (given.has('listenClientUrls') && !given.has('advertiseClientUrls')) {
    throw new ConfigError('--advertise-client-urls is required when --listen-client-urls is set explicitly');
  }
  return {
    member: memberConfigOf(values),
    dataDir: values.dataDir === '' ? `${values.name}.kvd` : values.dataDir,
    walDir: values.walDir === '' ? undefined : values.walDir,
    advertisePeerUrls: values.initialAdvertisePeerUrls.map((url) => url.text),
    listenPeerUrls: values.listenPeerUrls,
    listenClientUrls: values.listenClientUrls,
    listenMetricsUrls: values.listenMetricsUrls,
    maxConcurrentStreams: values.maxConcurrentStreams === 0 ? 0xffff_ffff : values.maxConcurrentStreams,
    keepalive: {
      minTimeMs: values.grpcKeepaliveMinTime,
      intervalMs: values.grpcKeepaliveTimeout === 0 ? 0 : values.grpcKeepaliveInterval,
      timeoutMs: values.grpcKeepaliveTimeout,
    },
    hasCallTimes: values.metrics === 'extensive',
    rpcTransport: values.rpcTransport,
    clientTls: clientTlsOf(values),
    peerTls: peerTlsOf(values),
    selfSignedYears: values.selfSignedCertValidity,
  };
}

function memberConfigOf(values: FlagValues): MemberConfig {
  const cluster =
    values.initialCluster === '' ? clusterOf(values.name, values.initialAdvertisePeerUrls) : values.initialCluster;
  return {
    ...memberDefaults,
    name: values.name,
    initialCluster: parseInitialCluster(cluster),
    initialClusterState: values.initialClusterState,
    initialClusterToken: values.initialClusterToken,
    advertiseClientUrls: values.advertiseClientUrls.map((url) => url.text),
    heartbeatMs: values.heartbeatInterval,
    electionMs: values.electionTimeout,
    preVote: values.preVote,
    initialElectionTickAdvance: values.initialElectionTickAdvance,
    quotaBackendBytes: values.quotaBackendBytes,
    maxTxnOps: values.maxTxnOps,
    maxRequestBytes: values.maxRequestBytes,
    leaseCheckpoint: values.leaseCheckpoint,
    strictReconfigCheck: values.strictReconfigCheck,
    maxLearners: values.maxLearners,
    forceNewCluster: values.forceNewCluster,
    rebuildStore: values.rebuildStore,
    warningApplyMs: values.warningApplyDuration,
    // etcd takes 0 for the default in these.
    snapshotCount: values.snapshotCount || memberDefaults.snapshotCount,
    snapshotCatchUpEntries: values.snapshotCatchupEntries || memberDefaults.snapshotCatchUpEntries,
    snapshotBytesPerSecond: values.snapshotBytesPerSecond,
    backendBatchIntervalMs: values.backendBatchInterval || memberDefaults.backendBatchIntervalMs,
    backendBatchLimit: values.backendBatchLimit || memberDefaults.backendBatchLimit,
    compactionBatchLimit: values.compactionBatchLimit || memberDefaults.compactionBatchLimit,
    compactionSleepMs: values.compactionSleepInterval || memberDefaults.compactionSleepMs,
    autoCompaction: autoCompactionOf(values),
    watchProgressIntervalMs: values.watchProgressNotifyInterval || memberDefaults.watchProgressIntervalMs,
    initialCorruptCheck: values.initialCorruptCheck || values.featureGates.initialCorruptCheck,
    corruptCheckMs: values.corruptCheckTime,
    compactHashCheck: values.compactHashCheckEnabled || values.featureGates.compactHashCheck,
    compactHashCheckMs: values.compactHashCheckTime,
    scrubIntervalMs: values.scrubInterval,
    scrubBytesPerSecond: values.scrubRateBytes || memberDefaults.scrubBytesPerSecond,
    walSegmentBytes: values.walSegmentBytes,
  };
}

/** As etcd reads the two flags, but a time is refused where revisions are counted: etcd takes its nanoseconds for revisions. */
function autoCompactionOf(values: FlagValues): AutoCompaction | undefined {
  const { autoCompactionMode: mode, autoCompactionRetention: text } = values;
  if (mode !== 'periodic' && mode !== 'revision') {
    throw new ConfigError(`unknown auto-compaction-mode ${JSON.stringify(mode)}`);
  }
  const isNumber = /^\+?\d+$/.test(text);
  if (mode === 'revision') {
    if (!isNumber) throw new ConfigError(`--auto-compaction-retention must be a number of revisions (set to ${text})`);
    return Number(text) === 0 ? undefined : { mode, revisions: Number(text) };
  }
  const periodMs = isNumber ? Number(text) * hourMs : retentionMs(text);
  return periodMs === 0 ? undefined : { mode, periodMs };
}

function retentionMs(text: string): number {
  let ms: number;
  try {
    ms = parseDurationMs(text);
  } catch (error) {
    if (!(error instanceof FlagValueError)) throw error;
    const problem = /^[+-]?(\d+\.?\d*|\.\d+)$/.test(text) ? 'missing unit in' : 'invalid';
    throw new ConfigError(`error parsing CompactionRetention: time: ${problem} duration ${JSON.stringify(text)}`);
  }
  if (ms < 0) throw new ConfigError(`--auto-compaction-retention must not be negative (set to ${text})`);
  return ms;
}

function checkUrls(values: FlagValues): void {
  for (const url of [...values.listenPeerUrls, ...values.listenClientUrls, ...values.listenMetricsUrls]) {
    if (!isAddress(url.host)) throw new ConfigError(`expected IP in URL for binding (${url.text})`);
  }
  checkAdvertised('initial-advertise-peer-urls', values.initialAdvertisePeerUrls);
  checkAdvertised('advertise-client-urls', values.advertiseClientUrls);
}

function checkAdvertised(flag: string, urls: readonly HostUrl[]): void {
  const all = urls.map((url) => url.text).join(',');
  for (const url of urls) {
    if (url.host !== '') continue;
    throw new ConfigError(`--${flag} "${all}" must be "host:port" (unexpected empty host (${url.text}))`);
  }
}

/** What may be listened on without asking a name server. */
function isAddress(host: string): boolean {
  return host === 'localhost' || /^\d{1,3}(?:\.\d{1,3}){3}$/.test(host) || /^[0-9a-fA-F:]*:[0-9a-fA-F:.]*$/.test(host);
}

function checkTimes(values: FlagValues): void {
  const { heartbeatInterval, electionTimeout } = values;
  if (heartbeatInterval === 0) throw new ConfigError('--heartbeat-interval must be >0 (set to 0ms)');
  if (electionTimeout === 0) throw new ConfigError('--election-timeout must be >0 (set to 0ms)');
  if (5 * heartbeatInterval > electionTimeout) {
    throw new ConfigError(
      `--election-timeout[${electionTimeout}ms] should be at least as 5 times as ` +
        `--heartbeat-interval[${heartbeatInterval}ms]`,
    );
  }
  if (electionTimeout > electionMsMax) {
    throw new ConfigError(
      `--election-timeout[${electionTimeout}ms] is too long, and should be set less than ${electionMsMax}ms`,
    );
  }
  const durations = {
    'backend-batch-interval': values.backendBatchInterval,
    'grpc-keepalive-min-time': values.grpcKeepaliveMinTime,
    'grpc-keepalive-interval': values.grpcKeepaliveInterval,
    'grpc-keepalive-timeout': values.grpcKeepaliveTimeout,
    'warning-apply-duration': values.warningApplyDuration,
    'compaction-sleep-interval': values.compactionSleepInterval,
    'scrub-interval': values.scrubInterval,
    'corrupt-check-time': values.corruptCheckTime,
  };
  if (values.compactHashCheckTime <= 0) {
    throw new ConfigError(`--compact-hash-check-time must be >0 (set to ${values.compactHashCheckTime}ms)`);
  }
  const progressMs = values.watchProgressNotifyInterval;
  if (progressMs !== 0 && progressMs < watchProgressMsMin) {
    throw new ConfigError(
      `--watch-progress-notify-interval must be at least ${watchProgressMsMin}ms (set to ${progressMs}ms)`,
    );
  }
  for (const [flag, ms] of Object.entries(durations)) {
    if (ms < 0) throw new ConfigError(`--${flag} must not be negative (set to ${ms}ms)`);
  }
}
