import { CorruptionError } from '@quorate/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allBuckets, buckets } from './buckets.ts';
import { openValue, sealValue, valueIn } from './row-checksum.ts';

const bucketId = fc.constantFrom(0, ...allBuckets.map(({ id }) => id));
const key = fc.string({ unit: fc.nat(255).map((code) => String.fromCharCode(code)), maxLength: 40 });
const value = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));

describe('the checksum of a row', () => {
  test('goes on and off without a trace', () => {
    fc.assert(
      fc.property(bucketId, key, value, (id, name, content) => {
        expect(openValue(id, name, sealValue(id, name, content))).toEqual(content);
      }),
    );
  });

  test('fits no other bits, no other key and no other bucket', () => {
    const others = bucketId.filter((id) => id !== buckets.key.id);
    fc.assert(
      fc.property(others, key, value, fc.nat(), (id, name, content, n) => {
        const stored = sealValue(id, name, content);
        const turned = Buffer.from(stored);
        const bit = n % (8 * turned.length);
        turned[bit >> 3]! ^= 1 << (bit & 7);
        expect(valueIn(id, name, turned)).toBeUndefined();
        expect(valueIn(id, name, stored.subarray(0, n % stored.length))).toBeUndefined();
        expect(valueIn(id, `${name}x`, stored)).toBeUndefined();
        expect(valueIn(id ^ 1, name, stored)).toBeUndefined();
        expect(() => openValue(id, name, turned)).toThrow(CorruptionError);
      }),
    );
  });

  test('of a version of a key is its own', () => {
    const stored = Buffer.from('anything');
    expect(sealValue(buckets.key.id, 'k', stored)).toBe(stored);
    expect(openValue(buckets.key.id, 'k', stored)).toBe(stored);
  });
});
