/**
 * An ordered map from key to a small whole number, made for the index: a B+ tree whose leaves are linked in both
 * directions.
 *
 * The sign of a value says whether its key is alive (>= 0) or a tombstone (< 0), and every node knows how many living
 * keys are below it and the highest stamp (revision) any change below it carried. So the keys alive in a range are
 * counted in the time of two descents, and even at an older revision only the parts that changed since then are
 * looked at one by one.
 */
import { invariant, type Key } from '@quorate/base';
import type { BuiltTree } from './btree-builder.ts';
import { Inner, Leaf, type Node } from './btree-node.ts';
import { NodeMemory } from './node-memory.ts';
import { nodeMax } from './packed-keys.ts';

/** A node smaller than this is merged with a neighbour when both fit into one. */
const nodeMin = nodeMax / 4;

/** A place between keys: at the key `index` of `leaf`, or behind the last key of the last leaf. */
export class Position {
  leaf: Leaf;
  index: number;

  constructor(leaf: Leaf, index: number) {
    this.leaf = leaf;
    this.index = index;
  }

  /** The key there. Makes a string: for those who need it. */
  get key(): Key {
    return this.leaf.keyAt(this.index);
  }
}

/** The map. Stamps must not decrease from one {@link exchange} to the next. */
export class BTree {
  #memory = new NodeMemory();
  #root: Node = new Leaf(this.#memory);
  /** Inner levels above the leaves. */
  #height = 0;
  #size = 0;
  // The way of the last descent: inner nodes from the root down, and which child was taken.
  readonly #path: Inner[] = [];
  readonly #slots: number[] = [];
  /** Characters that the key of the last descent shares with all keys of the leaf it came to, as far as that is known. */
  #known = 0;

