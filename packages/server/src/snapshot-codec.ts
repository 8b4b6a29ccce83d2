/**
 * A member's whole state as a stream: what a lagging member is sent and what a backup holds. It is logical (rows of all buckets
 * in order), so it does not depend on the store behind it and every frame proves itself.
 *
 * | part    | bytes | content                                            |
 * |---------|-------|----------------------------------------------------|
 * | magic   | 8     | "QRMSNAP1", once                                   |
 * | frame   | 1     | kind: 1 header, 2 rows, 3 trailer                  |
 * |         | 4     | payload length, little endian                      |
 * |         | 4     | CRC-32C of kind, length and payload, little endian |
 * |         | n     | payload: snappb Header, Rows or Trailer            |
 *
 * One header, any number of rows frames, one trailer, nothing behind it. The trailer counts rows and bytes and chains the frames'
 * checksums, so a missing, doubled or swapped frame is noticed too.
 */
import { allBuckets, type BackendView, type Bucket } from '@quorate/backend';
import { CorruptionError, type Key, keyFromBytes, keyToBytes } from '@quorate/base';
import { Header, type Row, Rows, Trailer } from '@quorate/proto';

export type Checksum = (bytes: Uint8Array, seed: number) => number;

const magic = Buffer.from('QRMSNAP1', 'latin1');
const frameHeaderBytes = 9;
/** Rows are gathered up to about this size; a larger single row makes a larger frame. */
const frameBytesTarget = 256 * 1024;
/** Rows read from the view in one synchronous step. */
const rowsPerStep = 512;
/** Largest frame a receiver accepts: one row of the largest request, with room. */
const frameBytesMax = 64 * 1024 * 1024;

const FrameKind = { header: 1, rows: 2, trailer: 3 } as const;

/** Encodes everything in `view`. `pause` is awaited between frames, so that a large state never holds the event loop. */
export async function* encodeSnapshot(
  view: BackendView,
  header: Header,
  checksum: Checksum,
  pause: () => Promise<void>,
): AsyncGenerator<Buffer> {
  const writer = new FrameWriter(checksum);
  yield magic;
  yield writer.frame(FrameKind.header, Header.encode(header));
  for (const bucket of allBuckets) {
    for await (const frame of bucketFrames(view, bucket, writer, pause)) yield frame;
  }
  yield writer.trailer();
}

async function* bucketFrames(
  view: BackendView,
  bucket: Bucket,
  writer: FrameWriter,
  pause: () => Promise<void>,
): AsyncGenerator<Buffer> {
  const bucketName = Buffer.from(bucket.name, 'latin1');
  let from: Key = '';
  let rows: Row[] = [];
  let bytes = 0;
  for (;;) {
    const read = view.range(bucket, { from, limit: rowsPerStep });
    for (const row of read) {
      rows.push({ bucket: bucketName, key: keyToBytes(row.key), value: row.value });
      bytes += row.key.length + row.value.length;
      if (bytes < frameBytesTarget) continue;
      yield writer.rows(rows);
      rows = [];
      bytes = 0;
    }
    if (read.length < rowsPerStep) break;
    from = `${read.at(-1)!.key}\0`;
    await pause();
  }
  if (rows.length > 0) yield writer.rows(rows);
}

class FrameWriter {
  readonly #checksum: Checksum;
  #rows = 0;
  #bytes = 0;
  #chain = 0;

  constructor(checksum: Checksum) {
    this.#checksum = checksum;
  }

