/** Building a B+ tree (btree.ts) from keys in order: leaves one after the other, then the levels above them. */
import { invariant, type Key } from '@quorate/base';
import { Inner, Leaf, type Node } from './btree-node.ts';
import type { KeyPlace } from './key-run.ts';
import { NodeMemory } from './node-memory.ts';

/** Keys of a leaf and children of an inner node: three quarters of what they take, so that a few more do not split them. */
const nodeFill = 48;

/** Inner nodes made between two chances to let others run. */
const parentsPerSlice = 200;

/** A whole tree, for BTree to take. */
export interface BuiltTree {
  readonly memory: NodeMemory;
  readonly root: Node;
  /** Inner levels above the leaves. */
  readonly height: number;
  readonly size: number;
}

/** Takes keys one by one. */
export class BTreeBuilder {
  readonly #memory = new NodeMemory();
  readonly #leaves: Leaf[] = [];
  /** The lowest key of each. */
  readonly #lowest: Key[] = [];
  /** The one that is being filled. */
  readonly #filling = new Leaf(this.#memory);
  #size = 0;

  /** Adds a key above all before. `stamp`: no change of it carried a higher one. */
  add(key: KeyPlace, value: number, stamp: number): void {
    const filling = this.#filling;
    if (filling.count === nodeFill || filling.isTooBig) this.#endLeaf();
    filling.push(key, value);
    if (stamp > filling.stamp) filling.stamp = stamp;
    this.#size++;
  }

  /** The tree, a slice at each step: it takes time by the number of leaves. */
  *finish(): Generator<void, BuiltTree> {
    if (this.#filling.count > 0 || this.#size === 0) this.#endLeaf();
    this.#filling.release();
    let level: readonly Node[] = this.#leaves;
    let lowest: readonly Key[] = this.#lowest;
    let height = 0;
    while (level.length > 1) {
      const starts = startsOfGroups(level.length);
      const parents: Inner[] = [];
      const lows: Key[] = [];
      for (const [i, from] of starts.entries()) {
        parents.push(this.#parentOf(level, lowest, { from, to: starts[i + 1] ?? level.length }));
        lows.push(lowest[from]!);
        if (i % parentsPerSlice === parentsPerSlice - 1) yield;
      }
      level = parents;
      lowest = lows;
      height++;
    }
    return { memory: this.#memory, root: level[0]!, height, size: this.#size };
  }

  /** The parent of the nodes [from, to); `lowest` has the lowest key of each. */
  #parentOf(
    nodes: readonly Node[],
    lowest: readonly Key[],
    { from, to }: { readonly from: number; readonly to: number },
  ): Inner {
    const parent = new Inner(this.#memory);
    for (let i = from + 1; i < to; i++) parent.insert(i - from - 1, lowest[i]!, 0);
    parent.take(nodes.slice(from, to));
    return parent;
  }

  #endLeaf(): void {
    const filling = this.#filling;
    const leaf = new Leaf(this.#memory);
    filling.copyTo(leaf);
    leaf.live = leaf.countLive();
    leaf.stamp = filling.stamp;
    const lowest = leaf.count === 0 ? '' : leaf.keyAt(0);
    const previous = this.#leaves.at(-1);
    if (previous !== undefined) {
      invariant(previous.keyAt(previous.count - 1) < lowest, 'a tree is built from keys out of order');
      previous.next = leaf;
      leaf.previous = previous;
    }
    this.#leaves.push(leaf);
    this.#lowest.push(lowest);
    filling.clear();
    filling.stamp = 0;
  }
}

/** Where groups of about equal size begin. */
function startsOfGroups(count: number): number[] {
  const groups = Math.ceil(count / nodeFill);
  return Array.from({ length: groups }, (_, i) => Math.floor((i * count) / groups));
}
