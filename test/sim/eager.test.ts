/**
 * Clusters on virtual time whose callers ask again at once, so that followers are spared what they need not have yet, while members
 * crash, stand still and lose each other. Judged as every seed. SIM_SEED repeats one alone.
 */
import { eager, runSeed, type SeedReport } from '@quorate/sim';
import { expect, test } from 'vitest';

const only = process.env['SIM_SEED'];
const first = Number(only ?? process.env['SIM_FIRST'] ?? 1);
const count = only === undefined ? Number(process.env['SIM_EAGER_SEEDS'] ?? 20) : 1;

test(`${count} clusters with eager callers lose nothing and end equal`, async () => {
  const reports: SeedReport[] = [];
  for (let seed = first; seed < first + count; seed++) reports.push(await runSeed({ seed, scenario: eager }));
  const sum = (of: (report: SeedReport) => number): number => reports.reduce((total, report) => total + of(report), 0);
  const perAnswer = sum(({ appendCount }) => appendCount) / sum(({ okCount }) => okCount);
  console.log(`appends: ${perAnswer.toFixed(2)} for each answer, ${sum(({ crashCount }) => crashCount)} crashes`);
  if (count < 20) return;
  // Without being spared, followers were sent 2.7.
  expect(perAnswer).toBeLessThan(2);
});
