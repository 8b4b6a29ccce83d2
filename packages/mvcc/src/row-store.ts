/**
 * Writes the rows of the key bucket and reads them back; what is in a row, and how it is verified, stands in stored-row.ts.
 */
import { type Backend, buckets } from '@quorate/backend';
import { CorruptionError, type Key, type LeaseId } from '@quorate/base';
import { KeyValue, sizeBigint, sizeDelimited, sizeInt64, Writer } from '@quorate/proto';
import { revisionKeyLength, rowKey, writeRowKey } from './revision.ts';
import { checksumBytes, RowReader, type StoredRow } from './stored-row.ts';
import type { Checksum } from './types.ts';

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

/** How much a scan takes at once: a chunk ends with the row that reaches one of them. */
export interface ScanLimits {
  readonly rowsMax: number;
  readonly sizeBytes: number;
}

/** What was in a chunk of a scan. */
export interface ChunkSize {
  readonly rows: number;
  /** With checksums, without keys. */
  readonly sizeBytes: number;
}

/** Reads and writes rows. */
export class RowStore {
  readonly #backend: Backend;
  readonly #checksum: Checksum;
  readonly #reader: RowReader;
  /** The key of the row that is being built, and views of it without the end that the row begins with. */
  readonly #keyBytes = Buffer.alloc(revisionKeyLength + 1);
  readonly #keyStart = this.#keyBytes.subarray(0, revisionKeyLength - checksumBytes);
  readonly #tombstoneKeyStart = this.#keyBytes.subarray(0, revisionKeyLength + 1 - checksumBytes);

  constructor(backend: Backend, checksum: Checksum) {
    this.#backend = backend;
    this.#checksum = checksum;
    this.#reader = new RowReader(checksum);
  }

  /** The verified record of a version. Throws CorruptionError when it is missing or damaged. */
  read(main: number, sub: number): Buffer {
    const key = rowKey(main, sub, false);
    const row = this.#backend.get(buckets.key, key);
    if (row === undefined) throw new CorruptionError('backend', 'row of a version is missing', { main, sub });
    return this.#reader.verify(main, sub, false, row);
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
    return this.#seal(writer, false);
  }

  /** Builds the row of a tombstone. */
  encodeTombstone(main: number, sub: number, key: Key): Buffer {
    const writer = this.#beginRow(main, sub, true, 1 + sizeDelimited(key.length));
    writeKey(writer, key);
    return this.#seal(writer, true);
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
   * Shows `visit` all rows in order of their revisions, from main revision `start` up to and without `end`, verified. Their records are
   * the store's memory and change when `visit` returns. Yields after each chunk how much was in it, and ends with the first that is
   * not full, however fast rows are added meanwhile. Rows may be added and removed between chunks.
   */
  *scan(end: number, limits: ScanLimits, visit: (row: StoredRow) => void, start = 0): Generator<ChunkSize> {
    const to = end > Number.MAX_SAFE_INTEGER ? undefined : rowKey(end, 0, false);
    let from: Key = start === 0 ? '' : rowKey(start, 0, false);
    let previous = from;
    for (let isFull = true; isFull; from = `${previous}\0`) {
      let rows = 0;
      let sizeBytes = 0;
      isFull = false;
      this.#backend.visit(buckets.key, { from, to }, (row) => {
        if (row.key < previous) throw new CorruptionError('backend', 'rows are out of order', { rows });
        previous = row.key;
        visit(this.#reader.read(row));
        rows++;
        sizeBytes += row.value.length;
        isFull = rows >= limits.rowsMax || sizeBytes >= limits.sizeBytes;
        return !isFull;
      });
      if (rows > 0) yield { rows, sizeBytes };
    }
  }

  /**
   * Memory for the row. In place of its checksum it begins with the end of its key, so that it can be summed up as it lies, behind the
   * rest of the key.
   */
  #beginRow(main: number, sub: number, tombstone: boolean, recordBytes: number): Writer {
    const writer = new Writer(checksumBytes + recordBytes);
    const { buffer } = writer;
    const keyBytes = this.#keyBytes;
    const keyEnd = writeRowKey(keyBytes, main, sub, tombstone);
    for (let i = 0; i < checksumBytes; i++) buffer[i] = keyBytes[keyEnd - checksumBytes + i]!;
    writer.pos = checksumBytes;
    return writer;
  }

  /** The row, its checksum in place of the end of its key. */
  #seal(writer: Writer, tombstone: boolean): Buffer {
    const row = writer.finish();
    const restOfKey = tombstone ? this.#tombstoneKeyStart : this.#keyStart;
    row.writeUInt32BE(this.#checksum(row, this.#checksum(restOfKey, 0)) >>> 0, 0);
    return row;
  }
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
