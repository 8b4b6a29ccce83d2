/**
 * Checksums. Frames of the log use CRC-32 (IEEE), native where Node has it and crc-32's otherwise, to the same values; rows and
 * snapshots use CRC-32C (Castagnoli), which is also what etcd hashes keys with.
 */
import * as zlib from 'node:zlib';
import crc32 from 'crc-32';
import crc32cModule from 'crc-32/crc32c.js';

type Crc = (bytes: Uint8Array, seed: number) => number;

const native = (zlib as unknown as { readonly crc32?: Crc }).crc32;

/** Below this the library beats the cost of a native call. */
const nativeFromBytes = 256;

/** CRC-32 (IEEE) of `bytes` continued from `seed` (0 to begin); unsigned. */
export function crc(bytes: Uint8Array, seed: number): number {
  if (native !== undefined && bytes.length >= nativeFromBytes) return native(bytes, seed);
  return crc32.buf(bytes, seed) >>> 0;
}

/** CRC-32C (Castagnoli) of `bytes` continued from `seed` (0 to begin); unsigned. */
export function crc32c(bytes: Uint8Array, seed: number): number {
  return crc32cModule.buf(bytes, seed) >>> 0;
}
