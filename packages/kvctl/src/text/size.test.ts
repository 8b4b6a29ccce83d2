import { expect, test } from 'vitest';
import { formatSize } from './size.ts';

test.each([
  [0, '0 B'],
  [9, '9 B'],
  [10, '10 B'],
  [999, '999 B'],
  [1_000, '1.0 kB'],
  [20_480, '20 kB'],
  [21_500, '22 kB'],
  [24_576, '25 kB'],
  [9_949, '9.9 kB'],
  [9_950, '10 kB'],
  [999_999, '1000 kB'],
  [1_000_000, '1.0 MB'],
  [2_147_483_648, '2.1 GB'],
  [8_589_934_592, '8.6 GB'],
  [1e15, '1.0 PB'],
])('%d bytes are %s', (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});
