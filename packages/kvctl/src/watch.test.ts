import { Event, EventEventType, KeyValue, Status, WatchRequest, watchService } from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { FakeWorld, type Outcome, type Surroundings } from './testing/fake-io.ts';
import type { StreamScript } from './testing/fake-stream.ts';

const { watch } = watchService.methods;
type Script = StreamScript<Parameters<typeof watch.request.encode>[0], Parameters<typeof watch.response.encode>[0]>;

const header = { clusterId: 1n, memberId: 2n, revision: 9, raftTerm: 4 };
const a = KeyValue.create({
  key: Buffer.from('a'),
  createRevision: 7,
  modRevision: 8,
  version: 2,
  value: Buffer.from('v\xff', 'latin1'),
});
const put = Event.create({
  type: EventEventType.PUT,
  kv: a,
  prevKv: KeyValue.create({ ...a, value: Buffer.from('old') }),
});
const del = Event.create({
  type: EventEventType.DELETE,
  kv: KeyValue.create({ key: Buffer.from('a"'), modRevision: 9 }),
});

/** Watches get these two events, and then the member cancels them. */
const twoEvents: Script = ({ createRequest }, answering) => {
  if (createRequest === undefined) return;
  answering.send({ header, watchId: 0n, created: true });
  answering.send({ header, watchId: 0n, events: [put, del] });
  answering.send({ header: { ...header, revision: 0 }, watchId: 0n, canceled: true, compactRevision: 5 });
};

function run(line: string, script: Script = twoEvents, surroundings?: Surroundings): Promise<Outcome> {
  return new FakeWorld().stream(watch, script).run(line, surroundings);
}

/** The requests of one watch that is cancelled at once. */
async function requested(line: string, surroundings?: Surroundings): Promise<readonly WatchRequest[]> {
  const requests: WatchRequest[] = [];
  await run(
    line,
    (request, answering) => {
      requests.push(request);
      if (request.createRequest === undefined) return;
      const refusal = 'etcdserver: mvcc: required revision has been compacted';
      answering.send({ header, watchId: -1n, created: true, canceled: true, cancelReason: refusal });
    },
    surroundings,
  );
  return requests;
}

const canceled = 'watch was canceled (etcdserver: mvcc: required revision has been compacted)\n';
const ended = `${canceled}Error: watch is canceled by the server\n`;

describe('events are shown', () => {
  test.each([
    ['simple', 'PUT\na\nold\na\nv\xff\nDELETE\na"\n\n'],
    [
      'json',
      '{"Header":{"cluster_id":1,"member_id":2,"revision":9,"raft_term":4},"Events":[' +
        '{"kv":{"key":"YQ==","create_revision":7,"mod_revision":8,"version":2,"value":"dv8="},' +
        '"prev_kv":{"key":"YQ==","create_revision":7,"mod_revision":8,"version":2,"value":"b2xk"}},' +
        '{"type":1,"kv":{"key":"YSI=","mod_revision":9}}],"CompactRevision":0,"Canceled":false,"Created":false}\n',
    ],
    [
      'fields',
      '"ClusterID" : 1\n"MemberID" : 2\n"Revision" : 9\n"RaftTerm" : 4\n"Type" : PUT\n' +
        '"PrevKey" : "a"\n"PrevCreateRevision" : 7\n"PrevModRevision" : 8\n"PrevVersion" : 2\n"PrevValue" : "old"\n"PrevLease" : 0\n' +
        '"Key" : "a"\n"CreateRevision" : 7\n"ModRevision" : 8\n"Version" : 2\n"Value" : "v\\xff"\n"Lease" : 0\n' +
        '"Type" : DELETE\n"Key" : "a\\""\n"CreateRevision" : 0\n"ModRevision" : 9\n"Version" : 0\n"Value" : ""\n"Lease" : 0\n',
    ],
    ['simple --hex', 'PUT\n\\x61\n\\x6f\\x6c\\x64\n\\x61\n\\x76\\xff\nDELETE\n\\x61\\x22\n\n'],
  ])('-w %s', async (format, shown) => {
    const { code, stdout, stderr } = await run(`watch a --prev-kv -w ${format}`);
    expect([code, stderr]).toEqual([5, ended]);
    expect(stdout.slice(0, shown.length)).toBe(shown);
  });

  test('as a message', async () => {
    const { stdout } = await run('watch a -w protobuf');
    const expected = watch.response.encode(watch.response.create({ header, events: [put, del] }));
    expect(stdout.slice(0, expected.length)).toBe(expected.toString('latin1'));
  });

  test('progress is told, and shown as what it is: a response without events', async () => {
    const progress: Script = (request, answering) => {
      if (request.createRequest === undefined) return;
      expect(request.createRequest.progressNotify).toBe(true);
      answering.send({ header, watchId: 0n, created: true });
      answering.send({ header, watchId: 0n });
      answering.send({ header, watchId: 0n, canceled: true, compactRevision: 5 });
    };
    expect((await run('watch a --progress-notify', progress)).stdout).toBe('progress notify: 9\n');
    expect((await run('watch a --progress-notify -w json', progress)).stdout).toMatch(
      /^progress notify: 9\n\{"Header":\{.*"revision":9.*\},"Events":\[\],"CompactRevision":0,"Canceled":false,"Created":false\}\n/,
    );
  });

  test('its end by compaction tells who ended it and where history begins', async () => {
    const { stdout } = await run('watch a -w json');
    expect(stdout.split('\n')[1]).toBe(
      '{"Header":{"cluster_id":1,"member_id":2,"raft_term":4},"Events":[],"CompactRevision":5,"Canceled":true,"Created":false}',
    );
  });

  test('a watch that cannot begin says why and ends with 5', async () => {
    const refuse: Script = (_, answering) =>
      answering.send({
        header,
        watchId: -1n,
        created: true,
        canceled: true,
        cancelReason: 'etcdserver: permission denied',
      });
    expect(await run('watch a', refuse)).toMatchObject({
      code: 5,
      stderr: 'watch was canceled (etcdserver: permission denied)\nError: watch is canceled by the server\n',
    });
  });
});

