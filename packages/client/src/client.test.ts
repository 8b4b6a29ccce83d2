import { SeededRandom } from '@quorate/base';
import {
  KvError,
  leaseService,
  MemberListResponse,
  PutRequest,
  PutResponse,
  RangeResponse,
  ResponseHeader,
  Status,
} from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { Client, type ClientOptions } from './client.ts';
import { RpcError } from './errors.ts';
import { FakeNetwork } from './testing/fake-network.ts';
import { VirtualClock } from './testing/virtual-clock.ts';

const header = ResponseHeader.create({ revision: 7 });
const putAnswer = PutResponse.encode(PutResponse.create({ header }));
const rangeAnswer = RangeResponse.encode(RangeResponse.create({ header, count: 1 }));
const dropped = { status: Status.UNAVAILABLE, details: 'Connection dropped' } as const;

function setup(endpoints: readonly string[], options: Partial<ClientOptions> = {}) {
  const clock = new VirtualClock();
  const network = new FakeNetwork(clock);
  const random = new SeededRandom(1);
  const client = new Client({ endpoints, clock, random, transport: network.open, ...options });
  return { clock, network, client, at: () => network.seen.map((seen) => seen.endpoint) };
}

async function rejection(clock: VirtualClock, promise: Promise<unknown>): Promise<unknown> {
  const result = await clock.settle(promise);
  if (result.status === 'fulfilled') throw new Error('expected a rejection');
  return result.reason;
}

describe('a call', () => {
  test('goes out encoded and comes back decoded', async () => {
    const { clock, network, client } = setup(['a:1']);
    network.behaviour.set('a:1', putAnswer);
    const result = await clock.settle(client.kv.put('k', 'v', { prevKv: true }));
    expect(result).toMatchObject({ value: { header: { revision: 7 }, prevKv: undefined } });
    expect(network.seen[0]!.path).toBe('/etcdserverpb.KV/Put');
    expect(PutRequest.decode(network.seen[0]!.request)).toMatchObject({ key: Buffer.from('k'), prevKv: true });
  });

  test('by message and by convenient form is the same request', async () => {
    const { clock, network, client } = setup(['a:1']);
    network.behaviour.set('a:1', putAnswer);
    await clock.settle(client.kv.put('k', 'v'));
    await clock.settle(client.rpc.kv.put({ key: Buffer.from('k'), value: Buffer.from('v') }));
    expect(network.seen[1]!.request).toEqual(network.seen[0]!.request);
  });

  test('asks for a leader only when told to', async () => {
    const { clock, network, client } = setup(['a:1']);
    network.behaviour.set('a:1', rangeAnswer);
    await clock.settle(client.kv.get('k', {}, { requireLeader: true }));
    await clock.settle(client.kv.get('k'));
    expect(network.seen.map((seen) => seen.attempt.metadata)).toEqual([{ hasleader: 'true' }, {}]);
  });

  test('gives the transport what is left of its time', async () => {
    const { clock, network, client } = setup(['a:1'], { timeoutMs: 900 });
    network.behaviour.set('a:1', rangeAnswer);
    await clock.settle(client.kv.get('k'));
    await clock.settle(client.kv.get('k', {}, { timeoutMs: 100 }));
    expect(network.seen.map((seen) => seen.attempt.timeoutMs)).toEqual([900, 100]);
  });

  test("an answer of etcd's becomes KvError, with the transport's error as cause", async () => {
    const { clock, network, client } = setup(['a:1']);
    network.behaviour.set('a:1', {
      status: Status.OUT_OF_RANGE,
      details: 'etcdserver: mvcc: required revision has been compacted',
    });
    const error = await rejection(clock, client.kv.get('k', { revision: 1 }));
    expect(error).toBeInstanceOf(KvError);
    expect(error).toMatchObject({ code: 'compacted', cause: { endpoint: 'a:1', status: Status.OUT_OF_RANGE } });
  });

  test('larger than the limit is refused before anything is sent', async () => {
    const { clock, network, client } = setup(['a:1'], { requestBytesMax: 10 });
    const error = await rejection(clock, client.kv.put('k', 'x'.repeat(10)));
    expect(error).toMatchObject({
      status: Status.RESOURCE_EXHAUSTED,
      sent: false,
      message: 'trying to send message larger than max (15 vs. 10)',
    });
    expect(network.dialled).toEqual([]);
  });
});

