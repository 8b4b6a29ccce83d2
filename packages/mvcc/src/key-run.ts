/**
 * A run of keys as rows name them: collected in order of time, sorted once, read in order. Keys lie one behind the other in one piece
 * of memory, and what is sorted are numbers: of a stretch of keys that begin alike, the five bytes behind what they share, with
 * the place of the key below them in the same 64 bits. Keys whose numbers agree in these five bytes make a stretch of their own.
 * A million keys are sorted in a tenth of the time that comparing strings takes, which wait for memory at every step.
 */
import { invariant } from '@quorate/base';

/** Rows of a run: sorting them takes one turn of the event loop a few milliseconds. */
export const runRowsMax: number = 1 << 16;
/** Bytes of keys of a run, unless a single one has more. */
export const runBytesMax: number = 4 * 1024 * 1024;

/** Stretches up to this length are sorted by comparing: that is cheaper than reading their numbers. */
const shortStretch = 8;
/** Bytes of a key in a number; the place of the key has the other three. */
const placeBits = 24;
const placeMask = (1 << placeBits) - 1;

/** Rows [lo, hi) of a run in sorted order, which share their first `depth` bytes. */
interface Stretch {
  readonly lo: number;
  readonly hi: number;
  readonly depth: number;
}

/** Keys of consecutive rows. Add, then sort, then read. */
export class KeyRun {
  /** All keys, one behind the other. */
  readonly bytes: Buffer;
  readonly #rowsMax: number;
  /** Where the key of each row begins; one more for the end of the last. */
  readonly #starts: Uint32Array;
  #count = 0;
  /** Bytes that all keys begin with. */
  #shared = 0;
  /** One number for each row: five bytes of its key, then its place. Once sorted, the places alone matter. */
  #numbers = new BigUint64Array(0);
  /** The same memory: the low half of a number, then the high half. */
  #halves = new Uint32Array(0);

  /** Holds `rowsMax` rows, and at least one key of `keyBytes`. */
  constructor(rowsMax: number, keyBytes: number) {
    invariant(rowsMax <= placeMask, 'a run is too long for its numbers', { rowsMax });
    this.#rowsMax = rowsMax;
    this.bytes = Buffer.allocUnsafeSlow(Math.max(keyBytes, Math.min(runBytesMax, rowsMax * 256)));
    this.#starts = new Uint32Array(rowsMax + 1);
  }

  /** Rows. */
  get count(): number {
    return this.#count;
  }

  /** Whether a key of `keyBytes` has room. */
  fits(keyBytes: number): boolean {
    return this.#count < this.#rowsMax && this.#starts[this.#count]! + keyBytes <= this.bytes.length;
  }