  /** Takes the place of an empty tree. */
  adopt({ memory, root, height, size }: BuiltTree): void {
    invariant(this.#size === 0, 'a tree with keys is replaced', { size: this.#size });
    this.#memory = memory;
    this.#root = root;
    this.#height = height;
    this.#size = size;
  }

  /** Keys, dead ones included. */
  get size(): number {
    return this.#size;
  }

  /** Living keys. */
  get live(): number {
    return this.#root.live;
  }

  /** The value of `key`, undefined when it is not in the map. */
  get(key: Key): number | undefined {
    const leaf = this.#descend(key);
    const index = leaf.find(key, this.#known);
    return index >= 0 ? leaf.valueAt(index) : undefined;
  }

  /** Sets the value of `key` and returns the one before, undefined when there was none. */
  exchange(key: Key, value: number, stamp: number): number | undefined {
    const leaf = this.#descend(key);
    const found = leaf.find(key, this.#known);
    const index = found >= 0 ? found : ~found;
    const old = found >= 0 ? leaf.valueAt(index) : undefined;
    if (old === undefined) {
      leaf.insert(index, key, value);
      this.#size++;
    } else {
      leaf.setValue(index, value);
    }
    const delta = (value >= 0 ? 1 : 0) - (old !== undefined && old >= 0 ? 1 : 0);
    leaf.live += delta;
    leaf.stamp = stamp;
    for (let depth = this.#height - 1; depth >= 0; depth--) {
      const inner = this.#path[depth]!;
      inner.live += delta;
      inner.stamp = stamp;
    }
    if (leaf.isTooBig) this.#splitLeaf(leaf, index);
    return old;
  }

  /** Takes `key` out. Returns whether it was there. */
  delete(key: Key): boolean {
    const leaf = this.#descend(key);
    const index = leaf.find(key, this.#known);
    if (index < 0) return false;
    const isLive = leaf.valueAt(index) >= 0;
    leaf.remove(index);
    this.#size--;
    if (isLive) {
      leaf.live--;
      for (let depth = this.#height - 1; depth >= 0; depth--) this.#path[depth]!.live--;
    }
    if (leaf.count < nodeMin) this.#shrink(leaf);
    return true;
  }

  /** Where `key` is, or the first key above it. */
  seek(key: Key): Position {
    const leaf = this.#descend(key);
    const index = leaf.lowerBound(key, this.#known);
    return index === leaf.count && leaf.next !== undefined ? new Position(leaf.next, 0) : new Position(leaf, index);
  }

  /** Behind the last key. */
  end(): Position {
    let node = this.#root;
    for (let level = this.#height; level > 0; level--) node = (node as Inner).children.at(-1)!;
    const leaf = node as Leaf;
    return new Position(leaf, leaf.count);
  }

  /**
   * Keys in [from, to) alive at stamp `at`; `to` undefined means no upper bound. `aliveAt` judges a value whose leaf
   * changed after `at`.
   */
  count(from: Key, to: Key | undefined, at: number, aliveAt: (value: number) => boolean): number {
    return to !== undefined && to <= from ? 0 : countBelow(this.#root, this.#height, { at, aliveAt }, from, to);
  }

  /**
   * Throws FatalError when the structure contradicts itself. Looks at everything: for tests and expensive invariants.
   */
  audit(): void {
    const totals = auditNode(this.#root, this.#height, undefined, undefined);
    invariant(totals.size === this.#size, 'tree size is wrong', { size: this.#size, found: totals.size });
    let leaves = 0;
    let leaf: Leaf | undefined = this.seek('').leaf;
    while (leaf.previous !== undefined) leaf = leaf.previous;
    for (; leaf !== undefined; leaf = leaf.next) {
      invariant(leaf.next === undefined || leaf.next.previous === leaf, 'leaf links disagree');
      leaves++;
    }
    invariant(leaves === totals.leaves, 'leaf chain is incomplete', { leaves, found: totals.leaves });
    const { inUse } = this.#memory;
    invariant(inUse === totals.nodes, 'memory of nodes was not given back', { inUse, nodes: totals.nodes });
  }

  #descend(key: Key): Leaf {
    let node = this.#root;
    let known = 0;
    for (let depth = 0; depth < this.#height; depth++) {
      const inner = node as Inner;
      const slot = inner.upperBound(key, known);
      this.#path[depth] = inner;
      this.#slots[depth] = slot;
      known = inner.knownBelow(slot, known);
      node = inner.children[slot]!;
    }
    this.#known = known;
    return node as Leaf;
  }

  /** `index` is where the key that made it too big went. */
  #splitLeaf(leaf: Leaf, index: number): void {
    // Keys that arrive in order at the right edge would leave half-empty leaves behind: there the old leaf stays full.
    const appended = leaf.next === undefined && index === leaf.count - 1;
    const right = leaf.split(appended ? index : leaf.count >>> 1);
    this.#addChild(this.#height - 1, leaf, right.keyAt(0), right);
  }

  /** Puts `right` behind `left` into the inner node at `depth` of the last descent; at -1 the tree grows a level. */
  #addChild(depth: number, left: Node, separator: Key, right: Node): void {
    if (depth < 0) {
      const root = new Inner(this.#memory);
      root.insert(0, separator, 0);
      root.take([left, right]);
      this.#root = root;
      this.#height++;
      return;
    }
    const inner = this.#path[depth]!;
    const slot = this.#slots[depth]!;
    inner.insert(slot, separator, 0);
    inner.children.splice(slot + 1, 0, right);
    if (inner.children.length <= nodeMax && !inner.isTooBig) return;
    const at = inner.children.length >>> 1;
    const sibling = new Inner(this.#memory);
    inner.moveTo(sibling, at);
    sibling.take(inner.children.splice(at));
    const between = inner.keyAt(at - 1);
    inner.cut(at - 1);
    inner.live -= sibling.live;
    this.#addChild(depth - 1, inner, between, sibling);
  }

  /** After a removal below the last descent: drops empty nodes, merges small ones, lowers the tree. */
  #shrink(leaf: Leaf): void {
    let node: Node = leaf;
    for (let depth = this.#height - 1; depth >= 0; depth--) {
      const parent = this.#path[depth]!;
      const slot = this.#slots[depth]!;
      if (fill(node) === 0) dropChild(parent, slot);
      else if (!maybeMerge(parent, slot) && !maybeMerge(parent, slot - 1)) break;
      if (parent.children.length >= nodeMin) break;
      node = parent;
    }
    while (this.#height > 0 && (this.#root as Inner).children.length === 1) {
      const [only] = (this.#root as Inner).children;
      this.#root.release();
      this.#root = only!;
      this.#height--;
    }
    if (this.#height > 0 && fill(this.#root) === 0) {
      this.#root.release();
      this.#root = new Leaf(this.#memory);
      this.#height = 0;
    }
  }
}

/** Keys in a leaf, children of an inner node. */
function fill(node: Node): number {
  return node instanceof Leaf ? node.count : node.children.length;
}

/** Takes an empty child out. */
function dropChild(parent: Inner, slot: number): void {
  const [child] = parent.children.splice(slot, 1);
  if (parent.count > 0) parent.remove(Math.max(slot - 1, 0));
  child?.release();
}

/** Merges children `slot` and `slot + 1` into the left one when both exist and fit. */
function maybeMerge(parent: Inner, slot: number): boolean {
  const left = parent.children[slot];
  const right = parent.children[slot + 1];
  if (left === undefined || right === undefined) return false;
  if (fill(left) + fill(right) > nodeMax || !left.hasRoomFor(right)) return false;
  if (left instanceof Leaf && right instanceof Leaf) {
    left.append(right);
  } else if (left instanceof Inner && right instanceof Inner) {
    left.insert(left.count, parent.keyAt(slot), 0);
    left.append(right);
    left.children.push(...right.children);
  }
  right.release();
  left.live += right.live;
  left.stamp = Math.max(left.stamp, right.stamp);
  parent.remove(slot);
  parent.children.splice(slot + 1, 1);
  return true;
}

interface Moment {
  readonly at: number;
  readonly aliveAt: (value: number) => boolean;
}

/** `from` and `to` are undefined where the node's own bounds are inside the range. */
function countBelow(node: Node, height: number, moment: Moment, from: Key | undefined, to: Key | undefined): number {
  const unchanged = node.stamp <= moment.at;
  if (unchanged && from === undefined && to === undefined) return node.live;
  let count = 0;
  if (height === 0) {
    const leaf = node as Leaf;
    const end = to === undefined ? leaf.count : leaf.lowerBound(to);
    for (let i = from === undefined ? 0 : leaf.lowerBound(from); i < end; i++) {
      const value = leaf.valueAt(i);
      if (unchanged ? value >= 0 : moment.aliveAt(value)) count++;
    }
    return count;
  }
  const inner = node as Inner;
  const { children } = inner;
  const first = from === undefined ? 0 : inner.upperBound(from);
  const last = to === undefined ? children.length - 1 : inner.upperBound(to);
  for (let i = first; i <= last; i++) {
    const childFrom = i === first ? from : undefined;
    const childTo = i === last ? to : undefined;
    count += countBelow(children[i]!, height - 1, moment, childFrom, childTo);
  }
  return count;
}

/** Checks a subtree whose keys must lie in [from, to); returns what is in it. */
function auditNode(
  node: Node,
  height: number,
  from: Key | undefined,
  to: Key | undefined,
): { size: number; leaves: number; nodes: number } {
  invariant(node.isSound(), 'keys of a node are misshapen');
  for (let i = 0; i < node.count; i++) {
    const key = node.keyAt(i);
    invariant((from === undefined || from <= key) && (to === undefined || key < to), 'key is under the wrong node');
  }
  if (height === 0) {
    invariant(node instanceof Leaf && node.live === node.countLive(), 'leaf is misshapen');
    return { size: node.count, leaves: 1, nodes: 1 };
  }
  invariant(node instanceof Inner && node.children.length === node.count + 1, 'inner node is misshapen');
  const totals = { size: 0, leaves: 0, nodes: 1 };
  let live = 0;
  node.children.forEach((child, i) => {
    invariant(child.stamp <= node.stamp, 'stamp of a child is above its parent');
    const low = i === 0 ? from : node.keyAt(i - 1);
    const below = auditNode(child, height - 1, low, i === node.count ? to : node.keyAt(i));
    totals.size += below.size;
    totals.leaves += below.leaves;
    totals.nodes += below.nodes;
    live += child.live;
  });
  invariant(live === node.live, 'live count of an inner node is wrong');
  return totals;
}
