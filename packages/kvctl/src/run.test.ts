import {
  clusterService,
  kvService,
  maintenanceService,
  PutRequest,
  RangeRequest,
  ResponseHeader,
  Status,
  TxnRequest,
} from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { FakeWorld } from './testing/fake-io.ts';
import { fromText } from './text/bytes.ts';

const kv = kvService.methods;
const { status, alarm } = maintenanceService.methods;
const header = ResponseHeader.create({ clusterId: 1n, memberId: 2n, revision: 3, raftTerm: 4 });

function world(): FakeWorld {
  return new FakeWorld()
    .answer(kv.range, { header })
    .answer(kv.put, { header })
    .answer(kv.deleteRange, { header, deleted: 1 })
    .answer(kv.txn, { header, succeeded: true })
    .answer(alarm, { header });
}

async function putSent(line: string | readonly string[], stdin = ''): Promise<PutRequest> {
  const { asked, stderr } = await world().run(line, { stdin });
  expect(stderr).toBe('');
  return PutRequest.decode(asked[0]!.request);
}

async function rangeSent(line: string | readonly string[]): Promise<RangeRequest> {
  const { asked, stderr } = await world().run(line);
  expect(stderr).toBe('');
  return RangeRequest.decode(asked[0]!.request);
}

describe('the command line', () => {
  test('flags may stand anywhere and in any of their forms', async () => {
    for (const line of [
      '--hex get k -w json',
      'get -wjson --hex=true k',
      'get k -w=json --hex',
      '-w json --hex=1 -- get k',
    ]) {
      const { code, stdout } = await world().run(line);
      expect([line, code, stdout]).toEqual([
        line,
        line.includes('-- get') ? 1 : 0,
        line.includes('-- get') ? '' : '{"header":{"cluster_id":1,"member_id":2,"revision":3,"raft_term":4}}\n',
      ]);
    }
  });

  test('the last of two values counts, lists grow', async () => {
    expect(await rangeSent('get k --limit 3 --limit 4 --prefix --prefix=false')).toMatchObject({
      limit: 4,
      rangeEnd: Buffer.alloc(0),
    });
    const { asked } = await world().run('endpoint health --endpoints a:1,b:1 --endpoints c:1');
    expect([...new Set(asked.map(({ endpoint }) => endpoint))]).toEqual(['a:1', 'b:1', 'c:1']);
  });

  test('commands may be shortened while it is clear which is meant', async () => {
    expect(await world().run('g k')).toMatchObject({ code: 0 });
    expect(await world().run('endp hea')).toMatchObject({ code: 0 });
    expect(await world().run('endpoint h')).toMatchObject({
      code: 1,
      stderr:
        'Error: unknown command "h" for "kvctl endpoint"\n\nDid you mean this?\n\thealth\n\thashkv\n\nRun \'kvctl endpoint --help\' for usage.\n',
    });
  });

  test('what follows two dashes is no flag', async () => {
    expect(await putSent('put -- -k --v')).toMatchObject({ key: Buffer.from('-k'), value: Buffer.from('--v') });
    expect(await putSent('put k -- -v')).toMatchObject({ key: Buffer.from('k'), value: Buffer.from('-v') });
    expect(await putSent(['put', 'k', '--', '--'])).toMatchObject({ value: Buffer.from('--') });
    expect(await putSent('put k -')).toMatchObject({ value: Buffer.from('-') });
  });

  test.each([
    ['get --nope k', 'unknown flag: --nope', 'kvctl get'],
    ['get -q k', "unknown shorthand flag: 'q' in -q", 'kvctl get'],
    ['get k -w', "flag needs an argument: 'w' in -w", 'kvctl get'],
    ['get k --rev', 'flag needs an argument: --rev', 'kvctl get'],
    ['alarm list --prefix', 'unknown flag: --prefix', 'kvctl alarm list'],
    ['--nope', 'unknown flag: --nope', 'kvctl'],
  ])('%s is refused with where to find help', async (line, message, path) => {
    expect(await world().run(line)).toEqual({
      code: 1,
      stdout: '',
      stderr: `Error: ${message}\nRun '${path} --help' for usage.\n`,
      asked: [],
      spawned: [],
      tookMs: 0,
    });
  });

  test('a typing error gets advice', async () => {
    const { code, stderr } = await world().run('pit k v');
    expect(code).toBe(1);
    expect(stderr).toContain('Error: unknown command "pit" for "kvctl"\n\nDid you mean this?\n\tget\n\tput\n');
  });
});

