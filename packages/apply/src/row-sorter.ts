/**
 * Rows of a range in the order of one of their fields. Rows are copied into large chunks and sorted by number: a million Buffers
 * on the heap would keep the garbage collector busy for longer than the sorting takes.
 */
import {
  RangeRequestSortTarget,
  readKeyValueCreateRevision,
  readKeyValueModRevision,
  readKeyValueValue,
  readKeyValueVersion,
} from '@quorate/proto';
import { SlicedSort } from './sliced-sort.ts';

const chunkBytes = 1024 * 1024;
const firstRoom = 1_024;

export class RowSorter {
  readonly #target: number;
  readonly #descending: boolean;
  readonly #chunks: Buffer[] = [];
  /** Free bytes at the end of the last chunk. */
  #free = 0;
  #length = 0;
  /** By number of the row: its chunk, and where in it the row begins and ends. */
  #chunkOf: Uint32Array = new Uint32Array(firstRoom);
  #starts: Uint32Array = new Uint32Array(firstRoom);
  #ends: Uint32Array = new Uint32Array(firstRoom);
  /** What is sorted by: a number, or where the value begins and ends in the chunk. */
  #numbers: Float64Array;
  #valueStarts: Uint32Array;
  #valueEnds: Uint32Array;
  #sort: SlicedSort | undefined;

  /** `target` is one of RangeRequestSortTarget. Rows that are equal in it keep the order in which they were added. */
  constructor(target: number, descending: boolean) {
    const byValue = target === RangeRequestSortTarget.VALUE;
    this.#target = target;
    this.#descending = descending;
    this.#numbers = new Float64Array(byValue ? 0 : firstRoom);
    this.#valueStarts = new Uint32Array(byValue ? firstRoom : 0);
    this.#valueEnds = new Uint32Array(byValue ? firstRoom : 0);
  }

  /** Makes room for `count` rows: growing with that many in place would copy megabytes in one turn. Call before adding any. */
  reserve(count: number): void {
    if (count > this.#starts.length) this.#resize(count);
  }

  get length(): number {
    return this.#length;
  }

  add(row: Buffer): void {
    const at = this.#length++;
    if (at === this.#starts.length) this.#resize(at * 2);
    if (row.length > this.#free) this.#addChunk(row.length);
    const chunk = this.#chunks.length - 1;
    const bytes = this.#chunks[chunk]!;
    const start = bytes.length - this.#free;
    bytes.set(row, start);
    this.#free -= row.length;
    this.#chunkOf[at] = chunk;
    this.#starts[at] = start;
    this.#ends[at] = start + row.length;
    if (this.#target !== RangeRequestSortTarget.VALUE) {
      this.#numbers[at] = numberOf(row, this.#target);
      return;
    }
    const value = readKeyValueValue(row);
    const valueStart = value.length === 0 ? start : start + value.byteOffset - row.byteOffset;
    this.#valueStarts[at] = valueStart;
    this.#valueEnds[at] = valueStart + value.length;
  }

  /** Sorts on, moving about `count` rows; nothing may be added any more. True once all are in order. */
  step(count?: number): boolean {
    this.#sort ??= new SlicedSort(this.#length, this.#comparison());
    return this.#sort.step(count);
  }

  /** The rows from place `from` up to but without `to`; meaningful once {@link step} returned true. */
  slice(from: number, to: number): Buffer[] {
    if (to <= from) return [];
    const order = this.#sort!.order;
    return Array.from({ length: to - from }, (_, i) => this.#row(order[from + i]!));
  }

  #row(at: number): Buffer {
    return this.#chunks[this.#chunkOf[at]!]!.subarray(this.#starts[at], this.#ends[at]);
  }

  #comparison(): (a: number, b: number) => number {
    const sign = this.#descending ? -1 : 1;
    if (this.#target !== RangeRequestSortTarget.VALUE) {
      const numbers = this.#numbers;
      return (a, b) => sign * (numbers[a]! - numbers[b]!) || a - b;
    }
    const chunks = this.#chunks;
    const chunkOf = this.#chunkOf;
    const starts = this.#valueStarts;
    const ends = this.#valueEnds;
    return (a, b) => {
      const other = chunks[chunkOf[b]!]!;
      const order = chunks[chunkOf[a]!]!.compare(other, starts[b], ends[b], starts[a], ends[a]);
      return sign * order || a - b;
    };
  }

  #addChunk(rowBytes: number): void {
    const chunk = Buffer.allocUnsafeSlow(Math.max(chunkBytes, rowBytes));
    this.#chunks.push(chunk);
    this.#free = chunk.length;
  }

  #resize(room: number): void {
    const byValue = this.#target === RangeRequestSortTarget.VALUE;
    this.#chunkOf = resized(this.#chunkOf, room);
    this.#starts = resized(this.#starts, room);
    this.#ends = resized(this.#ends, room);
    if (byValue) {
      this.#valueStarts = resized(this.#valueStarts, room);
      this.#valueEnds = resized(this.#valueEnds, room);
      return;
    }
    const numbers = new Float64Array(room);
    numbers.set(this.#numbers);
    this.#numbers = numbers;
  }
}

function resized(array: Uint32Array, length: number): Uint32Array {
  const room = new Uint32Array(length);
  room.set(array);
  return room;
}

function numberOf(row: Buffer, target: number): number {
  if (target === RangeRequestSortTarget.VERSION) return readKeyValueVersion(row);
  return target === RangeRequestSortTarget.CREATE ? readKeyValueCreateRevision(row) : readKeyValueModRevision(row);
}
