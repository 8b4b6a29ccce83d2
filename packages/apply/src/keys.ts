/** From the bytes of a request to the keys of the store. */
import type { Key } from '@quorate/base';

/** One byte per character. Not keyFromBytes: a Buffer needs no second view of itself (60 against 110 ns). */
export function keyOf(bytes: Buffer): Key {
  return bytes.toString('latin1');
}

/** A range end: undefined for a single key. */
export function rangeEndOf(bytes: Buffer): Key | undefined {
  return bytes.length === 0 ? undefined : bytes.toString('latin1');
}