describe('help', () => {
  test.each(['', '--help', '-h', 'help', 'get --help', 'help get', 'get -h --nope', 'alarm', 'help alarm list'])(
    '%j',
    async (line) => {
      const { code, stdout, stderr } = await world().run(line);
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).toMatch(/^Usage: kvctl/);
      expect(stdout).not.toMatch(/--no-|\[options\]/);
    },
  );

  test('names the flags of the command, the global ones, and examples', async () => {
    const { stdout } = await world().run('get --help');
    expect(stdout).toContain('Usage: kvctl get [flags] <key> [range_end]');
    expect(stdout).toMatch(/--rev <revision> +read as of this revision \(0: now\)/);
    expect(stdout).toMatch(/-w, --write-out <format>/);
    expect(stdout).toContain('kvctl get --prefix services/ --keys-only');
  });

  test('lists every command', async () => {
    const { stdout } = await world().run('--help');
    for (const name of ['get', 'put', 'del', 'txn', 'compaction', 'alarm', 'endpoint', 'member', 'version']) {
      expect(stdout).toMatch(new RegExp(`^  ${name} +\\S`, 'm'));
    }
  });

  test('no line is wider than the terminal', async () => {
    for (const line of ['--help', 'get --help', 'put --help', 'txn --help', 'endpoint status --help']) {
      const { stdout } = await world().run(line);
      expect(stdout.split('\n').filter((text) => text.length > 120)).toEqual([]);
    }
  });
});

test('version tells both versions and needs no cluster', async () => {
  expect(await world().run('version')).toMatchObject({ stdout: 'kvctl version: 1.2.3\nAPI version: 3.6\n', asked: [] });
});

