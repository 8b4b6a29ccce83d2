import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { Figures } from './figures.ts';
import { goalsOf } from './goals.ts';
import { figuresName, pageOf } from './page.ts';
import type { Row } from './report.ts';

const docs = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'docs');
const committed = JSON.parse(readFileSync(join(docs, figuresName), 'utf8')) as Figures;

test('the page and its plots are what the committed figures give; npm run bench:page writes them', () => {
  for (const [name, content] of pageOf(committed)) expect(readFileSync(join(docs, name), 'utf8'), name).toBe(content);
});

test('plots are a few kilobytes of well-formed SVG', () => {
  const plots = [...pageOf(committed)].filter(([name]) => name.endsWith('.svg'));
  expect(plots.length).toBeGreaterThan(0);
  for (const [name, content] of plots) {
    expect(content.length, name).toBeLessThan(16_384);
    expect(content, name).not.toMatch(/NaN|undefined|Infinity/);
    const open = content.match(/<(?:svg|style|text|title|rect)\b[^>]*[^/]>|<(?:svg|style|text|title|rect)>/g) ?? [];
    const closed = content.match(/<\/(?:svg|style|text|title|rect)>/g) ?? [];
    expect(open.length, name).toBe(closed.length);
  }
});

const bare: Figures = { ...committed, load: [], fanOut: [], embedded: [], pauses: [] };

function putRow(callers: number, ratio: { readonly rate: number; readonly p99: number }): Row {
  const base = { p50Ms: 1, cpuMicrosPerOperation: 1, residentBytes: 1, diskBytes: 1 };
  return {
    ...{ members: 3, operation: 'put', callers, over: 'leader', valueBytes: 256, watchers: 0 },
    figures: { etcd: { ...base, perSecond: 1, p99Ms: 1 }, kvd: { ...base, perSecond: ratio.rate, p99Ms: ratio.p99 } },
    throughputRatio: ratio.rate,
    p99Ratio: ratio.p99,
  };
}

test('a goal is met when all of its figures are, and nothing is said of what was not measured', () => {
  const verdict = (...rows: Row[]): boolean | undefined => goalsOf({ ...bare, load: rows })[0]!.isMet;
  expect(verdict()).toBe(undefined);
  expect(verdict(putRow(100, { rate: 2, p99: 0.6 }), putRow(1_000, { rate: 2.5, p99: 0.1 }))).toBe(true);
  expect(verdict(putRow(100, { rate: 1.99, p99: 0.6 }), putRow(1_000, { rate: 2.5, p99: 0.1 }))).toBe(false);
  expect(verdict(putRow(100, { rate: 2, p99: 0.6 }), putRow(1_000, { rate: 2.5, p99: 0.61 }))).toBe(false);
});

test('a lone caller is measured by the time between its calls', () => {
  const alone = goalsOf({ ...bare, load: [putRow(1, { rate: 2, p99: 5 })] }).find(({ load }) =>
    load.includes('1 caller'),
  )!;
  expect(alone.isMet).toBe(true);
  expect(alone.measured).toContain('0.50×');
});

test('what a run with fewer keys found says nothing about the goals of a million and five', () => {
  const start = { healthyMs: 1, memory: { resident: 1 } };
  const found = {
    ...{ afterFill: { resident: 1 }, disk: { storeBytes: 1, totalBytes: 1 } },
    ...{ cleanStarts: [start], killedStarts: [start] },
  };
  const verdicts = (keyCount: number): (boolean | undefined)[] => {
    const memory = { keyCount, valueBytes: 256, found: { etcd: found, kvd: found } };
    const growth = [10_000, 5 * keyCount].map((each) => ({ kind: 'kvd' as const, keyCount: each, cpuMicrosPerPut: 1 }));
    return goalsOf({ ...bare, memory, growth })
      .filter(({ command }) => /memory|growth/.test(command))
      .map(({ isMet }) => isMet);
  };
  // Of equal rivals, the start is not quick enough.
  expect(verdicts(1_000_000)).toEqual([true, false, true]);
  expect(verdicts(100_000)).toEqual([undefined, undefined, undefined]);
});
