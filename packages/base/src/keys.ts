/**
 * Keys inside the process are strings that hold one byte per character (latin1): their order under < is byte order, they hash
 * and compare fast, and they pin no network buffer. Buffers appear only at the edges.
 */

/** A key or range end as latin1 string; never shown to people as it is. */
export type Key = string;

/** Bytes to key; copies, so the buffer may be reused. */
export function keyFromBytes(bytes: Uint8Array): Key {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** Key to freshly allocated bytes. */
export function keyToBytes(key: Key): Buffer {
  return Buffer.from(key, 'latin1');
}

/** The range end that makes `prefix` a prefix query: last byte below 0xff plus one, "\0" (no end) when there is none. */
export function prefixEnd(prefix: Key): Key {
  for (let i = prefix.length - 1; i >= 0; i--) {
    const byte = prefix.charCodeAt(i);
    if (byte < 0xff) return prefix.slice(0, i) + String.fromCharCode(byte + 1);
  }
  return '\0';
}
