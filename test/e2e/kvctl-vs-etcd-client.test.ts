/** The client library against a real etcd: what it sends is understood, what comes back is, and a restart is survived. */
import { createHash } from 'node:crypto';
import { Client, compare, op, RpcError } from '@quorate/client';
import { KvError } from '@quorate/proto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EtcdProcess, installedEtcds } from '../support/etcd-process.ts';

const installation = installedEtcds().at(-1);

describe.skipIf(installation === undefined)('against a real etcd', () => {
  let etcd: EtcdProcess;
  let client: Client;

  beforeAll(async () => {
    etcd = await EtcdProcess.start({ installation: installation! });
    client = new Client({ endpoints: [etcd.endpoint], timeoutMs: 10_000 });
  });
  afterAll(() => {
    client?.close();
    etcd?.stop();
  });

  test('put, get, delete', async () => {
    const { header } = await client.kv.put('kv/a', 'one');
    await client.kv.put('kv/b', 'two', { lease: 0n });
    const { prevKv } = await client.kv.put('kv/a', Buffer.from([0xff, 0]), { prevKv: true });
    expect(prevKv).toMatchObject({ value: Buffer.from('one'), modRevision: header!.revision, version: 1 });
    const { kvs, count, more } = await client.kv.get('kv/', {
      prefix: true,
      limit: 1,
      sortBy: 'MOD',
      order: 'DESCEND',
    });
    expect({ kvs, count, more }).toMatchObject({ kvs: [{ value: Buffer.from([0xff, 0]) }], count: 2, more: true });
    expect((await client.kv.get('kv/a', { revision: header!.revision })).kvs[0]!.value).toEqual(Buffer.from('one'));
    expect(await client.kv.delete('kv/', { prefix: true, prevKv: true })).toMatchObject({ deleted: 2 });
    expect(await client.kv.get('kv/', { prefix: true })).toMatchObject({ kvs: [], count: 0 });
  });

  test('a transaction takes the branch its comparisons say, nested ones too', async () => {
    const create = {
      compare: [compare.createRevision('txn/k', '=', 0)],
      success: [
        op.put('txn/k', 'v'),
        op.txn({ compare: [compare.value('txn/k', '=', 'v')], failure: [op.get('txn/k')] }),
      ],
      failure: [op.get('txn/k'), op.delete('txn/k', { prevKv: true })],
    };
    const first = await client.kv.txn(create);
    expect(first.succeeded).toBe(true);
    expect(first.responses[1]!.responseTxn).toMatchObject({ succeeded: false });
    const second = await client.kv.txn(create);
    expect(second.succeeded).toBe(false);
    expect(second.responses[0]!.responseRange!.kvs[0]!.value).toEqual(Buffer.from('v'));
    expect(second.responses[1]!.responseDeleteRange!.prevKvs).toHaveLength(1);
  });

  test('refusals come as the errors they are', async () => {
    const refusal = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);
    expect(await refusal(client.kv.put('', 'v'))).toMatchObject({ name: 'KvError', code: 'emptyKey' });
    expect(await refusal(client.kv.put('k', 'v', { lease: 2n ** 64n - 5n }))).toMatchObject({ code: 'leaseNotFound' });
    expect(await refusal(client.kv.get('k', { revision: 2 ** 40 }))).toMatchObject({ code: 'futureRev' });
    expect(await refusal(client.rpc.lease.leaseRevoke({ id: 99n }))).toBeInstanceOf(KvError);
    expect(await refusal(client.maintenance.moveLeader(1n))).toMatchObject({ code: 'badLeaderTransferee' });
  });

  test('compaction forgets, and says so', async () => {
    const { header } = await client.kv.put('compact/k', '1');
    await client.kv.put('compact/k', '2');
    await client.kv.compact(header!.revision + 1, { physical: true });
    const error = await client.kv.get('compact/k', { revision: header!.revision }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'compacted' });
  });

  test('a lease granted by message is attached, and takes its key along', async () => {
    const { id } = await client.rpc.lease.leaseGrant({ ttl: 600 });
    await client.kv.put('lease/k', 'v', { lease: id });
    expect((await client.kv.get('lease/k')).kvs[0]!.lease).toBe(id);
    await client.rpc.lease.leaseRevoke({ id });
    expect(await client.kv.get('lease/k')).toMatchObject({ count: 0 });
  });

  test('status, hash, members and defragmentation speak of the same member', async () => {
    const { header, leader, dbSize } = await client.maintenance.status(etcd.endpoint);
    expect(leader).toBe(header!.memberId);
    expect(dbSize).toBeGreaterThan(0);
    const { members } = await client.cluster.memberList();
    expect(members.map(({ id, name }) => [id, name])).toEqual([[leader, 'oracle']]);
    const before = await client.maintenance.hashKv(etcd.endpoint);
    await client.maintenance.defragment(etcd.endpoint);
    expect((await client.maintenance.hashKv(etcd.endpoint)).hash).toBe(before.hash);
  });

  test('a snapshot comes whole, its last 32 bytes are its hash', async () => {
    const pieces: Buffer[] = [];
    let remaining = Number.POSITIVE_INFINITY;
    for await (const { blob, remainingBytes } of client.maintenance.snapshot()) {
      pieces.push(Buffer.from(blob));
      expect(remainingBytes).toBeLessThanOrEqual(remaining);
      remaining = remainingBytes;
    }
    const snapshot = Buffer.concat(pieces);
    expect(snapshot.length % 512).toBe(32);
    expect(snapshot.subarray(-32)).toEqual(createHash('sha256').update(snapshot.subarray(0, -32)).digest());
  });

  test('while the member is down calls wait, and are made when it is back', async () => {
    await client.kv.put('restart/k', 'before');
    await etcd.kill();
    // The first call may meet the connection as it breaks; reads are repeated, so this one uses up its time.
    await expect(client.kv.get('restart/k', {}, { timeoutMs: 100 })).rejects.toThrow('context deadline exceeded');
    const dead = await client.kv.put('restart/k', 'never', {}, { timeoutMs: 300 }).catch((error: unknown) => error);
    expect(dead).toBeInstanceOf(RpcError);
    expect(dead).toMatchObject({ sent: false, message: 'context deadline exceeded' });
    const waiting = client.kv.put('restart/k', 'after', { prevKv: true }, { timeoutMs: 25_000 });
    await etcd.up();
    expect((await waiting).prevKv!.value).toEqual(Buffer.from('before'));
  });

  test('1,000 calls at once are answered each with its own', async () => {
    await Promise.all(Array.from({ length: 1_000 }, (_, i) => client.kv.put(`many/${i}`, String(i))));
    const answers = await Promise.all(Array.from({ length: 1_000 }, (_, i) => client.kv.get(`many/${i}`)));
    expect(answers.map(({ kvs }) => Number(kvs[0]!.value))).toEqual(Array.from({ length: 1_000 }, (_, i) => i));
  });

  test('an aborted call ends at once, others go on', async () => {
    const abort = new AbortController();
    const aborted = client.kv.get('k', {}, { signal: abort.signal }).catch((error: unknown) => error);
    const other = client.kv.get('k');
    abort.abort(new Error('enough'));
    expect(await aborted).toMatchObject({ message: 'enough' });
    expect(await other).toMatchObject({ more: false });
  });
});
