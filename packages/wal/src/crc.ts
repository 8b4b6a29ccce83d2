/**
 * Checksums. The log uses CRC-32 (IEEE): the one polynomial Node computes natively, four times as fast as any table from a few
 * hundred bytes on. Records of keys, snapshots and HashKV use CRC-32C (Castagnoli), because etcd prescribes it for HashKV.
 *
 * | bytes | eight at a time, in place | native, on a view |
 * |-------|---------------------------|-------------------|
 * | 28    | 23 ns                     | 103 ns            |
 * | 300   | 196 ns                    | 215 ns            |
 * | 512   | 341 ns                    | 412 ns            |
 * | 4 KiB | 3.2 us                    | 1.0 us            |
 */
import { crc32 as nativeCrc32 } from 'node:zlib';
import tableCrc32c from 'crc-32/crc32c.js';

/** From about here on a native call, with the view it needs, is cheaper. */
const nativeFromBytes = 512;

const polynomial = 0xedb88320;
/**
 * Eight tables of 256, one behind the other. Table `n` says what a byte becomes when `n` zero bytes follow it, so that eight bytes can be
 * looked up at a time, each in the table for what follows it (Kounavis and Berry, slicing-by-8).
 */
const tables = new Int32Array(8 * 256);
for (let byte = 0; byte < 256; byte++) {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ polynomial : rest >>> 1;
  tables[byte] = rest;
}
for (let i = 256; i < tables.length; i++) tables[i] = (tables[i - 256]! >>> 8) ^ tables[tables[i - 256]! & 0xff]!;

/** CRC-32 (IEEE) of `bytes`, unsigned, continued from `seed` (0 to begin): crc(b, crc(a, 0)) is that of a and b together. */
export function crc(bytes: Uint8Array, seed: number): number {
  return bytes.length < nativeFromBytes ? sliced(bytes, 0, bytes.length, seed) : nativeCrc32(bytes, seed);
}

/** {@link crc} of bytes [start, end) of a buffer, without a view of them where that is the larger part of the work. */
export function crcRange(bytes: Buffer, start: number, end: number, seed: number): number {
  return end - start < nativeFromBytes
    ? sliced(bytes, start, end, seed)
    : nativeCrc32(bytes.subarray(start, end), seed);
}

function sliced(bytes: Uint8Array, start: number, end: number, seed: number): number {
  let rest = ~seed;
  let i = start;
  for (const last = end - 8; i <= last; i += 8) {
    rest =
      tables[1792 + ((rest ^ bytes[i]!) & 0xff)]! ^
      tables[1536 + (((rest >>> 8) ^ bytes[i + 1]!) & 0xff)]! ^
      tables[1280 + (((rest >>> 16) ^ bytes[i + 2]!) & 0xff)]! ^
      tables[1024 + ((rest >>> 24) ^ bytes[i + 3]!)]! ^
      tables[768 + bytes[i + 4]!]! ^
      tables[512 + bytes[i + 5]!]! ^
      tables[256 + bytes[i + 6]!]! ^
      tables[bytes[i + 7]!]!;
  }
  for (; i < end; i++) rest = (rest >>> 8) ^ tables[(rest ^ bytes[i]!) & 0xff]!;
  return ~rest >>> 0;
}

/** CRC-32C (Castagnoli) of `bytes`, unsigned, continued from `seed` (0 to begin). */
export function crc32c(bytes: Uint8Array, seed: number): number {
  return tableCrc32c.buf(bytes, seed) >>> 0;
}
