/** The nodes of the B+ tree (btree.ts). Only BTree and its builder change them. */
import { PackedKeys } from './packed-keys.ts';

/** Keys next to each other; the values are the tree's. */
export class Leaf extends PackedKeys {
  /** Living keys: values that are 0 or more. */
  live = 0;
  /** No change carried a higher stamp. May be higher than needed. */
  stamp = 0;
  next: Leaf | undefined = undefined;
  previous: Leaf | undefined = undefined;

  /** Values that stand for a living key. */
  countLive(): number {
    let live = 0;
    for (let i = 0; i < this.count; i++) if (this.valueAt(i) >= 0) live++;
    return live;
  }

  /** Moves the keys from `index` on to a leaf behind this one. */
  split(index: number): Leaf {
    const right = new Leaf(this.memory);
    this.moveTo(right, index);
    right.stamp = this.stamp;
    right.live = right.countLive();
    this.live -= right.live;
    right.next = this.next;
    right.previous = this;
    if (this.next !== undefined) this.next.previous = right;
    this.next = right;
    return right;
  }

  /** Takes this leaf out of the chain, too. */
  override release(): void {
    super.release();
    if (this.previous !== undefined) this.previous.next = this.next;
    if (this.next !== undefined) this.next.previous = this.previous;
  }
}

/** Children, and between each two of them the lowest key of the right one (or one that once was). Values mean nothing. */
export class Inner extends PackedKeys {
  children: Node[] = [];
  /** Living keys below. */
  live = 0;
  /** No change below carried a higher stamp. May be higher than needed. */
  stamp = 0;

  /** Takes these children, which it has none of yet. */
  take(children: Node[]): void {
    this.children = children;
    for (const child of children) {
      this.live += child.live;
      if (child.stamp > this.stamp) this.stamp = child.stamp;
    }
  }

  /**
   * How many bytes `key` shares with all keys of the child at `slot`, where a descent for `key` left this node and `known` were shared
   * with its own. Only a child between two keys is known to share what these two do.
   */
  knownBelow(slot: number, known: number): number {
    return slot > 0 && slot < this.count ? this.skip : known;
  }
}

export type Node = Leaf | Inner;