test('goes on at the next revision when a member is lost', async () => {
  const starts: number[] = [];
  const { stdout, code } = await run('watch a --rev 3 --endpoints x:1,y:1', ({ createRequest }, answering) => {
    if (createRequest === undefined) return;
    starts.push(createRequest.startRevision);
    answering.send({ header, watchId: 0n, created: true });
    if (answering.stream === 1) {
      answering.send({ header: { ...header, revision: 8 }, watchId: 0n, events: [put] });
      answering.fail(Status.UNAVAILABLE, 'connection lost');
      return;
    }
    answering.send({ header, watchId: 0n, events: [del] });
    answering.send({ header, watchId: 0n, canceled: true, compactRevision: 5 });
  });
  expect(starts).toEqual([3, 9]);
  expect([code, stdout]).toEqual([5, 'PUT\na\nold\na\nv\xff\nDELETE\na"\n\n']);
});

test.each([
  ['watch a --rev 3', [3, 9, 9]],
  // From now on was once, and is behind revision 9: the times without a leader belong to it.
  ['watch a', [0, 10, 10]],
])('%s goes on where it was when no member saw a leader for a while', async (line, expected) => {
  const starts: number[] = [];
  const { stdout, stderr, code } = await run(line, ({ createRequest }, answering) => {
    if (createRequest === undefined) return;
    starts.push(createRequest.startRevision);
    if (answering.stream !== 2) answering.send({ header, watchId: 0n, created: true });
    if (answering.stream === 1 && createRequest.startRevision > 0) {
      answering.send({ header: { ...header, revision: 8 }, watchId: 0n, events: [put] });
    }
    if (answering.stream < 3) answering.fail(Status.UNAVAILABLE, 'etcdserver: no leader');
    else answering.send({ header, watchId: 0n, canceled: true, compactRevision: 5 });
  });
  expect(starts).toEqual(expected);
  expect([code, stdout]).toEqual([5, expected[0] === 0 ? '' : 'PUT\na\nold\na\nv\xff\n']);
  expect(stderr).toBe(`Warning: no endpoint sees a leader; the watch goes on when one does\n${ended}`);
});

describe('what is watched', () => {
  test.each([
    ['watch a', { key: 'a', rangeEnd: '' }],
    ['watch a b', { key: 'a', rangeEnd: 'b' }],
    ['watch a --prefix', { key: 'a', rangeEnd: 'b' }],
    ['watch a b c', { key: 'a', rangeEnd: '' }],
    ['watch a b -- sh c', { key: 'a', rangeEnd: 'b' }],
    ['watch --rev 7 a --prev-kv', { key: 'a', startRevision: 7, prevKv: true }],
    ['watch a --rev=-7', { key: 'a', startRevision: 0 }],
  ])('%s', async (line, expected) => {
    const [{ createRequest } = WatchRequest.create()] = await requested(line);
    const { key, rangeEnd, ...rest } = createRequest!;
    expect({ ...rest, key: String(key), rangeEnd: String(rangeEnd) }).toMatchObject(expected);
  });

  test('the key may come from the environment', async () => {
    const env = { KVCTL_WATCH_KEY: 'k', KVCTL_WATCH_RANGE_END: 'l' };
    for (const line of ['watch', 'watch -- sh c']) {
      const [first] = await requested(line, { env });
      expect(first!.createRequest).toMatchObject({ key: Buffer.from('k'), rangeEnd: Buffer.from('l') });
    }
  });

  const conflict = 'bad number of arguments (found conflicting environment key)';
  test.each([
    ['watch', {}, 128, 'bad number of arguments'],
    ['watch --rev 1', {}, 128, 'bad number of arguments'],
    ['watch -- sh', {}, 128, 'bad number of arguments'],
    ['watch a --', {}, 128, 'bad number of arguments (found separator --, but no commands)'],
    ['watch a b --prefix', {}, 128, '`range_end` and `--prefix` are mutually exclusive'],
    ['watch a', { KVCTL_WATCH_KEY: 'k' }, 128, conflict],
    ['watch a -- sh', { KVCTL_WATCH_KEY: 'k' }, 128, conflict],
    ['watch', { KVCTL_WATCH_RANGE_END: 'l' }, 128, 'KVCTL_WATCH_KEY is empty but got KVCTL_WATCH_RANGE_END="l"'],
    ['watch a -w table', {}, 4, 'table not supported as output format'],
    ['watch -i -w table', {}, 4, 'table not supported as output format'],
  ])('%s %j is refused', async (line, env, code, message) => {
    expect(await run(line, twoEvents, { env })).toMatchObject({ code, stderr: `Error: ${message}\n`, stdout: '' });
  });
});

