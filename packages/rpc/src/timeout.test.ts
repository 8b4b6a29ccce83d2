import { expect, test } from 'vitest';
import { parseTimeoutMs } from './timeout.ts';

test.each([
  ['1H', 3_600_000],
  ['2M', 120_000],
  ['3S', 3_000],
  ['4m', 4],
  ['5000u', 5],
  ['6000000n', 6],
  ['99999999H', 359_999_996_400_000],
])('%s is %d ms', (header, ms) => {
  expect(parseTimeoutMs(header)).toBeCloseTo(ms);
});

test.each(['', '1', 'S', '1s', '-1S', '1.5S', '123456789S', ' 1S', '1S '])('"%s" is malformed', (header) => {
  expect(parseTimeoutMs(header)).toBeUndefined();
});
