/**
 * Go's quoted strings, both ways: `%q` as the fields format and etcd's messages print it, and the double quoted strings of
 * transaction input. Works on bytes: what is not valid UTF-8 is escaped byte by byte and comes back as it was.
 */
import type { ByteString } from './bytes.ts';

const letterByCode: ReadonlyMap<number, string> = new Map([
  [0x07, 'a'],
  [0x08, 'b'],
  [0x09, 't'],
  [0x0a, 'n'],
  [0x0b, 'v'],
  [0x0c, 'f'],
  [0x0d, 'r'],
  [0x22, '"'],
  [0x5c, '\\'],
]);

const codeByLetter: ReadonlyMap<string, number> = new Map([...letterByCode].map(([code, letter]) => [letter, code]));

/** As Go's strconv.Quote: printable characters as they are, everything else escaped. */
export function quote(text: ByteString): ByteString {
  let quoted = '"';
  for (let i = 0; i < text.length; ) {
    const { code, size } = decodeRune(text, i);
    quoted += code === undefined ? hex('x', text.charCodeAt(i), 2) : quoteRune(text.slice(i, i + size), code);
    i += size;
  }
  return `${quoted}"`;
}

/** The contents of a double quoted string, quotes included in `text`; undefined when it is not one. */
export function unquote(text: ByteString): ByteString | undefined {
  if (text.length < 2 || !text.startsWith('"') || !text.endsWith('"')) return undefined;
  const inner = text.slice(1, -1);
  let plain = '';
  for (let i = 0; i < inner.length; ) {
    const char = inner[i]!;
    if (char === '"' || char === '\n') return undefined;
    if (char !== '\\') {
      plain += char;
      i += 1;
      continue;
    }
    const escaped = readEscape(inner, i + 1);
    if (escaped === undefined) return undefined;
    plain += escaped.text;
    i = escaped.next;
  }
  return plain;
}

function quoteRune(bytes: ByteString, code: number): ByteString {
  const letter = letterByCode.get(code);
  if (letter !== undefined) return `\\${letter}`;
  if (code === 0x20 || /[\p{L}\p{M}\p{N}\p{P}\p{S}]/u.test(String.fromCodePoint(code))) return bytes;
  if (code < 0x20 || code === 0x7f) return hex('x', code, 2);
  return code < 0x1_0000 ? hex('u', code, 4) : hex('U', code, 8);
}

function hex(kind: string, code: number, digits: number): string {
  return `\\${kind}${code.toString(16).padStart(digits, '0')}`;
}

/** Smallest code point that needs a sequence of this many bytes. */
const smallest = [0, 0, 0x80, 0x800, 0x1_0000] as const;

/** The UTF-8 sequence at `i`; `code` is undefined for a byte that begins none, which then counts as one. */
function decodeRune(text: ByteString, i: number): { code: number | undefined; size: number } {
  const lead = text.charCodeAt(i);
  if (lead < 0x80) return { code: lead, size: 1 };
  const size = lead >= 0xf0 && lead <= 0xf4 ? 4 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xc2 && lead < 0xe0 ? 2 : 0;
  if (size === 0 || i + size > text.length) return { code: undefined, size: 1 };
  let code = lead & (0x7f >> size);
  for (let k = 1; k < size; k += 1) {
    const byte = text.charCodeAt(i + k);
    if ((byte & 0xc0) !== 0x80) return { code: undefined, size: 1 };
    code = (code << 6) | (byte & 0x3f);
  }
  return code < smallest[size]! || isOutside(code) ? { code: undefined, size: 1 } : { code, size };
}

function isOutside(code: number): boolean {
  return code > 0x10_ffff || (code >= 0xd800 && code <= 0xdfff);
}

function readEscape(text: ByteString, at: number): { text: ByteString; next: number } | undefined {
  const letter = text[at];
  if (letter === undefined) return undefined;
  const simple = codeByLetter.get(letter);
  if (simple !== undefined) return { text: String.fromCharCode(simple), next: at + 1 };

  const byte = /^(?:x([0-9a-fA-F]{2})|([0-3][0-7]{2}))/.exec(text.slice(at, at + 3));
  if (byte !== null) {
    const code = byte[1] === undefined ? Number.parseInt(byte[2]!, 8) : Number.parseInt(byte[1], 16);
    return { text: String.fromCharCode(code), next: at + 3 };
  }
  const rune = /^(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/.exec(text.slice(at, at + 9));
  if (rune === null) return undefined;
  const code = Number.parseInt(rune[1] ?? rune[2]!, 16);
  if (isOutside(code)) return undefined;
  return { text: Buffer.from(String.fromCodePoint(code)).toString('latin1'), next: at + rune[0].length };
}
