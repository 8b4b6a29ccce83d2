/** Numbers and booleans on the command line, read as Go reads them, with Go's words when they cannot be. */
import type { ByteString } from './bytes.ts';
import { quote } from './quote.ts';

/** Text that is not the number it should be; the message is Go's. */
export class NumberError extends Error {
  constructor(parser: string, text: ByteString, problem: string) {
    super(`strconv.${parser}: parsing ${quote(text)}: ${problem}`);
    this.name = 'NumberError';
  }
}

const patterns: Readonly<Record<number, RegExp>> = {
  2: /^[01]+$/,
  8: /^[0-7]+$/,
  10: /^[0-9]+$/,
  16: /^[0-9a-fA-F]+$/,
};
const prefixes: Readonly<Record<number, string>> = { 2: '0b', 8: '0o', 10: '', 16: '0x' };

/** A signed 64-bit integer in this base; base 0 means by prefix (0x, 0o, 0b, a leading 0), with underscores allowed. */
export function parseInt64(text: ByteString, base: 0 | 10 | 16 = 0): bigint {
  const sign = /^[+-]/.exec(text)?.[0] ?? '';
  const { digits, radix } =
    base === 0 ? byPrefix(text.slice(sign.length)) : { digits: text.slice(sign.length), radix: base };
  if (!patterns[radix]!.test(digits)) throw new NumberError('ParseInt', text, 'invalid syntax');
  const size = BigInt(`${prefixes[radix]}${digits}`);
  const value = sign === '-' ? -size : size;
  if (value !== BigInt.asIntN(64, value)) throw new NumberError('ParseInt', text, 'value out of range');
  return value;
}

/** An unsigned 64-bit integer in this base, without a sign or prefix. */
export function parseUint64(text: ByteString, base: 10 | 16): bigint {
  if (!patterns[base]!.test(text)) throw new NumberError('ParseUint', text, 'invalid syntax');
  const value = BigInt(`${prefixes[base]}${text}`);
  if (value !== BigInt.asUintN(64, value)) throw new NumberError('ParseUint', text, 'value out of range');
  return value;
}

export function parseBool(text: ByteString): boolean {
  if (/^(?:1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(?:0|f|F|FALSE|false|False)$/.test(text)) return false;
  throw new NumberError('ParseBool', text, 'invalid syntax');
}

/** As a JavaScript number, at most 2^53-1 away from zero: enough for any revision or limit that can exist. */
export function clampToNumber(value: bigint): number {
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(value > limit ? limit : value < -limit ? -limit : value);
}

function byPrefix(text: string): { digits: string; radix: number } {
  const prefixed = /^0([xXoObB])_?(.*)$/s.exec(text);
  const radix = prefixed === null ? (/^0[0-9_]/.test(text) ? 8 : 10) : radixOf(prefixed[1]!);
  const digits = prefixed?.[2] ?? text;
  // Underscores may stand between digits only; one in another place is left in, where no digit pattern accepts it.
  return { digits: /^_|__|_$/.test(digits) ? digits : digits.replaceAll('_', ''), radix };
}

function radixOf(letter: string): number {
  return { x: 16, o: 8, b: 2 }[letter.toLowerCase()]!;
}
