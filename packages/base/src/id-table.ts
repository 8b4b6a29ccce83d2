/**
 * What comes and goes in microseconds, by number: streams, proposals. A Map costs three times as much, and more than that in
 * garbage: removal leaves a hole in it, for every so many insertions it makes a table anew, in V8's old generation once the Map has
 * lived a while, and each table it gave up keeps what was in it, callers and promises, until the next full collection.
 *
 * Open addressing with linear probing, at most half full; removal moves later entries of the run back (Knuth 6.4, algorithm R),
 * so there are no tombstones. Numbers are scattered by multiplication: taken as they are, ten thousand watches opened one after
 * the other would make one run of ten thousand slots for everyone who comes later.
 */

/** What the table needs to know of its entries: a safe integer. */
export interface Numbered {
  readonly id: number;
}

export class IdTable<T extends Numbered> {
  /** Number of entries. */
  count = 0;
  private slots: (T | undefined)[] = new Array<T | undefined>(16).fill(undefined);
  private mask = 15;
  /** Bits of the hash that are not used. */
  private shift = 28;

  get(id: number): T | undefined {
    const { slots, mask } = this;
    for (let at = this.home(id); ; at = (at + 1) & mask) {
      const entry = slots[at];
      if (entry === undefined || entry.id === id) return entry;
    }
  }

  /** Adds an entry whose number is not in the table. */
  add(entry: T): void {
    if (this.count * 2 >= this.slots.length) this.grow();
    this.count++;
    this.put(entry);
  }

  delete(id: number): void {
    const { slots, mask } = this;
    let hole = this.home(id);
    while (slots[hole]?.id !== id) {
      if (slots[hole] === undefined) return;
      hole = (hole + 1) & mask;
    }
    this.count--;
    for (let at = (hole + 1) & mask; ; at = (at + 1) & mask) {
      const entry = slots[at];
      if (entry === undefined) break;
      const home = this.home(entry.id);
      // Moves back unless its home lies cyclically behind the hole.
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      slots[hole] = entry;
      hole = at;
    }
    slots[hole] = undefined;
  }

  /** A list of its own, so that entries may be removed while going through it. */
  all(): T[] {
    return this.slots.filter((entry) => entry !== undefined);
  }

  /** The slot a number belongs into: the high bits of its product with 2^32 divided by the golden ratio (Knuth 6.4). */
  private home(id: number): number {
    return Math.imul(id, 0x9e37_79b1) >>> this.shift;
  }

  private put(entry: T): void {
    let at = this.home(entry.id);
    while (this.slots[at] !== undefined) at = (at + 1) & this.mask;
    this.slots[at] = entry;
  }

  private grow(): void {
    const entries = this.all();
    this.slots = new Array<T | undefined>(this.slots.length * 2).fill(undefined);
    this.mask = this.slots.length - 1;
    this.shift--;
    for (const entry of entries) this.put(entry);
  }
}
