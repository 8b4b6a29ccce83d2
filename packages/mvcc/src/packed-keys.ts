/**
 * The keys of a node of the B+ tree (btree.ts), with a number for each, in memory that the garbage collector does not look into. With a
 * string per key, five million keys are as many things to mark, every other second under load, and each comparison waits for a
 * string to come from wherever it lies; here a look-up reads a few numbers side by side, and mostly one key.
 *
 * | words (32 bits each) | content |
 * |---|---|
 * | 0 – 64 | heads: of each key the four bytes behind what all share, as a number that sorts like them |
 * | 65 – 129 | where each key's part ends, counted from the first of the bytes |
 * | 130 – 194 | values |
 *
 * Behind the words, or in a place of their own when they are many, are bytes: the `skip` bytes that all keys begin with, once, then
 * of one key after the other what comes behind them. `skip` may be less than what the keys share, never more. Missing bytes count
 * as zeros in a head, so heads of different keys may be equal whatever `skip` is; only keys whose heads are equal are looked at.
 */
import type { Key } from '@quorate/base';
import { headOfBytes, headOfKey } from './key-head.ts';
import type { KeyPlace } from './key-run.ts';
import { NodeMemory } from './node-memory.ts';

/** Most keys in a node. */
export const nodeMax = 64;

/** One more than fits, which is there for as long as it takes to split the node. */
const slots = nodeMax + 1;
const endsAt = slots;
const valuesAt = 2 * slots;
const wordsBytes = 3 * slots * 4;
/** Bytes that have room behind the words. */
const inlineBytes = NodeMemory.nodeBytes - wordsBytes;
/** Bytes that make a node full whatever the number of its keys: an insertion moves half of them. */
const bytesMax = 32 * 1024;
/** Keys are packed anew when they turn out to share this many bytes more than are skipped. */
const skipSlack = 2;
/** How much more than they need bytes in a place of their own get. */
const roomier = 1.5;

/** Keys in order, and their values. */
export class PackedKeys {
  /** Keys. */
  count = 0;
  /** Bytes that all keys begin with. */
  skip = 0;
  readonly memory: NodeMemory;
  #piece: number;
  #words: Int32Array;
  /** Index of the first word. */
  #first: number;
  #bytes: Buffer;
  /** Index of the first byte. */
  #at: number;
  /** Bytes that there are. */
  #room: number = inlineBytes;

