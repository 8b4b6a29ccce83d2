/** Keys and values as callers may give them, and the ends of ranges. */
import { keyFromBytes, keyToBytes, prefixEnd } from '@quorate/base';

/** Bytes as they are, or text that stands for its UTF-8 bytes. */
export type Bytes = string | Uint8Array;

/** The start or the end of "everything": as a key the smallest one, as a range end "no end". */
export const zeroKey: Buffer = Buffer.from([0]);

/** Text is encoded as UTF-8; a Buffer passes through without a copy, so it must not change while a call uses it. */
export function toBuffer(bytes: Bytes): Buffer {
  if (typeof bytes === 'string') return Buffer.from(bytes);
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The range end that makes `key` a prefix query; {@link zeroKey} when nothing is greater than the prefix. */
export function endOfPrefix(key: Bytes): Buffer {
  return keyToBytes(prefixEnd(keyFromBytes(toBuffer(key))));
}
