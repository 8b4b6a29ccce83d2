import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clampToNumber, parseBool, parseInt64, parseUint64 } from './numbers.ts';

describe('parseInt64', () => {
  test.each([
    ['0', 0, 0n],
    ['-7', 0, -7n],
    ['+7', 0, 7n],
    ['0x1F', 0, 31n],
    ['-0xff', 0, -255n],
    ['0b101', 0, 5n],
    ['0o17', 0, 15n],
    ['017', 0, 15n],
    ['1_000', 0, 1000n],
    ['0x_ff', 0, 255n],
    ['9223372036854775807', 0, 2n ** 63n - 1n],
    ['-9223372036854775808', 0, -(2n ** 63n)],
    ['0017', 10, 17n],
    ['ff', 16, 255n],
    ['-1', 16, -1n],
    ['7fffffffffffffff', 16, 2n ** 63n - 1n],
  ] as const)('%s in base %d', (text, base, value) => {
    expect(parseInt64(text, base)).toBe(value);
  });

  test.each([
    ['', 0],
    ['-', 0],
    ['x', 0],
    ['1.5', 0],
    ['08', 0],
    ['_1', 0],
    ['1__0', 0],
    ['1_', 0],
    ['0x', 0],
    ['--1', 0],
    [' 1', 0],
    ['0x10', 10],
    ['1_000', 10],
    ['0xff', 16],
  ] as const)('refuses %j in base %d', (text, base) => {
    expect(() => parseInt64(text, base)).toThrow(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  });

  test.each(['9223372036854775808', '-9223372036854775809'])('%s is out of range', (text) => {
    expect(() => parseInt64(text)).toThrow(`strconv.ParseInt: parsing "${text}": value out of range`);
  });

  test('reads back what is printed', () => {
    const numbers = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    fc.assert(
      fc.property(numbers, (value) => {
        expect(parseInt64(String(value))).toBe(value);
        expect(parseInt64(value.toString(16), 16)).toBe(value);
      }),
    );
  });
});

test('ids are unsigned numbers of 64 bits without sign or prefix', () => {
  expect(parseUint64('ffffffffffffffff', 16)).toBe(2n ** 64n - 1n);
  expect(parseUint64('8E9e05c52164694d', 16)).toBe(0x8e9e_05c5_2164_694dn);
  expect(parseUint64('10', 10)).toBe(10n);
  for (const text of ['', '-1', '+1', '0x1', 'zz', '1_0', ' 1']) {
    expect(() => parseUint64(text, 16)).toThrow(`strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  expect(() => parseUint64('10000000000000000', 16)).toThrow('value out of range');
});

test('booleans are those of Go', () => {
  expect(['1', 't', 'T', 'TRUE', 'true', 'True'].map(parseBool)).toEqual(new Array(6).fill(true));
  expect(['0', 'f', 'F', 'FALSE', 'false', 'False'].map(parseBool)).toEqual(new Array(6).fill(false));
  expect(() => parseBool('yes')).toThrow('strconv.ParseBool: parsing "yes": invalid syntax');
});

test('numbers beyond what JavaScript holds are clamped, which keeps their order', () => {
  expect(clampToNumber(2n ** 63n - 1n)).toBe(Number.MAX_SAFE_INTEGER);
  expect(clampToNumber(-(2n ** 63n))).toBe(-Number.MAX_SAFE_INTEGER);
  expect(clampToNumber(42n)).toBe(42);
});
