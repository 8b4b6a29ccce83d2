import {
  type Codec,
  DeleteRangeRequest,
  KeyValue,
  kvService,
  type LeaseKeepAliveRequest,
  leaseService,
  RangeRequest,
  ResponseOp,
  TxnRequest,
  type WatchRequest,
  watchService,
} from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { type Asked, FakeWorld } from './testing/fake-io.ts';
import type { Answering } from './testing/fake-stream.ts';

const { range, txn, deleteRange } = kvService.methods;
const { leaseGrant, leaseRevoke, leaseKeepAlive } = leaseService.methods;
const header = { clusterId: 1n, memberId: 2n, revision: 7, raftTerm: 4 };
const id = 0xabcn;
const mine = KeyValue.create({
  key: Buffer.from('name/abc'),
  createRevision: 7,
  modRevision: 7,
  version: 1,
  value: Buffer.from('v'),
  lease: id,
});
const before = KeyValue.create({ key: Buffer.from('name/1'), createRevision: 3 });

type Renew = (request: LeaseKeepAliveRequest, answering: Answering<{ id: bigint; ttl: number }>) => void;
const renew: Renew = (_, answering) => answering.send({ id, ttl: 10 });

/** A cluster where nobody holds anything. */
function world(onRenewal: Renew = renew): FakeWorld {
  return new FakeWorld()
    .answer(leaseGrant, { header, id, ttl: 10 })
    .answer(leaseRevoke, { header })
    .answer(txn, {
      header,
      succeeded: true,
      responses: [ResponseOp.create({ responsePut: { header, prevKv: undefined } })],
    })
    .answer(range, { header, kvs: [mine], count: 1 })
    .answer(deleteRange, { header, deleted: 1 })
    .stream(leaseKeepAlive, onRenewal as never);
}

/** A cluster where somebody else does, for ever. */
function taken(onRenewal?: Renew): FakeWorld {
  const owner = { header, kvs: [before], more: false, count: 1 };
  return world(onRenewal)
    .answer(txn, {
      header,
      succeeded: true,
      responses: [
        ResponseOp.create({ responsePut: { header, prevKv: undefined } }),
        ResponseOp.create({ responseRange: owner }),
      ],
    })
    .answer(range, owner)
    .stream(watchService.methods.watch, ({ createRequest }, answering) => {
      if (createRequest !== undefined) answering.send({ header, watchId: 0n, created: true });
    });
}

