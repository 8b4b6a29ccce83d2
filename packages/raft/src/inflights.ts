/**
 * The sliding window of appends sent to one follower and not answered yet: a ring of the last index of each message and its
 * bytes. It bounds what a leader sends ahead, by count and by bytes (Raft thesis 10.2.1). Answers are cumulative: freeing up to
 * an index drops every message that ends at or before it.
 */
import { invariant } from '@quorate/base';

/** Rings start small and grow: most followers never fill their window. */
const initialSlots = 16;

export class Inflights {
  readonly #countMax: number;
  readonly #bytesMax: number;
  #indexes: number[] = new Array<number>(initialSlots).fill(0);
  #sizes: number[] = new Array<number>(initialSlots).fill(0);
  #start = 0;
  #count = 0;
  #bytes = 0;

  /** `countMax` messages; `bytesMax` bytes of entry data, infinite for no such bound. */
  constructor(limits: { readonly countMax: number; readonly bytesMax: number }) {
    this.#countMax = limits.countMax;
    this.#bytesMax = limits.bytesMax;
  }

  /** Messages in flight. */
  get count(): number {
    return this.#count;
  }

  /** Bytes in flight. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether no further message may be added. The byte bound may be passed by the last message, never by a further one. */
  get full(): boolean {
    return this.#count === this.#countMax || (this.#count > 0 && this.#bytes >= this.#bytesMax);
  }

  /** Notes a message whose last entry is `index`. Indices ascend. */
  add(index: number, bytes: number): void {
    invariant(!this.full, 'append beyond the in-flight window', { index, count: this.#count, bytes: this.#bytes });
    if (this.#count === this.#indexes.length) this.#grow();
    const slot = (this.#start + this.#count) % this.#indexes.length;
    this.#indexes[slot] = index;
    this.#sizes[slot] = bytes;
    this.#count++;
    this.#bytes += bytes;
  }

  /** Drops the messages that end at or before `index`. */
  freeTo(index: number): void {
    const slots = this.#indexes.length;
    while (this.#count > 0 && this.#indexes[this.#start]! <= index) {
      this.#bytes -= this.#sizes[this.#start]!;
      this.#start = (this.#start + 1) % slots;
      this.#count--;
    }
  }

  /** Forgets everything in flight. */
  reset(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytes = 0;
  }

  #grow(): void {
    const slots = this.#indexes.length;
    const indexes = new Array<number>(slots * 2).fill(0);
    const sizes = new Array<number>(slots * 2).fill(0);
    for (let i = 0; i < this.#count; i++) {
      const slot = (this.#start + i) % slots;
      indexes[i] = this.#indexes[slot]!;
      sizes[i] = this.#sizes[slot]!;
    }
    this.#indexes = indexes;
    this.#sizes = sizes;
    this.#start = 0;
  }
}
