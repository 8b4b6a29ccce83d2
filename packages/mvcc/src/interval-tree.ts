/**
 * Half-open intervals of keys with the question "which of them hold this key?": a tree ordered by (from, to) whose
 * nodes know the greatest `to` below them, so that whole subtrees that end too early are passed over. It is a treap;
 * the priorities are a scrambled count, which needs no source of randomness and is as good here, since nobody who
 * chooses the intervals gains anything from a deep tree of his own watches.
 */
import type { Key } from '@quorate/base';

/** As `to`: no end. Greater than every key, because keys have one byte per character. */
export const unbounded: Key = '\uffff';

interface Node<T> {
  readonly from: Key;
  readonly to: Key;
  readonly value: T;
  readonly priority: number;
  left: Node<T> | undefined;
  right: Node<T> | undefined;
  /** Greatest `to` in this subtree. */
  max: Key;
}

/** Values by interval, one each. */
export class IntervalTree<T> {
  #root: Node<T> | undefined;
  #added = 0;

  /** The value of exactly this interval. */
  get(from: Key, to: Key): T | undefined {
    let node = this.#root;
    while (node !== undefined) {
      if (from === node.from && to === node.to) return node.value;
      node = isBefore(from, to, node) ? node.left : node.right;
    }
    return undefined;
  }

  /** Adds an interval that is not there yet. */
  add(from: Key, to: Key, value: T): void {
    const priority = scramble(++this.#added);
    const node: Node<T> = { from, to, value, priority, left: undefined, right: undefined, max: to };
    this.#root = insert(this.#root, node);
  }

  /** Removes an interval; fine when it is absent. */
  remove(from: Key, to: Key): void {
    this.#root = removed(this.#root, from, to);
  }

  /** Calls `visit` for every interval with from <= key < to, in order. The tree must not change meanwhile. */
  stab(key: Key, visit: (value: T) => void): void {
    stabNode(this.#root, key, visit);
  }
}

function stabNode<T>(node: Node<T> | undefined, key: Key, visit: (value: T) => void): void {
  let at = node;
  while (at !== undefined && at.max > key) {
    stabNode(at.left, key, visit);
    // Everything to the right begins even later.
    if (at.from > key) return;
    if (at.to > key) visit(at.value);
    at = at.right;
  }
}

function isBefore<T>(from: Key, to: Key, node: Node<T>): boolean {
  return from === node.from ? to < node.to : from < node.from;
}

function insert<T>(into: Node<T> | undefined, node: Node<T>): Node<T> {
  if (into === undefined) return node;
  if (node.priority > into.priority) {
    const [left, right] = split(into, node.from, node.to);
    node.left = left;
    node.right = right;
    return measured(node);
  }
  if (isBefore(node.from, node.to, into)) into.left = insert(into.left, node);
  else into.right = insert(into.right, node);
  return measured(into);
}

/** Parts a subtree into what is before the interval and what is not. */
function split<T>(node: Node<T> | undefined, from: Key, to: Key): [Node<T> | undefined, Node<T> | undefined] {
  if (node === undefined) return [undefined, undefined];
  if (isBefore(from, to, node)) {
    const [left, right] = split(node.left, from, to);
    node.left = right;
    return [left, measured(node)];
  }
  const [left, right] = split(node.right, from, to);
  node.right = left;
  return [measured(node), right];
}

function removed<T>(node: Node<T> | undefined, from: Key, to: Key): Node<T> | undefined {
  if (node === undefined) return undefined;
  if (from === node.from && to === node.to) return joined(node.left, node.right);
  if (isBefore(from, to, node)) node.left = removed(node.left, from, to);
  else node.right = removed(node.right, from, to);
  return measured(node);
}

/** Joins two subtrees of which `left` is before `right`. */
function joined<T>(left: Node<T> | undefined, right: Node<T> | undefined): Node<T> | undefined {
  if (left === undefined) return right;
  if (right === undefined) return left;
  if (left.priority > right.priority) {
    left.right = joined(left.right, right);
    return measured(left);
  }
  right.left = joined(left, right.left);
  return measured(right);
}

/** Brings `max` up to date after the children changed. */
function measured<T>(node: Node<T>): Node<T> {
  let max = node.to;
  if (node.left !== undefined && node.left.max > max) max = node.left.max;
  if (node.right !== undefined && node.right.max > max) max = node.right.max;
  node.max = max;
  return node;
}

/** A bijection of 32-bit numbers without pattern (the finisher of MurmurHash3). */
function scramble(count: number): number {
  let bits = count;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
