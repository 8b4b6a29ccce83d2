import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { environmentName, flagName, flagTable } from './flag-table.ts';
import { FlagError, type ParsedFlags, parseCommand } from './parse.ts';

function member(args: readonly string[], environment: Record<string, string> = {}): ParsedFlags {
  const command = parseCommand(args, environment);
  if (command.run !== 'member') throw new Error(`would run ${command.run}`);
  return command;
}

function refusal(args: readonly string[], environment: Record<string, string> = {}): FlagError {
  try {
    parseCommand(args, environment);
  } catch (error) {
    if (error instanceof FlagError) return error;
    throw error;
  }
  throw new Error('accepted');
}

describe('the command line', () => {
  test('without flags means the defaults of etcd 3.6', () => {
    const { values, given, notes } = member([]);
    expect(values).toMatchObject({
      name: 'default',
      snapshotCount: 10_000,
      heartbeatInterval: 100,
      electionTimeout: 1_000,
      maxTxnOps: 128,
      maxRequestBytes: 1_572_864,
      maxConcurrentStreams: 4_294_967_295,
      grpcKeepaliveMinTime: 5_000,
      grpcKeepaliveInterval: 7_200_000,
      grpcKeepaliveTimeout: 20_000,
      preVote: true,
      initialClusterState: 'new',
      logLevel: 'info',
      logFormat: 'json',
      logOutputs: ['stderr'],
    });
    expect(values.listenClientUrls.map((url) => url.text)).toEqual(['http://localhost:2379']);
    expect([...given]).toEqual([]);
    expect(notes).toEqual([]);
  });

  test.each([[['--name=a']], [['--name', 'a']], [['-name', 'a']], [['-name=a']], [['--name', 'b', '--name', 'a']]])(
    '%s sets the name',
    (args) => {
      const { values, given } = member(args);
      expect(values.name).toBe('a');
      expect([...given]).toEqual(['name']);
    },
  );

  test('a value may hold an equals sign, and may be empty', () => {
    expect(member(['--initial-cluster=a=http://a:1']).values.initialCluster).toBe('a=http://a:1');
    expect(member(['--initial-cluster=']).values.initialCluster).toBe('');
    expect(member(['--listen-metrics-urls', '']).values.listenMetricsUrls).toEqual([]);
  });

  test('a boolean flag alone means true and takes no value after a space', () => {
    expect(member(['--pre-vote']).values.preVote).toBe(true);
    expect(member(['--pre-vote=false']).values.preVote).toBe(false);
    expect(refusal(['--pre-vote', 'false']).message).toBe("'false' is not a valid flag");
  });

  test.each([['--help'], ['-h'], ['-help']])('%s asks for help', (flag) => {
    expect(parseCommand([flag, '--nope'], {})).toEqual({ run: 'help' });
  });

  test('--version asks for the version', () => {
    expect(parseCommand(['--version'], {})).toEqual({ run: 'version' });
  });

  // The words and exit codes of etcd 3.5.30, seen on its command line.
  test.each([
    [['--nope'], 'flag provided but not defined: -nope', true],
    [['-nope=1'], 'flag provided but not defined: -nope', true],
    [['---x'], 'bad flag syntax: ---x', true],
    [['--=3'], 'bad flag syntax: --=3', true],
    [['-name'], 'flag needs an argument: -name', true],
    [['--heartbeat-interval', 'abc'], 'invalid value "abc" for flag -heartbeat-interval: parse error', true],
    [['--snapshot-count', '-1'], 'invalid value "-1" for flag -snapshot-count: parse error', true],
    [
      ['--snapshot-count=99999999999999999999'],
      'invalid value "99999999999999999999" for flag -snapshot-count: value out of range',
      true,
    ],
    [['--pre-vote=maybe'], 'invalid boolean value "maybe" for -pre-vote: parse error', true],
    [['--initial-cluster-state', 'foo'], 'invalid value "foo" for flag -initial-cluster-state: invalid value', true],
    [['--backend-batch-interval', '5'], 'invalid value "5" for flag -backend-batch-interval: parse error', true],
    [
      ['--listen-client-urls', 'http://127.0.0.1'],
      'invalid value "http://127.0.0.1" for flag -listen-client-urls: URL address does not have the form "host:port": http://127.0.0.1',
      true,
    ],
    [['extra'], "'extra' is not a valid flag", false],
    [['--', 'extra'], "'extra' is not a valid flag", false],
  ])('%s is refused as etcd refuses it', (args, message, isUsage) => {
    expect(refusal(args)).toMatchObject({ message, isUsage });
  });

  test('names of etcd 3.5 work with a note', () => {
    const { values, notes } = member(['--experimental-compaction-batch-limit', '7']);
    expect(values.compactionBatchLimit).toBe(7);
    expect(notes).toEqual([
      {
        level: 'warn',
        message: 'deprecated flag name',
        facts: { name: 'experimental-compaction-batch-limit', use: 'compaction-batch-limit' },
      },
    ]);
  });
});

