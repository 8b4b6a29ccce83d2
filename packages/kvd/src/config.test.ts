import { tlsDefaults } from '@quorate/tls';
import { describe, expect, test } from 'vitest';
import { type DaemonConfig, daemonConfigOf, logConfigOf } from './config.ts';
import { type ParsedFlags, parseCommand } from './flags/parse.ts';
import { checkFounding } from './founding.ts';
import { ConfigError } from './initial-cluster.ts';

function parsed(args: readonly string[]): ParsedFlags {
  const command = parseCommand(args, {});
  if (command.run !== 'member') throw new Error(`would run ${command.run}`);
  return command;
}

function config(...args: string[]): DaemonConfig {
  return daemonConfigOf(parsed(args));
}

function refusal(...args: string[]): string {
  try {
    config(...args);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error('accepted');
}

describe('settings', () => {
  test('without flags are those of a single member on localhost', () => {
    expect(config()).toMatchObject({
      dataDir: 'default.kvd',
      walDir: undefined,
      advertisePeerUrls: ['http://localhost:2380'],
      member: {
        name: 'default',
        initialCluster: [{ name: 'default', peerUrls: ['http://localhost:2380'] }],
        initialClusterToken: 'etcd-cluster',
        advertiseClientUrls: ['http://localhost:2379'],
        heartbeatMs: 100,
        electionMs: 1000,
        snapshotCount: 10_000,
        snapshotCatchUpEntries: 5_000,
        quotaBackendBytes: 0,
      },
      keepalive: { minTimeMs: 5_000, intervalMs: 7_200_000, timeoutMs: 20_000 },
      hasCallTimes: false,
    });
  });

  test('every flag of the member arrives at its field', () => {
    const { member, ...rest } = config(
      ...['--name', 'm', '--data-dir', '/d', '--wal-dir', '/w', '--initial-cluster-token', 't'],
      ...['--initial-cluster', 'm=http://1.1.1.1:1,n=http://1.1.1.2:1,m=http://1.1.1.1:2'],
      ...['--heartbeat-interval', '11', '--election-timeout', '77', '--pre-vote=false'],
      ...['--initial-election-tick-advance=false', '--snapshot-count', '12', '--snapshot-catchup-entries', '13'],
      ...['--quota-backend-bytes', '-1', '--max-txn-ops', '14', '--max-request-bytes', '15'],
      ...['--backend-batch-interval', '16ms', '--backend-batch-limit', '17', '--compaction-batch-limit', '18'],
      ...['--compaction-sleep-interval', '19ms', '--warning-apply-duration', '20ms', '--metrics', 'extensive'],
      ...['--listen-client-urls', 'http://127.0.0.1:1', '--advertise-client-urls', 'http://c:1'],
      ...['--listen-peer-urls', 'http://127.0.0.1:2', '--initial-advertise-peer-urls', 'http://p:1'],
      ...['--listen-metrics-urls', 'http://127.0.0.1:3', '--max-concurrent-streams', '21'],
      ...['--grpc-keepalive-min-time', '22s', '--grpc-keepalive-interval', '23s', '--grpc-keepalive-timeout', '24s'],
      ...['--initial-cluster-state', 'existing', '--wal-segment-bytes', '65537'],
      ...['--snapshot-bytes-per-second', '26', '--auto-compaction-retention', '27m'],
      ...['--cert-file', 'c', '--key-file', 'k', '--trusted-ca-file', 'ca', '--client-cert-auth', '--auto-tls'],
      ...['--client-crl-file', 'crl', '--client-cert-allowed-hostname', 'a,b', '--self-signed-cert-validity', '3'],
      ...[
        '--peer-cert-file',
        'pc',
        '--peer-key-file',
        'pk',
        '--peer-client-cert-file',
        'pcc',
        '--peer-client-key-file',
        'pck',
      ],
      ...['--peer-trusted-ca-file', 'pca', '--peer-client-cert-auth', '--peer-crl-file', 'pcrl', '--peer-auto-tls'],
      ...['--peer-cert-allowed-cn', 'm1,m2', '--peer-skip-client-san-verification'],
      ...['--tls-max-version', 'TLS1.2', '--cipher-suites', 'TLS_RSA_WITH_AES_128_GCM_SHA256'],
      ...['--rpc-transport', 'grpc-js', '--strict-reconfig-check=false', '--max-learners', '25', '--force-new-cluster'],
    );
    expect(member).toMatchObject({
      name: 'm',
      initialClusterToken: 't',
      initialCluster: [
        { name: 'm', peerUrls: ['http://1.1.1.1:1', 'http://1.1.1.1:2'] },
        { name: 'n', peerUrls: ['http://1.1.1.2:1'] },
      ],
      advertiseClientUrls: ['http://c:1'],
      heartbeatMs: 11,
      electionMs: 77,
      preVote: false,
      initialElectionTickAdvance: false,
      snapshotCount: 12,
      snapshotCatchUpEntries: 13,
      quotaBackendBytes: -1,
      maxTxnOps: 14,
      maxRequestBytes: 15,
      backendBatchIntervalMs: 16,
      backendBatchLimit: 17,
      compactionBatchLimit: 18,
      compactionSleepMs: 19,
      warningApplyMs: 20,
      initialClusterState: 'existing',
      strictReconfigCheck: false,
      maxLearners: 25,
      forceNewCluster: true,
      walSegmentBytes: 65_537,
      snapshotBytesPerSecond: 26,
      autoCompaction: { mode: 'periodic', periodMs: 27 * 60_000 },
    });
    expect(rest).toEqual({
      dataDir: '/d',
      walDir: '/w',
      advertisePeerUrls: ['http://p:1'],
      listenClientUrls: [{ scheme: 'http', text: 'http://127.0.0.1:1', host: '127.0.0.1', port: 1 }],
      listenPeerUrls: [{ scheme: 'http', text: 'http://127.0.0.1:2', host: '127.0.0.1', port: 2 }],
      listenMetricsUrls: [{ scheme: 'http', text: 'http://127.0.0.1:3', host: '127.0.0.1', port: 3 }],
      maxConcurrentStreams: 21,
      rpcTransport: 'grpc-js',
      keepalive: { minTimeMs: 22_000, intervalMs: 23_000, timeoutMs: 24_000 },
      hasCallTimes: true,
      clientTls: {
        ...tlsDefaults,
        certFile: 'c',
        keyFile: 'k',
        trustedCaFile: 'ca',
        clientCertAuth: true,
        crlFile: 'crl',
        allowedHostnames: ['a', 'b'],
        skipClientSanVerify: true,
        minVersion: 'TLSv1.2',
        maxVersion: 'TLSv1.2',
        cipherSuites: ['TLS_RSA_WITH_AES_128_GCM_SHA256'],
        isAuto: false,
      },
      peerTls: {
        ...tlsDefaults,
        certFile: 'pc',
        keyFile: 'pk',
        clientCertFile: 'pcc',
        clientKeyFile: 'pck',
        trustedCaFile: 'pca',
        clientCertAuth: true,
        crlFile: 'pcrl',
        allowedCommonNames: ['m1', 'm2'],
        skipClientSanVerify: true,
        minVersion: 'TLSv1.2',
        maxVersion: 'TLSv1.2',
        cipherSuites: ['TLS_RSA_WITH_AES_128_GCM_SHA256'],
        isAuto: false,
      },
      selfSignedYears: 3,
    });
  });

  test('https needs a certificate, given or made', () => {
    const urls = ['--listen-client-urls=https://127.0.0.1:1', '--advertise-client-urls=https://127.0.0.1:1'];
    expect(() => config(...urls)).toThrow(
      'TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:1 with HTTPS scheme',
    );
    expect(config(...urls, '--auto-tls').clientTls.isAuto).toBe(true);
    expect(config(...urls, '--auto-tls', '--cert-file=c', '--key-file=k').clientTls.isAuto).toBe(false);
    expect(config(...urls, '--cert-file=c', '--key-file=k', '--tls-min-version=TLS1.3').clientTls).toMatchObject({
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
    });
  });

  test('a secure client port wants a suite that HTTP/2 can count on', () => {
    const urls = ['--listen-client-urls=https://127.0.0.1:1', '--advertise-client-urls=https://127.0.0.1:1'];
    const files = ['--cert-file=c', '--key-file=k'];
    const [without, within] = ['TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384', 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'];
    expect(() => config(...urls, ...files, `--cipher-suites=${without}`)).toThrow(
      'http2: TLSConfig.CipherSuites is missing an HTTP/2-required AES_128_GCM_SHA256 cipher',
    );
    const { clientTls } = config(...urls, ...files, `--cipher-suites=${without},${within}`);
    expect(clientTls.cipherSuites).toEqual([without, within]);
    expect(config(`--cipher-suites=${without}`).clientTls.cipherSuites).toEqual([without]);
  });

  test.each([
    [
      ['--tls-min-version=TLS1.3', '--tls-max-version=TLS1.2'],
      'min version (TLS1.3) is greater than max version (TLS1.2)',
    ],
    [['--tls-min-version=TLS1.1'], 'unexpected TLS version "TLS1.1" (must be one of: TLS1.2, TLS1.3)'],
    [['--cipher-suites=TLS_RSA_WITH_RC4_128_SHA'], 'unexpected TLS cipher suite "TLS_RSA_WITH_RC4_128_SHA"'],
    [
      ['--tls-min-version=TLS1.3', '--cipher-suites=TLS_RSA_WITH_AES_128_GCM_SHA256'],
      'cipher suites cannot be configured when only TLS1.3 is enabled',
    ],
  ])('%s is refused', (flags, text) => {
    expect(() => config(...flags)).toThrow(text);
  });

  test('a name alone founds a cluster of that name', () => {
    const { dataDir, member } = config('--name', 'abc');
    expect(dataDir).toBe('abc.kvd');
    expect(member.initialCluster).toEqual([{ name: 'abc', peerUrls: ['http://localhost:2380'] }]);
  });

  test('0 means the default where it does for etcd', () => {
    const { member } = config('--snapshot-count=0', '--snapshot-catchup-entries=0', '--backend-batch-limit=0');
    expect(member).toMatchObject({ snapshotCount: 10_000, snapshotCatchUpEntries: 5_000, backendBatchLimit: 10_000 });
  });

  test('either keepalive time set to 0 switches pings to clients off', () => {
    expect(config('--grpc-keepalive-interval=0s').keepalive.intervalMs).toBe(0);
    expect(config('--grpc-keepalive-timeout=0s').keepalive.intervalMs).toBe(0);
  });

  test('the log can be sent to several places', () => {
    expect(logConfigOf(parsed(['--log-outputs', 'default,stdout,/l', '--log-level', 'debug']))).toEqual({
      level: 'debug',
      format: 'json',
      outputs: ['stderr', 'stdout', '/l'],
    });
  });

  // The words of etcd 3.5.30, seen on its command line.
  test.each([
    [['--heartbeat-interval=0'], '--heartbeat-interval must be >0 (set to 0ms)'],
    [['--election-timeout=0'], '--election-timeout must be >0 (set to 0ms)'],
    [
      ['--election-timeout=300'],
      '--election-timeout[300ms] should be at least as 5 times as --heartbeat-interval[100ms]',
    ],
    [['--election-timeout=60000'], '--election-timeout[60000ms] is too long, and should be set less than 50000ms'],
    [
      ['--listen-client-urls=http://127.0.0.1:1'],
      '--advertise-client-urls is required when --listen-client-urls is set explicitly',
    ],
    [
      ['--listen-client-urls=http://foo:1', '--advertise-client-urls=http://foo:1'],
      'expected IP in URL for binding (http://foo:1)',
    ],
    [['--listen-peer-urls=http://foo:1'], 'expected IP in URL for binding (http://foo:1)'],
    [
      ['--advertise-client-urls=http://:2379'],
      '--advertise-client-urls "http://:2379" must be "host:port" (unexpected empty host (http://:2379))',
    ],
    [['--auto-compaction-mode=foo'], 'unknown auto-compaction-mode "foo"'],
    [['--auto-compaction-retention=abc'], 'error parsing CompactionRetention: time: invalid duration "abc"'],
    [['--auto-compaction-retention=1.5'], 'error parsing CompactionRetention: time: missing unit in duration "1.5"'],
    [['--initial-cluster=a'], 'error setting up initial cluster: URL scheme must be http, https, unix, or unixs: '],
  ])('%s are refused as etcd refuses them', (args, message) => {
    expect(refusal(...args)).toBe(message);
  });

  test('the edges of the election time-out are accepted', () => {
    expect(config('--election-timeout=500').member.electionMs).toBe(500);
    expect(config('--election-timeout=50000').member.electionMs).toBe(50_000);
  });

  test.each(['0.0.0.0', '127.0.0.1', 'localhost', '[::]', '[::1]', '[fe80::1]'])('%s can be listened on', (host) => {
    expect(() => config(`--listen-peer-urls=http://${host}:1`)).not.toThrow();
  });

  test('negative times are refused', () => {
    expect(refusal('--warning-apply-duration=-1s')).toContain('must not be negative');
  });

  test.each([
    [[], undefined],
    [['--auto-compaction-retention=0'], undefined],
    [['--auto-compaction-retention=0s'], undefined],
    [['--auto-compaction-mode=revision', '--auto-compaction-retention=0'], undefined],
    [['--auto-compaction-retention=2'], { mode: 'periodic', periodMs: 7_200_000 }],
    [['--auto-compaction-retention=1h30m'], { mode: 'periodic', periodMs: 5_400_000 }],
    [['--auto-compaction-mode=revision', '--auto-compaction-retention=1000'], { mode: 'revision', revisions: 1_000 }],
  ])('%s sets automatic compaction to %s', (args, expected) => {
    expect(config(...args).member.autoCompaction).toEqual(expected);
  });

  test.each([
    [['--auto-compaction-retention=-1h'], '--auto-compaction-retention must not be negative (set to -1h)'],
    [
      ['--auto-compaction-mode=revision', '--auto-compaction-retention=5m'],
      '--auto-compaction-retention must be a number of revisions (set to 5m)',
    ],
  ])('%s are refused', (args, message) => {
    expect(refusal(...args)).toBe(message);
  });

  test('a segment of the log too small for its own header is refused', () => {
    expect(refusal('--wal-segment-bytes=65535')).toBe('--wal-segment-bytes must be >=65536 (set to 65535)');
    expect(config('--wal-segment-bytes=65536').member.walSegmentBytes).toBe(65_536);
  });
});

describe('the founding cluster', () => {
  const hosts: Readonly<Record<string, string>> = { one: '10.0.0.1', uno: '10.0.0.1', two: '10.0.0.2' };
  const resolve = async (host: string): Promise<string[]> => {
    const address = hosts[host];
    if (address === undefined) throw new Error('no such host');
    return [address];
  };

  function founding(...args: string[]): Promise<void> {
    return checkFounding(config('--name=a', ...args), resolve);
  }

  test('is fine when the member is in it with its advertised URLs', async () => {
    await founding();
    await founding('--initial-advertise-peer-urls=http://one:1', '--initial-cluster=a=http://one:1,b=http://two:1');
  });

  test('may name the same address in another way', async () => {
    await founding('--initial-advertise-peer-urls=http://one:1', '--initial-cluster=a=http://uno:1');
  });

  // The words of etcd 3.5.30, seen on its command line.
  test.each([
    [['--initial-cluster=b=http://one:1'], `couldn't find local name "a" in the initial cluster configuration`],
    [
      ['--initial-advertise-peer-urls=http://one:2', '--initial-cluster=a=http://one:1'],
      '--initial-cluster has a=http://one:1 but missing from --initial-advertise-peer-urls=http://one:2 ' +
        '(resolved urls: "http://10.0.0.1:2" != "http://10.0.0.1:1")',
    ],
    [
      ['--initial-advertise-peer-urls=http://one:1,http://two:1', '--initial-cluster=a=http://one:1'],
      '--initial-advertise-peer-urls has http://two:1 but missing from --initial-cluster=a=http://one:1,a=http://two:1',
    ],
    [
      ['--initial-advertise-peer-urls=http://one:1', '--initial-cluster=a=http://one:1,b=http://one:1'],
      'initial cluster a=http://one:1,b=http://one:1 has duplicate url',
    ],
  ])('%s is refused as etcd refuses it', async (args, message) => {
    await expect(founding(...args)).rejects.toThrow(message);
  });

  test('that exists already knows the advertised URLs, so that they are not compared', async () => {
    const joining = ['--initial-cluster-state=existing', '--initial-advertise-peer-urls=http://one:1'];
    await founding(...joining, '--initial-cluster=a=http://two:1');
    await expect(founding(...joining, '--initial-cluster=b=http://two:1')).rejects.toThrow('find local name "a"');
    const doubled = '--initial-cluster=a=http://one:1,b=http://one:1';
    await expect(founding(...joining, doubled)).rejects.toThrow('duplicate url');
  });
});
