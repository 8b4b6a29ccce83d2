/**
 * Whole clusters on virtual time, one per seed, each with at least thirty faults. The seeds are dealt out to several test files, so
 * that these run side by side. `SIM_SEED` runs one seed, `SIM_SEEDS` sets how many there are in all (default 500), `SIM_FIRST`
 * where they start.
 */
import { crashPointNames } from '@quorate/base';
import { runSeed, type SeedReport } from '@quorate/sim';
import { describe, expect, test } from 'vitest';

const one = process.env['SIM_SEED'];
const first = one === undefined ? Number(process.env['SIM_FIRST'] ?? 1) : Number(one);
const count = one === undefined ? Number(process.env['SIM_SEEDS'] ?? 500) : 1;
const groupSize = 50;

/** Seeds from which on a file's share is large enough to have passed every crash point. */
const coverageSeeds = 200;

/** Declares the tests of share `share` (from 0) of `shares`. */
export function describeSeeds(share: number, shares: number): void {
  const from = first + Math.ceil((count * share) / shares);
  const to = first + Math.ceil((count * (share + 1)) / shares);
  const reports: SeedReport[] = [];
  if (to === from) {
    test.skip('no seed falls to this share', () => {});
    return;
  }

  describe('no fault loses, doubles or reorders what was acknowledged', () => {
    for (let start = from; start < to; start += groupSize) {
      const end = Math.min(start + groupSize, to);
      test(`seeds ${start} to ${end - 1}`, async () => {
        for (let seed = start; seed < end; seed++) {
          const report = await runSeed({ seed });
          expect(report.faultCount).toBeGreaterThanOrEqual(30);
          reports.push(report);
        }
      });
    }

    if (to - from < coverageSeeds) return;

    test('together they pass every crash point, crash members and serve clients', () => {
      const hits = new Set(reports.flatMap((report) => [...report.hits.keys()]));
      expect(crashPointNames.filter((name) => !hits.has(name))).toEqual([]);
      const total = (read: (report: SeedReport) => number): number =>
        reports.reduce((sum, report) => sum + read(report), 0);
      expect(total((report) => report.crashCount)).toBeGreaterThan(reports.length * 4);
      expect(total((report) => report.okCount)).toBeGreaterThan(reports.length * 100);
    });
  });

  if (share > 0) return;

  describe('a simulation is a function of its seed', () => {
    test('the same seed twice gives the same trace to the byte', async () => {
      for (const seed of [from, from + 1, from + 2]) {
        const [a, b] = [await runSeed({ seed }), await runSeed({ seed })];
        expect(b.digest).toBe(a.digest);
        expect(b.operationCount).toBe(a.operationCount);
      }
    });
  });
}
