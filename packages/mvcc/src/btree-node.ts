/**
 * The nodes of the B+ tree (btree.ts), and how a key is found among the keys of one.
 *
 * Keys are strings, and looking at one costs a trip to wherever it lies in memory; six such trips per node were what a look-up
 * among a million keys spent its time on. So a node keeps beside its keys what tells them apart, one number each, side by side:
 * all its keys begin with the same `skip` characters, and a key's head is the four characters behind those, as a number that sorts
 * like them. Only keys whose heads are equal are looked at themselves.
 *
 * `skip` may be less than what the keys share, never more. Missing characters count as zeros, so heads of different keys may be
 * equal whatever `skip` is, and nothing depends on their being different.
 */
import type { Key } from '@quorate/base';

/** Characters in a head. */
const headLength = 4;
/** Heads are made anew when the keys of a node turn out to share this many characters more than are skipped. */
const skipSlack = 2;

/** What both kinds of nodes have. Only BTree changes them. */
class KeyNode {
  keys: Key[];
  heads: number[];
  skip: number;
  /** Living keys below. */
  live = 0;
  /** No change below carried a higher stamp. May be higher than needed. */
  stamp: number;

  constructor(keys: Key[], stamp: number) {
    this.keys = keys;
    this.heads = [];
    this.skip = 0;
    this.stamp = stamp;
    renewHeads(this);
  }
}

/** Keys next to each other, with their values. Fields are public for loops; only BTree changes them. */
export class Leaf extends KeyNode {
  values: number[];
  next: Leaf | undefined = undefined;
  previous: Leaf | undefined = undefined;

  /** `live` counts the values that are 0 or more. */
  constructor(keys: Key[], values: number[], stamp: number) {
    super(keys, stamp);
    this.values = values;
    this.live = countLive(values);
  }
}

/** Children, and between each two of them the lowest key of the right one (or one that once was). */
export class Inner extends KeyNode {
  children: Node[];

  constructor(keys: Key[], children: Node[], stamp: number) {
    super(keys, stamp);
    this.children = children;
    for (const child of children) this.live += child.live;
  }
}

export type Node = Leaf | Inner;

/** Values that stand for a living key. */
export function countLive(values: readonly number[]): number {
  let live = 0;
  for (const value of values) if (value >= 0) live++;
  return live;
}

/**
 * Index of the first key of `node` that is not below `key`. `known`: characters that `key` is known to share with all keys of the
 * node.
 */
export function lowerBound(node: Node, key: Key, known = 0): number {
  const { keys, heads, skip } = node;
  const side = sideOf(node, key, known);
  if (side !== 0) return side < 0 ? 0 : keys.length;
  const head = headAt(key, skip);
  let lo = 0;
  let hi = keys.length;
  while (lo < hi) {
    const middle = (lo + hi) >>> 1;
    const other = heads[middle]!;
    if (other < head || (other === head && keys[middle]! < key)) lo = middle + 1;
    else hi = middle;
  }
  return lo;
}

/** Index of the first key of `node` that is above `key`; `known` as in {@link lowerBound}. */
export function upperBound(node: Node, key: Key, known = 0): number {
  const at = lowerBound(node, key, known);
  // No two keys are the same. The string is looked at only when its head agrees.
  const isThere = at < node.keys.length && node.heads[at] === headAt(key, node.skip) && node.keys[at] === key;
  return isThere ? at + 1 : at;
}

/**
 * How many characters `key` shares with all keys of the child at `slot`, where a descent for `key` left `node` and `known` were
 * shared with the node's own. Only a child between two keys is known to share what these two do.
 */
export function knownBelow(node: Inner, slot: number, known: number): number {
  return slot > 0 && slot < node.keys.length ? node.skip : known;
}

/** Puts `key` where it belongs. */
export function insertKey(node: Node, index: number, key: Key): void {
  const { keys, skip } = node;
  const shared = keys.length === 0 ? 0 : sharedLength(key, keys[0]!, skip);
  keys.splice(index, 0, key);
  if (keys.length === 1 || shared < skip) renewHeads(node);
  else node.heads.splice(index, 0, headAt(key, skip));
}

/** Takes the key at `index` out. */
export function removeKey(node: Node, index: number): void {
  node.keys.splice(index, 1);
  node.heads.splice(index, 1);
}

/** Takes the keys from `index` on out and returns them. */
export function cutKeys(node: Node, index: number): Key[] {
  const taken = node.keys.splice(index);
  node.heads.length = index;
  const { keys } = node;
  // Two of its keys tell what sorted ones share.
  if (index > 0 && sharedLength(keys[0]!, keys[index - 1]!) >= node.skip + skipSlack) renewHeads(node);
  return taken;
}

/** Appends keys that are all above those of the node. */
export function appendKeys(node: Node, keys: readonly Key[]): void {
  for (const key of keys) node.keys.push(key);
  renewHeads(node);
}

/** Whether heads are what they are said to be: for audits. */
export function headsAreRight({ keys, heads, skip }: Node): boolean {
  if (heads.length !== keys.length) return false;
  return keys.every((key, i) => {
    const isShared = key.length >= skip && key.startsWith(keys[0]!.slice(0, skip));
    return isShared && heads[i] === headAt(key, skip) && (i === 0 || heads[i - 1]! <= heads[i]!);
  });
}

function renewHeads(node: Pick<KeyNode, 'keys' | 'heads' | 'skip'>): void {
  const { keys } = node;
  const count = keys.length;
  const skip = count === 0 ? 0 : sharedLength(keys[0]!, keys[count - 1]!);
  const heads: number[] = [];
  for (let i = 0; i < count; i++) heads.push(headAt(keys[i]!, skip));
  node.skip = skip;
  node.heads = heads;
}

/** 0 when `key` begins as the keys of `node` do; else negative when it is below all of them, positive when above. */
function sideOf(node: Node, key: Key, known: number): number {
  const { keys, skip } = node;
  if (skip <= known || keys.length === 0) return 0;
  const first = keys[0]!;
  const length = key.length;
  for (let i = known; i < skip; i++) {
    if (i >= length) return -1;
    const difference = key.charCodeAt(i) - first.charCodeAt(i);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** How many characters two keys have in common from the first on, up to `max`. */
function sharedLength(a: Key, b: Key, max: number = a.length): number {
  const end = Math.min(a.length, b.length, max);
  let i = 0;
  while (i < end && a.charCodeAt(i) === b.charCodeAt(i)) i++;
  return i;
}

/** Four characters of `key` as a signed number of 32 bits, which sorts as they do. */
function headAt(key: Key, at: number): number {
  const length = key.length;
  if (at + headLength <= length) {
    const bits =
      (key.charCodeAt(at) << 24) |
      (key.charCodeAt(at + 1) << 16) |
      (key.charCodeAt(at + 2) << 8) |
      key.charCodeAt(at + 3);
    return bits ^ -0x8000_0000;
  }
  let bits = 0;
  for (let i = at; i < at + headLength; i++) bits = (bits << 8) | (i < length ? key.charCodeAt(i) : 0);
  return bits ^ -0x8000_0000;
}
