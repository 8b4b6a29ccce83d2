/**
 * The index: for every key its versions, in key order. Values in the tree are ids of the newest version; a key whose
 * newest version is a tombstone has the id's complement, which is negative, so that the tree can count the living.
 * There is no hash map beside the tree: with a million keys it finds one sooner, but holds the event
 * loop for 20 to 40 ms whenever it doubles (measured from 500,000 keys on), and puts need the way down the tree
 * anyway.
 *
 * Compaction to revision C forgets, for each key, everything behind its newest version at or before C, and that one
 * too when it is a tombstone before C (one at exactly C stays until the next compaction, so that a watch from C still
 * sees the delete). Reads at C or later never look at what is forgotten, so forgetting may take its time. It costs by
 * what there is to forget, not by what there is: two queues remember, in order of time, which versions stand behind a
 * newer one and which are tombstones.
 */
import { invariant, type Key } from '@quorate/base';
import { BTree, type Position } from './btree.ts';
import type { Leaf } from './btree-node.ts';
import { Fifo } from './fifo.ts';
import type { LoadedIndex, Tombstone } from './index-loader.ts';
import { none, VersionTable } from './key-index.ts';

/** Called for keys of a range with the id of the version; false ends the walk. `place` is good for the time of the call. */
export type Visit = (id: number, place: Position) => boolean;

/** Part of the key space at a revision; `to` undefined means no upper bound. */
export interface IndexRange {
  readonly from: Key;
  readonly to: Key | undefined;
  readonly at: number;
}

/** Ids looked at between two chances to let others run. */
const idsPerSlice = 100_000;

/** Keys to versions. */
export class TreeIndex {
  readonly versions: VersionTable = new VersionTable();
  readonly #tree = new BTree();
  /** Versions that have an older one behind them (or had), oldest first. */
  readonly #superseding = new Fifo<number>();
  /** Tombstones that no compaction has taken yet, oldest first. */
  readonly #tombstones = new Fifo<Tombstone>();

  /** Living keys. */
  get keyCount(): number {
    return this.#tree.live;
  }

  /** Adds a put and returns its id. Revisions must rise from one change to the next. */
  put(key: Key, main: number, sub: number): number {
    const id = this.versions.take();
    const older = this.#setNewest(key, id, id, main);
    this.versions.setPut(id, main, sub, older);
    return id;
  }

  /** Adds a tombstone. The key must be alive. */
  tombstone(key: Key, main: number, sub: number): void {
    const older = this.#addTombstone(key, main, sub);
    invariant(older !== none && !this.versions.isTombstone(older), 'tombstone for a key that is not there');
  }

  /** Takes what a loader of {@link versions} built, a slice at each step. The index must be empty. */
  *adopt({ tree, tombstones, end }: LoadedIndex): Generator<void> {
    this.#tree.adopt(tree);
    for (const tombstone of tombstones) this.#tombstones.push(tombstone);
    for (let id = 0; id < end; id++) {
      if (this.versions.older(id) !== none) this.#superseding.push(id);
      if (id % idsPerSlice === idsPerSlice - 1) yield;
    }
  }

  /** The version of `key` that lives at revision `at`, or none. */
  find(key: Key, at: number): number {
    const id = this.findAny(key, at);
    return id === none || this.versions.isTombstone(id) ? none : id;
  }

  /** The newest version or tombstone of `key` at or before revision `at`, or none. */
  findAny(key: Key, at: number): number {
    const value = this.#tree.get(key);
    return value === undefined ? none : this.versions.at(value >= 0 ? value : ~value, at);
  }

  /** Keys alive in a range. */
  count(range: IndexRange): number {
    return this.#tree.count(range.from, range.to, range.at, (value) => this.#aliveAt(value, range.at) !== none);
  }

  /**
   * Visits the keys alive in a range in ascending order. The index must not change meanwhile. Stops after it has looked at
   * `keysMax` keys, dead or alive, and returns the one to go on with; undefined when there is none, or `visit` ended the walk.
   */
  ascend(range: IndexRange, visit: Visit, keysMax: number = Number.POSITIVE_INFINITY): Key | undefined {
    if (range.to !== undefined && range.to <= range.from) return undefined;
    let keysLeft = keysMax;
    const place = this.#tree.seek(range.from);
    const end = range.to === undefined ? this.#tree.end() : this.#tree.seek(range.to);
    for (let leaf: Leaf | undefined = place.leaf; leaf !== undefined; leaf = leaf.next) {
      place.leaf = leaf;
      const stop = leaf === end.leaf ? end.index : leaf.count;
      if (mayLive(leaf, range.at)) {
        for (; place.index < stop; place.index++) {
          if (keysLeft-- <= 0) return place.key;
          const id = this.#aliveAt(leaf.valueAt(place.index), range.at);
          if (id !== none && !visit(id, place)) return undefined;
        }
      }
      if (leaf === end.leaf) return undefined;
      place.index = 0;
    }
    return undefined;
  }

