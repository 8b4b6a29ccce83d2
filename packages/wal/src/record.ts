/**
 * The frame format. A segment is a header and then records, each aligned to 8 bytes; numbers are little endian. Bytes behind the
 * last record are zero, because segments are filled with zeros before they are used.
 *
 * Segment header, 96 bytes:
 *
 * | at | bytes | field |
 * |----|-------|-------|
 * | 0  | 8     | magic "QRMWAL01" |
 * | 8  | 8     | member id |
 * | 16 | 8     | cluster id |
 * | 24 | 8     | incarnation of the data directory |
 * | 32 | 8     | sequence number of the segment |
 * | 40 | 8     | index of the first entry it may hold |
 * | 48 | 8     | size of the segment in bytes |
 * | 56 | 8     | LSN of its first record: its position in the whole log |
 * | 64 | 8     | number of its first group |
 * | 72 | 8     | salt: random per segment, so that bytes of another segment never pass for this one's |
 * | 80 | 4     | chain: checksum over all groups before it |
 * | 84 | 8     | zero |
 * | 92 | 4     | CRC-32 of the bytes before |
 *
 * Record header, 32 bytes, then the payload, then zeros to the next multiple of 8:
 *
 * | at | bytes | field |
 * |----|-------|-------|
 * | 0  | 4     | length of the payload |
 * | 4  | 1     | type, see RecordType |
 * | 5  | 3     | zero |
 * | 8  | 8     | LSN of this record: stale or misplaced bytes do not fit |
 * | 16 | 8     | group: everything one sync made durable |
 * | 24 | 4     | CRC-32 of the payload, continued from the salt |
 * | 28 | 4     | CRC-32 of the header before, continued from the salt: a length is known to be right before it is used |
 *
 * A group ends with a groupEnd record, whose payload chains the checksum of the whole group to all groups before it. The next
 * group is not written before the sync of this one returned, so a valid record of a later group proves that this one was durable.
 */
import { crc } from './crc.ts';

export const segmentHeaderBytes = 96;
export const recordHeaderBytes = 32;
export const magic: Buffer = Buffer.from('QRMWAL01', 'latin1');

/**
 * etcd's five kinds, the end of a group, and filler, which holds nothing and keeps what follows it out of the page before. A
 * number on disk; never reused.
 */
export const RecordType = { metadata: 1, entry: 2, state: 3, crc: 4, snapshot: 5, groupEnd: 6, filler: 7 } as const;
export type RecordType = (typeof RecordType)[keyof typeof RecordType];

export const groupEndPayloadBytes = 16;
/** A seal (type crc) is the last record of a segment that has a successor: sequence of that one. */
export const sealPayloadBytes = 8;

/** What a segment's header says. */
export interface SegmentHeader {
  readonly memberId: bigint;
  readonly clusterId: bigint;
  readonly incarnation: bigint;
  readonly sequence: number;
  readonly firstIndex: number;
  readonly sizeBytes: number;
  readonly firstLsn: number;
  readonly firstGroup: number;
  readonly salt: bigint;
  readonly chain: number;
}

/** The salt folded to the seed that checksums of the segment begin with. */
export function seedOf(salt: bigint): number {
  return Number((salt ^ (salt >> 32n)) & 0xffff_ffffn);
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(segmentHeaderBytes);
  magic.copy(bytes);
  bytes.writeBigUInt64LE(header.memberId, 8);
  bytes.writeBigUInt64LE(header.clusterId, 16);
  bytes.writeBigUInt64LE(header.incarnation, 24);
  writeNumber(bytes, 32, header.sequence);
  writeNumber(bytes, 40, header.firstIndex);
  writeNumber(bytes, 48, header.sizeBytes);
  writeNumber(bytes, 56, header.firstLsn);
  writeNumber(bytes, 64, header.firstGroup);
  bytes.writeBigUInt64LE(header.salt, 72);
  bytes.writeUInt32LE(header.chain, 80);
  bytes.writeUInt32LE(crc(bytes.subarray(0, 92), 0), 92);
  return bytes;
}

/** Undefined when the bytes are not a whole, undamaged header. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | undefined {
  if (bytes.length < segmentHeaderBytes || !bytes.subarray(0, 8).equals(magic)) return undefined;
  if (crc(bytes.subarray(0, 92), 0) !== bytes.readUInt32LE(92)) return undefined;
  return {
    memberId: bytes.readBigUInt64LE(8),
    clusterId: bytes.readBigUInt64LE(16),
    incarnation: bytes.readBigUInt64LE(24),
    sequence: readNumber(bytes, 32),
    firstIndex: readNumber(bytes, 40),
    sizeBytes: readNumber(bytes, 48),
    firstLsn: readNumber(bytes, 56),
    firstGroup: readNumber(bytes, 64),
    salt: bytes.readBigUInt64LE(72),
    chain: bytes.readUInt32LE(80),
  };
}

/** A record whose header and payload were found intact. The payload is a view. */
export interface RecordView {
  readonly type: number;
  readonly group: number;
  readonly payload: Buffer;
  /** Bytes of header, payload and padding. */
  readonly totalBytes: number;
}

/** Bytes a record with such a payload takes. */
export function recordBytes(payloadBytes: number): number {
  return recordHeaderBytes + aligned(payloadBytes);
}

/** `bytes` rounded up to a multiple of 8. */
export function aligned(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

/**
 * Writes the header of a record at `at`; the payload's checksum is computed by the caller because the payload need not lie in
 * `bytes`.
 */
export function writeRecordHeader(
  bytes: Buffer,
  at: number,
  record: { length: number; type: number; lsn: number; group: number; payloadCrc: number; seed: number },
): void {
  bytes.writeUInt32LE(record.length, at);
  bytes.writeUInt32LE(record.type, at + 4);
  writeNumber(bytes, at + 8, record.lsn);
  writeNumber(bytes, at + 16, record.group);
  bytes.writeUInt32LE(record.payloadCrc, at + 24);
  bytes.writeUInt32LE(crc(bytes.subarray(at, at + 28), record.seed), at + 28);
}

/** The record at `at`, which should have this LSN; undefined when there is none or it is damaged. */
export function readRecord(bytes: Buffer, at: number, lsn: number, seed: number): RecordView | undefined {
  if (at + recordHeaderBytes > bytes.length) return undefined;
  // The cheapest test first: almost every wrong place fails here.
  if (bytes.readUInt32LE(at + 8) !== lsn % 0x1_0000_0000 || readNumber(bytes, at + 8) !== lsn) return undefined;
  if (crc(bytes.subarray(at, at + 28), seed) !== bytes.readUInt32LE(at + 28)) return undefined;
  const length = bytes.readUInt32LE(at);
  const end = at + recordBytes(length);
  if (end > bytes.length) return undefined;
  const payload = bytes.subarray(at + recordHeaderBytes, at + recordHeaderBytes + length);
  if (crc(payload, seed) !== bytes.readUInt32LE(at + 24)) return undefined;
  for (let i = at + recordHeaderBytes + length; i < end; i++) if (bytes[i] !== 0) return undefined;
  return { type: bytes.readUInt32LE(at + 4), group: readNumber(bytes, at + 16), payload, totalBytes: end - at };
}

/** Numbers below 2^53 as two halves: no bit operators, no bigint. */
export function writeNumber(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32LE(value % 0x1_0000_0000, at);
  bytes.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}

export function readNumber(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 0x1_0000_0000;
}
