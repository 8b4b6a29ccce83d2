import { allBuckets, type Backend, buckets, MemoryBackendFactory, type Row } from '@quorate/backend';
import { noCrashPoints, silentLogger, silentMeter } from '@quorate/base';
import { encodeMark, noLeases, Store } from '@quorate/mvcc';
import { ConfState, KeyValue, LeaseRecord, MemberRecord } from '@quorate/proto';
import { crc32c } from '@quorate/wal';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ManualClock } from '../testing/manual-clock.ts';
import { RowVerifier, type VerifiedRow } from './verify-rows.ts';

const format: VerifiedRow = { bucketId: 0, key: 'format', value: Buffer.from('quorate 1'), offset: 0 };

/** What is wrong with these rows, as `key: reason`. */
function problemsOf(rows: readonly VerifiedRow[], prefix: readonly VerifiedRow[] = [format]): string[] {
  const problems: string[] = [];
  const verifier = new RowVerifier(crc32c, ({ key }, reason) => problems.push(`${key}: ${reason}`));
  for (const row of [...prefix, ...rows]) verifier.add(row);
  verifier.finish();
  return problems;
}

function rowsOf(backend: Backend): VerifiedRow[] {
  return allBuckets.flatMap((bucket) =>
    backend.range(bucket, { from: '' }).map((row) => ({ bucketId: bucket.id, ...row, offset: 7 })),
  );
}

/** A store after these transactions. A number compacts that far back. */
async function storeAfter(history: readonly (number | readonly string[])[]): Promise<Backend> {
  const backend = await new MemoryBackendFactory().open('db');
  const clock = new ManualClock();
  const onFatal = (error: unknown): never => {
    throw error;
  };
  const tools = { clock, logger: silentLogger, meter: silentMeter, crash: noCrashPoints, checksum: crc32c, onFatal };
  const store = await Store.open({ backend, leases: noLeases, ...tools });
  for (const step of history) {
    if (typeof step === 'number') {
      const revision = store.currentRevision - step;
      if (revision > Math.max(store.compactRevision, 0)) store.compact(revision);
      clock.advance(1_000);
      continue;
    }
    const txn = store.write();
    for (const key of new Set(step)) {
      if (key.startsWith('-')) txn.deleteRange(key.slice(1), undefined);
      else txn.put(key, Buffer.from('value'), 0n);
    }
    txn.end();
  }
  return backend;
}

/** A row of the key bucket with a checksum that fits. */
function version(main: number, kv: Partial<KeyValue>, mark = ''): Row {
  const key = encodeMark(main).toString('latin1') + mark;
  const record = KeyValue.encode(KeyValue.create({ key: Buffer.from('a'), modRevision: main, ...kv }));
  const value = Buffer.concat([Buffer.alloc(4), record]);
  value.writeUInt32BE(crc32c(record, crc32c(Buffer.from(key, 'latin1'), 0)) >>> 0, 0);
  return { key, value };
}

const inKey = (rows: readonly Row[]): VerifiedRow[] =>
  rows.map((row) => ({ bucketId: buckets.key.id, offset: 1, ...row }));

const step = fc.oneof(
  { weight: 6, arbitrary: fc.array(fc.constantFrom('a', 'b', 'c', '-a', '-b', '-c'), { minLength: 1, maxLength: 3 }) },
  { weight: 1, arbitrary: fc.nat(4) },
);