  /** Adds bytes [from, to) of `source` as the key of the next row. */
  add(source: Buffer, from: number, to: number): void {
    const start = this.#starts[this.#count]!;
    source.copy(this.bytes, start, from, to);
    this.#starts[++this.#count] = start + to - from;
    // Here, where the key is at hand: in sort() it would have to be fetched from memory for this alone.
    if (this.#count === 1) this.#shared = to - from;
    const end = Math.min(this.#shared, to - from);
    let shared = 0;
    while (shared < end && this.bytes[shared] === source[from + shared]) shared++;
    this.#shared = shared;
  }

  /** Where the key of `row` begins in {@link bytes}. */
  start(row: number): number {
    return this.#starts[row]!;
  }

  /** Where it ends. */
  end(row: number): number {
    return this.#starts[row + 1]!;
  }

  /** The row at `position` of the sorted order. */
  rowAt(position: number): number {
    return this.#halves[2 * position]! & placeMask;
  }

  /** Sorts rows by their keys, those of one key by their order in time. No more rows may come. */
  sort(): void {
    const count = this.#count;
    // This machine is little endian, as lmdb's file is (lmdb-page.ts): the low half of a number comes first.
    this.#numbers = new BigUint64Array(count);
    this.#halves = new Uint32Array(this.#numbers.buffer);
    for (let row = 0; row < count; row++) this.#halves[2 * row] = row;
    this.#sort({ lo: 0, hi: count, depth: this.#shared });
  }

  #sort(stretch: Stretch): void {
    if (stretch.hi - stretch.lo <= shortStretch) {
      this.#sortShort(stretch);
      return;
    }
    const { lo: first, hi } = stretch;
    const depth = this.#sharedIn(stretch);
    // Keys that end here are all the same key, in order of time already; they come first.
    const lo = this.#endedFirst({ lo: first, hi, depth });
    for (let i = lo; i < hi; i++) this.#setNumber(i, depth);
    this.#numbers.subarray(lo, hi).sort();
    const halves = this.#halves;
    for (let from = lo; from < hi; ) {
      const high = halves[2 * from + 1]!;
      const low = halves[2 * from]! >>> placeBits;
      let to = from + 1;
      while (to < hi && halves[2 * to + 1] === high && halves[2 * to]! >>> placeBits === low) to++;
      if (to - from > 1) this.#sort({ lo: from, hi: to, depth });
      from = to;
    }
  }

  /** By insertion. */
  #sortShort({ lo, hi, depth }: Stretch): void {
    const halves = this.#halves;
    for (let i = lo + 1; i < hi; i++) {
      const row = this.rowAt(i);
      let at = i;
      for (; at > lo; at--) {
        const other = this.rowAt(at - 1);
        const order = this.#compare(other, row, depth);
        if (order < 0 || (order === 0 && other < row)) break;
        halves[2 * at] = other;
      }
      halves[2 * at] = row;
    }
  }

  /** Moves the rows whose key ends at `depth` to the front, in the order they are in; returns where they end. */
  #endedFirst({ lo, hi, depth }: Stretch): number {
    const ended: number[] = [];
    const others: number[] = [];
    for (let i = lo; i < hi; i++) {
      const row = this.rowAt(i);
      const endsHere = this.end(row) - this.start(row) === depth;
      (endsHere ? ended : others).push(row);
    }
    if (ended.length === 0) return lo;
    let at = lo;
    for (const row of ended) this.#halves[2 * at++] = row;
    for (const row of others) this.#halves[2 * at++] = row;
    return lo + ended.length;
  }

  /** How many bytes all keys of a stretch share; at least its depth, at most the length of the shortest. */
  #sharedIn({ lo, hi, depth }: Stretch): number {
    const { bytes } = this;
    const firstRow = this.rowAt(lo);
    const firstStart = this.start(firstRow);
    let shared = this.end(firstRow) - firstStart;
    for (let i = lo + 1; i < hi && shared > depth; i++) {
      const row = this.rowAt(i);
      const start = this.start(row);
      shared = Math.min(shared, this.end(row) - start);
      let at = depth;
      while (at < shared && bytes[start + at] === bytes[firstStart + at]) at++;
      shared = at;
    }
    return shared;
  }

  #setNumber(position: number, depth: number): void {
    const { bytes } = this;
    const row = this.rowAt(position);
    const at = this.start(row) + depth;
    const end = this.end(row);
    let high = 0;
    for (let i = at; i < at + 4; i++) high = (high << 8) | (i < end ? bytes[i]! : 0);
    const last = at + 4 < end ? bytes[at + 4]! : 0;
    this.#halves[2 * position] = (last << placeBits) | row;
    this.#halves[2 * position + 1] = high;
  }

  #compare(a: number, b: number, depth: number): number {
    return compareBytes(
      { bytes: this.bytes, start: this.start(a) + depth, end: this.end(a) },
      { bytes: this.bytes, start: this.start(b) + depth, end: this.end(b) },
    );
  }
}

/** A key where it lies. */
export interface KeyPlace {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** Negative, 0 or positive, as the first key is below, equal to, or above the second. */
export function compareBytes(a: KeyPlace, b: KeyPlace): number {
  const length = Math.min(a.end - a.start, b.end - b.start);
  for (let i = 0; i < length; i++) {
    const difference = a.bytes[a.start + i]! - b.bytes[b.start + i]!;
    if (difference !== 0) return difference;
  }
  return a.end - a.start - (b.end - b.start);
}