describe('the environment', () => {
  test('sets global flags', async () => {
    const env = { KVCTL_ENDPOINTS: 'x:1', KVCTL_WRITE_OUT: 'json', KVCTL_HEX: 'T', KVCTL_COMMAND_TIMEOUT: '1m' };
    const { asked, stdout, stderr } = await world().run('get k', { env });
    expect(asked[0]!.endpoint).toBe('x:1');
    expect(stdout).toMatch(/^\{"header"/);
    expect(stderr).toBe('');
  });

  test('does not set flags of a command, but those of its group', async () => {
    const { stderr } = await world().run('get k', { env: { KVCTL_PREFIX: 'true' } });
    expect(stderr).toBe('Warning: unrecognized environment variable KVCTL_PREFIX=true\n');
    const members = world().answer(clusterService.methods.memberList, { members: [] });
    const { asked } = await members.run('endpoint health', { env: { KVCTL_CLUSTER: 'true' } });
    expect(asked.map(({ path }) => path)).toEqual(['/etcdserverpb.Cluster/MemberList']);
  });

  test('must not contradict a flag', async () => {
    expect(await world().run('get k --hex', { env: { KVCTL_HEX: 'true' } })).toMatchObject({
      code: 1,
      asked: [],
      spawned: [],
      stderr:
        'Error: conflicting environment variable "KVCTL_HEX" is shadowed by corresponding command-line flag ' +
        '(either unset environment variable or disable flag)\n',
    });
  });

  test('must make sense', async () => {
    expect(await world().run('get k', { env: { KVCTL_DIAL_TIMEOUT: 'soon' } })).toMatchObject({
      code: 128,
      stderr:
        'Error: KVCTL_DIAL_TIMEOUT: invalid argument "soon" for "--dial-timeout" flag: time: invalid duration "soon"\n',
    });
  });

  test('is not asked about variables of others', async () => {
    const { stderr } = await world().run('get k', { env: { ETCDCTL_ENDPOINTS: 'y:1', PATH: '/bin', KVCTL_KEY: '' } });
    expect(stderr).toBe('');
  });
});

describe('put', () => {
  test('takes its value from standard input, byte for byte', async () => {
    expect(await putSent('put k', '\xff\x00\n')).toMatchObject({ value: Buffer.from('\xff\x00\n', 'latin1') });
  });

  test('reads a lease in hex', async () => {
    expect(await putSent('put k v --lease 7b')).toMatchObject({ lease: 123n });
    expect(await putSent('put k v --lease=-1')).toMatchObject({ lease: 2n ** 64n - 1n });
  });

  test('is not made when its answer cannot be shown', async () => {
    expect(await world().run('put k v -w table')).toMatchObject({ code: 4, asked: [] });
  });
});

describe('get', () => {
  test('turns flags into a request', async () => {
    const line = 'get p --prefix --rev 5 --limit 0x10 --order descend --sort-by create --consistency s --keys-only';
    expect(await rangeSent(`${line} --min-mod-rev 1 --max-mod-rev 2 --min-create-rev 3 --max-create-rev 4`)).toEqual(
      RangeRequest.create({
        key: Buffer.from('p'),
        rangeEnd: Buffer.from('q'),
        revision: 5,
        limit: 16,
        sortOrder: 2,
        sortTarget: 2,
        serializable: true,
        keysOnly: true,
        minModRevision: 1,
        maxModRevision: 2,
        minCreateRevision: 3,
        maxCreateRevision: 4,
      }),
    );
  });

  test('treats a negative revision as none, as etcdctl does', async () => {
    expect(await rangeSent('get k --rev -5')).toMatchObject({ revision: 0 });
  });
});

describe('del', () => {
  const warning =
    'Warning: Keys between "a" and "c\\n" will be deleted. Please interrupt the command within next 2 seconds to ' +
    'cancel. You can provide `--range` flag to avoid the delay.\n';

  test('of a range warns and waits two seconds first', async () => {
    const { stderr, asked } = await world().run(['del', 'a', 'c\n']);
    expect(stderr).toBe(warning);
    expect(asked[0]!.atMs).toBe(2_000);
  });

  test('does not wait with --range, nor for a key or a prefix', async () => {
    for (const line of ['del a c --range', 'del a', 'del a --prefix', 'del a --from-key']) {
      expect(await world().run(line)).toMatchObject({ code: 0, stderr: '', tookMs: 0 });
    }
  });
});

describe('txn', () => {
  test('sends what was written', async () => {
    const stdin = 'mod("k") > "0"\n\nput --lease 1 k "v w"\n\ndel k --prefix\nget k x\n\n';
    const { asked, stdout } = await world().run('txn', { stdin });
    const { compare, success, failure } = TxnRequest.decode(asked[0]!.request);
    expect(stdout).toBe('SUCCESS\n');
    expect(compare).toHaveLength(1);
    expect(success[0]!.requestPut).toMatchObject({ lease: 1n, value: Buffer.from('v w') });
    expect(failure[0]!.requestDeleteRange).toMatchObject({ rangeEnd: Buffer.from('l') });
    expect(failure[1]!.requestRange).toMatchObject({ rangeEnd: Buffer.from('x') });
  });

  test('keeps bytes that are not UTF-8, and white space beyond ASCII', async () => {
    const { asked } = await world().run('txn', { stdin: `\nput k\xff ${fromText('à')}\n\n\n` });
    expect(TxnRequest.decode(asked[0]!.request).success[0]!.requestPut).toMatchObject({
      key: Buffer.from('k\xff', 'latin1'),
      value: Buffer.from('à'),
    });
  });

  test('asks for help in no line', async () => {
    expect(await world().run('txn', { stdin: '\nget --help\n\n\n' })).toMatchObject({
      code: 3,
      stderr: 'Error: invalid txn request: get --help\n',
      stdout: '',
    });
  });
});

describe('endpoints', () => {
  test('that refuse are named, with the reason, before the error', async () => {
    const { code, stdout, stderr, tookMs } = await new FakeWorld().run('get k --endpoints a:1 --command-timeout 10s');
    expect([code, stdout, tookMs]).toEqual([1, '', 10_000]);
    expect(stderr).toBe('Warning: endpoint a:1: connect ECONNREFUSED a:1\nError: context deadline exceeded\n');
  });

  test('that make no sense are refused at once', async () => {
    expect(await world().run('get k --endpoints nowhere')).toMatchObject({
      code: 2,
      stderr: 'Error: invalid endpoint "nowhere": expected host:port\n',
    });
  });

  test('must be given', async () => {
    expect(await world().run(['get', 'k', '--endpoints', ''])).toMatchObject({
      code: 2,
      stderr: 'Error: etcdclient: no available endpoints\n',
    });
  });

  test('status shows those that answer and names those that do not', async () => {
    const half = new FakeWorld().answer(status, { header, version: '3.6.0', leader: 2n }, 'b:1');
    const { code, stdout, stderr } = await half.run('endpoint status --endpoints a:1,b:1 --command-timeout 1s');
    expect(code).toBe(1);
    expect(stdout).toMatch(/^b:1, 2, 3\.6\.0, .*, true, .*\n$/);
    expect(stderr).toBe(
      'Warning: endpoint a:1: connect ECONNREFUSED a:1\nFailed to get the status of endpoint a:1 (context deadline exceeded)\n',
    );
  });

  test('health asks for a read and for alarms', async () => {
    const { asked, stdout } = await world().run('endpoint health');
    expect(asked.map(({ path }) => path)).toEqual(['/etcdserverpb.KV/Range', '/etcdserverpb.Maintenance/Alarm']);
    expect(RangeRequest.decode(asked[0]!.request)).toMatchObject({ key: Buffer.from('health'), serializable: false });
    expect(stdout).toBe('127.0.0.1:2379 is healthy: successfully committed proposal: took = 0s\n');
  });

  test('a refused permission is health, an alarm is not, nor a missing alarm list', async () => {
    const denied = world().refuse(kv.range, Status.PERMISSION_DENIED, 'etcdserver: permission denied');
    expect(await denied.run('endpoint health')).toMatchObject({ code: 0 });
    const alarms = [
      { memberID: 1n, alarm: 1 },
      { memberID: 2n, alarm: 2 },
    ];
    expect(await world().answer(alarm, { alarms }).run('endpoint health')).toMatchObject({
      code: 1,
      stderr:
        '127.0.0.1:2379 is unhealthy: failed to commit proposal: Active Alarm(s): NOSPACE CORRUPT \nError: unhealthy cluster\n',
    });
    const silent = new FakeWorld().answer(kv.range, { header });
    expect((await silent.run('endpoint health')).stderr).toContain('Unable to fetch the alarm list\n');
  });

  test('with --cluster are those of the member list', async () => {
    const members = [
      { id: 1n, name: 'a', peerURLs: [], clientURLs: ['http://a:1', 'http://a:2'], isLearner: false },
      { id: 2n, name: '', peerURLs: [], clientURLs: [], isLearner: false },
    ];
    const both = world().answer(clusterService.methods.memberList, { members }).answer(status, { header });
    const { stdout } = await both.run('endpoint status --cluster --endpoints b:1');
    expect(stdout.match(/^http:\S+/gm)).toEqual(['http://a:1,', 'http://a:2,']);
  });

  test('without a member list --cluster says so', async () => {
    expect(await new FakeWorld().run('endpoint status --cluster --command-timeout 1s')).toMatchObject({
      code: 1,
      stderr: 'Error: failed to fetch endpoints from etcd cluster member list: context deadline exceeded\n',
    });
  });
});

describe('TLS files', () => {
  test.each([
    [['get', 'k', '--cert', ''], 'empty string is passed to --cert option'],
    [['get', 'k', '--cacert', '/none'], 'open /none: no such file or directory'],
    [['get', 'k', '--cert', '/none'], 'KeyFile and CertFile must both be present[key: , cert: /none]'],
  ])('%j', async (line, message) => {
    expect(await world().run(line)).toMatchObject({ code: 128, stderr: `Error: ${message}\n`, asked: [] });
  });
});

describe('--debug', () => {
  test('shows the flags as variables, and what the client does', async () => {
    const { stderr } = await new FakeWorld().run('get k --debug --endpoints a:1,b:1 --command-timeout 1s');
    expect(stderr).toContain(
      'KVCTL_COMMAND_TIMEOUT=1s\nKVCTL_DEBUG=true\nKVCTL_DIAL_TIMEOUT=2s\nKVCTL_ENDPOINTS=[a:1,b:1]\n',
    );
    expect(stderr).toContain('debug: endpoint failed endpoint=a:1 error=RpcError: connect ECONNREFUSED a:1\n');
  });
});

test('an error no text is known for is printed as Go prints it', async () => {
  const odd = world().refuse(kv.put, Status.INTERNAL, 'boom é');
  expect(await odd.run('put k v')).toMatchObject({
    code: 1,
    stderr: fromText('Error: rpc error: code = Internal desc = boom é\n'),
  });
});
