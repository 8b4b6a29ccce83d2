/** Ranges much longer than a slice: whole, sorted, limited and streamed, at one revision while others write, over both transports. */
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import {
  PutRequest,
  RangeRequest,
  RangeRequestSortOrder,
  RangeRequestSortTarget,
  type RangeResponse,
  RangeStreamResponse,
  RequestOp,
  services,
  TxnRequest,
} from '@quorate/proto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KvdCluster } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';

const { range, rangeStream, txn } = services.kv.methods;
const keyCount = 12_000;
const all = { key: Buffer.from([0]), rangeEnd: Buffer.from([0]) } as const;
const keyOf = (i: number): string => `key/${String(i).padStart(6, '0')}`;
/** In an order that is neither that of the keys nor its reverse. */
const valueAt = (i: number): Buffer => Buffer.alloc(100, String((i * 7_919) % 10_007).padStart(5, '0'));

describe.each(['h2', 'grpc-js'])('over %s', (transport) => {
  let cluster: KvdCluster;
  let raw: RawClient;
  let client: Client;
  let first: number;
  beforeAll(async () => {
    cluster = await KvdCluster.start(1, ['--rpc-transport', transport]);
    raw = new RawClient(cluster.endpoints[0]!);
    client = new Client(cluster.endpoints[0]!, credentials.createInsecure());
    for (let from = 0; from < keyCount; from += 100) {
      const success = Array.from({ length: 100 }, (_, i) => {
        const requestPut = PutRequest.create({ key: Buffer.from(keyOf(from + i)), value: valueAt(from + i) });
        return RequestOp.create({ requestPut });
      });
      const { header } = await raw.call(txn, TxnRequest.create({ success }));
      first = header!.revision;
    }
  });
  afterAll(async () => {
    raw.close();
    client.close();
    await cluster.close();
  });

  const ask = (more: Partial<RangeRequest>): Promise<RangeResponse> =>
    raw.call(range, RangeRequest.create({ ...all, ...more }), 30_000);

  function streamed(more: Partial<RangeRequest>): Promise<RangeStreamResponse[]> {
    const request = RangeRequest.create({ ...all, ...more });
    const encode = (message: RangeRequest): Buffer => RangeRequest.encode(message);
    const call = client.makeServerStreamRequest(rangeStream.path, encode, RangeStreamResponse.decode, request);
    return new Promise((resolve, reject) => {
      const got: RangeStreamResponse[] = [];
      call.on('data', (message: RangeStreamResponse) => got.push(message));
      call.on('error', reject);
      call.on('end', () => resolve(got));
    });
  }

  test('all keys are answered in order, at the revision of the beginning, while others write', async () => {
    const answer = ask({ revision: first });
    for (let i = 0; i < 20; i++) await raw.put('later', String(i));
    const { kvs, count, more } = await answer;
    expect(kvs.map((kv) => kv.key.toString())).toEqual(Array.from({ length: keyCount }, (_, i) => keyOf(i)));
    expect(kvs[777]!.value).toEqual(valueAt(777));
    expect({ count, more }).toEqual({ count: keyCount, more: false });
  });

  test('sorted by value, descending, and cut', async () => {
    const { kvs, count, more } = await ask({
      revision: first,
      sortTarget: RangeRequestSortTarget.VALUE,
      sortOrder: RangeRequestSortOrder.DESCEND,
      limit: 5_000,
    });
    const values = Array.from({ length: keyCount }, (_, i) => valueAt(i).toString())
      .sort()
      .reverse();
    expect(kvs.map((kv) => kv.value.toString())).toEqual(values.slice(0, 5_000));
    expect({ count, more }).toEqual({ count: keyCount, more: true });
  });

  test('filtered and limited, without values', async () => {
    const { kvs, count, more } = await ask({
      revision: first,
      maxModRevision: first - 10,
      limit: 3_000,
      keysOnly: true,
    });
    expect(kvs).toHaveLength(3_000);
    expect(kvs.every((kv) => kv.modRevision <= first - 10 && kv.value.length === 0)).toBe(true);
    expect({ count, more }).toEqual({ count: keyCount, more: true });
  });

  test('counted at an old revision', async () => {
    expect(await ask({ revision: first - 60, countOnly: true })).toMatchObject({ kvs: [], count: keyCount - 6_000 });
  });

  test('a stream gives the same in messages of bounded size, the summary in the last', async () => {
    const whole = await ask({ revision: first });
    const messages = (await streamed({ revision: first })).map((message) => message.rangeResponse!);
    expect(messages.length).toBeGreaterThan(5);
    expect(messages.flatMap((message) => message.kvs)).toEqual(whole.kvs);
    expect(messages[0]!.kvs).toHaveLength(10);
    for (const message of messages.slice(0, -1))
      expect(message).toMatchObject({ header: undefined, count: 0, more: false });
    expect(messages.at(-1)).toMatchObject({
      header: { revision: whole.header!.revision },
      count: keyCount,
      more: false,
    });
  });

  test('a stream keeps to the limit, and an empty one is one message', async () => {
    const limited = (await streamed({ limit: 25 })).map((message) => message.rangeResponse!);
    expect(limited.flatMap((message) => message.kvs)).toHaveLength(25);
    expect(limited.at(-1)).toMatchObject({ more: true });
    const none = await streamed({ key: Buffer.from('none'), rangeEnd: Buffer.from('nonf') });
    expect(none).toHaveLength(1);
    expect(none[0]!.rangeResponse).toMatchObject({ kvs: [], count: 0, more: false });
  });

  test.each([
    [{ sortTarget: RangeRequestSortTarget.VALUE }, 12, 'RangeStream does not support custom sort orders'],
    [{ minModRevision: 1 }, 12, 'RangeStream does not support revision filters'],
    [{ revision: 1_000_000 }, 11, 'etcdserver: mvcc: required revision is a future revision'],
    [{ key: Buffer.alloc(0), rangeEnd: Buffer.alloc(0) }, 3, 'etcdserver: key is not provided'],
  ])('a stream of %j is refused', async (more, code, details) => {
    const error = await streamed(more).then(
      () => undefined,
      (refusal: ServiceError) => ({ code: refusal.code, details: refusal.details }),
    );
    expect(error).toEqual({ code, details });
  });
});