  frame(kind: number, payload: Buffer): Buffer {
    const frame = Buffer.allocUnsafe(frameHeaderBytes + payload.length);
    frame[0] = kind;
    frame.writeUInt32LE(payload.length, 1);
    payload.copy(frame, frameHeaderBytes);
    frame.writeUInt32LE(frameChecksum(frame, payload.length, this.#checksum), 5);
    this.#bytes += frame.length;
    this.#chain = this.#checksum(frame.subarray(0, frameHeaderBytes), this.#chain);
    return frame;
  }

  rows(rows: Row[]): Buffer {
    this.#rows += rows.length;
    return this.frame(FrameKind.rows, Rows.encode(Rows.create({ rows })));
  }

  trailer(): Buffer {
    const trailer = Trailer.create({ rows: this.#rows, bytes: this.#bytes, crc: this.#chain });
    return this.frame(FrameKind.trailer, Trailer.encode(trailer));
  }
}

function frameChecksum(frame: Buffer, payloadBytes: number, checksum: Checksum): number {
  const head = checksum(frame.subarray(0, 5), 0);
  return checksum(frame.subarray(frameHeaderBytes, frameHeaderBytes + payloadBytes), head);
}

/** One decoded row, with its bucket resolved. */
export interface SnapshotRow {
  readonly bucket: Bucket;
  readonly key: Key;
  readonly value: Buffer;
}

/** What a decoder calls, in stream order. */
export interface SnapshotSink {
  onHeader(header: Header): void;
  onRows(rows: readonly SnapshotRow[]): void;
}

/**
 * Takes the stream in chunks of any size. Every complete frame is verified before the sink sees it. Throws CorruptionError for
 * anything that is not a whole, undamaged snapshot; {@link finish} throws when the end is missing.
 */
export class SnapshotDecoder {
  readonly #sink: SnapshotSink;
  readonly #checksum: Checksum;
  readonly #paddingBytesMax: number;
  #padding = 0;
  #pending: Buffer = Buffer.alloc(0);
  #offset = 0;
  #at: 'magic' | 'header' | 'rows' | 'done' = 'magic';
  #rows = 0;
  #bytes = 0;
  #chain = 0;

  /** Behind the end it takes up to `paddingBytesMax` zeros, none by default; a backup file is filled up with them. */
  constructor(sink: SnapshotSink, checksum: Checksum, paddingBytesMax = 0) {
    this.#sink = sink;
    this.#checksum = checksum;
    this.#paddingBytesMax = paddingBytesMax;
  }

  push(chunk: Buffer): void {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    if (this.#at === 'magic' && !this.#takeMagic()) return;
    while (this.#at !== 'done' && this.#takeFrame()) {
      /* each call takes one */
    }
    if (this.#at === 'done') this.#takePadding();
  }

  finish(): void {
    if (this.#at !== 'done') this.#damaged('snapshot ends early');
  }

  #takeMagic(): boolean {
    if (this.#pending.length < magic.length) return false;
    if (!this.#pending.subarray(0, magic.length).equals(magic)) this.#damaged('not a snapshot');
    this.#take(magic.length);
    this.#at = 'header';
    return true;
  }

  #takeFrame(): boolean {
    if (this.#pending.length < frameHeaderBytes) return false;
    const kind = this.#pending[0]!;
    const length = this.#pending.readUInt32LE(1);
    if (length > frameBytesMax) this.#damaged('frame too large');
    const total = frameHeaderBytes + length;
    if (this.#pending.length < total) return false;
    const frame = this.#pending.subarray(0, total);
    if (frameChecksum(frame, length, this.#checksum) !== frame.readUInt32LE(5))
      this.#damaged('frame checksum mismatch');
    this.#onFrame(kind, frame.subarray(frameHeaderBytes));
    this.#bytes += total;
    this.#chain = this.#checksum(frame.subarray(0, frameHeaderBytes), this.#chain);
    this.#take(total);
    return true;
  }

  #takePadding(): void {
    this.#padding += this.#pending.length;
    const isPadding = this.#padding <= this.#paddingBytesMax && this.#pending.every((byte) => byte === 0);
    if (!isPadding) this.#damaged('bytes behind the end of the snapshot');
    this.#take(this.#pending.length);
  }

  #onFrame(kind: number, payload: Buffer): void {
    if (kind === FrameKind.header && this.#at === 'header') {
      this.#sink.onHeader(Header.decode(payload));
      this.#at = 'rows';
    } else if (kind === FrameKind.rows && this.#at === 'rows') {
      const rows = Rows.decode(payload).rows.map((row) => this.#resolve(row));
      this.#rows += rows.length;
      this.#sink.onRows(rows);
    } else if (kind === FrameKind.trailer && this.#at === 'rows') {
      const trailer = Trailer.decode(payload);
      const whole = trailer.rows === this.#rows && trailer.bytes === this.#bytes && trailer.crc === this.#chain;
      if (!whole) this.#damaged('frames are missing');
      this.#at = 'done';
    } else {
      this.#damaged('frame out of order');
    }
  }

  /** Copies the value out of the chunk: rows outlive it. */
  #resolve(row: Row): SnapshotRow {
    const bucket = bucketsByName.get(keyFromBytes(row.bucket));
    if (bucket === undefined) this.#damaged('unknown bucket');
    return { bucket, key: keyFromBytes(row.key), value: Buffer.from(row.value) };
  }

  #take(bytes: number): void {
    this.#pending = this.#pending.subarray(bytes);
    this.#offset += bytes;
  }

  #damaged(reason: string): never {
    throw new CorruptionError('snapshot', reason, { offset: this.#offset });
  }
}

const bucketsByName: ReadonlyMap<string, Bucket> = new Map(allBuckets.map((bucket) => [bucket.name, bucket]));