describe('a command per event', () => {
  test('knows the event, values in quotes', async () => {
    const { spawned, code } = await run('watch a -- prog x -y --rev');
    expect(code).toBe(5);
    expect(spawned.map(({ words }) => words)).toEqual(new Array(2).fill(['prog', 'x', '-y', '--rev']));
    expect(spawned.map(({ env }) => env)).toEqual([
      {
        ETCD_WATCH_REVISION: '9',
        ETCD_WATCH_EVENT_TYPE: '"PUT"',
        ETCD_WATCH_KEY: '"a"',
        ETCD_WATCH_VALUE: '"v\\xff"',
      },
      { ETCD_WATCH_REVISION: '9', ETCD_WATCH_EVENT_TYPE: '"DELETE"', ETCD_WATCH_KEY: '"a\\""', ETCD_WATCH_VALUE: '""' },
    ]);
  });

  test('runs one after the other', async () => {
    let running = 0;
    const { spawned } = await run('watch a -- prog', twoEvents, {
      child: async () => {
        running += 1;
        expect(running).toBe(1);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
        return { at: 'exit', code: 0 };
      },
    });
    expect(spawned).toHaveLength(2);
  });

  test('ends everything when it fails', async () => {
    const { code, stderr, spawned } = await run('watch a -- prog "x', twoEvents, {
      child: () => ({ at: 'exit', code: 3 }),
    });
    expect([code, stderr, spawned.length]).toEqual([1, 'command ["prog" "\\"x"] error (exit status 3)\n', 1]);
  });
});

describe('lines of --interactive', () => {
  const interactive = (...lines: string[]): Promise<Outcome> =>
    run('watch -i', twoEvents, { stdin: lines.map((line) => `${line}\n`).join('') });
  const eof = 'Error: error reading watch request line: EOF\n';

  test('watch beside each other until the input ends', async () => {
    const keys: string[] = [];
    const world = new FakeWorld().stream(watch, ({ createRequest, progressRequest }, answering) => {
      if (createRequest !== undefined) {
        const watchId = BigInt(keys.length);
        keys.push(
          `${createRequest.key} ${createRequest.rangeEnd} ${createRequest.startRevision} ${createRequest.prevKv}`,
        );
        answering.send({ header, watchId, created: true });
      }
      if (progressRequest !== undefined) answering.send({ header, watchId: -1n });
    });
    const stdin = 'watch a\nwatch "b" --prefix --rev 3\n watch --prev-kv c d -- sh\nprogress\n';
    const { code, stderr } = await world.run('watch -i --prefix --rev 99', { stdin });
    expect([code, stderr]).toEqual([3, eof]);
    expect(keys).toEqual(['a  0 false', 'b c 3 false', 'c d 0 true']);
  });

  test.each([
    ['nonsense a', 'Invalid command nonsense a (only support watch)\n', 3],
    ['', 'Invalid command:  (watch and progress supported)\n', 3],
    ['watch', 'Invalid command watch (command type or key is not provided)\n', 3],
    [
      'watch a b --prefix',
      'Invalid command watch a b --prefix (`range_end` and `--prefix` are mutually exclusive)\n',
      3,
    ],
    ['watch -- sh', 'Invalid command watch -- sh (bad number of arguments)\n', 3],
    ['watch --rev 3', 'Error: bad number of arguments\n', 128],
    ['watch --', 'Error: bad number of arguments (found separator --, but no commands)\n', 128],
    ['watch a --nope', 'Error: unknown flag: --nope\n', 128],
    ['watch a -w json', "Error: unknown shorthand flag: 'w' in -w\n", 128],
    ['watch a --help', 'Error: pflag: help requested\n', 128],
  ])('%j is refused', async (line, message, code) => {
    expect(await interactive(line)).toMatchObject({ code, stderr: code === 3 ? message + eof : message });
  });

  test('take the key from the environment', async () => {
    const requests = await requested('watch -i', { env: { KVCTL_WATCH_KEY: 'k' }, stdin: 'watch --rev 2\n' });
    expect(requests[0]!.createRequest).toMatchObject({ key: Buffer.from('k'), startRevision: 2 });
  });

  test('a command that fails ends everything', async () => {
    const outcome = new FakeWorld().stream(watch, twoEvents).run('watch -i', {
      stdin: 'watch a -- prog\n',
      endless: true,
      child: () => ({ at: 'signal', signal: 'SIGKILL' }),
    });
    expect(await outcome).toMatchObject({ code: 1, stderr: 'command ["prog"] error (signal: killed)\n' });
  });
});
