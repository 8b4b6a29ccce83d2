/** CRC-32C from its polynomial: slow, obvious, and independent of the library that production injects. */

const polynomial = 0x82f63b78;

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
  return crc;
});

/** Continues from `seed`, 0 to begin. */
export function crc32c(bytes: Uint8Array, seed: number): number {
  let crc = ~seed;
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
