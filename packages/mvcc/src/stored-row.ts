/**
 * The rows of the key bucket as they are read. A row is written once, and bytes that come back different from how they were written
 * must never reach a client or another member, so each carries a checksum that is verified at every read.
 *
 * | bytes | content |
 * |---|---|
 * | 0–3 | CRC-32C of the row's key followed by the record, big endian |
 * | 4– | the record: an encoded mvccpb.KeyValue; of a tombstone just its key |
 *
 * The row's key (see revision.ts) is part of the checksum: rows that changed places are noticed too. lmdb has no
 * checksum of its own.
 */
import type { Place, Row } from '@quorate/backend';
import { CorruptionError, type Key } from '@quorate/base';
import { isTombstoneKey, parseRowKey, type Revision, readRowKey, revisionKeyLength, writeRowKey } from './revision.ts';
import type { Checksum } from './types.ts';

/** Bytes before the record. */
export const checksumBytes = 4;

/** A row that was verified. */
export interface SoundRow extends Revision {
  readonly tombstone: boolean;
  readonly record: Buffer;
}

/** One that a scan found. */
export interface StoredRow extends SoundRow {
  readonly rowKey: Key;
}

/** Reads rows and verifies them. */
export class RowReader {
  readonly #checksum: Checksum;
  // The key of the row under the hands, as bytes for the checksum.
  readonly #keyBytes = Buffer.alloc(revisionKeyLength + 1);
  readonly #shortKeyBytes = this.#keyBytes.subarray(0, revisionKeyLength);

  constructor(checksum: Checksum) {
    this.#checksum = checksum;
  }

  /** The row with its record, a view of its value. Throws CorruptionError. */
  read(row: Row): StoredRow {
    const { main, sub } = parseRowKey(row.key);
    const tombstone = isTombstoneKey(row.key);
    return { rowKey: row.key, main, sub, tombstone, record: this.verify(main, sub, tombstone, row.value) };
  }

  /** The same for a row that lies somewhere. */
  readAt(key: Place, { bytes, at, end }: Place): SoundRow {
    const { main, sub } = readRowKey(key);
    const tombstone = key.end - key.at > revisionKeyLength;
    return { main, sub, tombstone, record: this.verify(main, sub, tombstone, bytes.subarray(at, end)) };
  }

  /** The record in the row of a version, a view of it. Throws CorruptionError. */
  verify(main: number, sub: number, tombstone: boolean, row: Buffer): Buffer {
    if (row.length < checksumBytes) {
      throw new CorruptionError('backend', 'row is too short', { main, sub, sizeBytes: row.length });
    }
    const record = recordOf(row);
    const stored = row.readUInt32BE(0);
    const computed = this.#sum(main, sub, tombstone, record);
    if (stored !== computed) {
      throw new CorruptionError('backend', 'row does not match its checksum', { main, sub, stored, computed });
    }
    return record;
  }

  #sum(main: number, sub: number, tombstone: boolean, record: Buffer): number {
    writeRowKey(this.#keyBytes, main, sub, tombstone);
    const keyBytes = tombstone ? this.#keyBytes : this.#shortKeyBytes;
    return this.#checksum(record, this.#checksum(keyBytes, 0)) >>> 0;
  }
}

/** Throws CorruptionError for a row that is not as it was written: for those who pass rows on and do not look into them. */
export function mustBeSound({ key, value }: Row, checksum: Checksum): void {
  if (isSound({ key, value }, checksum)) return;
  throw new CorruptionError('backend', 'row does not match its checksum', {
    row: Buffer.from(key, 'latin1').toString('hex'),
  });
}

/** Whether a row is as it was written. */
export function isSound({ key, value }: Row, checksum: Checksum): boolean {
  if (value.length < checksumBytes) return false;
  return value.readUInt32BE(0) === checksum(recordOf(value), checksum(Buffer.from(key, 'latin1'), 0)) >>> 0;
}

/** The record in a row: a view. */
export function recordOf(row: Buffer): Buffer {
  return row.subarray(checksumBytes);
}