describe('endpoints', () => {
  test('are used in turn', async () => {
    const { clock, network, client, at } = setup(['a:1', 'b:1', 'c:1']);
    for (const endpoint of client.endpoints) network.behaviour.set(endpoint, rangeAnswer);
    for (let i = 0; i < 6; i += 1) await clock.settle(client.kv.get('k'));
    expect(at()).toEqual(['a:1', 'b:1', 'c:1', 'a:1', 'b:1', 'c:1']);
    expect(network.dialled).toEqual(['a:1', 'b:1', 'c:1']);
  });

  test('that refuse are skipped, also by writes, and tried again later', async () => {
    const { clock, network, client, at } = setup(['a:1', 'b:1']);
    network.behaviour.set('b:1', putAnswer);
    for (let i = 0; i < 3; i += 1) await clock.settle(client.kv.put('k', 'v'));
    expect(at()).toEqual(['b:1', 'b:1', 'b:1']);
    expect(network.dialled).toEqual(['a:1', 'b:1']);
    network.behaviour.set('a:1', putAnswer);
    clock.advance(100);
    for (let i = 0; i < 2; i += 1) await clock.settle(client.kv.put('k', 'v'));
    expect(at().slice(3)).toEqual(['a:1', 'b:1']);
  });

  test('that do not answer the dial cost one dial timeout, not the call', async () => {
    const { clock, network, client, at } = setup(['a:1', 'b:1'], { dialTimeoutMs: 200 });
    network.behaviour.set('a:1', 'blackhole').set('b:1', putAnswer);
    const result = await clock.settle(client.kv.put('k', 'v', {}, { timeoutMs: 1_000 }));
    expect(result.status).toBe('fulfilled');
    expect(at()).toEqual(['b:1']);
    expect(clock.nowMs()).toBe(200);
  });

  test('that fail many calls at once are left alone for one short while only', async () => {
    const { clock, network, client, at } = setup(['a:1', 'b:1']);
    network.behaviour.set('a:1', dropped).set('b:1', rangeAnswer);
    await clock.settle(Promise.all(Array.from({ length: 200 }, () => client.kv.get('k'))));
    network.behaviour.set('a:1', rangeAnswer);
    clock.advance(50);
    const before = at().length;
    for (let i = 0; i < 2; i += 1) await clock.settle(client.kv.get('k'));
    expect(at().slice(before).sort()).toEqual(['a:1', 'b:1']);
  });

  test('a named endpoint gets the call and no other does, even when it is not in the list', async () => {
    const { clock, network, client, at } = setup(['a:1', 'b:1']);
    for (const endpoint of ['a:1', 'b:1', 'c:1']) network.behaviour.set(endpoint, Buffer.alloc(0));
    await clock.settle(client.maintenance.status('b:1'));
    await clock.settle(client.maintenance.status('c:1'));
    await clock.settle(client.maintenance.status('c:1'));
    expect(at()).toEqual(['b:1', 'c:1', 'c:1']);
    expect(network.dialled).toEqual(['b:1', 'c:1']);
    client.close();
    expect(network.closed.sort()).toEqual(['b:1', 'c:1']);
  });

  test('there must be one, and all must parse', () => {
    expect(() => setup([])).toThrow('etcdclient: no available endpoints');
    expect(() => setup(['nowhere'])).toThrow('invalid endpoint "nowhere": expected host:port');
  });
});

