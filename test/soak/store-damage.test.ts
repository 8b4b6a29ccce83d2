/**
 * Thousands of damaged stores: what e2e/store-damage.test.ts does with a few. `QUORATE_STORE_DAMAGE` sets how many,
 * `QUORATE_STORE_DAMAGE_SEED` where the seeds start.
 */
import { expect, test } from 'vitest';
import { openDamaged } from '../support/store-damage.ts';

const copies = Number(process.env['QUORATE_STORE_DAMAGE'] ?? 5_000);
const seed = Number(process.env['QUORATE_STORE_DAMAGE_SEED'] ?? Date.now() % 1_000_000);

test(`${copies} damaged stores are read as they were written, or refused as damaged (seed ${seed})`, async () => {
  const { wrong, ...sums } = await openDamaged(seed, seed + copies, 2);
  console.log(JSON.stringify(sums));
  expect(wrong).toEqual([]);
  expect(sums.same + sums.before + sums.found).toBe(copies);
});
