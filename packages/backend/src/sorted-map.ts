/**
 * A map that can also be walked in key order. Looking up and storing cost what a Map costs; order is made when somebody asks for
 * it. Keys stored in ascending order, as revision keys are, need no sorting at all; others wait in a tail that is sorted and
 * merged at the next ordered walk.
 */
import type { Key } from '@quorate/base';

export class SortedMap<V> {
  readonly #values = new Map<Key, V>();
  /** Ascending. May hold keys that were deleted; {@link keys} drops them. */
  #sorted: Key[] = [];
  /** Keys out of order, in order of arrival; may repeat keys of #sorted that were deleted in between. */
  #tail: Key[] = [];
  #deletedCount = 0;

  get size(): number {
    return this.#values.size;
  }

  get(key: Key): V | undefined {
    return this.#values.get(key);
  }

  has(key: Key): boolean {
    return this.#values.has(key);
  }

  set(key: Key, value: V): void {
    this.exchange(key, value);
  }

  /** Stores `value` and returns what was there before. A key beyond all others is known to be new without a look. */
  exchange(key: Key, value: V): V | undefined {
    const values = this.#values;
    const sorted = this.#sorted;
    const length = sorted.length;
    let former: V | undefined;
    if (length === 0 || key > sorted[length - 1]!) {
      sorted.push(key);
    } else {
      former = values.get(key);
      if (former === undefined && !values.has(key)) this.#tail.push(key);
    }
    values.set(key, value);
    return former;
  }

  /** True when there was something to delete. */
  delete(key: Key): boolean {
    const deleted = this.#values.delete(key);
    if (deleted) this.#deletedCount++;
    return deleted;
  }

  /** All keys, ascending. Valid until the next change. */
  keys(): readonly Key[] {
    if (this.#tail.length > 0 || this.#deletedCount > 0) this.#tidy();
    return this.#sorted;
  }

  /** Pairs in no particular order. */
  entries(): IterableIterator<[Key, V]> {
    return this.#values.entries();
  }

  clone(): SortedMap<V> {
    const copy = new SortedMap<V>();
    for (const key of this.keys()) copy.set(key, this.#values.get(key)!);
    return copy;
  }

  #tidy(): void {
    const values = this.#values;
    const left = this.#sorted;
    // Without a comparator strings are ordered by code units, which for latin1 strings is byte order.
    const right = this.#tail.sort();
    const merged: Key[] = [];
    let l = 0;
    let r = 0;
    while (l < left.length || r < right.length) {
      const fromLeft = r === right.length || (l < left.length && left[l]! <= right[r]!);
      const key = fromLeft ? left[l++]! : right[r++]!;
      if (values.has(key) && key !== merged[merged.length - 1]) merged.push(key);
    }
    this.#sorted = merged;
    this.#tail = [];
    this.#deletedCount = 0;
  }
}

/** Position of the first of ascending `keys` that is not before `key`; their count when all are. */
export function lowerBound(keys: readonly Key[], key: Key): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
