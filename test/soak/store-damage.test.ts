/**
 * Thousands of damaged stores: what e2e/store-damage.test.ts does with a few. `QUORATE_STORE_DAMAGE` sets how many,
 * `QUORATE_STORE_DAMAGE_SEED` where the seeds start.
 */
import { expect, test } from 'vitest';
import { type DamageSums, openDamaged } from '../support/store-damage.ts';

const copies = Number(process.env['QUORATE_STORE_DAMAGE'] ?? 5_000);
const seed = Number(process.env['QUORATE_STORE_DAMAGE_SEED'] ?? Date.now() % 1_000_000);

const sumsOf = ({ same, before, found, later, killed }: DamageSums): number => same + before + found + later + killed;

test(`${copies} damaged stores are read as they were written, or refused as damaged (seed ${seed})`, async () => {
  const sums = await openDamaged('read', { from: seed, to: seed + copies, lanes: 2 });
  console.log(JSON.stringify(sums));
  expect(sums.wrong).toEqual([]);
  expect(sums).toMatchObject({ later: 0, killed: 0 });
  expect(sumsOf(sums)).toBe(copies);
});

const liveCopies = Math.ceil(copies / 5);

test(`${liveCopies} stores damaged while they are open end their process, or are read as written (seed ${seed})`, async () => {
  const sums = await openDamaged('live', { from: seed, to: seed + liveCopies, lanes: 2 });
  console.log(JSON.stringify(sums));
  expect(sums.wrong).toEqual([]);
  expect(sumsOf(sums)).toBe(liveCopies);
});
