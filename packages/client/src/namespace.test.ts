import { LeaseTimeToLiveRequest, RangeRequest, TxnRequest, type WatchCreateRequest } from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { Mutex } from './mutex.ts';
import { Session } from './session.ts';
import { MiniCluster } from './testing/mini-cluster.ts';
import { compare, op } from './txn.ts';
import type { WatchUpdate } from './watch.ts';

function setup(prefix: string | Buffer = 'ns/') {
  const cluster = new MiniCluster();
  const client = cluster.client();
  return { cluster, clock: cluster.clock, client, space: client.namespace(prefix) };
}

const names = (kvs: readonly { key: Buffer }[]): string[] => kvs.map(({ key }) => key.toString());

describe('a namespace', () => {
  test('has its keys to itself', async () => {
    const { cluster, space } = setup();
    cluster.put('a', 'outside');
    await space.kv.put('a', '1');
    expect(cluster.state).toEqual({ a: 'outside', 'ns/a': '1' });
    expect((await space.kv.put('a', '2', { prevKv: true })).prevKv).toMatchObject({ key: Buffer.from('a') });
    expect(names((await space.kv.get('a')).kvs)).toEqual(['a']);
    expect(names((await space.kv.delete('a', { prevKv: true })).prevKvs)).toEqual(['a']);
    expect(cluster.state).toEqual({ a: 'outside' });
  });

  test('ends where its prefix ends, whichever way a range is asked for', async () => {
    const { cluster, space } = setup();
    for (const key of ['ns', 'ns/', 'ns/a', 'ns/b', 'ns/c', 'ns0', 'z']) cluster.put(key, 'v');
    const get = async (...args: Parameters<typeof space.kv.get>): Promise<string[]> =>
      names((await space.kv.get(...args)).kvs);
    expect(await get('', { prefix: true })).toEqual(['a', 'b', 'c']);
    expect(await get('', { fromKey: true })).toEqual(['a', 'b', 'c']);
    expect(await get('b', { fromKey: true })).toEqual(['b', 'c']);
    expect(await get('a', { end: 'c' })).toEqual(['a', 'b']);
    expect(await get('a', { prefix: true })).toEqual(['a']);
    expect((await space.kv.delete('', { prefix: true })).deleted).toBe(3);
    expect(Object.keys(cluster.state)).toEqual(['ns', 'ns/', 'ns0', 'z']);
  });

  test.each([
    [Buffer.from([0xff]), Buffer.from([0])],
    [Buffer.from([0x61, 0xff, 0xff]), Buffer.from([0x62])],
    [Buffer.from('a'), Buffer.from('b')],
  ])('with the prefix %o has its end at %o', async (prefix, end) => {
    const { cluster, space } = setup(prefix);
    await space.kv.get('k', { fromKey: true });
    expect(RangeRequest.decode(cluster.network.seen[0]!.request).rangeEnd).toEqual(end);
  });

  test('refuses the empty key as members do', async () => {
    const { cluster, space } = setup();
    const empty = { code: 'emptyKey' };
    await expect(space.kv.get('')).rejects.toMatchObject(empty);
    await expect(space.kv.put('', 'v')).rejects.toMatchObject(empty);
    await expect(space.kv.delete('')).rejects.toMatchObject(empty);
    await expect(space.kv.txn({ success: [op.put('', 'v')] })).rejects.toMatchObject(empty);
    await expect(space.kv.txn({ compare: [compare.version('', '=', 0)] })).rejects.toMatchObject(empty);
    expect(cluster.network.seen).toEqual([]);
  });

  test('translates transactions at every depth', async () => {
    const { cluster, space } = setup();
    const all = compare.version('b', '>', 0);
    const response = await space.kv.txn({
      compare: [compare.version('a', '=', 0)],
      success: [
        op.put('a', '1'),
        op.get('a'),
        op.txn({ compare: [all], failure: [op.put('b', '2', { prevKv: true }), op.delete('a', { prevKv: true })] }),
      ],
    });
    expect(cluster.state).toEqual({ 'ns/b': '2' });
    expect(names(response.responses[1]!.responseRange!.kvs)).toEqual(['a']);
    const inner = response.responses[2]!.responseTxn!;
    expect(names(inner.responses[1]!.responseDeleteRange!.prevKvs)).toEqual(['a']);
    const asked = TxnRequest.decode(cluster.network.seen.at(-1)!.request);
    expect(asked.success[2]!.requestTxn!.compare[0]!.key.toString()).toBe('ns/b');
  });

  test('translates the end of a comparison of a range', async () => {
    const { cluster, space } = setup();
    await space.kv.txn({ compare: [{ ...compare.version('a', '=', 0), rangeEnd: Buffer.from([0]) }] });
    const [asked] = TxnRequest.decode(cluster.network.seen[0]!.request).compare;
    expect([asked!.key.toString(), asked!.rangeEnd.toString()]).toEqual(['ns/a', 'ns0']);
  });

  test('shows watches its own keys, without the prefix, also over a break', async () => {
    const { cluster, clock, space } = setup();
    const watcher = space.watch('', { prefix: true, prevKv: true });
    const updates: WatchUpdate[] = [];
    const read = async (): Promise<void> => {
      for await (const update of watcher) updates.push(update);
    };
    const reading = read();
    await clock.run(1);
    cluster.put('outside', '1');
    await space.kv.put('a', '1');
    cluster.watches.cut();
    await space.kv.put('a', '2');
    await clock.run(1_000);
    watcher.cancel();
    await reading;
    const events = updates.flatMap((update) => (update.kind === 'events' ? update.events : []));
    expect(events.map(({ kv, prevKv }) => [kv, prevKv].map((one) => one?.key.toString()))).toEqual([
      ['a', undefined],
      ['a', 'a'],
    ]);
  });

  test('watches one key, from a key on, and everything', async () => {
    const { cluster, clock, space } = setup();
    for (const watch of [space.watch('k'), space.watch('k', { fromKey: true }), space.watch('', { prefix: true })]) {
      watch.created.catch(() => {});
    }
    space.watch('');
    await clock.run(1);
    const asked = cluster.watches.creates.map(({ request }: { request: WatchCreateRequest }) =>
      [request.key, request.rangeEnd].map((key) => key.toString('latin1')),
    );
    expect(asked).toEqual([
      ['ns/k', ''],
      ['ns/k', 'ns0'],
      ['ns/\0', 'ns0'],
      ['ns/\0', ''],
    ]);
  });

  test('shows of a lease its own keys', async () => {
    const { cluster, client, space } = setup();
    const { id } = await space.lease.grant(60);
    await client.kv.put('outside', 'v', { lease: id });
    await space.kv.put('a', 'v', { lease: id });
    expect((await space.lease.timeToLive(id, { keys: true })).keys.map(String)).toEqual(['a']);
    expect(LeaseTimeToLiveRequest.decode(cluster.network.seen.at(-1)!.request)).toEqual({ id, keys: true });
    expect((await space.lease.keepAliveOnce(id)).ttl).toBe(60);
  });

  test('within a namespace has both prefixes', async () => {
    const { cluster, space } = setup();
    const inner = space.namespace('in/');
    await inner.kv.put('k', 'v');
    expect(cluster.state).toEqual({ 'ns/in/k': 'v' });
    expect(names((await space.kv.get('', { prefix: true })).kvs)).toEqual(['in/k']);
  });

  test('keeps locks inside', async () => {
    const { cluster, clock, client, space } = setup();
    const [inside, outside] = await Promise.all([Session.open(space), Session.open(client)]);
    await new Mutex(outside, 'lock').lock();
    const mutex = new Mutex(inside, 'lock');
    await mutex.lock();
    expect(Object.keys(cluster.state).sort()).toEqual([
      `lock/${outside.lease.toString(16)}`,
      `ns/lock/${inside.lease.toString(16)}`,
    ]);
    client.close();
    await clock.run(1);
    expect(inside.done.reason).toMatchObject({ message: 'the client is closed' });
    expect(clock.pending).toBe(0);
  });
});
