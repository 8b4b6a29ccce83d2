import { type Facts, type Logger, type Meter, silentLogger, silentMeter } from '@quorate/base';
import { DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest } from '@quorate/proto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  defaultQuotaBytes,
  leaseGrantCost,
  putCost,
  Quota,
  recommendedQuotaBytesMax,
  txnCost,
} from './backend-quota.ts';

const gib = 1024 ** 3;

function quota(limitBytes: number): Quota {
  return new Quota({ limitBytes, logger: silentLogger, meter: silentMeter });
}

function put(keyBytes: number, valueBytes: number): PutRequest {
  return PutRequest.create({ key: Buffer.alloc(keyBytes), value: Buffer.alloc(valueBytes) });
}

const putOp = (requestPut: PutRequest): RequestOp => RequestOp.create({ requestPut });
const txnOp = (requestTxn: TxnRequest): RequestOp => RequestOp.create({ requestTxn });

describe('costs', () => {
  test('a put costs 256 bytes and its key and value, a lease 64', () => {
    expect(putCost(put(3, 10))).toBe(269);
    expect(putCost(put(1, 0))).toBe(257);
    expect(leaseGrantCost).toBe(64);
  });

  test('a transaction costs the puts of its dearer branch', () => {
    const two = [putOp(put(1, 1)), putOp(put(2, 2))];
    const one = [putOp(put(1, 1000))];
    expect(txnCost(TxnRequest.create({ success: two, failure: one }))).toBe(1257);
    expect(txnCost(TxnRequest.create({ success: two }))).toBe(258 + 260);
    expect(txnCost(TxnRequest.create({ failure: two }))).toBe(258 + 260);
  });

  test('what writes no value costs nothing', () => {
    const ops = [
      RequestOp.create({ requestRange: RangeRequest.create({ key: Buffer.from('a') }) }),
      RequestOp.create({ requestDeleteRange: DeleteRangeRequest.create({ key: Buffer.from('a') }) }),
      txnOp(TxnRequest.create()),
      RequestOp.create(),
    ];
    expect(txnCost(TxnRequest.create({ success: ops, failure: ops }))).toBe(0);
  });

  test('nested transactions count, however deep, as the dearer branch at each level', () => {
    interface Tree {
      puts: number[];
      yes: Tree[];
      no: number[];
    }
    const puts = fc.array(fc.nat(1000), { maxLength: 3 });
    const no = fc.array(fc.nat(3000), { maxLength: 2 });
    // Each level names its own end: a branching process left to chance now and then outgrows the stack.
    const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 8 },
        fc.record({ puts, yes: fc.constant<Tree[]>([]), no }),
        fc.record({ puts, yes: fc.array(tie('tree'), { maxLength: 2 }), no }),
      ),
    }));
    const build = (t: Tree): TxnRequest =>
      TxnRequest.create({
        success: [...t.puts.map((n) => putOp(put(1, n))), ...t.yes.map((child) => txnOp(build(child)))],
        failure: t.no.map((n) => putOp(put(1, n))),
      });
    const sum = (numbers: number[]): number => numbers.reduce((a, b) => a + b, 0);
    const naive = (t: Tree): number =>
      Math.max(sum(t.puts.map((n) => 257 + n)) + sum(t.yes.map(naive)), sum(t.no.map((n) => 257 + n)));
    fc.assert(
      fc.property(tree, (t) => {
        expect(txnCost(build(t))).toBe(naive(t));
      }),
      { numRuns: 200 },
    );
  });
});

describe('the limit', () => {
  test('0 is 2 GiB, a positive one is taken as it is, a negative one switches it off', () => {
    expect(defaultQuotaBytes).toBe(2 * gib);
    expect(quota(0).limitBytes).toBe(2 * gib);
    expect(quota(12_345).limitBytes).toBe(12_345);
    expect(quota(-1).limitBytes).toBe(0);
  });

  test('must stay above size and cost together', () => {
    const q = quota(1000);
    expect(q.allows(257, 742)).toBe(true);
    expect(q.allows(257, 743)).toBe(false);
    expect(q.allows(257, 5000)).toBe(false);
  });

  test('does not stop what costs nothing, and stops nothing when it is off', () => {
    expect(quota(1000).allows(0, 5000)).toBe(true);
    expect(quota(-1).allows(2 ** 50, 2 ** 50)).toBe(true);
  });

  test('draws near in steps of 80, 90 and 100 per cent', () => {
    const q = quota(1000);
    expect([0, 799, 800, 899, 900, 999, 1000, 2000].map((size) => q.pressure(size))).toEqual([
      'none',
      'none',
      'high',
      'high',
      'critical',
      'critical',
      'exceeded',
      'exceeded',
    ]);
    expect(quota(-1).pressure(2 ** 50)).toBe('none');
  });

  test('is logged, with a warning when off or above 8 GiB, and shown as a metric', () => {
    const lines: string[] = [];
    const logger: Logger = {
      ...silentLogger,
      info: (message: string, facts?: Facts) => lines.push(`info ${message} ${facts?.['limitBytes']}`),
      warn: (message: string) => lines.push(`warn ${message}`),
    };
    const gauges: [string, number][] = [];
    const meter: Meter = { ...silentMeter, gauge: ({ name }) => ({ set: (value) => gauges.push([name, value]) }) };
    for (const limitBytes of [0, recommendedQuotaBytesMax, recommendedQuotaBytesMax + 1, -1]) {
      new Quota({ limitBytes, logger, meter });
    }
    expect(lines).toEqual([
      `info space quota ${2 * gib}`,
      `info space quota ${8 * gib}`,
      'warn space quota is above the recommended maximum',
      'warn space quota is switched off',
    ]);
    expect(gauges).toEqual(
      [2 * gib, 8 * gib, 8 * gib + 1, 0].map((value) => ['etcd_server_quota_backend_bytes', value]),
    );
  });
});