describe('rows', { timeout: 60_000 }, () => {
  test('of any store that transactions and compactions made are right', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (history) => {
        expect(problemsOf(rowsOf(await storeAfter(history)))).toEqual([]);
      }),
    );
  });

  test('with any byte of a version changed are wrong at that row', async () => {
    const rows = rowsOf(await storeAfter([['a'], ['a', 'b'], ['-a'], ['a']]));
    for (const [i, row] of rows.entries()) {
      if (row.bucketId !== buckets.key.id) continue;
      for (let at = 0; at < row.value.length; at++) {
        const value = Buffer.from(row.value);
        value[at]! ^= 0x40;
        expect(problemsOf(rows.with(i, { ...row, value }))[0]).toMatch(/^key\/0x[0-9a-f]+: checksum mismatch$/);
      }
    }
  });

  test('that stand under the key of another are wrong', async () => {
    const rows = rowsOf(await storeAfter([['a'], ['b']]));
    const [a, b] = rows as [VerifiedRow, VerifiedRow];
    expect(
      problemsOf([
        { ...a, value: b.value },
        { ...b, value: a.value },
      ]),
    ).toHaveLength(2);
  });

  test('of which one in the middle of a key’s life is missing are wrong', async () => {
    const rows = rowsOf(await storeAfter([['a'], ['a'], ['a'], ['-a'], ['a']]));
    expect(problemsOf(rows.toSpliced(0, 1))[0]).toContain('version 2 of key/a has no version before it');
    expect(problemsOf(rows.toSpliced(1, 1))).toEqual([
      expect.stringContaining('version 3 of key/a does not follow version 1'),
    ]);
    expect(problemsOf(rows.toSpliced(3, 1))[0]).toContain('version 1 of key/a does not follow version 3');
  });

  test.each([
    ['a deletion of nothing', [version(5, {}, 't')], 'a deletion of key/a, which is not there'],
    ['a first version made earlier', [version(5, { version: 1, createRevision: 4 })], 'has no version before it'],
    [
      'a version of another revision',
      [version(5, { version: 1, createRevision: 5, modRevision: 6 })],
      'of revision 6 under another',
    ],
    ['a key of no revision', [{ key: 'x', value: Buffer.alloc(9) }], 'not the key of a revision'],
    ['a value too short for a checksum', [{ key: version(5, {}).key, value: Buffer.alloc(3) }], 'checksum mismatch'],
    [
      'a lease that is gone',
      [version(5, { version: 1, createRevision: 5, lease: 0x2an })],
      'names lease 2a, which there is not',
    ],
  ])('with %s are wrong', (_, rows, reason) => {
    expect(problemsOf(inKey(rows))).toEqual([expect.stringContaining(reason)]);
  });

  test('in buckets other than keys are decoded and held against each other', () => {
    const leaseId = Buffer.alloc(8, 1).toString('latin1');
    const lease = LeaseRecord.encode(LeaseRecord.create({ id: 0x0101010101010101n, ttl: 5 }));
    const member = MemberRecord.encode(MemberRecord.create({ id: 0xabn }));
    const conf = ConfState.encode(ConfState.create({ voters: [0xabn] }));
    const row = (bucketId: number, key: string, value: Buffer): VerifiedRow => ({ bucketId, key, value, offset: 3 });
    const right = [
      row(buckets.meta.id, 'conf_state', conf),
      row(buckets.lease.id, leaseId, lease),
      row(buckets.members.id, 'ab', member),
    ];
    expect(problemsOf(right)).toEqual([]);
    expect(problemsOf(right.toSpliced(2, 1))).toEqual(['meta/conf_state: names member ab, which is not in the list']);
    const learner = MemberRecord.encode(MemberRecord.create({ id: 0xabn, isLearner: true }));
    expect(problemsOf(right.with(2, row(buckets.members.id, 'ab', learner)))).toEqual([
      'members/ab: the configuration of the cluster says otherwise',
    ]);
    expect(problemsOf(right.with(2, row(buckets.members.id, 'ac', member)))).toEqual([
      'members/ac: a member under the id of another',
    ]);
    const other = Buffer.alloc(8, 2).toString('latin1');
    expect(problemsOf([row(buckets.lease.id, other, lease)])[0]).toContain('a lease under the id of another');
    expect(problemsOf([row(buckets.lease.id, other, Buffer.from([0xff]))])[0]).toContain('cannot be decoded');
    expect(problemsOf([row(20, 'x', member)])).toEqual(['bucket 20/x: a row of no bucket of this program']);
  });

  test('of another format, or of none, are wrong', () => {
    expect(problemsOf([], [])).toEqual(['format: the row that names the format is missing']);
    expect(problemsOf([], [{ ...format, value: Buffer.from('quorate 2') }])[0]).toContain('of another format');
  });
});