describe('repeats', () => {
  test('a read whose connection breaks is made again elsewhere', async () => {
    const { clock, network, client, at } = setup(['a:1', 'b:1']);
    network.behaviour.set('a:1', dropped).set('b:1', rangeAnswer);
    expect(await clock.settle(client.kv.get('k'))).toMatchObject({ value: { count: 1 } });
    expect(at()).toEqual(['a:1', 'b:1']);
  });

  test('a write whose connection breaks is not made again, and says that it may have happened', async () => {
    const { clock, network, client, at } = setup(['a:1', 'b:1']);
    network.behaviour.set('a:1', dropped).set('b:1', putAnswer);
    const error = await rejection(clock, client.kv.put('k', 'v'));
    expect(error).toBeInstanceOf(RpcError);
    expect(error).toMatchObject({ sent: true, status: Status.UNAVAILABLE, endpoint: 'a:1' });
    expect(at()).toEqual(['a:1']);
  });

  test('a write is made again when the caller accepts doubles', async () => {
    const { clock, network, client, at } = setup(['a:1', 'b:1']);
    network.behaviour.set('a:1', dropped).set('b:1', putAnswer);
    expect(await clock.settle(client.kv.put('k', 'v', {}, { retry: 'always' }))).toMatchObject({ status: 'fulfilled' });
    expect(at()).toEqual(['a:1', 'b:1']);
  });

  test('with retry never, even a refused connection is final', async () => {
    const { clock, network, client } = setup(['a:1', 'b:1']);
    network.behaviour.set('b:1', rangeAnswer);
    expect(await rejection(clock, client.kv.get('k', {}, { retry: 'never' }))).toMatchObject({ sent: false });
  });

  test('pauses grow up to three seconds while nobody answers, then time is up', async () => {
    const { clock, network, client } = setup(['a:1']);
    const error = await rejection(clock, client.kv.get('k', {}, { timeoutMs: 20_000 }));
    expect(error).toMatchObject({
      status: Status.DEADLINE_EXCEEDED,
      message: 'context deadline exceeded',
      sent: false,
      cause: { message: 'connect ECONNREFUSED a:1' },
    });
    expect(clock.nowMs()).toBe(20_000);
    expect(network.dialled.length).toBeGreaterThan(10);
    expect(network.dialled.length).toBeLessThan(25);
  });

  test('without a deadline they end all the same', async () => {
    const { clock, client } = setup(['a:1']);
    expect(await rejection(clock, client.kv.get('k'))).toMatchObject({ status: Status.UNAVAILABLE, sent: false });
  });

  test('a read without a quorum waits for a leader', async () => {
    const { clock, network, client } = setup(['a:1']);
    network.behaviour.set('a:1', { status: Status.UNAVAILABLE, details: 'etcdserver: no leader' });
    clock.after(700, () => network.behaviour.set('a:1', rangeAnswer));
    expect(await clock.settle(client.kv.get('k', {}, { timeoutMs: 5_000 }))).toMatchObject({ value: { count: 1 } });
  });
});

test('a named endpoint that cannot serve a read is asked again after pauses, not in a tight loop', async () => {
  const { clock, network, client } = setup(['a:1']);
  network.behaviour.set('a:1', { status: Status.UNAVAILABLE, details: 'etcdserver: no leader' });
  const error = await rejection(clock, client.kv.get('k', {}, { endpoint: 'a:1', timeoutMs: 5_000 }));
  expect(error).toMatchObject({ status: Status.DEADLINE_EXCEEDED, cause: { details: 'etcdserver: no leader' } });
  expect(clock.nowMs()).toBe(5_000);
  expect(network.seen.length).toBeLessThan(15);
});

