/**
 * A map that can also be walked in key order. Keys stored in ascending order, as revision keys are, are appended to a list and found
 * in it by bisection: a hash table of them would be made anew several times until a commit takes them, which costs a put more than
 * all the rest that is done here. Others wait in a Map that is sorted and merged at the next ordered walk.
 */
import type { Key } from '@quorate/base';

/** Values are never undefined. */
export class SortedMap<V> {
  /** Ascending. */
  #keys: Key[] = [];
  /** Value of each key in #keys; undefined when that was deleted. */
  #values: (V | undefined)[] = [];
  #deletedCount = 0;
  /** Keys that are not in #keys, all of them before its last, in order of arrival. */
  readonly #tail = new Map<Key, V>();

  get size(): number {
    return this.#keys.length - this.#deletedCount + this.#tail.size;
  }

  get(key: Key): V | undefined {
    const at = this.#find(key);
    return at < 0 ? this.#tail.get(key) : this.#values[at];
  }

  has(key: Key): boolean {
    return this.get(key) !== undefined;
  }

  set(key: Key, value: V): void {
    this.exchange(key, value);
  }

  /** Stores `value` and returns what was there before. */
  exchange(key: Key, value: V): V | undefined {
    const keys = this.#keys;
    if (keys.length === 0 || key > keys[keys.length - 1]!) {
      keys.push(key);
      this.#values.push(value);
      return undefined;
    }
    const at = this.#find(key);
    if (at < 0) {
      const former = this.#tail.get(key);
      this.#tail.set(key, value);
      return former;
    }
    const former = this.#values[at];
    this.#values[at] = value;
    if (former === undefined) this.#deletedCount--;
    return former;
  }

  /** True when there was something to delete. */
  delete(key: Key): boolean {
    const at = this.#find(key);
    if (at < 0) return this.#tail.delete(key);
    if (this.#values[at] === undefined) return false;
    this.#values[at] = undefined;
    this.#deletedCount++;
    return true;
  }

  /** All keys, ascending. Valid until the next change. */
  keys(): readonly Key[] {
    if (this.#tail.size > 0 || this.#deletedCount > 0) this.#tidy();
    return this.#keys;
  }

  /** Pairs in no particular order, as they are when the walk gets there. */
  *entries(): Generator<[Key, V], void, undefined> {
    const keys = this.#keys;
    const values = this.#values;
    for (let at = 0; at < keys.length; at++) {
      const value = values[at];
      if (value !== undefined) yield [keys[at]!, value];
    }
    yield* this.#tail;
  }

  /** {@link entries} without a pair made for each, for commits: they come to every row. */
  forEach(visit: (key: Key, value: V) => void): void {
    const keys = this.#keys;
    const values = this.#values;
    for (let at = 0; at < keys.length; at++) {
      const value = values[at];
      if (value !== undefined) visit(keys[at]!, value);
    }
    for (const [key, value] of this.#tail) visit(key, value);
  }

  clone(): SortedMap<V> {
    const copy = new SortedMap<V>();
    for (const key of this.keys()) copy.set(key, this.get(key)!);
    return copy;
  }

  /** Where `key` is in #keys; negative when it is not there. */
  #find(key: Key): number {
    const keys = this.#keys;
    // Most reads are of rows that the store has already: their revisions are below all that wait here.
    if (keys.length === 0 || key < keys[0]!) return -1;
    const at = lowerBound(keys, key);
    return keys[at] === key ? at : -1;
  }

  #tidy(): void {
    // Without a comparator strings are ordered by code units, which for latin1 strings is byte order.
    const tail = [...this.#tail.keys()].sort();
    const keys: Key[] = [];
    const values: (V | undefined)[] = [];
    let t = 0;
    for (let at = 0; at < this.#keys.length; at++) {
      const key = this.#keys[at]!;
      for (; t < tail.length && tail[t]! < key; t++) {
        keys.push(tail[t]!);
        values.push(this.#tail.get(tail[t]!));
      }
      if (this.#values[at] === undefined) continue;
      keys.push(key);
      values.push(this.#values[at]);
    }
    this.#keys = keys;
    this.#values = values;
    this.#tail.clear();
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
