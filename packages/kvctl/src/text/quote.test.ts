import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromText } from './bytes.ts';
import { quote, unquote } from './quote.ts';

const byteString = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('latin1'));

describe('quote', () => {
  test.each([
    ['plain', '"plain"'],
    ['', '""'],
    ['q"uo\\te', '"q\\"uo\\\\te"'],
    ['\t\n\r\x07\x08\x0b\x0c', '"\\t\\n\\r\\a\\b\\v\\f"'],
    ['\x00\x01\x1f\x7f', '"\\x00\\x01\\x1f\\x7f"'],
    ['\xff\xfe', '"\\xff\\xfe"'],
    [fromText('é日本😀'), `"${fromText('é日本😀')}"`],
    [fromText('\u200b\u00ad\u0085'), '"\\u200b\\u00ad\\u0085"'],
    [fromText('\u{e0001}'), '"\\U000e0001"'],
    [fromText('\ufffd'), `"${fromText('\ufffd')}"`],
    // Cut short, too long for what it says, a surrogate, beyond the last code point: not UTF-8, so byte by byte.
    ['\xc3', '"\\xc3"'],
    ['\xc0\x80', '"\\xc0\\x80"'],
    ['\xe0\x80\x80', '"\\xe0\\x80\\x80"'],
    ['\xed\xa0\x80', '"\\xed\\xa0\\x80"'],
    ['\xf4\x90\x80\x80', '"\\xf4\\x90\\x80\\x80"'],
    ['\xe6\x97x', '"\\xe6\\x97x"'],
  ])('%j', (text, quoted) => {
    expect(quote(text)).toBe(quoted);
  });

  test('comes back as it was', () => {
    fc.assert(
      fc.property(byteString, (text) => {
        expect(unquote(quote(text))).toBe(text);
      }),
    );
  });

  test('leaves text of letters alone', () => {
    const letters = fc.string({ unit: fc.constantFrom(...'aZ9 äß日ключ'), maxLength: 20 });
    fc.assert(
      fc.property(letters, (text) => {
        expect(quote(fromText(text))).toBe(`"${fromText(text)}"`);
      }),
    );
  });
});

describe('unquote', () => {
  test.each([
    ['"a\\x41\\101\\u0041\\U00000041"', 'aAAAA'],
    ['"\\xff\\377"', '\xff\xff'],
    ['"\\u00e9"', '\xc3\xa9'],
    ['"it\'s"', "it's"],
  ])('reads %s', (quoted, text) => {
    expect(unquote(quoted)).toBe(text);
  });

  test.each([
    '',
    '"',
    'x',
    "'x'",
    '"a"b"',
    '"\\q"',
    '"\\x4"',
    '"\\8"',
    '"\\400"',
    '"\\ud800"',
    '"\\U00110000"',
    '"a\nb"',
    '"\\',
  ])('refuses %j', (text) => {
    expect(unquote(text)).toBeUndefined();
  });
});
