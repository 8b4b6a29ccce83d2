/**
 * The bytes of the log. A segment is a header and then records, all aligned to 8 bytes; numbers are little endian. What lies behind
 * the last record is zero, because a segment is filled with zeros before it is used, and its size never changes.
 *
 * Segment header, 96 bytes:
 *
 * | at | bytes | field |
 * |----|-------|-------|
 * | 0  | 8     | "QRMWAL\r\n" |
 * | 8  | 4     | version of the format, 1 |
 * | 12 | 4     | zero |
 * | 16 | 8     | cluster id |
 * | 24 | 8     | member id |
 * | 32 | 8     | incarnation: random per data directory |
 * | 40 | 8     | sequence: number of the segment, from 0 |
 * | 48 | 8     | first index: entries with data still wanted in earlier segments are all below it |
 * | 56 | 8     | LSN of the first record |
 * | 64 | 8     | number of the first group |
 * | 72 | 8     | size of the file |
 * | 80 | 8     | salt: random per segment |
 * | 88 | 4     | chain at the end of the previous segment |
 * | 92 | 4     | CRC of the bytes before |
 *
 * Record, 32 bytes of header, then the payload, then zeros up to a multiple of 8:
 *
 * | at | bytes | field |
 * |----|-------|-------|
 * | 0  | 4     | length of the payload |
 * | 4  | 1     | type, see RecordType |
 * | 5  | 1     | flags, see RecordFlag |
 * | 6  | 2     | zero |
 * | 8  | 8     | LSN: position in the log as if it were one file without segment headers and seals |
 * | 16 | 8     | group: number of the sync that made it durable, counted from 1 |
 * | 24 | 4     | chain: CRC of payload and padding, continued from the chain of the record before |
 * | 28 | 4     | CRC of the salt and of the header before this field |
 *
 * Two checksums, because they prove different things. The header's stands alone: with the salt and the LSN it says "this record was
 * written here, in this life of the file", whatever happened around it, so a length can be trusted before it is used and a later
 * group can be recognised behind damage. The chain says that every payload from the first segment on is the one that was written.
 *
 * A group is what one sync makes durable. Its last record carries the groupEnd flag; group g+1 is not written before the sync of
 * group g has returned. The end is a flag and not a record of its own: a group of one small entry then costs one header, not two.
 */
import { crc, crcRange } from './crc.ts';

/** Kinds of records, the five of etcd. Numbers on disk: never reused. */
export const RecordType = {
  /** walpb.Metadata: whose log this is. In the first group of every segment. */
  metadata: 1,
  /** raftpb.Entry. */
  entry: 2,
  /** raftpb.HardState. */
  state: 3,
  /** The chain before this record, 4 bytes, and zeros. Begins every segment, is all of an idle mark, flagged it is the seal. */
  crc: 4,
  /** walpb.SnapshotMark. */
  snapshot: 5,
} as const;
export type RecordType = (typeof RecordType)[keyof typeof RecordType];

/** Bits of a record's flags. */
export const RecordFlag = {
  /** Last record of its group. */
  groupEnd: 1,
  /** The segment is complete and its successor durable. Stands outside of LSNs and chain, so that it may be missing. */
  seal: 2,
} as const;

export const segmentHeaderBytes = 96;
export const recordHeaderBytes = 32;
/** Payload of a crc record without zeros behind the chain. */
export const crcPayloadBytes = 4;
/** Such a record as a whole. */
export const crcRecordBytes: number = recordBytes(crcPayloadBytes);
/** The version written, and the only one read. */
export const formatVersion = 1;

const magic = Buffer.from('QRMWAL\r\n', 'latin1');
const ownCrcAt = segmentHeaderBytes - 4;
const headerCrcAt = recordHeaderBytes - 4;
const twoTo32 = 0x1_0000_0000;

/** What a segment says about itself and what it continues. */
export interface SegmentHeader {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly incarnation: bigint;
  readonly sequence: number;
  readonly firstIndex: number;
  readonly firstLsn: number;
  readonly firstGroup: number;
  readonly sizeBytes: number;
  readonly salt: bigint;
  readonly chain: number;
}

/** A record's header without its checksum. */
export interface RecordHeader {
  readonly length: number;
  readonly type: number;
  readonly flags: number;
  readonly lsn: number;
  readonly group: number;
  readonly chain: number;
}

/** Bytes a record with this payload takes on disk. */
export function recordBytes(payloadBytes: number): number {
  return recordHeaderBytes + aligned(payloadBytes);
}

