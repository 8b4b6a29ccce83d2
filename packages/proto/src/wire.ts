/**
 * Arithmetic of the protobuf wire: sizes of varints, 64-bit values as numbers or bigints, wire types. 64-bit values are taken
 * apart into two unsigned 32-bit halves; bit operators are only ever applied to halves.
 */

/** The low three bits of a tag. */
export const WireType = { varint: 0, fixed64: 1, bytes: 2, startGroup: 3, endGroup: 4, fixed32: 5 } as const;

/** 2^32, the weight of the high half. */
export const twoTo32 = 0x1_0000_0000;

/** Where bigints are taken apart and put together, little endian. Valid only until the next use: read right after writing. */
export const window64: DataView = new DataView(new ArrayBuffer(8));

/** The value of every bytes field that is not set. Shared: it has no bytes to change. */
export const emptyBytes: Buffer = Buffer.alloc(0);

/** Bytes of the varint of an unsigned 32-bit number (lengths, tags). */
export function sizeUint32(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  return value < 0x1000_0000 ? 4 : 5;
}

/** Bytes of an int32 or enum; negative ones are sign-extended to 64 bits. */
export function sizeInt32(value: number): number {
  return value < 0 ? 10 : sizeUint32(value);
}

/** Bytes of a 64-bit number; negative ones take ten. */
export function sizeInt64(value: number): number {
  if (value < 0) return 10;
  if (value < twoTo32) return sizeUint32(value);
  if (value < 0x8_0000_0000) return 5;
  if (value < 0x400_0000_0000) return 6;
  if (value < 0x2_0000_0000_0000) return 7;
  if (value < 0x100_0000_0000_0000) return 8;
  return value < 0x8000_0000_0000_0000 ? 9 : 10;
}

/** Bytes of a 64-bit bigint, signed or unsigned (both have the same 64 bits). */
export function sizeBigint(value: bigint): number {
  // Comparing halves: every comparison with a bigint literal would be a call into the runtime.
  window64.setBigUint64(0, value, true);
  const high = window64.getUint32(4, true);
  if (high === 0) return sizeUint32(window64.getUint32(0, true));
  if (high < 0x8) return 5;
  if (high < 0x400) return 6;
  if (high < 0x2_0000) return 7;
  if (high < 0x100_0000) return 8;
  return high < 0x8000_0000 ? 9 : 10;
}

/** Bytes of a length-delimited payload with its length. */
export function sizeDelimited(length: number): number {
  return sizeUint32(length) + length;
}

/** Bytes of a string with its length. */
export function sizeString(value: string): number {
  return sizeDelimited(Buffer.byteLength(value));
}

/** Joins two unsigned halves to a number in [−(2^53−1), 2^53−1]; what does not fit becomes the nearest bound. */
export function signedFromHalves(low: number, high: number): number {
  if (high < 0x20_0000) return high * twoTo32 + low;
  if (high < 0x8000_0000) return Number.MAX_SAFE_INTEGER;
  // Two's complement: −2^64 + value, computed on the high half so that no step leaves the exact range of a double.
  const value = (high - twoTo32) * twoTo32 + low;
  return value < Number.MIN_SAFE_INTEGER ? Number.MIN_SAFE_INTEGER : value;
}

/** Joins two unsigned halves to a number in [0, 2^53−1]; what does not fit becomes 2^53−1. */
export function unsignedFromHalves(low: number, high: number): number {
  return high < 0x20_0000 ? high * twoTo32 + low : Number.MAX_SAFE_INTEGER;
}
