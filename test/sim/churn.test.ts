/** Clusters on virtual time whose members come and go. A failure names its seed; SIM_SEED repeats it alone. */
import { runChurnSeed } from '@quorate/sim';
import { expect, test } from 'vitest';

const first = Number(process.env['SIM_FIRST'] ?? 1);
const count = Number(process.env['SIM_CHURN_SEEDS'] ?? 100);
const only = process.env['SIM_SEED'];
const seeds = only === undefined ? Array.from({ length: count }, (_, i) => first + i) : [Number(only)];

test(`${seeds.length} clusters change their members through crashes, power failures, pauses and cuts`, async () => {
  const sums = { added: 0, promoted: 0, removed: 0, wiped: 0, okCount: 0, crashCount: 0 };
  for (const seed of seeds) {
    const report = await runChurnSeed(seed);
    for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += report[name];
  }
  console.log(`members: ${JSON.stringify(sums)}`);
  if (only === undefined) for (const sum of Object.values(sums)) expect(sum).toBeGreaterThan(seeds.length / 2);
});
