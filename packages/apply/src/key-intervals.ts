/** A set of half-open key ranges that answers whether a key is in any of them; kept sorted and merged, so a look-up is a search. */
import type { Key } from '@quorate/base';

interface KeyInterval {
  readonly from: Key;
  /** Exclusive. */
  readonly to: Key;
}

export class KeyIntervals {
  /** Ascending, apart from each other. */
  #merged: KeyInterval[] = [];

  /** Adds [from, to); nothing when that is empty. */
  add(from: Key, to: Key): void {
    if (from >= to) return;
    const first = this.#firstEndingAtOrAfter(from);
    let last = first;
    let start = from;
    let end = to;
    for (; last < this.#merged.length; last++) {
      const next = this.#merged[last]!;
      if (next.from > to) break;
      if (next.from < start) start = next.from;
      if (next.to > end) end = next.to;
    }
    this.#merged.splice(first, last - first, { from: start, to: end });
  }

  addAll(other: KeyIntervals): void {
    for (const { from, to } of other.#merged) this.add(from, to);
  }

  covers(key: Key): boolean {
    // The interval that ends exactly at the key does not hold it, so look for one that ends after it.
    const found = this.#merged[this.#firstEndingAtOrAfter(`${key}\0`)];
    return found !== undefined && found.from <= key;
  }

  #firstEndingAtOrAfter(key: Key): number {
    let low = 0;
    let high = this.#merged.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#merged[middle]!.to < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
