/**
 * Encodes header fields without a dynamic table: indices of the static table and literals only, as plain text. Such a block
 * means the same on every connection at any time, so blocks can be made once and sent for ever.
 */
import { isFieldName } from './header-field.ts';
import { staticNameIndex, staticTable } from './hpack-static.ts';

/** A field to be sent; both parts hold one character per byte. */
export type FieldText = readonly [name: string, value: string];

/** The block of `fields`. */
export function encodeFields(fields: readonly FieldText[]): Buffer {
  return Buffer.concat(fields.map(([name, value]) => encodeField(name, value)));
}

/** Announces that this side uses a dynamic table of `sizeBytes`; goes before a block (RFC 7541, 6.3). */
export function encodeTableSize(sizeBytes: number): Buffer {
  return encodeInteger(0x20, 0x1f, sizeBytes);
}

const printable = /^[ -~]*$/;

/** `fields` with `name` set to `value` in the place of an earlier one. Throws TypeError when it is no header field. */
export function withField(fields: FieldText[] | undefined, name: string, value: string): FieldText[] {
  if (!isFieldName(name) || !printable.test(value)) throw new TypeError(`not a header field: ${name}`);
  return [...(fields ?? []).filter(([other]) => other !== name), [name, value]];
}

function encodeField(name: string, value: string): Buffer {
  const index = staticNameIndex(name);
  if (index === undefined) return Buffer.concat([Buffer.from([0]), encodeString(name), encodeString(value)]);
  for (let exact = index; staticTable[exact]?.name === name; exact++) {
    if (staticTable[exact]?.value === value) return encodeInteger(0x80, 0x7f, exact);
  }
  return Buffer.concat([encodeInteger(0, 0x0f, index), encodeString(value)]);
}

function encodeString(text: string): Buffer {
  return Buffer.concat([encodeInteger(0, 0x7f, text.length), Buffer.from(text, 'latin1')]);
}

/** `value` in the bits under `mask`, beside `pattern`, and in as many bytes as it needs (RFC 7541, 5.1). */
function encodeInteger(pattern: number, mask: number, value: number): Buffer {
  if (value < mask) return Buffer.from([pattern | value]);
  const bytes = [pattern | mask];
  let rest = value - mask;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}
