/** Heads of keys: the four bytes from some place on as a signed number of 32 bits, which sorts as they do. Missing ones count as zeros. */
import type { Key } from '@quorate/base';

/** Bytes in a head. */
const headLength = 4;
/** Turns the order of unsigned numbers into that of signed ones. */
const signBit = -0x8000_0000;

/** The head of `key` behind its first `at` characters. */
export function headOfKey(key: Key, at: number): number {
  const length = key.length;
  if (at + headLength <= length) {
    const bits =
      (key.charCodeAt(at) << 24) |
      (key.charCodeAt(at + 1) << 16) |
      (key.charCodeAt(at + 2) << 8) |
      key.charCodeAt(at + 3);
    return bits ^ signBit;
  }
  let bits = 0;
  for (let i = at; i < at + headLength; i++) bits = (bits << 8) | (i < length ? key.charCodeAt(i) : 0);
  return bits ^ signBit;
}

/** The head of bytes [at, end). */
export function headOfBytes(bytes: Buffer, at: number, end: number): number {
  let bits = 0;
  for (let i = at; i < at + headLength; i++) bits = (bits << 8) | (i < end ? bytes[i]! : 0);
  return bits ^ signBit;
}
