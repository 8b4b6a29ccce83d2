import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KeyIntervals } from './key-intervals.ts';

const key = fc.string({ unit: fc.constantFrom('a', 'b', '\0', '\xff'), maxLength: 3 });
const intervals = fc.array(fc.tuple(key, key), { maxLength: 8 });

test('a key is covered exactly when one of the ranges added holds it', () => {
  fc.assert(
    fc.property(intervals, fc.array(key, { minLength: 1 }), (added, asked) => {
      const set = new KeyIntervals();
      for (const [from, to] of added) set.add(from, to);
      for (const one of asked) {
        expect(set.covers(one)).toBe(added.some(([from, to]) => one >= from && one < to));
      }
    }),
    { numRuns: 1000 },
  );
});

test('adding a set covers what both cover', () => {
  fc.assert(
    fc.property(intervals, intervals, key, (left, right, asked) => {
      const joined = new KeyIntervals();
      const other = new KeyIntervals();
      for (const [from, to] of left) joined.add(from, to);
      for (const [from, to] of right) other.add(from, to);
      joined.addAll(other);
      expect(joined.covers(asked)).toBe([...left, ...right].some(([from, to]) => asked >= from && asked < to));
    }),
  );
});
