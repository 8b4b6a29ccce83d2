import { expect, test } from 'vitest';
import { runChurnSeed } from './churn-seed.ts';

test('the same seed changes the same members and gives the same trace to the byte', async () => {
  const first = await runChurnSeed(1);
  expect(first.added + first.removed).toBeGreaterThan(3);
  expect(await runChurnSeed(1)).toEqual(first);
}, 60_000);
