import { describe, expect, test } from 'vitest';
import { parseBool, parseDurationMs, parseInt64, parseUint } from './go-values.ts';

describe('booleans', () => {
  test.each([
    ['1', true],
    ['t', true],
    ['TRUE', true],
    ['0', false],
    ['False', false],
  ])('%s is %s', (text, value) => {
    expect(parseBool(text)).toBe(value);
  });

  test.each(['', 'yes', 'tRUE', '2', 'constructor'])('"%s" is refused', (text) => {
    expect(() => parseBool(text)).toThrow('parse error');
  });
});

describe('numbers', () => {
  test.each([
    ['0', 0],
    ['100', 100],
    ['0x10', 16],
    ['0b101', 5],
    ['0o17', 15],
    ['9007199254740991', 9_007_199_254_740_991],
  ])('%s is %d', (text, value) => {
    expect(parseUint(text)).toBe(value);
  });

  test.each(['', '-1', '+1', '1.5', '1e3', ' 1', '1 ', '0x', 'abc'])('"%s" is not unsigned', (text) => {
    expect(() => parseUint(text)).toThrow('parse error');
  });

  test('too large is told apart from malformed', () => {
    expect(() => parseUint('99999999999999999999')).toThrow('value out of range');
    expect(() => parseUint('4294967296', 0xffff_ffff)).toThrow('value out of range');
    expect(parseUint('4294967295', 0xffff_ffff)).toBe(4_294_967_295);
  });

  test('signed ones may have a sign, and there is no negative zero', () => {
    expect(parseInt64('-5')).toBe(-5);
    expect(parseInt64('+5')).toBe(5);
    expect(Object.is(parseInt64('-0'), 0)).toBe(true);
    expect(() => parseInt64('--5')).toThrow('parse error');
  });
});

describe('durations', () => {
  test.each([
    ['100ms', 100],
    ['5s', 5_000],
    ['2h', 7_200_000],
    ['1h15m30.5s', 4_530_500],
    ['1.5s', 1_500],
    ['.5s', 500],
    ['-1s', -1_000],
    ['0', 0],
    ['250us', 0.25],
    ['250µs', 0.25],
    ['1000000ns', 1],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDurationMs(text)).toBeCloseTo(ms, 9);
  });

  test.each(['', '5', '5 s', 's', '1d', '5ss', 'm5', '-', '1h-5m'])('"%s" is refused', (text) => {
    expect(() => parseDurationMs(text)).toThrow('parse error');
  });
});
