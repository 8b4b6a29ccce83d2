import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { deleteRequest, putRequest, rangeRequest } from './ranges.ts';

const all = { key: Buffer.from([0]), rangeEnd: Buffer.from([0]) };

describe('key ranges', () => {
  test('a key alone has no range end', () => {
    expect(rangeRequest('k')).toMatchObject({ key: Buffer.from('k'), rangeEnd: Buffer.alloc(0) });
  });

  test('text is UTF-8, bytes are bytes', () => {
    expect(rangeRequest('é').key).toEqual(Buffer.from([0xc3, 0xa9]));
    expect(rangeRequest(new Uint8Array([0xff, 0])).key).toEqual(Buffer.from([0xff, 0]));
  });

  test('a prefix ends where its last byte grows, with carry', () => {
    expect(rangeRequest('ab', { prefix: true }).rangeEnd).toEqual(Buffer.from('ac'));
    expect(deleteRequest(Buffer.from([1, 0xff]), { prefix: true }).rangeEnd).toEqual(Buffer.from([2]));
    expect(rangeRequest(Buffer.from([0xff]), { prefix: true }).rangeEnd).toEqual(Buffer.from([0]));
  });

  test('an empty prefix and an empty start mean all keys', () => {
    expect(rangeRequest('', { prefix: true })).toMatchObject(all);
    expect(rangeRequest('', { fromKey: true })).toMatchObject(all);
    expect(deleteRequest('', { prefix: true })).toMatchObject(all);
  });

  test('from a key means no end', () => {
    expect(deleteRequest('k', { fromKey: true })).toMatchObject({ key: Buffer.from('k'), rangeEnd: Buffer.from([0]) });
  });

  test('a prefix range holds exactly the keys that begin with the prefix', () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 4 }).map((array) => Buffer.from(array));
    fc.assert(
      fc.property(bytes, bytes, (prefix, key) => {
        const { rangeEnd } = rangeRequest(prefix, { prefix: true });
        const noEnd = rangeEnd.equals(Buffer.from([0]));
        const inside = key.compare(prefix) >= 0 && (noEnd || key.compare(rangeEnd) < 0);
        expect(inside).toBe(key.subarray(0, prefix.length).equals(prefix));
      }),
    );
  });
});

describe('range requests', () => {
  test('ascending order of keys is left to the index, so that a limit stays cheap', () => {
    expect(rangeRequest('k', { sortBy: 'KEY', order: 'ASCEND' }).sortOrder).toBe(0);
    expect(rangeRequest('k', { sortBy: 'KEY', order: 'DESCEND' }).sortOrder).toBe(2);
    expect(rangeRequest('k', { sortBy: 'VALUE', order: 'ASCEND' })).toMatchObject({ sortTarget: 4, sortOrder: 1 });
    expect(rangeRequest('k', { sortBy: 'VERSION' })).toMatchObject({ sortTarget: 1, sortOrder: 0 });
  });

  test('all other options pass through', () => {
    const options = { limit: 3, revision: 9, serializable: true, keysOnly: true, countOnly: true } as const;
    const revisions = { minModRevision: 1, maxModRevision: 2, minCreateRevision: 3, maxCreateRevision: 4 };
    expect(rangeRequest('k', { ...options, ...revisions })).toMatchObject({ ...options, ...revisions });
  });
});

test('put options pass through', () => {
  expect(putRequest('k', 'v', { lease: 7n, prevKv: true, ignoreLease: true })).toEqual({
    key: Buffer.from('k'),
    value: Buffer.from('v'),
    lease: 7n,
    prevKv: true,
    ignoreValue: false,
    ignoreLease: true,
  });
});
