/**
 * Turns what one sync will make durable into the bytes of a group. Small payloads are gathered in a staging buffer that is reused;
 * large ones travel as they are, so no byte of a big value is copied.
 */
import { type Entry, HardState, SnapshotMark } from '@quorate/proto';
import { crc } from './crc.ts';
import {
  aligned,
  groupEndPayloadBytes,
  RecordType,
  recordBytes,
  recordHeaderBytes,
  writeNumber,
  writeRecordHeader,
} from './record.ts';

/** One thing to be recorded. */
export type Item =
  | { readonly kind: 'entry'; readonly entry: Entry }
  | { readonly kind: 'bytes'; readonly type: RecordType; readonly payload: Buffer };

export function stateItem(state: HardState): Item {
  return { kind: 'bytes', type: RecordType.state, payload: HardState.encode(state) };
}

export function markItem(mark: SnapshotMark): Item {
  return { kind: 'bytes', type: RecordType.snapshot, payload: SnapshotMark.encode(mark) };
}

/** Unit that disks and file systems lose as a whole. */
const pageBytes = 4096;

/** Fills the page at `position`, so that what follows begins on the next one. */
export function fillerItem(position: number): Item {
  const left = pageBytes - (position % pageBytes);
  const total = left < recordHeaderBytes ? left + pageBytes : left;
  return { kind: 'bytes', type: RecordType.filler, payload: Buffer.alloc(total - recordHeaderBytes) };
}

/** Where a group goes and what it continues. */
export interface GroupPlace {
  readonly lsn: number;
  readonly group: number;
  readonly seed: number;
  readonly chain: number;
}

export interface EncodedGroup {
  /** To be written one after another. Valid until the next call of encode. */
  readonly chunks: readonly Uint8Array[];
  readonly sizeBytes: number;
  readonly chain: number;
}

/** Payload data of at least this size is not copied. */
const separateFromBytes = 16 * 1024;
/** Upper bound of an encoded entry beside its data: tags, three varints, the length of the data. */
const entryOverheadMax = 48;

/** Bytes a group of these items takes at most, for deciding where it fits. */
export function groupBytesMax(items: readonly Item[]): number {
  let total = recordBytes(groupEndPayloadBytes);
  for (const item of items) total += recordBytes(payloadBytesMax(item));
  return total;
}

function payloadBytesMax(item: Item): number {
  return item.kind === 'entry' ? item.entry.data.length + entryOverheadMax : item.payload.length;
}

export class GroupEncoder {
  #staging: Buffer = Buffer.alloc(64 * 1024);
  #used = 0;
  /** Start of the part of the staging buffer that is in no chunk yet. */
  #from = 0;
  #chunks: Uint8Array[] = [];
  #lsn = 0;
  #chain = 0;

  encode(items: readonly Item[], place: GroupPlace): EncodedGroup {
    this.#reserve(items);
    this.#used = 0;
    this.#from = 0;
    this.#chunks = [];
    this.#lsn = place.lsn;
    this.#chain = place.chain;
    for (const item of items) {
      if (item.kind === 'entry') this.#entry(item.entry, place);
      else this.#record(item.type, item.payload, place);
    }
    this.#groupEnd(place);
    this.#closeChunk();
    return { chunks: this.#chunks, sizeBytes: this.#lsn - place.lsn, chain: this.#chain };
  }

  /** Room for everything that is copied: headers, small payloads, padding. */
  #reserve(items: readonly Item[]): void {
    let need = recordBytes(groupEndPayloadBytes);
    for (const item of items) {
      const bytes = payloadBytesMax(item);
      need += recordBytes(
        item.kind === 'entry' && item.entry.data.length >= separateFromBytes ? entryOverheadMax : bytes,
      );
    }
    if (need > this.#staging.length) this.#staging = Buffer.alloc(Math.max(need, 2 * this.#staging.length));
  }

  /** raftpb.Entry, written straight into the staging buffer: term, index, type, data, zero fields left out. */
  #entry(entry: Entry, place: GroupPlace): void {
    const start = this.#used;
    const bytes = this.#staging;
    let at = start + recordHeaderBytes;
    at = varintField(bytes, at, 8, entry.term);
    at = varintField(bytes, at, 16, entry.index);
    at = varintField(bytes, at, 24, entry.type);
    const { data } = entry;
    if (data.length > 0) {
      bytes[at++] = 34;
      at = writeVarint(bytes, at, data.length);
    }
    const headBytes = at - start - recordHeaderBytes;
    const length = headBytes + data.length;
    let payloadCrc = crc(bytes.subarray(start + recordHeaderBytes, at), place.seed);
    if (data.length > 0) payloadCrc = crc(data, payloadCrc);
    this.#header(start, { length, type: RecordType.entry, payloadCrc }, place);
    if (data.length >= separateFromBytes) {
      this.#used = at;
      this.#closeChunk();
      this.#chunks.push(data);
    } else {
      data.copy(bytes, at);
      this.#used = at + data.length;
    }
    this.#pad(length);
  }

  #record(type: RecordType, payload: Buffer, place: GroupPlace): void {
    const start = this.#used;
    this.#header(start, { length: payload.length, type, payloadCrc: crc(payload, place.seed) }, place);
    payload.copy(this.#staging, start + recordHeaderBytes);
    this.#used = start + recordHeaderBytes + payload.length;
    this.#pad(payload.length);
  }

  #groupEnd(place: GroupPlace): void {
    const payload = Buffer.alloc(groupEndPayloadBytes);
    writeNumber(payload, 0, place.lsn);
    payload.writeUInt32LE(this.#chain, 8);
    this.#record(RecordType.groupEnd, payload, place);
  }

  #header(at: number, record: { length: number; type: number; payloadCrc: number }, place: GroupPlace): void {
    const { group, seed } = place;
    writeRecordHeader(this.#staging, at, { ...record, lsn: this.#lsn, group, seed });
    this.#chain = crc(this.#staging.subarray(at, at + recordHeaderBytes), this.#chain);
  }

  #pad(payloadBytes: number): void {
    const padding = aligned(payloadBytes) - payloadBytes;
    this.#staging.fill(0, this.#used, this.#used + padding);
    this.#used += padding;
    this.#lsn += recordHeaderBytes + payloadBytes + padding;
  }

  #closeChunk(): void {
    if (this.#used > this.#from) this.#chunks.push(this.#staging.subarray(this.#from, this.#used));
    this.#from = this.#used;
  }
}

function varintField(bytes: Buffer, at: number, tag: number, value: number): number {
  if (value === 0) return at;
  bytes[at] = tag;
  return writeVarint(bytes, at + 1, value);
}

function writeVarint(bytes: Buffer, at: number, value: number): number {
  let rest = value;
  let to = at;
  while (rest > 127) {
    bytes[to++] = (rest % 128) + 128;
    rest = Math.floor(rest / 128);
  }
  bytes[to++] = rest;
  return to;
}
