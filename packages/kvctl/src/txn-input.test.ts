import { compare } from '@quorate/client';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ExitError } from './exit.ts';
import { fromText } from './text/bytes.ts';
import { quote } from './text/quote.ts';
import { parseCompare, splitWords } from './txn-input.ts';

describe('comparisons', () => {
  test.each([
    ['version("k") = "1"', compare.version('k', '=', 1)],
    ['ver("k") != "1"', compare.version('k', '!=', 1)],
    ['create("k") > "-1"', compare.createRevision('k', '>', -1)],
    ['c("k") < "9223372036854775807"', compare.createRevision('k', '<', Number.MAX_SAFE_INTEGER)],
    ['mod("k") = "3"', compare.modRevision('k', '=', 3)],
    ['m(`k`) = `3`', compare.modRevision('k', '=', 3)],
    ['value("k\\xff") = ""', compare.value(Buffer.from('k\xff', 'latin1'), '=', '')],
    ['val( "k")   =\t"v" and more', compare.value('k', '=', 'v')],
    ['lease("k") = "ff"', compare.lease('k', '=', 255n)],
    ['lease("k") = "-1"', compare.lease('k', '=', 2n ** 64n - 1n)],
  ])('%s', (line, expected) => {
    expect(parseCompare(line)).toEqual(expected);
  });

  test.each([
    ['nonsense', 'malformed comparison: nonsense'],
    ['mod("k" = "1"', 'malformed comparison: mod("k" = "1"; got mod("k")  ""'],
    ['mod("k") = 1', 'malformed comparison: mod("k") = 1; got mod("k") = ""'],
    ['mod("k")= "1"', 'malformed comparison: mod("k")= "1"; got mod("k")  ""'],
    ['mod("k") ="1"', 'malformed comparison: mod("k") ="1"; got mod("k") ="1" ""'],
    ['size("k") = "1"', 'malformed comparison: size("k") = "1" (unknown target size)'],
    ['mod("k") >= "1"', 'malformed comparison: mod("k") >= "1" (unknown operator >=, expected =, !=, < or >)'],
    [
      'mod("k") = "0x1"',
      'invalid txn compare request: mod("k") = "0x1" (strconv.ParseInt: parsing "0x1": invalid syntax)',
    ],
  ])('%s is refused', (line, message) => {
    expect(() => parseCompare(line)).toThrow(new ExitError(3, message));
  });

  test('any key and value can be written', () => {
    const bytes = fc.uint8Array({ maxLength: 20 }).map((array) => Buffer.from(array));
    fc.assert(
      fc.property(bytes, bytes, (key, value) => {
        const line = `value(${quote(key.toString('latin1'))}) = ${quote(value.toString('latin1'))}`;
        expect(parseCompare(line)).toEqual(compare.value(key, '=', value));
      }),
    );
  });
});

describe('words of a request', () => {
  test.each([
    ['put k v', ['put', 'k', 'v']],
    ['  put\t k  v ', ['put', 'k', 'v']],
    ['put "a b" \'c "d" \\n\'', ['put', 'a b', 'c "d" \\n']],
    ['put "tab\\t\\x41" x', ['put', 'tab\tA', 'x']],
    ['put --lease=1 k ""', ['put', '--lease=1', 'k', '']],
    [fromText('put à é'), ['put', fromText('à'), fromText('é')]],
    ["put k 'open", ['put', 'k', 'open']],
    ['', []],
  ])('%j', (line, words) => {
    expect(splitWords(line)).toEqual(words);
  });

  test('a broken escape is refused', () => {
    expect(() => splitWords('put k "\\q"')).toThrow(new ExitError(3, 'invalid syntax'));
  });
});