describe('the environment', () => {
  test('sets what the command line does not', () => {
    const { values, given, notes } = member(['--name', 'a'], { KVD_DATA_DIR: '/d', KVD_PRE_VOTE: 'false', OTHER: '1' });
    expect(values).toMatchObject({ name: 'a', dataDir: '/d', preVote: false });
    expect([...given].sort()).toEqual(['dataDir', 'name', 'preVote']);
    expect(notes.map(({ facts }) => facts['name'])).toEqual(['KVD_DATA_DIR', 'KVD_PRE_VOTE']);
  });

  test('set together with its flag is a conflict', () => {
    expect(refusal(['--name', 'a'], { KVD_NAME: 'b' })).toMatchObject({
      message:
        'conflicting environment variable "KVD_NAME" is shadowed by corresponding command-line flag ' +
        '(either unset environment variable or disable flag)',
      isUsage: false,
    });
  });

  test('set to nothing is not set', () => {
    expect(member(['--name', 'a'], { KVD_NAME: '' }).values.name).toBe('a');
  });

  test('with a value that makes no sense is refused as etcd refuses it', () => {
    expect(refusal([], { KVD_HEARTBEAT_INTERVAL: 'abc' }).message).toBe(
      'invalid value "abc" for KVD_HEARTBEAT_INTERVAL: parse error',
    );
  });

  test('with an unknown name is noted, kvd’s own variables are not', () => {
    const { notes } = member([], { KVD_NONSENSE: '1', KVD_CRASH_AT: 'walBeforeAppend' });
    expect(notes).toEqual([
      { level: 'warn', message: 'unrecognized environment variable', facts: { name: 'KVD_NONSENSE' } },
    ]);
  });
});

describe('a config file', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'quorate-flags-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  function file(content: unknown): string {
    const path = join(directory, 'kvd.json');
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
    return path;
  }

  test('gives strings, numbers and booleans; durations also as nanoseconds', () => {
    const path = file({
      name: 'f',
      'heartbeat-interval': 50,
      'pre-vote': false,
      'backend-batch-interval': 20_000_000,
      'grpc-keepalive-min-time': '3s',
      'listen-client-urls': 'http://127.0.0.1:1,http://127.0.0.1:2',
    });
    const { values, given } = member(['--config-file', path]);
    expect(values).toMatchObject({
      name: 'f',
      heartbeatInterval: 50,
      preVote: false,
      backendBatchInterval: 20,
      grpcKeepaliveMinTime: 3_000,
    });
    expect(values.listenClientUrls).toHaveLength(2);
    expect(given.has('listenClientUrls')).toBe(true);
  });

  test('replaces flags and environment altogether, and says so', () => {
    const path = file({ name: 'f' });
    const { values, notes } = member(['--config-file', path, '--data-dir', '/d'], { KVD_QUOTA_BACKEND_BYTES: '7' });
    expect(values).toMatchObject({ name: 'f', dataDir: '', quotaBackendBytes: 0 });
    expect(notes.map(({ message }) => message)).toContain('other command line flags are ignored with a config file');
  });

  test('may be named in the environment', () => {
    expect(member([], { KVD_CONFIG_FILE: file({ name: 'f' }) }).values.name).toBe('f');
  });

  test.each([
    ['{', 'must be JSON'],
    ['[]', 'must hold one JSON object'],
    ['null', 'must hold one JSON object'],
    ['{"nonsense":1}', 'unknown setting "nonsense"'],
    ['{"name":{}}', 'name must be a string, a number or a boolean'],
    ['{"heartbeat-interval":"x"}', 'invalid value "x" for heartbeat-interval: parse error'],
  ])('%s is refused', (content, message) => {
    expect(refusal(['--config-file', file(content)]).message).toContain(message);
  });

  test('that is not there is refused as etcd refuses it', () => {
    expect(refusal(['--config-file', '/nope']).message).toBe('open /nope: no such file or directory');
  });
});

test('every default is a value its flag accepts', () => {
  for (const spec of Object.values(flagTable)) expect(() => spec.parse(spec.default)).not.toThrow();
});

test('names on the command line and in the environment follow from the field', () => {
  expect(flagName('initialAdvertisePeerUrls')).toBe('initial-advertise-peer-urls');
  expect(environmentName('initial-advertise-peer-urls')).toBe('KVD_INITIAL_ADVERTISE_PEER_URLS');
});
