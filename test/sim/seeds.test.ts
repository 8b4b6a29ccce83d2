/**
 * Whole clusters on virtual time, one per seed, each with at least thirty faults. `SIM_SEED` runs one seed, `SIM_SEEDS` sets how
 * many (default 500), `SIM_FIRST` where they start.
 */
import { crashPointNames } from '@quorate/base';
import { runSeed, type SeedReport } from '@quorate/sim';
import { describe, expect, test } from 'vitest';

const one = process.env['SIM_SEED'];
const first = one === undefined ? Number(process.env['SIM_FIRST'] ?? 1) : Number(one);
const count = one === undefined ? Number(process.env['SIM_SEEDS'] ?? 500) : 1;
const groupSize = 50;

const reports: SeedReport[] = [];

describe('no fault loses, doubles or reorders what was acknowledged', () => {
  for (let from = first; from < first + count; from += groupSize) {
    const to = Math.min(from + groupSize, first + count);
    test(`seeds ${from} to ${to - 1}`, async () => {
      for (let seed = from; seed < to; seed++) {
        const report = await runSeed({ seed });
        expect(report.faultCount).toBeGreaterThanOrEqual(30);
        reports.push(report);
      }
    });
  }

  test.runIf(one === undefined && count >= 500)(
    'together they crash members at the crash points of the write path',
    () => {
      const hits = new Map<string, number>();
      for (const report of reports) for (const [name, n] of report.hits) hits.set(name, (hits.get(name) ?? 0) + n);
      const missed = crashPointNames.filter((name) => !hits.has(name));
      expect(missed).toEqual([]);
      expect(reports.reduce((sum, report) => sum + report.crashCount, 0)).toBeGreaterThan(count * 4);
      expect(reports.reduce((sum, report) => sum + report.okCount, 0)).toBeGreaterThan(count * 100);
    },
  );
});

describe('a simulation is a function of its seed', () => {
  test('the same seed twice gives the same trace to the byte', async () => {
    for (const seed of [first, first + 1, first + 2]) {
      const [a, b] = [await runSeed({ seed }), await runSeed({ seed })];
      expect(b.digest).toBe(a.digest);
      expect(b.operationCount).toBe(a.operationCount);
    }
  });
});
