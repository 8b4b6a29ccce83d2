import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SlicedSort } from './sliced-sort.ts';

interface Item {
  readonly key: number;
  readonly place: number;
}

const byKey = (a: Item, b: Item): number => a.key - b.key;
const itemsOf = (keys: readonly number[]): Item[] => keys.map((key, place) => ({ key, place }));

test('sorts as the engine does, equal items in their order, however it is interrupted', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 5_000 }),
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 3_000 }),
      fc.integer(),
      (length, range, step, seed) => {
        const keys = Array.from({ length }, (_, i) => Math.abs(Math.imul(i + 1, seed) >> 3) % range);
        const sort = new SlicedSort(itemsOf(keys), byKey);
        let steps = 0;
        while (!sort.step(step)) steps++;
        expect(sort.sorted).toEqual(itemsOf(keys).sort(byKey));
        // A step may end early at the end of a run, and overshoot by one run; never by more.
        expect(steps).toBeGreaterThanOrEqual(Math.floor(length / Math.max(step, 1_024)) - 1);
      },
    ),
    { numRuns: 100 },
  );
});

test('a step compares little, also in a sort of many items', () => {
  let compared = 0;
  const keys = Array.from({ length: 100_000 }, (_, i) => (i * 7_919) % 100_003);
  const sort = new SlicedSort(itemsOf(keys), (a, b) => {
    compared++;
    return byKey(a, b);
  });
  let most = 0;
  for (let done = false; !done; ) {
    compared = 0;
    done = sort.step(2_000);
    most = Math.max(most, compared);
  }
  expect(most).toBeLessThan(3_100 * 11);
  expect(sort.sorted.map((item) => item.key)).toEqual([...keys].sort((a, b) => a - b));
});

test('nothing and one item are in order at once', () => {
  expect(new SlicedSort<Item>([], byKey).step(1)).toBe(true);
  const one = new SlicedSort(itemsOf([5]), byKey);
  one.step(1);
  expect(one.sorted).toEqual(itemsOf([5]));
});