/** Rounds up to a multiple of 8. */
export function aligned(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

/** What the checksums of a segment's record headers continue from. */
export function saltSeed(salt: bigint): number {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(salt);
  return crc(bytes, 0);
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(segmentHeaderBytes);
  magic.copy(bytes);
  bytes.writeUInt32LE(formatVersion, 8);
  bytes.writeBigUInt64LE(header.clusterId, 16);
  bytes.writeBigUInt64LE(header.memberId, 24);
  bytes.writeBigUInt64LE(header.incarnation, 32);
  writeNumber(bytes, 40, header.sequence);
  writeNumber(bytes, 48, header.firstIndex);
  writeNumber(bytes, 56, header.firstLsn);
  writeNumber(bytes, 64, header.firstGroup);
  writeNumber(bytes, 72, header.sizeBytes);
  bytes.writeBigUInt64LE(header.salt, 80);
  bytes.writeUInt32LE(header.chain, 88);
  bytes.writeUInt32LE(crc(bytes.subarray(0, ownCrcAt), 0), ownCrcAt);
  return bytes;
}

/** The header at the beginning of `bytes`, or the reason why there is none that this version can read. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | string {
  if (bytes.length < segmentHeaderBytes) return 'shorter than a segment header';
  if (!bytes.subarray(0, magic.length).equals(magic)) return 'not a segment: wrong magic';
  if (crc(bytes.subarray(0, ownCrcAt), 0) !== bytes.readUInt32LE(ownCrcAt)) return 'segment header checksum mismatch';
  if (bytes.readUInt32LE(8) !== formatVersion || bytes.readUInt32LE(12) !== 0) return 'written in an unknown format';
  return {
    clusterId: bytes.readBigUInt64LE(16),
    memberId: bytes.readBigUInt64LE(24),
    incarnation: bytes.readBigUInt64LE(32),
    sequence: readNumber(bytes, 40),
    firstIndex: readNumber(bytes, 48),
    firstLsn: readNumber(bytes, 56),
    firstGroup: readNumber(bytes, 64),
    sizeBytes: readNumber(bytes, 72),
    salt: bytes.readBigUInt64LE(80),
    chain: bytes.readUInt32LE(88),
  };
}

/** Writes a record header at `at`, checksum included. `seed` is the segment's {@link saltSeed}. */
export function writeRecordHeader(bytes: Buffer, at: number, header: RecordHeader, seed: number): void {
  bytes.writeUInt32LE(header.length, at);
  bytes.writeUInt32LE(header.type + header.flags * 256, at + 4);
  writeNumber(bytes, at + 8, header.lsn);
  writeNumber(bytes, at + 16, header.group);
  bytes.writeUInt32LE(header.chain, at + 24);
  writeHeaderCrc(bytes, at, seed);
}

/** Adds flags to a header already written. */
export function addRecordFlags(bytes: Buffer, at: number, flags: number, seed: number): void {
  bytes[at + 5]! |= flags;
  writeHeaderCrc(bytes, at, seed);
}

/** Writes the checksum of the header at `at`; alone when only the salt changes. */
export function writeHeaderCrc(bytes: Buffer, at: number, seed: number): void {
  bytes.writeUInt32LE(crcRange(bytes, at, at + headerCrcAt, seed), at + headerCrcAt);
}

/** True when `bytes` hold, at `at`, a record header of the segment with this seed. The place must have 32 bytes. */
export function hasRecordHeader(bytes: Buffer, at: number, seed: number): boolean {
  return crcRange(bytes, at, at + headerCrcAt, seed) === bytes.readUInt32LE(at + headerCrcAt);
}

/** The record header at `at`; meaningful only when {@link hasRecordHeader}. */
export function readRecordHeader(bytes: Buffer, at: number): RecordHeader {
  return {
    length: bytes.readUInt32LE(at),
    type: bytes[at + 4]!,
    flags: bytes[at + 5]!,
    lsn: readNumber(bytes, at + 8),
    group: readNumber(bytes, at + 16),
    chain: bytes.readUInt32LE(at + 24),
  };
}

/** The LSN field at record position `at`, without reading more. */
export function readLsn(bytes: Buffer, at: number): number {
  return readNumber(bytes, at + 8);
}

/** A whole number below 2^53 as 64 bits. */
function writeNumber(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32LE(value % twoTo32, at);
  bytes.writeUInt32LE(Math.floor(value / twoTo32), at + 4);
}

function readNumber(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 4) * twoTo32 + bytes.readUInt32LE(at);
}
