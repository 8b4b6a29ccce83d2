/**
 * HashKV is a number that etcd computes over rows and revisions: after the same operations kvd gives the same, at every revision, and
 * refuses the same. Hash, over everything stored, is only the same between members.
 */
import {
  CompactionRequest,
  DeleteRangeRequest,
  HashKVRequest,
  HashRequest,
  LeaseGrantRequest,
  LeaseRevokeRequest,
  PutRequest,
  RequestOp,
  services,
  TxnRequest,
} from '@quorate/proto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EtcdProcess, installedEtcds } from '../support/etcd-process.ts';
import { KvdCluster, waitFor } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';

const { put, deleteRange, txn, compact } = services.kv.methods;
const { leaseGrant, leaseRevoke } = services.lease.methods;
const { hash, hashKV } = services.maintenance.methods;
const installation = installedEtcds().at(-1);
const runs = 25;

type Operation = (raw: RawClient) => Promise<unknown>;

const key = fc
  .constantFrom('a', 'a/b', 'b', 'b\0', 'c', '\xff', 'long'.repeat(40))
  .map((text) => Buffer.from(text, 'latin1'));
const value = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));
const leaseId = 0x77n;

const puts = fc.record({ key, value, lease: fc.constantFrom(0n, 0n, leaseId) }).map((init) => PutRequest.create(init));
const removals = fc.tuple(key, key).map(([from, rangeEnd]) => DeleteRangeRequest.create({ key: from, rangeEnd }));
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 6,
    arbitrary: puts.map(
      (request): Operation =>
        (raw) =>
          raw.call(put, request),
    ),
  },
  {
    weight: 2,
    arbitrary: removals.map(
      (request): Operation =>
        (raw) =>
          raw.call(deleteRange, request),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.uniqueArray(puts, { minLength: 1, maxLength: 4, selector: (one) => one.key.toString('latin1') }).map(
      (requests): Operation =>
        (raw) =>
          raw.call(txn, TxnRequest.create({ success: requests.map((requestPut) => RequestOp.create({ requestPut })) })),
    ),
  },
);

describe.runIf(installation !== undefined)('HashKV', () => {
  const sides: RawClient[] = [];
  let cluster: KvdCluster;
  let etcd: EtcdProcess;
  beforeAll(async () => {
    cluster = await KvdCluster.start(1);
    etcd = await EtcdProcess.start({ installation: installation! });
    for (const endpoint of [cluster.endpoints[0]!, etcd.endpoint]) sides.push(new RawClient(endpoint));
  });
  afterAll(async () => {
    for (const raw of sides) raw.close();
    await cluster?.close();
    etcd?.stop();
  });

  /** For these etcd goes on to answer what it had computed before the compaction. */
  const compactions = new Set<number>();

  /** What both say of a revision; their outcomes must be equal. */
  async function same(revision: number): Promise<unknown> {
    if (compactions.has(revision)) return undefined;
    const [ours, theirs] = await Promise.all(
      sides.map((raw) =>
        raw.call(hashKV, HashKVRequest.create({ revision })).then(
          (answer) => ({ hash: answer.hash, compact: answer.compactRevision, at: answer.header?.revision }),
          (error: { code: number; details: string }) => ({ code: error.code, details: error.details }),
        ),
      ),
    );
    expect({ revision, ...ours }).toEqual({ revision, ...theirs });
    return ours;
  }

  const both = (run: Operation): Promise<unknown> => Promise.all(sides.map((raw) => run(raw)));

  test('is that of etcd after any operations, at any revision, compacted or not', async () => {
    await both((raw) => raw.call(leaseGrant, LeaseGrantRequest.create({ id: leaseId, ttl: 600 })));
    await same(0);
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 5, maxLength: 40 }), fc.nat(100), async (operations, where) => {
        for (const run of operations) await both(run);
        const { header } = await sides[0]!.call(hashKV, HashKVRequest.create());
        const newest = header!.revision;
        const seen = new Set<unknown>();
        for (let back = 0; back < 5; back++) seen.add(JSON.stringify(await same(Math.max(1, newest - back))));
        expect(seen.size).toBeGreaterThan(1);
        await same(newest + 1);
        const at = newest - Math.floor((where * operations.length) / 200);
        await both((raw) =>
          raw.call(compact, CompactionRequest.create({ revision: at, physical: true })).catch(() => 'was'),
        );
        compactions.add(at);
        for (const revision of [at - 1, at + 1]) await same(revision);
      }),
      { numRuns: runs },
    );
    await both((raw) => raw.call(leaseRevoke, LeaseRevokeRequest.create({ id: leaseId })));
    await same(0);
  });
});

test('Hash is the same on all members, and another one after a change', async () => {
  const cluster = await KvdCluster.start(3);
  const members = cluster.endpoints.map((endpoint) => new RawClient(endpoint));
  const settled = (): Promise<number> =>
    waitFor('equal hashes', 30_000, async () => {
      const hashes = await Promise.all(members.map((raw) => raw.call(hash, HashRequest.create())));
      return new Set(hashes.map((one) => one.hash)).size === 1 ? hashes[0]!.hash : undefined;
    });
  await members[0]!.put('a', '1');
  const before = await settled();
  await members[1]!.put('a', '2');
  await members[1]!.delete('a');
  expect(await settled()).not.toBe(before);
  for (const raw of members) raw.close();
  await cluster.close();
});
