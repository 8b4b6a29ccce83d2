import { randomId } from '@quorate/base';
import { expect, test } from 'vitest';
import { nodeRandom } from './node-random.ts';

test('stays within its bound, from 1 to 2^32, and reaches both ends of a small one', () => {
  const seen = new Set<number>();
  for (let i = 0; i < 500; i++) seen.add(nodeRandom.below(3));
  expect([...seen].sort()).toEqual([0, 1, 2]);
  expect(nodeRandom.below(1)).toBe(0);
  const large = Array.from({ length: 100 }, () => nodeRandom.below(2 ** 32));
  expect(large.every((value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32)).toBe(true);
  expect(large.some((value) => value >= 2 ** 31)).toBe(true);
});

test('ids made from it differ', () => {
  const ids = new Set(Array.from({ length: 1_000 }, () => randomId(nodeRandom)));
  expect(ids.size).toBe(1_000);
});