  /** The same in descending order. */
  descend(range: IndexRange, visit: Visit, keysMax: number = Number.POSITIVE_INFINITY): Key | undefined {
    if (range.to !== undefined && range.to <= range.from) return undefined;
    let keysLeft = keysMax;
    const start = this.#tree.seek(range.from);
    const place = range.to === undefined ? this.#tree.end() : this.#tree.seek(range.to);
    place.index--;
    for (let leaf: Leaf | undefined = place.leaf; leaf !== undefined; leaf = leaf.previous) {
      place.leaf = leaf;
      const stop = leaf === start.leaf ? start.index : 0;
      if (mayLive(leaf, range.at)) {
        for (; place.index >= stop; place.index--) {
          if (keysLeft-- <= 0) return place.key;
          const id = this.#aliveAt(leaf.valueAt(place.index), range.at);
          if (id !== none && !visit(id, place)) return undefined;
        }
      }
      if (leaf === start.leaf) return undefined;
      place.index = (leaf.previous?.count ?? 0) - 1;
    }
    return undefined;
  }

  /**
   * Forgets up to `max` versions that compaction to `compactRevision` drops, older ones of a key before newer ones,
   * and tells `forget` before each. Returns how many; fewer than `max` means that all is done.
   */
  collect(compactRevision: number, max: number, forget: (id: number) => void): number {
    let count = 0;
    while (count < max) {
      const id = this.#superseding.peek();
      if (id === undefined || this.versions.main(id) > compactRevision) break;
      this.#superseding.shift();
      const older = this.versions.older(id);
      // A tombstone may have gone before, when an earlier compaction passed it.
      if (older === none) continue;
      invariant(this.versions.older(older) === none, 'versions are compacted out of order');
      forget(older);
      this.versions.cut(id);
      this.versions.free(older);
      count++;
    }
    while (count < max) {
      const tombstone = this.#tombstones.peek();
      if (tombstone === undefined || tombstone.main >= compactRevision) break;
      this.#tombstones.shift();
      // Freed above with the versions behind newer ones, or even taken again since: then it carries another revision.
      if (this.versions.main(tombstone.id) !== tombstone.main) continue;
      forget(tombstone.id);
      this.#unlink(tombstone);
      this.versions.free(tombstone.id);
      count++;
    }
    return count;
  }

  /** Every key with its versions, oldest first, as text. For tests and expensive invariants. */
  *dump(): Generator<string> {
    this.#tree.audit();
    let leaf: Leaf | undefined = this.#tree.seek('').leaf;
    while (leaf.previous !== undefined) leaf = leaf.previous;
    for (; leaf !== undefined; leaf = leaf.next) {
      for (let i = 0; i < leaf.count; i++) {
        const value = leaf.valueAt(i);
        yield `${JSON.stringify(leaf.keyAt(i))} ${this.#describe(value >= 0 ? value : ~value)}`;
      }
    }
  }

  #addTombstone(key: Key, main: number, sub: number): number {
    const id = this.versions.take();
    const older = this.#setNewest(key, id, ~id, main);
    this.versions.setTombstone(id, main, sub, older);
    this.#tombstones.push({ key, id, main });
    return older;
  }

  /** Makes `id` the newest version of `key`. Returns the one before, or none. */
  #setNewest(key: Key, id: number, value: number, main: number): number {
    const old = this.#tree.exchange(key, value, main);
    if (old === undefined) return none;
    this.#superseding.push(id);
    return old >= 0 ? old : ~old;
  }

  #aliveAt(value: number, at: number): number {
    const id = this.versions.at(value >= 0 ? value : ~value, at);
    return id === none || this.versions.isTombstone(id) ? none : id;
  }

  /** Takes a tombstone that is the oldest of its key out of the chain. */
  #unlink(tombstone: Tombstone): void {
    const value = this.#tree.get(tombstone.key);
    invariant(value !== undefined, 'tombstone of an unknown key');
    let id = value >= 0 ? value : ~value;
    if (id === tombstone.id) {
      this.#tree.delete(tombstone.key);
      return;
    }
    while (this.versions.older(id) !== tombstone.id) {
      id = this.versions.older(id);
      invariant(id !== none, 'tombstone is not in the chain of its key');
    }
    this.versions.cut(id);
  }

  #describe(newest: number): string {
    const parts: string[] = [];
    for (let id = newest; id !== none; id = this.versions.older(id)) {
      const at = `${this.versions.main(id)}.${this.versions.sub(id)}`;
      const { versions } = this;
      parts.push(versions.isTombstone(id) ? `${at}(t)` : `${at}(${versions.created(id)},${versions.version(id)})`);
    }
    return parts.reverse().join(' ');
  }
}

/** False when every key of the leaf is dead at `at`: ranges pass over deleted keys in strides. */
function mayLive(leaf: Leaf, at: number): boolean {
  return leaf.live > 0 || leaf.stamp > at;
}
