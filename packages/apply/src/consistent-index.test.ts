import { buckets } from '@quorate/backend';
import { CorruptionError, FatalError } from '@quorate/base';
import { ConfState } from '@quorate/proto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ConsistentIndex, readConsistentIndex } from './consistent-index.ts';
import { TestBackend } from './testing/test-backend.ts';

const large = 2 ** 52;

/** As it is stored: twice, the second time inverted. */
function rowOf(index: number, term: number): Buffer {
  const row = Buffer.alloc(16);
  row.writeBigUInt64BE(BigInt(index), 0);
  row.writeBigUInt64BE(BigInt(term), 8);
  return Buffer.concat([row, row.map((byte) => ~byte)]);
}

test('a store nothing was applied to stands at 0', () => {
  expect(readConsistentIndex(new TestBackend())).toEqual({ index: 0, term: 0, confState: ConfState.create() });
});

test('a step that nobody staged is not in the store, and staging twice stages once', () => {
  const backend = new TestBackend();
  const index = new ConsistentIndex(backend);
  index.stage();
  expect(backend.stagedCount).toBe(0);
  for (let i = 1; i <= 3; i++) index.moveTo({ index: i, term: 1 });
  expect(backend.stagedCount).toBe(0);
  index.stage();
  const staged = backend.get(buckets.meta, 'consistent_index');
  index.stage();
  expect(backend.get(buckets.meta, 'consistent_index')).toBe(staged);
});

test('what was staged last is what a store, or a view of it, says', async () => {
  const backend = new TestBackend();
  const index = new ConsistentIndex(backend);
  index.moveTo({ index: 1, term: 3 });
  index.setConfState(ConfState.create({ voters: [1n, 2n ** 64n - 1n], learners: [3n] }));
  index.moveTo({ index: 2, term: 4 });
  expect(backend.get(buckets.meta, 'consistent_index')).toBeUndefined();
  index.stage();
  const stands = { index: 2, term: 4, confState: ConfState.create({ voters: [1n, 2n ** 64n - 1n], learners: [3n] }) };
  expect(readConsistentIndex(backend)).toEqual(stands);
  expect(readConsistentIndex(await backend.openView())).toEqual(stands);
  const reopened = new ConsistentIndex(backend);
  expect({ index: reopened.index, term: reopened.term, confState: reopened.confState }).toEqual(stands);
});

test('indices and terms of any size come back', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: large }), fc.integer({ min: 1, max: large }), (index, term) => {
      const backend = new TestBackend();
      backend.put(buckets.meta, 'consistent_index', rowOf(index - 1, term));
      const stands = new ConsistentIndex(backend);
      stands.moveTo({ index, term });
      stands.stage();
      expect(readConsistentIndex(backend)).toMatchObject({ index, term });
    }),
  );
});

test.each([
  ['skips an entry', { index: 3, term: 1 }],
  ['stays', { index: 1, term: 1 }],
  ['goes back', { index: 0, term: 1 }],
  ['goes back in term', { index: 2, term: 0 }],
])('an index that %s is an error, and nothing is staged', (_name, to) => {
  const backend = new TestBackend();
  const index = new ConsistentIndex(backend);
  index.moveTo({ index: 1, term: 1 });
  expect(() => index.moveTo(to)).toThrow(FatalError);
  index.stage();
  expect(readConsistentIndex(backend)).toMatchObject({ index: 1, term: 1 });
});

test.each([
  ['too short', rowOf(7, 1).subarray(1)],
  ['too long', Buffer.concat([rowOf(7, 1), Buffer.alloc(1)])],
  ['there once only', rowOf(7, 1).subarray(0, 16)],
  ['beyond what can be counted', Buffer.concat([Buffer.alloc(16, 0xff), Buffer.alloc(16)])],
])('a stored index that is %s is corruption', (_name, row) => {
  const backend = new TestBackend();
  backend.put(buckets.meta, 'consistent_index', row);
  expect(() => readConsistentIndex(backend)).toThrow(CorruptionError);
});

test('any flipped bit of a stored index is corruption, and so is a configuration whose index is gone', () => {
  const row = rowOf(1_000, 7);
  for (let bit = 0; bit < row.length * 8; bit++) {
    const backend = new TestBackend();
    const flipped = Buffer.from(row);
    flipped[bit >>> 3]! ^= 1 << (bit & 7);
    backend.put(buckets.meta, 'consistent_index', flipped);
    expect(() => readConsistentIndex(backend)).toThrow(CorruptionError);
  }
  const backend = new TestBackend();
  const index = new ConsistentIndex(backend);
  index.moveTo({ index: 1, term: 1 });
  index.stage();
  index.setConfState(ConfState.create({ voters: [1n] }));
  backend.remove(buckets.meta, 'consistent_index');
  expect(() => readConsistentIndex(backend)).toThrow('a configuration without the index it belongs to');
});
