/**
 * Watchers by what they watch: single keys in a map, ranges in an interval tree, with all watchers of one key or one
 * range together, so that a thousand clients with the same prefix are one interval.
 */
import type { Key } from '@quorate/base';
import { IntervalTree } from './interval-tree.ts';

/** What a group needs to know of its members. */
export interface Watching {
  readonly key: Key;
  /** Where the range ends, `unbounded` for never; undefined: just the key. */
  readonly end: Key | undefined;
}

/** A set of watchers that can be asked who watches a key. */
export class WatcherGroup<W extends Watching> {
  readonly #keys = new Map<Key, Set<W>>();
  readonly #ranges = new IntervalTree<Set<W>>();
  readonly #all = new Set<W>();

  get size(): number {
    return this.#all.size;
  }

  /** All of them, in the order they came in. The group may change while they are visited. */
  [Symbol.iterator](): IterableIterator<W> {
    return this.#all.values();
  }

  add(watcher: W): void {
    const { key, end } = watcher;
    this.#all.add(watcher);
    const together = end === undefined ? this.#keys.get(key) : this.#ranges.get(key, end);
    if (together !== undefined) together.add(watcher);
    else if (end === undefined) this.#keys.set(key, new Set([watcher]));
    else this.#ranges.add(key, end, new Set([watcher]));
  }

  remove(watcher: W): void {
    if (!this.#all.delete(watcher)) return;
    const { key, end } = watcher;
    const together = end === undefined ? this.#keys.get(key) : this.#ranges.get(key, end);
    together?.delete(watcher);
    if (together?.size !== 0) return;
    if (end === undefined) this.#keys.delete(key);
    else this.#ranges.remove(key, end);
  }

  /** Calls `visit` for each watcher of `key`. The group must not change meanwhile. */
  match(key: Key, visit: (watcher: W) => void): void {
    const exact = this.#keys.get(key);
    if (exact !== undefined) for (const watcher of exact) visit(watcher);
    this.#ranges.stab(key, (together) => {
      for (const watcher of together) visit(watcher);
    });
  }
}
