/** Building a B+ tree (btree.ts) from keys in order: leaves one after the other, then the levels above them. */
import { invariant, type Key } from '@quorate/base';
import { Inner, Leaf, type Node } from './btree-node.ts';

/** Keys of a leaf and children of an inner node: three quarters of what they take, so that a few more do not split them. */
const nodeFill = 48;

/** Inner nodes made between two chances to let others run. */
const parentsPerSlice = 200;

/** A whole tree, for BTree to take. */
export interface BuiltTree {
  readonly root: Node;
  /** Inner levels above the leaves. */
  readonly height: number;
  readonly size: number;
}

/** Takes keys one by one. */
export class BTreeBuilder {
  readonly #leaves: Leaf[] = [];
  #keys: Key[] = [];
  #values: number[] = [];
  #stamp = 0;
  #size = 0;

  /** Adds a key above all before. `stamp`: no change of it carried a higher one. */
  add(key: Key, value: number, stamp: number): void {
    if (this.#keys.length === nodeFill) this.#endLeaf();
    this.#keys.push(key);
    this.#values.push(value);
    if (stamp > this.#stamp) this.#stamp = stamp;
    this.#size++;
  }

  /** The tree, a slice at each step: it takes time by the number of leaves. */
  *finish(): Generator<void, BuiltTree> {
    if (this.#keys.length > 0 || this.#size === 0) this.#endLeaf();
    let level: readonly Node[] = this.#leaves;
    let lowest: readonly Key[] = this.#leaves.map((leaf) => leaf.keys[0] ?? '');
    let height = 0;
    while (level.length > 1) {
      const starts = startsOfGroups(level.length);
      const parents: Inner[] = [];
      const lows: Key[] = [];
      for (const [i, from] of starts.entries()) {
        parents.push(parentOf(level, lowest, { from, to: starts[i + 1] ?? level.length }));
        lows.push(lowest[from]!);
        if (i % parentsPerSlice === parentsPerSlice - 1) yield;
      }
      level = parents;
      lowest = lows;
      height++;
    }
    return { root: level[0]!, height, size: this.#size };
  }

  #endLeaf(): void {
    const leaf = new Leaf(this.#keys, this.#values, this.#stamp);
    const previous = this.#leaves.at(-1);
    if (previous !== undefined) {
      invariant(previous.keys.at(-1)! < leaf.keys[0]!, 'a tree is built from keys out of order');
      previous.next = leaf;
      leaf.previous = previous;
    }
    this.#leaves.push(leaf);
    this.#keys = [];
    this.#values = [];
    this.#stamp = 0;
  }
}

/** Where groups of about equal size begin. */
function startsOfGroups(count: number): number[] {
  const groups = Math.ceil(count / nodeFill);
  return Array.from({ length: groups }, (_, i) => Math.floor((i * count) / groups));
}

/** The parent of the nodes [from, to); `lowest` has the lowest key of each. */
function parentOf(
  nodes: readonly Node[],
  lowest: readonly Key[],
  { from, to }: { readonly from: number; readonly to: number },
): Inner {
  const children = nodes.slice(from, to);
  const stamp = children.reduce((highest, child) => Math.max(highest, child.stamp), 0);
  return new Inner(lowest.slice(from + 1, to), children, stamp);
}
