import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromText } from './bytes.ts';
import { formatDuration, parseDurationMs } from './duration.ts';

describe('durations', () => {
  test.each([
    ['0', 0],
    ['5s', 5_000],
    ['1m30s', 90_000],
    ['1.5h', 5_400_000],
    ['300ms', 300],
    ['.5s', 500],
    ['1.s', 1_000],
    ['2us', 0.002],
    [fromText('2µs'), 0.002],
    [fromText('2μs'), 0.002],
    ['10ns', 0.00001],
    ['-1s', -1_000],
    ['+1s', 1_000],
  ])('%s is read', (text, ms) => {
    expect(parseDurationMs(text)).toBeCloseTo(ms, 9);
  });

  test.each([
    ['', 'time: invalid duration ""'],
    ['soon', 'time: invalid duration "soon"'],
    ['5', 'time: missing unit in duration "5"'],
    ['1s5', 'time: missing unit in duration "1s5"'],
    ['5parsecs', 'time: unknown unit "parsecs" in duration "5parsecs"'],
    ['-', 'time: invalid duration "-"'],
    ['.s', 'time: invalid duration ".s"'],
  ])('%j is refused', (text, message) => {
    expect(() => parseDurationMs(text)).toThrow(message);
  });

  test.each([
    [0, '0s'],
    [0.000_001, '1ns'],
    [0.0015, fromText('1.5µs')],
    [2.275125, '2.275125ms'],
    [5_000, '5s'],
    [5_000.555018, '5.000555018s'],
    [60_000, '1m0s'],
    [90_500, '1m30.5s'],
    [3_600_000, '1h0m0s'],
    [-1_500, '-1.5s'],
  ])('%d ms is printed as Go does', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  test('what is printed is read back to the nanosecond', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 ** 13 }), (nanos) => {
        expect(Math.round(parseDurationMs(formatDuration(nanos / 1e6)) * 1e6)).toBe(nanos);
      }),
    );
  });
});
