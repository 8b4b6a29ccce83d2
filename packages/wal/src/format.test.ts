import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  addRecordFlags,
  aligned,
  decodeSegmentHeader,
  encodeSegmentHeader,
  hasRecordHeader,
  readLsn,
  readRecordHeader,
  recordBytes,
  recordHeaderBytes,
  type SegmentHeader,
  saltSeed,
  segmentHeaderBytes,
  writeRecordHeader,
} from './format.ts';

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const whole = fc.oneof(fc.nat(), fc.maxSafeNat(), fc.constantFrom(2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1));
const u32 = fc.nat(0xffff_ffff);

const segmentHeader: fc.Arbitrary<SegmentHeader> = fc.record({
  clusterId: u64,
  memberId: u64,
  incarnation: u64,
  sequence: whole,
  firstIndex: whole,
  firstLsn: whole,
  firstGroup: whole,
  sizeBytes: whole,
  salt: u64,
  chain: u32,
});

const recordHeader = fc.record({
  length: u32,
  type: fc.nat(255),
  flags: fc.nat(255),
  lsn: whole,
  group: whole,
  chain: u32,
});

test('a segment header reads as it was written', () => {
  fc.assert(
    fc.property(segmentHeader, (header) => {
      const bytes = encodeSegmentHeader(header);
      expect(bytes).toHaveLength(segmentHeaderBytes);
      expect(decodeSegmentHeader(bytes)).toEqual(header);
    }),
  );
});

test('a segment header with any bit flipped is none', () => {
  fc.assert(
    fc.property(segmentHeader, fc.nat(segmentHeaderBytes * 8 - 1), (header, bit) => {
      const bytes = encodeSegmentHeader(header);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      expect(decodeSegmentHeader(bytes)).toBeTypeOf('string');
    }),
  );
});

test('a cut off segment header is none', () => {
  fc.assert(
    fc.property(segmentHeader, fc.nat(segmentHeaderBytes - 1), (header, size) => {
      expect(decodeSegmentHeader(encodeSegmentHeader(header).subarray(0, size))).toBeTypeOf('string');
    }),
  );
});

test('a record header reads as it was written, and no other seed accepts it', () => {
  fc.assert(
    fc.property(recordHeader, u32, u32, (header, seed, other) => {
      const bytes = Buffer.alloc(8 + recordHeaderBytes);
      writeRecordHeader(bytes, 8, header, seed);
      expect(hasRecordHeader(bytes, 8, seed)).toBe(true);
      expect(hasRecordHeader(bytes, 8, other)).toBe(other === seed);
      expect(readRecordHeader(bytes, 8)).toEqual(header);
      expect(readLsn(bytes, 8)).toBe(header.lsn);
    }),
  );
});

test('a record header with any bit flipped is none', () => {
  fc.assert(
    fc.property(recordHeader, u32, fc.nat(recordHeaderBytes * 8 - 1), (header, seed, bit) => {
      const bytes = Buffer.alloc(recordHeaderBytes);
      writeRecordHeader(bytes, 0, header, seed);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      expect(hasRecordHeader(bytes, 0, seed)).toBe(false);
    }),
  );
});

test('zeros are no record header', () => {
  fc.assert(
    fc.property(u64, (salt) => {
      expect(hasRecordHeader(Buffer.alloc(recordHeaderBytes), 0, saltSeed(salt))).toBe(false);
    }),
  );
});

test('flags are added to those that are there', () => {
  const bytes = Buffer.alloc(recordHeaderBytes);
  writeRecordHeader(bytes, 0, { length: 1, type: 2, flags: 2, lsn: 3, group: 4, chain: 5 }, 6);
  addRecordFlags(bytes, 0, 1, 6);
  expect(hasRecordHeader(bytes, 0, 6)).toBe(true);
  expect(readRecordHeader(bytes, 0)).toEqual({ length: 1, type: 2, flags: 3, lsn: 3, group: 4, chain: 5 });
});

test('records are aligned to eight bytes', () => {
  expect([0, 1, 7, 8, 9].map(aligned)).toEqual([0, 8, 8, 8, 16]);
  expect([0, 1, 8, 9].map(recordBytes)).toEqual([32, 40, 40, 48]);
});
