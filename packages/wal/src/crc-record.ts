/** Records without data: seals, and the idle marks that prove the group before them durable. */
import { crc } from './crc.ts';
import {
  crcPayloadBytes,
  crcRecordBytes,
  RecordFlag,
  RecordType,
  recordBytes,
  recordHeaderBytes,
  writeRecordHeader,
} from './format.ts';

/** Where a record stands in the log. `chain` is the one before it. */
export interface RecordPlace {
  readonly lsn: number;
  readonly group: number;
  readonly chain: number;
}

/** Disks and file systems lose whole pages. */
const pageBytes = 4096;

/** The record that ends a segment. It carries the numbers of what comes next, and moves none of them. */
export function encodeSeal(place: RecordPlace, seed: number): Buffer {
  const flags = RecordFlag.seal | RecordFlag.groupEnd;
  return encodeCrcRecord(place, { flags, payloadBytes: crcPayloadBytes }, seed).bytes;
}

/**
 * A group that holds nothing, for file offset `position`. Its last record begins a page, so that losing the page where the group
 * before ends does not take the proof with it: a filling record comes before it where that is needed.
 */
export function encodeIdleMark(
  position: number,
  place: RecordPlace,
  seed: number,
): { readonly bytes: Buffer; readonly chain: number } {
  const last = { flags: RecordFlag.groupEnd, payloadBytes: crcPayloadBytes };
  if (position % pageBytes === 0) return encodeCrcRecord(place, last, seed);
  const nextPage = Math.ceil((position + crcRecordBytes) / pageBytes) * pageBytes;
  const fill = encodeCrcRecord(place, { flags: 0, payloadBytes: nextPage - position - recordHeaderBytes }, seed);
  const behind = { lsn: place.lsn + fill.bytes.length, group: place.group, chain: fill.chain };
  const mark = encodeCrcRecord(behind, last, seed);
  return { bytes: Buffer.concat([fill.bytes, mark.bytes]), chain: mark.chain };
}

function encodeCrcRecord(
  place: RecordPlace,
  record: { readonly flags: number; readonly payloadBytes: number },
  seed: number,
): { readonly bytes: Buffer; readonly chain: number } {
  const { lsn, group } = place;
  const { flags, payloadBytes } = record;
  const bytes = Buffer.alloc(recordBytes(payloadBytes));
  bytes.writeUInt32LE(place.chain, recordHeaderBytes);
  const chain = crc(bytes.subarray(recordHeaderBytes), place.chain);
  writeRecordHeader(bytes, 0, { length: payloadBytes, type: RecordType.crc, flags, lsn, group, chain }, seed);
  return { bytes, chain };
}
