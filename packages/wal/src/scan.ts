/**
 * Reads one segment and says how far it is sound. It judges nothing and changes nothing: recovery and verification both stand on
 * it, so they can never disagree.
 */
import { crc } from './crc.ts';
import {
  RecordType,
  type RecordView,
  readNumber,
  readRecord,
  recordHeaderBytes,
  type SegmentHeader,
  sealPayloadBytes,
  seedOf,
  segmentHeaderBytes,
} from './record.ts';

/** Where a group begins in the whole log. */
export interface GroupPosition {
  readonly chain: number;
  readonly lsn: number;
  readonly group: number;
}

export interface SegmentScan {
  /** Records of whole groups, in order, without group ends and seals. Payloads are views of the segment's bytes. */
  readonly records: readonly RecordView[];
  /** Position behind the last whole group. */
  readonly goodEnd: number;
  /** Number of the last whole group; one less than the header's first when there is none. */
  readonly lastGroup: number;
  readonly chain: number;
  /** LSN at {@link goodEnd}. */
  readonly endLsn: number;
  /** Sequence of the successor that the seal names. */
  readonly sealedFor: number | undefined;
  /** Where the group with the seal begins. */
  readonly beforeSeal: GroupPosition | undefined;
  /** First place behind the last whole group that holds anything but zeros; undefined when there is none. */
  readonly badAt: number | undefined;
  /** A valid record of a later group than the one that should follow: proof that this place was durable once. */
  readonly laterGroupAt: number | undefined;
}

export function scanSegment(bytes: Buffer, header: SegmentHeader): SegmentScan {
  const seed = seedOf(header.salt);
  const records: RecordView[] = [];
  let group: RecordView[] = [];
  let at = segmentHeaderBytes;
  let goodEnd = at;
  let lastGroup = header.firstGroup - 1;
  let chain = header.chain;
  let goodChain = chain;
  let sealedFor: number | undefined;
  let beforeSeal: GroupPosition | undefined;
  for (;;) {
    const record = readRecord(bytes, at, header.firstLsn + at - segmentHeaderBytes, seed);
    if (record === undefined || record.group !== lastGroup + 1) break;
    if (record.type === RecordType.groupEnd) {
      if (record.payload.readUInt32LE(8) !== chain) break;
      if (readNumber(record.payload, 0) !== header.firstLsn + goodEnd - segmentHeaderBytes) break;
    }
    chain = crc(bytes.subarray(at, at + recordHeaderBytes), chain);
    at += record.totalBytes;
    if (record.type !== RecordType.groupEnd) {
      group.push(record);
      continue;
    }
    for (const whole of group) {
      if (whole.type !== RecordType.crc || whole.payload.length !== sealPayloadBytes) {
        records.push(whole);
        continue;
      }
      sealedFor = readNumber(whole.payload, 0);
      beforeSeal = { chain: goodChain, lsn: header.firstLsn + goodEnd - segmentHeaderBytes, group: record.group };
    }
    group = [];
    goodEnd = at;
    lastGroup = record.group;
    goodChain = chain;
  }
  const rest = { from: goodEnd, group: lastGroup + 1 };
  const badAt = firstNonZero(bytes, goodEnd);
  return {
    records,
    goodEnd,
    lastGroup,
    chain: goodChain,
    endLsn: header.firstLsn + goodEnd - segmentHeaderBytes,
    sealedFor,
    beforeSeal,
    badAt,
    laterGroupAt: badAt === undefined ? undefined : findLaterGroup(bytes, header, rest),
  };
}

/** Searches for a sound record of a group after `group`, at any aligned place from `from` on. */
function findLaterGroup(
  bytes: Buffer,
  header: SegmentHeader,
  rest: { readonly from: number; readonly group: number },
): number | undefined {
  const seed = seedOf(header.salt);
  for (let at = rest.from; at + recordHeaderBytes <= bytes.length; at += 8) {
    // Empty pages are the common case and cost one comparison each.
    if (at % pageBytes === 0 && isZero(bytes, at, Math.min(at + pageBytes, bytes.length))) {
      at += pageBytes - 8;
      continue;
    }
    const record = readRecord(bytes, at, header.firstLsn + at - segmentHeaderBytes, seed);
    if (record !== undefined && record.group > rest.group) return at;
  }
  return undefined;
}

const pageBytes = 4096;
const zeroPage = Buffer.alloc(pageBytes);

function isZero(bytes: Buffer, from: number, to: number): boolean {
  return bytes.compare(zeroPage, 0, to - from, from, to) === 0;
}

/** First byte from `from` on that is not zero. */
export function firstNonZero(bytes: Buffer, from: number): number | undefined {
  for (let at = from; at < bytes.length; at = (Math.floor(at / pageBytes) + 1) * pageBytes) {
    const to = Math.min((Math.floor(at / pageBytes) + 1) * pageBytes, bytes.length);
    if (isZero(bytes, at, to)) continue;
    for (let i = at; i < to; i++) if (bytes[i] !== 0) return i;
  }
  return undefined;
}
