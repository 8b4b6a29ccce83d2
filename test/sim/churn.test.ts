/**
 * Clusters on virtual time whose members come and go: on a given path, and as chance has it. A failure names its seed; SIM_SEED
 * repeats it alone.
 */
import { type ChurnReport, runChurnSeed } from '@quorate/sim';
import { expect, test } from 'vitest';

const first = Number(process.env['SIM_FIRST'] ?? 1);
const only = process.env['SIM_SEED'];

const pathCount = Number(process.env['SIM_S5_SEEDS'] ?? 100);
const path = [3, 5, 3, 1, 3];
test(`S5: ${pathCount} clusters go ${path.join(' → ')} through crashes, power failures, pauses and cuts`, async () => {
  const sums = await run(pathCount, path);
  if (only !== undefined) return;
  expect(sums.added).toBe(4 * pathCount);
  expect(sums.removed).toBe(4 * pathCount);
  expect(sums.crashCount).toBeGreaterThan(pathCount);
  expect(sums.okCount).toBeGreaterThan(100 * pathCount);
});

const chanceCount = Number(process.env['SIM_CHURN_SEEDS'] ?? 30);
test(`${chanceCount} clusters change their members as chance has it`, async () => {
  const sums = await run(chanceCount);
  if (only === undefined) for (const sum of Object.values(sums)) expect(sum).toBeGreaterThan(chanceCount / 3);
});

type Sums = Omit<ChurnReport, 'digest'>;

async function run(count: number, sizes?: readonly number[]): Promise<Sums> {
  const seeds = only === undefined ? Array.from({ length: count }, (_, i) => first + i) : [Number(only)];
  const sums = { added: 0, promoted: 0, removed: 0, wiped: 0, okCount: 0, crashCount: 0 };
  for (const seed of seeds) {
    const report = await runChurnSeed(seed, sizes);
    for (const name of Object.keys(sums) as (keyof Sums)[]) sums[name] += report[name];
  }
  console.log(`members: ${JSON.stringify(sums)}`);
  return sums;
}
