/**
 * One store, many damages: bits turned, sectors zeroed, pages that changed places. What may come of them: support/store-damage.ts.
 * `QUORATE_STORE_DAMAGE` sets how many (default 100), `QUORATE_STORE_DAMAGE_SEED` which.
 */
import { expect, test } from 'vitest';
import { openDamaged } from '../support/store-damage.ts';

const copies = Number(process.env['QUORATE_STORE_DAMAGE'] ?? 100);
const seed = Number(process.env['QUORATE_STORE_DAMAGE_SEED'] ?? 1);

test('a damaged store is read as it was written, or refused as damaged', { timeout: 600_000 }, async () => {
  const { wrong, same, before, found } = await openDamaged('read', { from: seed, to: seed + copies, lanes: 2 });
  expect(wrong).toEqual([]);
  expect(same + before + found).toBe(copies);
  expect(found).toBeGreaterThan(copies / 4);
});