const names = (asked: readonly Asked[]): string[] => asked.map(({ path }) => path.replace(/^.*\//, ''));

function requestsOf<T>(asked: readonly Asked[], path: string, codec: Codec<T>): T[] {
  return asked.filter((one) => one.path === path).map(({ request }) => codec.decode(request));
}

/** Interrupts a run once it has asked for something that ends in `path`. */
async function interrupted(target: FakeWorld, line: string, path = 'KV/Range') {
  const running = target.run(line, {
    onAsk: (asked) => {
      if (asked.path.endsWith(path)) setImmediate(() => setImmediate(() => target.interrupt('SIGINT')));
    },
  });
  return running;
}

describe('lock', () => {
  test('is taken, shown, held until a signal, and given back with its lease', async () => {
    const { code, stdout, stderr, asked } = await interrupted(world(), 'lock name');
    expect([code, stdout, stderr]).toEqual([0, 'name/abc\nv\n', '']);
    expect(names(asked)).toEqual(['LeaseGrant', 'Txn', 'Range', 'Txn', 'LeaseRevoke']);
    const [take, give] = requestsOf(asked, txn.path, TxnRequest);
    expect(take!.success[0]!.requestPut).toMatchObject({ key: mine.key, lease: id });
    expect(give!.success[0]!.requestDeleteRange).toMatchObject({ key: mine.key });
  });

  test.each([
    ['lock name', 10],
    ['lock name --ttl 3', 3],
    ['lock name --ttl 0', 60],
    ['lock name --ttl=-5', 60],
    ['elect name p', 60],
    ['elect name -l', 60],
  ])('%s asks for %d seconds', async (line, ttl) => {
    const { asked } = await interrupted(world(), line);
    expect(leaseGrant.request.decode(asked[0]!.request).ttl).toBe(ttl);
  });

  test('is held while a command runs, which knows key and revision', async () => {
    const { code, stdout, asked, spawned } = await world().run('lock name prog a -- -b --ttl 3', {
      child: ({ words, env }) => {
        expect([words, env]).toEqual([
          ['prog', 'a', '-b', '--ttl', '3'],
          { ETCD_LOCK_KEY: 'name/abc', ETCD_LOCK_REV: '7' },
        ]);
        return { at: 'exit', code: 0 };
      },
    });
    expect([code, stdout, spawned.length]).toEqual([0, '', 1]);
    expect(names(asked)).toEqual(['LeaseGrant', 'Txn', 'Range', 'Txn', 'LeaseRevoke']);
  });

  test.each([
    [{ at: 'exit', code: 7 }, 7, 'exit status 7'],
    [{ at: 'signal', signal: 'SIGKILL' }, 255, 'signal: killed'],
    [{ at: 'start', reason: 'ENOENT' }, 1, 'exec: "prog": executable file not found in $PATH'],
  ] as const)('is given back when the command fails with %j', async (end, code, message) => {
    const outcome = await world().run('lock name prog', { child: () => end });
    expect(outcome).toMatchObject({ code, stderr: `Error: ${message}\n` });
    expect(names(outcome.asked).slice(-2)).toEqual(['Txn', 'LeaseRevoke']);
  });

  test.each(['SIGTERM', 'SIGINT'] as const)('is held after %s until the command is gone', async (name) => {
    const target = world();
    let release = (): void => {};
    const gone = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { spawned, asked, code } = await target.run('lock name prog', {
      child: async (spawnedOne) => {
        await Promise.resolve();
        target.interrupt(name);
        setImmediate(() => setImmediate(release));
        await gone;
        expect(spawnedOne.signals).toEqual(name === 'SIGTERM' ? ['SIGTERM'] : []);
        return { at: 'exit', code: 3 };
      },
    });
    expect([code, spawned.length]).toEqual([3, 1]);
    expect(names(asked).slice(-2)).toEqual(['Txn', 'LeaseRevoke']);
  });

  test('waited for in vain is given up at a signal', async () => {
    const { code, stderr, stdout, asked } = await interrupted(taken(), 'lock name');
    expect([code, stdout, stderr]).toEqual([1, '', 'Error: context canceled\n']);
    expect(requestsOf(asked, deleteRange.path, DeleteRangeRequest)).toMatchObject([{ key: mine.key }]);
    expect(names(asked).at(-1)).toBe('LeaseRevoke');
  });

  test('is lost with its lease', async () => {
    let renewals = 0;
    const ending: Renew = (_, answering) => {
      renewals += 1;
      answering.send({ id, ttl: renewals < 3 ? 10 : 0 });
    };
    expect(await world(ending).run('lock name')).toMatchObject({ code: 1, stderr: 'Error: session expired\n' });
    renewals = 0;
    expect(await taken(ending).run('lock name')).toMatchObject({
      code: 1,
      stderr: 'Error: mutex: session is expired\n',
    });
  });

  test('that vanished at once was lost', async () => {
    const vanished = world().answer(range, { header });
    expect(await vanished.run('lock name prog')).toMatchObject({
      code: 1,
      stderr: 'Error: lock lost on init\n',
      spawned: [],
    });
  });

  test('lost while the command runs is said, and the command is left to end', async () => {
    let tell = (): void => {};
    const lost = new Promise<void>((resolve) => {
      tell = resolve;
    });
    let renewals = 0;
    const ending: Renew = (_, answering) => {
      renewals += 1;
      answering.send({ id, ttl: renewals < 3 ? 10 : 0 });
      if (renewals === 3) setImmediate(() => setImmediate(tell));
    };
    const outcome = world(ending).run('lock name prog', {
      child: async () => {
        await lost;
        return { at: 'exit', code: 0 };
      },
    });
    expect(await outcome).toMatchObject({ code: 0, stderr: 'Warning: the lock was lost while the command runs\n' });
  });
});

describe('elect', () => {
  test('proposes, leads until a signal, and resigns', async () => {
    const { code, stdout, asked } = await interrupted(world(), 'elect name v -w simple');
    expect([code, stdout]).toEqual([0, 'name/abc\nv\n']);
    expect(names(asked)).toEqual(['LeaseGrant', 'Txn', 'Range', 'Txn', 'LeaseRevoke']);
    expect(requestsOf(asked, txn.path, TxnRequest)[0]!.success[0]!.requestPut).toMatchObject({
      key: mine.key,
      value: Buffer.from('v'),
    });
  });

  test('gives up at a signal, and is over when the lease is lost', async () => {
    expect(await interrupted(taken(), 'elect name v')).toMatchObject({ code: 1, stderr: 'Error: context canceled\n' });
    const ending: Renew = (_, answering) => answering.send({ id, ttl: 0 });
    expect(await world(ending).run('elect name v')).toMatchObject({
      code: 1,
      stderr: 'Error: elect: session expired\n',
    });
  });

  test('listens until a signal', async () => {
    const listening = world().stream(watchService.methods.watch, (request: WatchRequest, answering) => {
      if (request.createRequest === undefined) return;
      expect(request.createRequest).toMatchObject({ key: mine.key, startRevision: 8 });
      answering.send({ header, watchId: 0n, created: true });
      const next = KeyValue.create({ ...mine, value: Buffer.from('next'), modRevision: 9 });
      answering.send({
        header: { ...header, revision: 9 },
        watchId: 0n,
        events: [{ type: 0, kv: next, prevKv: undefined }],
      });
      setImmediate(() => setImmediate(() => listening.interrupt('SIGTERM')));
    });
    const { code, stdout, asked } = await listening.run('elect -l name -w json');
    expect(code).toBe(0);
    const shown = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { header: object; kvs: { value: string }[] });
    expect(shown.map(({ kvs }) => Buffer.from(kvs[0]!.value, 'base64').toString())).toEqual(['v', 'next']);
    expect(shown[1]!.header).toMatchObject({ cluster_id: 1, revision: 9 });
    expect(RangeRequest.decode(asked[1]!.request)).toMatchObject({ key: Buffer.from('name/'), limit: 1 });
  });
});

test.each([
  ['lock', 'lock takes a lock name argument and an optional command to execute'],
  ['elect', 'elect takes one election name argument and an optional proposal argument'],
  ['elect a b c', 'elect takes one election name argument and an optional proposal argument'],
  ['elect a', 'no proposal argument but -l not set'],
  ['elect a b -l', 'proposal given but -l is set'],
])('%s is refused', async (line, message) => {
  expect(await world().run(line)).toMatchObject({ code: 128, stderr: `Error: ${message}\n`, asked: [] });
});
