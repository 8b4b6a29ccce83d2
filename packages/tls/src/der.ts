/**
 * The little of DER (X.690) that certificates and revocation lists need: writing values with their tag and length, and walking
 * over values that somebody else wrote.
 */

/** A value's tag, where its content lies, and where the next value begins. */
export interface DerValue {
  readonly tag: number;
  readonly content: Buffer;
}

/** Tags used here. */
export const DerTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  utcTime: 0x17,
  generalizedTime: 0x18,
} as const;

/** Bytes that are no DER. */
export class DerError extends Error {
  constructor(reason: string) {
    super(`malformed DER: ${reason}`);
    this.name = 'DerError';
  }
}

/** One value: tag, length, the parts after each other. */
export function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content]);
}

export function sequence(...parts: readonly Buffer[]): Buffer {
  return der(DerTag.sequence, ...parts);
}

/** A number that is not negative, from its bytes, most significant first. */
export function integer(bytes: Buffer): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Buffer.alloc(1) : bytes.subarray(first);
  return der(DerTag.integer, digits[0]! >= 0x80 ? Buffer.concat([Buffer.alloc(1), digits]) : digits);
}

/** `1.2.840.10045.4.3.2` */
export function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  return der(DerTag.oid, Buffer.from([40 * first + second, ...rest.flatMap(base128)]));
}

/** Whole bytes. */
export function bitString(bytes: Buffer): Buffer {
  return der(DerTag.bitString, Buffer.alloc(1), bytes);
}

/** To the second. Years up to 2049 are written with two digits, as RFC 5280 (4.1.2.5) wants it. */
export function time(date: Date): Buffer {
  const digits = `${date.toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`;
  const isShort = date.getUTCFullYear() < 2050;
  return der(isShort ? DerTag.utcTime : DerTag.generalizedTime, Buffer.from(isShort ? digits.slice(2) : digits));
}

/** The values that lie after each other in `bytes`. Throws DerError. */
export function derValues(bytes: Buffer): DerValue[] {
  const values: DerValue[] = [];
  for (let at = 0; at < bytes.length; ) {
    const { contentAt, end } = extentOf(bytes, at);
    values.push({ tag: bytes[at]!, content: bytes.subarray(contentAt, end) });
    at = end;
  }
  return values;
}

function extentOf(bytes: Buffer, at: number): { contentAt: number; end: number } {
  const first = bytes[at + 1];
  if (first === undefined) throw new DerError('a value without a length');
  const extra = first < 0x80 ? 0 : first & 0x7f;
  if (first === 0x80 || extra > 4) throw new DerError('an indefinite or enormous length');
  const contentAt = at + 2 + extra;
  if (contentAt > bytes.length) throw new DerError('a length is cut off');
  const size = extra === 0 ? first : bytes.readUIntBE(at + 2, extra);
  if (contentAt + size > bytes.length) throw new DerError('a value is cut off');
  return { contentAt, end: contentAt + size };
}

function lengthOf(size: number): Buffer {
  if (size < 0x80) return Buffer.from([size]);
  const bytes: number[] = [];
  for (let rest = size; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Buffer.from([0x80 + bytes.length, ...bytes]);
}

/** Seven bits a byte, all but the last marked. */
function base128(value: number): number[] {
  const bytes = [value % 128];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) bytes.unshift(0x80 + (rest % 128));
  return bytes;
}
