/**
 * One page of a tree in the data file of lmdb: where its nodes are, and whether it can be a page that lmdb wrote. The layout is that
 * of the lmdb this package uses (data version 2 with 24-byte page headers), numbers as this machine writes them, little endian:
 *
 * | page | bytes | content |
 * |---|---|---|
 * | all | 0–7 | its own number |
 * | | 8–15 | the transaction that wrote it |
 * | | 18–19 | kind: 1 branch, 2 leaf, 4 overflow, 8 meta |
 * | branch, leaf | 20–21, 22–23 | where free space begins and ends, counted from byte 24 |
 * | | 24– | places of the nodes, 2 bytes each, in the order of their keys, counted from byte 24 |
 * | overflow | 20–23 | how many pages it has; the value begins at byte 24 of the first |
 *
 * | node | bytes | content |
 * |---|---|---|
 * | | 0–3 | leaf: size of the value; branch: low part of the child's page number |
 * | | 4–5 | leaf: flags, 1 for a value in overflow pages; branch: high part of the number |
 * | | 6–7 | size of the key |
 * | | 8– | key, then the value, or the number (8 bytes) and count (at 16, 8 bytes) of overflow pages |
 *
 * Nodes lie side by side behind the free space, each beginning at an even place: together they fill what is not free. The first key
 * of a branch is empty, whatever its bytes are: everything below the second one is there.
 */

import type { Place } from './backend.ts';

/** Bytes before the places of the nodes. */
export const headerBytes = 24;
/** Bytes before the key of a node. */
export const nodeBytes = 8;
/** What a leaf's node has in place of a value that lies in overflow pages. */
export const largeValueBytes = 24;

export const PageKind = { branch: 1, leaf: 2, overflow: 4 } as const;

/** Flags of a leaf's node; there are no others in a store of this program. */
const NodeFlags = { none: 0, largeValue: 1 } as const;

/** Keys of a subtree: [from, to). */
export interface Span {
  readonly from: Place | undefined;
  readonly to: Place | undefined;
}

/** Below 0, 0 or above 0, as the first key is before, at or behind the second. */
export type CompareKeys = (one: Place, other: Place) => number;

/** Why a page cannot be what lmdb wrote, and where in it that shows. */
export interface Fault {
  readonly at: number;
  readonly reason: string;
}

/** Nodes of a page without fault. */
export function nodeCount(page: Buffer): number {
  return page.readUInt16LE(20) / 2;
}

/** Where in the page its node `i` begins. */
export function nodePlace(page: Buffer, i: number): number {
  return headerBytes + page.readUInt16LE(headerBytes + 2 * i);
}

/** The key of the node that begins at `node`. */
export function keyAt(page: Buffer, node: number): Place {
  const at = node + nodeBytes;
  return { bytes: page, at, end: at + page.readUInt16LE(node + 6) };
}

/** The page that a branch's node leads to. */
export function childAt(page: Buffer, node: number): number {
  return page.readUIntLE(node, 6);
}

/** Whether the value of a leaf's node lies in overflow pages. */
export function isLarge(page: Buffer, node: number): boolean {
  return page.readUInt16LE(node + 4) === NodeFlags.largeValue;
}

/** Looks at bounds, places, sizes and the order of keys; the first thing that is wrong, or undefined. */
export function findFault(page: Buffer, isLeaf: boolean, span: Span, compare: CompareKeys): Fault | undefined {
  const room = page.length - headerBytes;
  const lower = page.readUInt16LE(20);
  const upper = page.readUInt16LE(22);
  if (lower % 2 !== 0 || lower > upper || upper > room || lower < (isLeaf ? 2 : 4)) {
    return { at: 0, reason: 'the bounds of free space in a page contradict each other' };
  }
  let before = span.from;
  let used = 0;
  for (let i = 0; i < lower / 2; i++) {
    const node = nodePlace(page, i);
    const size = node < headerBytes + upper ? 0 : nodeSize(page, node, isLeaf);
    if (size === 0 || node + size > page.length) {
      return { at: headerBytes + 2 * i, reason: 'a node does not lie in its page' };
    }
    used += size + (size % 2);
    if (i === 0 && !isLeaf) continue;
    const key = keyAt(page, node);
    const order = before === undefined ? 1 : compare(key, before);
    // The first key of a page may be the one that leads to it.
    if (order < 0 || (order === 0 && i > (isLeaf ? 0 : 1))) return outOfOrder(node, key);
    before = key;
  }
  if (before !== undefined && span.to !== undefined && compare(before, span.to) >= 0) {
    return outOfOrder(nodePlace(page, lower / 2 - 1), before);
  }
  return used === room - upper ? undefined : { at: 0, reason: 'the nodes of a page do not fill it' };
}

/** Bytes of a node, if it ends within its page; 0 for what is no node. */
function nodeSize(page: Buffer, node: number, isLeaf: boolean): number {
  if (node + nodeBytes > page.length) return 0;
  const keyBytes = page.readUInt16LE(node + 6);
  if (!isLeaf) return nodeBytes + keyBytes;
  const flags = page.readUInt16LE(node + 4);
  if (keyBytes === 0 || flags > NodeFlags.largeValue) return 0;
  return nodeBytes + keyBytes + (flags === NodeFlags.largeValue ? largeValueBytes : page.readUInt32LE(node));
}

function outOfOrder(at: number, { bytes, at: from, end }: Place): Fault {
  return { at, reason: `a key is out of order: ${bytes.toString('hex', from, end)}` };
}

/** The order of rows: by bytes, a key before those that it begins. */
export function compareBytes(one: Place, other: Place): number {
  const length = Math.min(one.end - one.at, other.end - other.at);
  for (let i = 0; i < length; i++) {
    const order = one.bytes[one.at + i]! - other.bytes[other.at + i]!;
    if (order !== 0) return order;
  }
  return one.end - one.at - (other.end - other.at);
}

/** The order of the tree of free pages, whose keys are numbers of 8 bytes. */
export function compareNumbers(one: Place, other: Place): number {
  if (one.end - one.at !== 8 || other.end - other.at !== 8) return Number.NaN;
  const [a, b] = [one.bytes.readBigUInt64LE(one.at), other.bytes.readBigUInt64LE(other.at)];
  return a < b ? -1 : Number(a > b);
}
