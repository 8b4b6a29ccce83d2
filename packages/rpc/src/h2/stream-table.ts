/**
 * The open streams of a connection by number: a Map costs three times as much for streams that live for microseconds.
 *
 * Open addressing with linear probing, at most half full; removal moves later entries of the run back (Knuth 6.4, algorithm R),
 * so there are no tombstones. Numbers are scattered by multiplication: taken as they are, ten thousand watches opened one after
 * the other would make one run of ten thousand slots for everyone who comes later.
 */

/** What the table needs to know of its entries. */
export interface Numbered {
  readonly id: number;
}

export class StreamTable<Stream extends Numbered> {
  /** Number of streams. */
  count = 0;
  private slots: (Stream | undefined)[] = new Array<Stream | undefined>(16).fill(undefined);
  private mask = 15;
  /** Bits of the hash that are not used. */
  private shift = 28;

  get(id: number): Stream | undefined {
    const { slots, mask } = this;
    for (let at = this.home(id); ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined || stream.id === id) return stream;
    }
  }

  /** Adds a stream whose number is not in the table. */
  add(stream: Stream): void {
    if (this.count * 2 >= this.slots.length) this.grow();
    this.count++;
    this.put(stream);
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
      const stream = slots[at];
      if (stream === undefined) break;
      const home = this.home(stream.id);
      // Moves back unless its home lies cyclically behind the hole.
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      slots[hole] = stream;
      hole = at;
    }
    slots[hole] = undefined;
  }

  /** A list of its own, so that streams may be removed while going through it. */
  all(): Stream[] {
    return this.slots.filter((stream) => stream !== undefined);
  }

  /** The slot a number belongs into: the high bits of its product with 2^32 divided by the golden ratio (Knuth 6.4). */
  private home(id: number): number {
    return Math.imul(id, 0x9e37_79b1) >>> this.shift;
  }

  private put(stream: Stream): void {
    let at = this.home(stream.id);
    while (this.slots[at] !== undefined) at = (at + 1) & this.mask;
    this.slots[at] = stream;
  }

  private grow(): void {
    const streams = this.all();
    this.slots = new Array<Stream | undefined>(this.slots.length * 2).fill(undefined);
    this.mask = this.slots.length - 1;
    this.shift--;
    for (const stream of streams) this.put(stream);
  }
}
