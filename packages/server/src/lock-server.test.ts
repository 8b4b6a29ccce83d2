/** A lock whose wait has failed leaves the line, and only its own place in it. */
import { type Compare, KeyValue, RangeResponse, ResponseOp, TxnResponse } from '@quorate/proto';
import type { ServerCall } from '@quorate/rpc';
import { expect, test } from 'vitest';
import type { LocalKv } from './local-kv.ts';
import { LockServer } from './lock-server.ts';

const name = Buffer.from('jobs');
const key = Buffer.from('jobs/7');
const call = { cancelled: false } as ServerCall;

/** A line with somebody in front, who has gone when it is looked at again; then our key has been created at `recreatedAt`. */
function lineWith(recreatedAt: number) {
  const checks: (readonly Compare[])[] = [];
  const deleted: Buffer[] = [];
  const ahead = KeyValue.create({ key: Buffer.from('jobs/1'), createRevision: 2 });
  const kv: Partial<LocalKv> = {
    renew: async () => true,
    delete: async (one) => {
      deleted.push(one);
      throw new Error('deletes whatever is there');
    },
    txn: async ({ compare = [] }) => {
      checks.push(compare);
      const first = ResponseOp.create({ responseRange: RangeResponse.create({ kvs: [ahead] }) });
      return TxnResponse.create({
        succeeded: true,
        header: { clusterId: 0n, memberId: 0n, revision: 5, raftTerm: 1 },
        responses: [ResponseOp.create(), first],
      });
    },
    range: async (request) =>
      RangeResponse.create({
        kvs: request.rangeEnd === undefined ? [KeyValue.create({ key, createRevision: recreatedAt })] : [],
      }),
  };
  return { locks: new LockServer(kv as LocalKv), checks, deleted };
}

test('a lock whose key came back in a place further behind leaves that place alone', async () => {
  const { locks, checks, deleted } = lineWith(9);
  await expect(locks.lock({ name, lease: 7n }, call)).rejects.toThrow('session is expired');
  expect(deleted).toEqual([]);
  expect(checks.map(([check]) => check?.createRevision)).toEqual([0, 5]);
});

test('a lock whose turn came while its key stood is held', async () => {
  const { locks, checks, deleted } = lineWith(5);
  expect((await locks.lock({ name, lease: 7n }, call)).key).toEqual(key);
  expect(deleted).toEqual([]);
  expect(checks).toHaveLength(1);
});

test('a lock whose turn came as its caller went is given back', async () => {
  const { locks, checks } = lineWith(5);
  const gone = { cancelled: true } as ServerCall;
  await expect(locks.lock({ name, lease: 7n }, gone)).rejects.toMatchObject({ code: 'requestCanceled' });
  expect(checks.map(([check]) => check?.createRevision)).toEqual([0, 5]);
});