  constructor(memory: NodeMemory) {
    this.memory = memory;
    this.#piece = memory.take();
    const { words, bytes } = memory.blockOf(this.#piece);
    const start = memory.startOf(this.#piece);
    this.#words = words;
    this.#first = start >>> 2;
    this.#bytes = bytes;
    this.#at = start + wordsBytes;
  }

  /** Gives the memory back; the keys are not used any more. */
  release(): void {
    this.memory.give(this.#piece);
  }

  /** Whether it must be split. */
  get isTooBig(): boolean {
    return this.count > nodeMax || (this.count > 1 && this.#usedBytes > bytesMax);
  }

  /** Whether the keys of `other` fit in, too. */
  hasRoomFor(other: PackedKeys): boolean {
    return this.count + other.count <= nodeMax && this.#usedBytes + other.#usedBytes <= bytesMax / 2;
  }

  // ── looking ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The key at `index`: a copy that holds on to nothing. */
  keyAt(index: number): Key {
    const at = this.#at;
    const own = this.#bytes.toString('latin1', at + this.#start(index), at + this.#end(index));
    return this.skip === 0 ? own : this.#bytes.toString('latin1', at, at + this.skip) + own;
  }

  valueAt(index: number): number {
    return this.#words[this.#first + valuesAt + index]!;
  }

  /**
   * The index of `key`, or when it is not here the complement (~) of the index of the first key above it. `known`: bytes that `key` is
   * known to share with all keys here.
   */
  find(key: Key, known = 0): number {
    const { skip, count } = this;
    if (count === 0) return ~0;
    const bytes = this.#bytes;
    const at = this.#at;
    for (let i = known; i < skip; i++) {
      const difference = i < key.length ? key.charCodeAt(i) - bytes[at + i]! : -1;
      if (difference !== 0) return difference < 0 ? ~0 : ~count;
    }
    const words = this.#words;
    const first = this.#first;
    const head = headOfKey(key, skip);
    let lo = 0;
    let hi = count;
    while (lo < hi) {
      const middle = (lo + hi) >>> 1;
      const other = words[first + middle]!;
      const order = other === head ? this.#compare(middle, key) : other < head ? -1 : 1;
      if (order === 0) return middle;
      if (order < 0) lo = middle + 1;
      else hi = middle;
    }
    return ~lo;
  }

  /** Index of the first key that is not below `key`; `known` as in {@link find}. */
  lowerBound(key: Key, known = 0): number {
    const at = this.find(key, known);
    return at < 0 ? ~at : at;
  }

  /** Index of the first key that is above `key`; `known` as in {@link find}. */
  upperBound(key: Key, known = 0): number {
    const at = this.find(key, known);
    return at < 0 ? ~at : at + 1;
  }

  /** Whether order and heads of the keys are what they must be: for audits. */
  isSound(): boolean {
    const { skip, count } = this;
    for (let i = 0; i < count; i++) {
      const key = this.keyAt(i);
      if (this.#end(i) < this.#start(i) || this.#words[this.#first + i] !== headOfKey(key, skip)) return false;
      if (i > 0 && this.keyAt(i - 1) >= key) return false;
    }
    return true;
  }

  // ── changing ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

  setValue(index: number, value: number): void {
    this.#words[this.#first + valuesAt + index] = value;
  }

  /** Puts `key` where it belongs. */
  insert(index: number, key: Key, value: number): void {
    const shared = this.#sharesSkipped(key);
    if (shared < this.skip) this.#become(this, 0, this.count, shared);
    const { skip } = this;
    const lengthBytes = key.length - skip;
    const start = this.#makeRoom(index, lengthBytes, value);
    for (let i = 0; i < lengthBytes; i++) this.#bytes[start + i] = key.charCodeAt(skip + i);
    this.#words[this.#first + index] = headOfKey(key, skip);
  }

  /** Appends a key that is above all here. */
  push({ bytes, start, end }: KeyPlace, value: number): void {
    const { count, skip } = this;
    const at = this.#makeRoom(count, end - start - skip, value);
    bytes.copy(this.#bytes, at, start + skip, end);
    this.#words[this.#first + count] = headOfBytes(bytes, start + skip, end);
  }

  /** Takes the key at `index` out. */
  remove(index: number): void {
    const words = this.#words;
    const first = this.#first;
    const { count } = this;
    const start = this.#start(index);
    const end = this.#end(index);
    this.#bytes.copyWithin(this.#at + start, this.#at + end, this.#at + this.#usedBytes);
    const ends = first + endsAt;
    for (let i = index + 1; i < count; i++) words[ends + i - 1] = words[ends + i]! - (end - start);
    words.copyWithin(first + index, first + index + 1, first + count);
    const values = first + valuesAt;
    words.copyWithin(values + index, values + index + 1, values + count);
    this.count--;
  }

  /** Moves the keys from `index` on to `target`, which has none. */
  moveTo(target: PackedKeys, index: number): void {
    this.copyTo(target, index);
    this.cut(index);
  }

  /** Takes out the keys from `index` on. */
  cut(index: number): void {
    this.count = index;
    const shared = this.#sharedFrom(0, index);
    if (shared >= this.skip + skipSlack) this.#become(this, 0, index, shared);
  }

  /** Appends the keys of `other`, which are all above those here. */
  append(other: PackedKeys): void {
    for (let i = 0; i < other.count; i++) this.insert(this.count, other.keyAt(i), other.valueAt(i));
  }

  /** Forgets all keys. */
  clear(): void {
    this.count = 0;
    this.skip = 0;
  }

  /** Makes the keys from `index` on those of `target` too, packed. */
  copyTo(target: PackedKeys, index = 0): void {
    target.#become(this, index, this.count, this.#sharedFrom(index, this.count));
  }

  // ── memory ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  get #usedBytes(): number {
    return this.count === 0 ? this.skip : this.#end(this.count - 1);
  }

  #start(index: number): number {
    return index === 0 ? this.skip : this.#words[this.#first + endsAt + index - 1]!;
  }

  #end(index: number): number {
    return this.#words[this.#first + endsAt + index]!;
  }

  /** Negative, 0 or positive, as the key at `index` is below, equal to or above one that begins with the skipped bytes. */
  #compare(index: number, key: Key): number {
    const bytes = this.#bytes;
    const { skip } = this;
    const start = this.#start(index);
    const length = this.#end(index) - start;
    const otherLength = key.length - skip;
    const shorter = length < otherLength ? length : otherLength;
    const at = this.#at + start;
    for (let i = 0; i < shorter; i++) {
      const difference = bytes[at + i]! - key.charCodeAt(skip + i);
      if (difference !== 0) return difference;
    }
    return length - otherLength;
  }

  /** How many of the skipped bytes `key` begins with. */
  #sharesSkipped(key: Key): number {
    const { skip } = this;
    const end = key.length < skip ? key.length : skip;
    let i = 0;
    while (i < end && key.charCodeAt(i) === this.#bytes[this.#at + i]) i++;
    return i;
  }

  /** Bytes that the keys [from, to) begin with: what the first and the last of them share. */
  #sharedFrom(from: number, to: number): number {
    if (from >= to) return 0;
    const bytes = this.#bytes;
    const first = this.#start(from);
    const last = this.#start(to - 1);
    const end = Math.min(this.#end(from) - first, this.#end(to - 1) - last);
    let i = 0;
    while (i < end && bytes[this.#at + first + i] === bytes[this.#at + last + i]) i++;
    return this.skip + i;
  }

  /** Moves what is at `index` and behind it, for a key with `lengthBytes` behind the skipped ones; returns where in {@link #bytes} these go. */
  #makeRoom(index: number, lengthBytes: number, value: number): number {
    const { count } = this;
    if (this.#usedBytes + lengthBytes > this.#room) this.#become(this, 0, count, this.skip, lengthBytes);
    const words = this.#words;
    const first = this.#first;
    const ends = first + endsAt;
    const values = first + valuesAt;
    const start = this.#start(index);
    if (index < count) {
      const at = this.#at + start;
      this.#bytes.copyWithin(at + lengthBytes, at, this.#at + this.#usedBytes);
      for (let i = count; i > index; i--) words[ends + i] = words[ends + i - 1]! + lengthBytes;
      words.copyWithin(first + index + 1, first + index, first + count);
      words.copyWithin(values + index + 1, values + index, values + count);
    }
    words[ends + index] = start + lengthBytes;
    words[values + index] = value;
    this.count++;
    return this.#at + start;
  }

  /** Takes the keys [from, to) of `source` in place of its own, skips `skip` of their bytes, and has room for `addedBytes` more. */
  #become(source: PackedKeys, from: number, to: number, skip: number, addedBytes = 0): void {
    const packed = new PackedKeys(this.memory);
    const usedBytes = source.#packedBytes(from, to, skip) + addedBytes;
    if (usedBytes > inlineBytes) packed.#moveOut(usedBytes * roomier);
    source.#packInto(packed, from, to, skip);
    this.memory.give(this.#piece);
    this.#piece = packed.#piece;
    this.#words = packed.#words;
    this.#first = packed.#first;
    this.#bytes = packed.#bytes;
    this.#at = packed.#at;
    this.#room = packed.#room;
    this.count = packed.count;
    this.skip = packed.skip;
  }

  /** Gives the bytes, of which there are none yet, a place of their own. */
  #moveOut(roomBytes: number): void {
    this.#room = Math.ceil(roomBytes);
    this.#bytes = Buffer.allocUnsafeSlow(this.#room);
    this.#at = 0;
  }

  /** Bytes that the keys [from, to) take when `skip` are skipped. */
  #packedBytes(from: number, to: number, skip: number): number {
    if (from >= to) return 0;
    return skip + this.#end(to - 1) - this.#start(from) + (to - from) * (this.skip - skip);
  }

  /** Writes the keys [from, to) into `target`, which is new. */
  #packInto(target: PackedKeys, from: number, to: number, skip: number): void {
    if (from >= to) return;
    target.skip = skip;
    const bytes = this.#bytes;
    const at = this.#at;
    // What is skipped is in the skipped bytes, or behind them in any key; what is not any more comes back into each.
    const less = Math.max(skip - this.skip, 0);
    const back = this.skip > skip;
    bytes.copy(target.#bytes, target.#at, at, at + Math.min(skip, this.skip));
    const firstKey = at + this.#start(from);
    if (less > 0) bytes.copy(target.#bytes, target.#at + this.skip, firstKey, firstKey + less);
    let end = skip;
    for (let i = from; i < to; i++) {
      const begin = end;
      if (back) end += bytes.copy(target.#bytes, target.#at + end, at + skip, at + this.skip);
      end += bytes.copy(target.#bytes, target.#at + end, at + this.#start(i) + less, at + this.#end(i));
      const slot = target.#first + i - from;
      target.#words[slot] = headOfBytes(target.#bytes, target.#at + begin, target.#at + end);
      target.#words[slot + endsAt] = end;
      target.#words[slot + valuesAt] = this.valueAt(i);
    }
    target.count = to - from;
  }
}
