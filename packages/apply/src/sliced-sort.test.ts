import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SlicedSort } from './sliced-sort.ts';

const keysOf = (length: number, seed: number, range: number): number[] =>
  Array.from({ length }, (_, i) => Math.abs(Math.imul(i + 1, seed) >> 3) % range);

test('orders as the engine does, however it is interrupted', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 5_000 }),
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 3_000 }),
      fc.integer(),
      (length, range, step, seed) => {
        const keys = keysOf(length, seed, range);
        const compare = (a: number, b: number): number => keys[a]! - keys[b]! || a - b;
        const sort = new SlicedSort(length, compare);
        let steps = 0;
        while (!sort.step(step)) steps++;
        expect([...sort.order]).toEqual(keys.map((_, i) => i).sort(compare));
        // A step may overshoot by one run, never by more.
        expect(steps).toBeGreaterThanOrEqual(Math.floor(length / Math.max(step, 1_024)) - 1);
      },
    ),
    { numRuns: 100 },
  );
});

test('a step compares little, also in a sort of many', () => {
  const keys = keysOf(100_000, 7_919, 1_000_003);
  let compared = 0;
  const sort = new SlicedSort(keys.length, (a, b) => {
    compared++;
    return keys[a]! - keys[b]! || a - b;
  });
  let most = 0;
  for (let done = false; !done; ) {
    compared = 0;
    done = sort.step(2_000);
    most = Math.max(most, compared);
  }
  expect(most).toBeLessThan(3_100 * 11);
  expect([...sort.order].map((i) => keys[i])).toEqual([...keys].sort((a, b) => a - b));
});

test('nothing and one are in order at once', () => {
  expect(new SlicedSort(0, () => 0).step(1)).toBe(true);
  const one = new SlicedSort(1, () => 0);
  expect(one.step(1)).toBe(true);
  expect([...one.order]).toEqual([0]);
});
