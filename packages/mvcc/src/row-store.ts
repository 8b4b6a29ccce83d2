/**
 * The rows of the key bucket. A row is written once, and bytes that come back different from how they were written
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
import { type Backend, buckets, type Row } from '@quorate/backend';
import { CorruptionError, type Key, type LeaseId } from '@quorate/base';
import { KeyValue, sizeBigint, sizeDelimited, sizeInt64, Writer } from '@quorate/proto';
import { isTombstoneKey, parseRowKey, revisionKeyLength, rowKey, writeRowKey } from './revision.ts';
import type { Checksum } from './types.ts';

/** Bytes before the record. */
export const checksumBytes = 4;

/** Keys up to this length are written character by character, which is faster than a call into the runtime. */
const copyLoopMax = 40;

/** What a put stores. */
export interface Version {
  readonly key: Key;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly value: Uint8Array;
  readonly lease: LeaseId;
}

/** A row that a scan found and verified. */
export interface StoredRow {
  readonly rowKey: Key;
  readonly main: number;
  readonly sub: number;
  readonly tombstone: boolean;
  readonly record: Buffer;
}

/** How much a scan takes at once. */
export interface ScanLimits {
  readonly rowsMax: number;
  /** Aimed at, from the size of the rows seen so far; a chunk can be bigger when rows suddenly are. */
  readonly sizeBytes: number;
}

/** Reads and writes rows. */
export class RowStore {
  readonly #backend: Backend;
  readonly #checksum: Checksum;
  // The key of the row under the hands, as bytes for the checksum.
  readonly #keyBytes = Buffer.alloc(revisionKeyLength + 1);
  readonly #shortKeyBytes = this.#keyBytes.subarray(0, revisionKeyLength);

  constructor(backend: Backend, checksum: Checksum) {
    this.#backend = backend;
    this.#checksum = checksum;
  }

  /** The verified record of a version. Throws CorruptionError when it is missing or damaged. */
  read(main: number, sub: number): Buffer {
    const key = rowKey(main, sub, false);
    const row = this.#backend.get(buckets.key, key);
    if (row === undefined) throw new CorruptionError('backend', 'row of a version is missing', { main, sub });
    return this.#verify(main, sub, false, row);
  }

  /** Builds the row of a put; its record is what {@link recordOf} returns. */
  encodePut(sub: number, version: Version): Buffer {
    const { key, createRevision, modRevision, value, lease } = version;
    let size = 1 + sizeDelimited(key.length) + 2 + sizeInt64(createRevision) + sizeInt64(modRevision);
    size += 1 + sizeInt64(version.version);
    if (value.length !== 0) size += 1 + sizeDelimited(value.length);
    if (lease !== 0n) size += 1 + sizeBigint(lease);
    const writer = this.#beginRow(modRevision, sub, false, size);
    writeKey(writer, key);
    writer.byte(0x10);
    writer.int64(createRevision);
    writer.byte(0x18);
    writer.int64(modRevision);
    writer.byte(0x20);
    writer.int64(version.version);
    if (value.length !== 0) {
      writer.byte(0x2a);
      writer.bytes(value);
    }
    if (lease !== 0n) {
      writer.byte(0x30);
      writer.bigint(lease);
    }
    return this.#seal(writer, revisionKeyLength);
  }

  /** Builds the row of a tombstone. */
  encodeTombstone(main: number, sub: number, key: Key): Buffer {
    const writer = this.#beginRow(main, sub, true, 1 + sizeDelimited(key.length));
    writeKey(writer, key);
    return this.#seal(writer, revisionKeyLength + 1);
  }

  /** Stages a row. */
  put(main: number, sub: number, tombstone: boolean, row: Buffer): void {
    this.#backend.put(buckets.key, rowKey(main, sub, tombstone), row);
  }

  /** Stages the removal of a row. */
  remove(main: number, sub: number, tombstone: boolean): void {
    this.#backend.remove(buckets.key, rowKey(main, sub, tombstone));
  }

  /**
   * All rows in order of their revisions, from main revision `start` up to and without `end`, verified, a chunk at a
   * time. Rows may be added and removed between chunks.
   */
  *scan(end: number, limits: ScanLimits, start = 0): Generator<StoredRow[]> {
    const to = end > Number.MAX_SAFE_INTEGER ? undefined : rowKey(end, 0, false);
    let from: Key = start === 0 ? '' : rowKey(start, 0, false);
    let limit = Math.min(limits.rowsMax, 256);
    for (;;) {
      const rows = this.#backend.range(buckets.key, { from, to, limit });
      let sizeBytes = 0;
      const chunk: StoredRow[] = [];
      let previous = from;
      for (const row of rows) {
        if (row.key < previous) throw new CorruptionError('backend', 'rows are out of order', { sizeBytes });
        previous = row.key;
        sizeBytes += row.value.length;
        chunk.push(this.#stored(row));
      }
      if (chunk.length > 0) yield chunk;
      if (rows.length < limit) return;
      from = `${rows[rows.length - 1]!.key}\0`;
      const fitting = Math.floor((limits.sizeBytes * rows.length) / Math.max(sizeBytes, 1));
      limit = Math.max(1, Math.min(limits.rowsMax, fitting, limit * 4));
    }
  }

  #stored(row: Row): StoredRow {
    const { main, sub } = parseRowKey(row.key);
    const tombstone = isTombstoneKey(row.key);
    return { rowKey: row.key, main, sub, tombstone, record: this.#verify(main, sub, tombstone, row.value) };
  }

  /** Memory for the row's key and behind it the record, which is written next: the two lie as the checksum reads them. */
  #beginRow(main: number, sub: number, tombstone: boolean, recordBytes: number): Writer {
    const writer = new Writer(revisionKeyLength + Number(tombstone) + recordBytes);
    writer.pos = writeRowKey(writer.buffer, main, sub, tombstone);
    return writer;
  }

  /** The row, its checksum written over the end of its key. */
  #seal({ buffer }: Writer, keyBytes: number): Buffer {
    const sum = this.#checksum(buffer, 0);
    const at = keyBytes - checksumBytes;
    buffer[at] = sum >>> 24;
    buffer[at + 1] = sum >>> 16;
    buffer[at + 2] = sum >>> 8;
    buffer[at + 3] = sum;
    return buffer.subarray(at);
  }

  #verify(main: number, sub: number, tombstone: boolean, row: Buffer): Buffer {
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

/** The record of a delete as events carry it: key and mod revision. */
export function encodeDeleted(key: Key, modRevision: number): Buffer {
  return KeyValue.encode(KeyValue.create({ key: Buffer.from(key, 'latin1'), modRevision }));
}

function writeKey(writer: Writer, key: Key): void {
  writer.byte(0x0a);
  writer.uint32(key.length);
  const { buffer } = writer;
  if (key.length > copyLoopMax) {
    writer.pos += buffer.write(key, writer.pos, 'latin1');
    return;
  }
  let pos = writer.pos;
  for (let i = 0; i < key.length; i++) buffer[pos++] = key.charCodeAt(i);
  writer.pos = pos;
}
