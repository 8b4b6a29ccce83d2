/**
 * S4: clusters on virtual time in which members are away until only a snapshot brings them up, and something goes wrong while it
 * does. Histories, leases, watches and final states are judged as in every seed. SIM_SEED repeats one alone.
 */
import { crashPointNames } from '@quorate/base';
import { lagging, runSeed, type SeedReport } from '@quorate/sim';
import { expect, test } from 'vitest';

const only = process.env['SIM_SEED'];
const first = Number(only ?? process.env['SIM_FIRST'] ?? 1);
const count = only === undefined ? Number(process.env['SIM_S4_SEEDS'] ?? 100) : 1;

test(`S4: ${count} clusters bring members up by snapshots, whatever happens meanwhile`, async () => {
  const reports: SeedReport[] = [];
  for (let seed = first; seed < first + count; seed++) reports.push(await runSeed({ seed, scenario: lagging }));
  const hits = (name: string): number =>
    reports.reduce((sum, report) => sum + (report.hits.get(name as never) ?? 0), 0);
  const installed = hits('snapshotAfterSwap');
  console.log(`snapshots: ${installed} put in place in ${count} clusters`);
  if (count < 50) return;
  expect(installed).toBeGreaterThan(count);
  for (const name of crashPointNames.filter((one) => one.startsWith('snapshot')))
    expect(hits(name), name).toBeGreaterThan(0);
  // One cluster may be out of luck all the time; most serve hundreds of calls.
  expect(reports.every((report) => report.okCount > 20)).toBe(true);
  expect(reports.filter((report) => report.okCount > 100).length).toBeGreaterThan(0.9 * count);
});