describe('cancelling', () => {
  test('a call that was aborted before it began is never made', async () => {
    const { clock, network, client } = setup(['a:1']);
    const reason = new Error('enough');
    expect(await rejection(clock, client.kv.get('k', {}, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    expect(network.dialled).toEqual([]);
  });

  test('a pause between attempts ends with the signal', async () => {
    const { clock, client } = setup(['a:1']);
    const abort = new AbortController();
    clock.after(120, () => abort.abort(new Error('enough')));
    const error = await rejection(clock, client.kv.get('k', {}, { signal: abort.signal }));
    expect(error).toMatchObject({ message: 'enough' });
    expect(clock.nowMs()).toBe(120);
  });

  test('a closed client makes no calls', async () => {
    const { clock, client } = setup(['a:1']);
    client.close();
    expect(await rejection(clock, client.kv.get('k'))).toMatchObject({ message: 'the client is closed', sent: false });
  });
});

describe('streams', () => {
  async function collect(stream: AsyncIterable<{ remainingBytes: number }>): Promise<number[]> {
    const numbers: number[] = [];
    for await (const message of stream) numbers.push(message.remainingBytes);
    return numbers;
  }

  test('messages come decoded and in order', async () => {
    const { clock, network, client } = setup(['a:1']);
    network.behaviour.set('a:1', Buffer.from([3, 2, 1]));
    expect(await clock.settle(collect(client.maintenance.snapshot()))).toMatchObject({ value: [3, 2, 1] });
  });

  test('one that could not begin is begun elsewhere', async () => {
    const { clock, network, client, at } = setup(['a:1', 'b:1', 'c:1']);
    network.behaviour.set('b:1', dropped).set('c:1', Buffer.from([1]));
    expect(await clock.settle(collect(client.maintenance.snapshot()))).toMatchObject({ value: [1] });
    expect(at()).toEqual(['b:1', 'c:1']);
  });
});

describe('streams in both directions', () => {
  const { leaseKeepAlive } = leaseService.methods;

  test('go round robin, and a connection that breaks gives its endpoint a rest', async () => {
    const { clock, network, client } = setup(['a:1', 'b:1']);
    for (const endpoint of client.endpoints) network.behaviour.set(endpoint, rangeAnswer);
    network.serveStream = (stream) => {
      if (stream.endpoint === 'a:1') stream.fail(Status.UNAVAILABLE, 'Connection dropped');
    };
    const first = await client.bidiStream(leaseKeepAlive);
    expect(first.endpoint).toBe('a:1');
    expect(await rejection(clock, first.responses.next())).toMatchObject({ sent: true, message: 'Connection dropped' });
    const others = [await client.bidiStream(leaseKeepAlive), await client.bidiStream(leaseKeepAlive)];
    expect(others.map(({ endpoint }) => endpoint)).toEqual(['b:1', 'b:1']);
  });

  test('that their user blames give their endpoint a rest too', async () => {
    const { network, client } = setup(['a:1', 'b:1']);
    for (const endpoint of client.endpoints) network.behaviour.set(endpoint, rangeAnswer);
    (await client.bidiStream(leaseKeepAlive)).cancel(new Error('too slow'));
    expect(network.openStreams.size).toBe(0);
    const others = [await client.bidiStream(leaseKeepAlive), await client.bidiStream(leaseKeepAlive)];
    expect(others.map(({ endpoint }) => endpoint)).toEqual(['b:1', 'b:1']);
  });

  test('have no deadline of their own, unlike other calls, unless they are given one', async () => {
    const { network, client } = setup(['a:1'], { timeoutMs: 500 });
    network.behaviour.set('a:1', rangeAnswer);
    await client.bidiStream(leaseKeepAlive);
    await client.bidiStream(leaseKeepAlive, { timeoutMs: 700, requireLeader: true });
    expect([...network.openStreams].map(({ attempt }) => [attempt.timeoutMs, attempt.metadata])).toEqual([
      [undefined, {}],
      [700, { hasleader: 'true' }],
    ]);
  });

  test('end when the client is closed, and none begins after', async () => {
    const { clock, network, client } = setup(['a:1']);
    network.behaviour.set('a:1', rangeAnswer);
    const call = await client.bidiStream(leaseKeepAlive);
    const next = call.responses.next();
    client.close();
    expect(await rejection(clock, next)).toMatchObject({ message: 'the client is closed' });
    expect(await rejection(clock, client.bidiStream(leaseKeepAlive))).toMatchObject({
      message: 'the client is closed',
    });
    expect(network.openStreams.size).toBe(0);
  });

  test('a pause between attempts ends when the client is closed', async () => {
    const { clock, network, client } = setup(['a:1'], { dialTimeoutMs: 1_000 });
    network.behaviour.set('a:1', 'blackhole');
    const waiting = client.bidiStream(leaseKeepAlive);
    await clock.run(1_001);
    expect(clock.pending).toBe(1);
    client.close();
    await expect(waiting).rejects.toThrow('the client is closed');
    expect(clock.pending).toBe(0);
  });
});

test('members are asked for linearizably unless told otherwise', async () => {
  const { clock, network, client } = setup(['a:1']);
  network.behaviour.set('a:1', MemberListResponse.encode(MemberListResponse.create({ header })));
  await clock.settle(client.cluster.memberList());
  await clock.settle(client.cluster.memberList({ linearizable: false }));
  expect(network.seen.map((seen) => [...seen.request])).toEqual([[8, 1], []]);
});
