import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EndSpread } from './end-spread.ts';

const ends = fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 200 });
const secondOf = (ms: number): number => Math.floor(ms / 1000);

/** The seconds that are taken when the earliest is placed first, as one would do it by hand. */
function naive(wanted: readonly number[], perSecond: number): number[] {
  const taken: number[] = [];
  for (const second of wanted.map(secondOf).sort((a, b) => a - b)) {
    let at = second;
    while (taken.filter((one) => one === at).length === perSecond) at++;
    taken.push(at);
  }
  return taken.sort((a, b) => a - b);
}

test('nobody ends early, none later than it must, and no second takes more than its share', () => {
  fc.assert(
    fc.property(ends, fc.integer({ min: 1, max: 5 }), (wanted, perSecond) => {
      const spread = new EndSpread(perSecond);
      const placed = wanted.map((ms) => spread.place(ms));
      for (const [i, ms] of placed.entries()) {
        expect(ms).toBeGreaterThanOrEqual(wanted[i]!);
        expect((ms - wanted[i]!) % 1000).toBe(0);
      }
      expect(placed.map(secondOf).sort((a, b) => a - b)).toEqual(naive(wanted, perSecond));
    }),
  );
});

test('a hundred thousand that want the same second are placed one after the other', () => {
  const spread = new EndSpread(750);
  let last = 0;
  for (let i = 0; i < 100_000; i++) last = spread.place(5_000);
  expect(last).toBe(5_000 + Math.floor(99_999 / 750) * 1000);
});
