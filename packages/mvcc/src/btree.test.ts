import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BTree } from './btree.ts';
import type { Leaf } from './btree-node.ts';

/** The naive form: a sorted array of entries, and each key's aliveness over time. */
class SortedArray {
  entries: { key: string; value: number; history: [stamp: number, alive: boolean][] }[] = [];

  exchange(key: string, value: number, stamp: number): number | undefined {
    const found = this.entries.find((e) => e.key === key);
    const moment: [number, boolean] = [stamp, value >= 0];
    if (found !== undefined) {
      const old = found.value;
      found.value = value;
      found.history.push(moment);
      return old;
    }
    this.entries.push({ key, value, history: [moment] });
    this.entries.sort((a, b) => (a.key < b.key ? -1 : 1));
    return undefined;
  }

  delete(key: string): boolean {
    const before = this.entries.length;
    this.entries = this.entries.filter((e) => e.key !== key);
    return this.entries.length < before;
  }

  count(from: string, to: string | undefined, at: number): number {
    const inRange = this.entries.filter((e) => e.key >= from && (to === undefined || e.key < to));
    return inRange.filter((e) => e.history.findLast(([stamp]) => stamp <= at)?.[1] === true).length;
  }
}

function walk(tree: BTree, from: string): [string, number][] {
  const found: [string, number][] = [];
  const start = tree.seek(from);
  let index = start.index;
  for (let leaf: Leaf | undefined = start.leaf; leaf !== undefined; leaf = leaf.next) {
    for (; index < leaf.count; index++) found.push([leaf.keyAt(index), leaf.valueAt(index)]);
    index = 0;
  }
  return found;
}

/** A cheap expect for what happens thousands of times. */
function same<T>(actual: T, expected: T): void {
  if (actual !== expected) expect(actual).toBe(expected);
}

const key = fc.oneof(
  fc.nat(400).map((n) => n.toString(36)),
  fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  // Long beginnings in common, and keys that differ by zeros at their end only: what nodes skip, and heads cannot tell apart.
  fc.nat(300).map((n) => `registry/${'pods/'.repeat(n % 3)}${String(n).padStart(9, '0')}${'\0'.repeat(n % 5)}`),
  fc.tuple(fc.nat(20), fc.nat(6)).map(([n, zeros]) => `a${n}${'\0'.repeat(zeros)}`),
);
const operation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ set: key, alive: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ remove: key }) },
  { weight: 1, arbitrary: fc.record({ removeMany: fc.nat(60), offset: fc.nat(400) }) },
);

describe('BTree', () => {
  test('behaves as a sorted array, and counts as it does at every stamp', () => {
    fc.assert(
      fc.property(
        fc.array(operation, { minLength: 1, maxLength: 900, size: 'max' }),
        fc.array(fc.tuple(key, fc.option(key, { nil: undefined }), fc.nat(900)), { maxLength: 12 }),
        (operations, ranges) => {
          const tree = new BTree();
          const model = new SortedArray();
          operations.forEach((op, stamp) => {
            if ('set' in op) {
              const value = op.alive ? stamp : ~stamp;
              same(tree.exchange(op.set, value, stamp), model.exchange(op.set, value, stamp));
            } else if ('remove' in op) {
              same(tree.delete(op.remove), model.delete(op.remove));
            } else {
              const doomed = model.entries.slice(op.offset, op.offset + op.removeMany).map((e) => e.key);
              for (const k of doomed) same(tree.delete(k), model.delete(k));
            }
          });
          tree.audit();
          expect(tree.size).toBe(model.entries.length);
          expect(walk(tree, '')).toEqual(model.entries.map((e) => [e.key, e.value]));
          const now = operations.length;
          for (const [from, to, at] of ranges) {
            const histories = new Map(model.entries.map((e) => [e.value, e.history]));
            const aliveAt = (value: number): boolean =>
              histories.get(value)!.findLast(([stamp]) => stamp <= at)?.[1] === true;
            expect(tree.count(from, to, at, aliveAt)).toBe(model.count(from, to, at));
            expect(tree.count(from, to, now, () => false)).toBe(model.count(from, to, now));
            expect(walk(tree, from)).toEqual(model.entries.filter((e) => e.key >= from).map((e) => [e.key, e.value]));
            expect(tree.get(from)).toBe(model.entries.find((e) => e.key === from)?.value);
          }
        },
      ),
      { numRuns: 40 },
    );
  }, 60_000);

  test('grows by several levels in any order of arrival and shrinks back to nothing', () => {
    const orders: Record<string, (i: number) => number> = {
      ascending: (i) => i,
      descending: (i) => 9_999 - i,
      scattered: (i) => (i * 7919) % 10_000,
    };
    for (const [name, order] of Object.entries(orders)) {
      const tree = new BTree();
      for (let i = 0; i < 10_000; i++) tree.exchange(String(order(i)).padStart(5, '0'), order(i), i);
      tree.audit();
      expect(tree.live, name).toBe(10_000);
      expect(walk(tree, '').map(([, value]) => value)).toEqual(Array.from({ length: 10_000 }, (_, i) => i));
      for (let i = 0; i < 10_000; i++) {
        same(tree.delete(String(order(i)).padStart(5, '0')), true);
        if (i % 2500 === 0) tree.audit();
      }
      tree.audit();
      expect(tree.size).toBe(0);
      expect(tree.get('00000')).toBe(undefined);
    }
  });

  test('keys of many kilobytes make leaves of few keys', () => {
    const tree = new BTree();
    const long = (i: number): string => `${String(i).padStart(4, '0')}${'x'.repeat((i % 7) * 9_000)}`;
    for (let i = 0; i < 300; i++) tree.exchange(long((i * 7) % 300), (i * 7) % 300, i);
    tree.audit();
    expect(walk(tree, '').map(([, value]) => value)).toEqual(Array.from({ length: 300 }, (_, i) => i));
    for (let i = 0; i < 300; i++) same(tree.get(long(i)), i);
    for (let i = 0; i < 300; i++) if (i % 7 !== 0) same(tree.delete(long(i)), true);
    tree.audit();
    expect(tree.size).toBe(43);
  });

  test('removing all but a few keys leaves a small tree', () => {
    const tree = new BTree();
    for (let i = 0; i < 10_000; i++) tree.exchange(String(i).padStart(5, '0'), i, i);
    for (let i = 0; i < 10_000; i++) if (i % 1000 !== 7) tree.delete(String(i).padStart(5, '0'));
    tree.audit();
    let leaves = 0;
    for (let leaf: Leaf | undefined = tree.seek('').leaf; leaf !== undefined; leaf = leaf.next) leaves++;
    expect(leaves).toBe(1);
  });

  test('counting an unchanged range asks about no single key', () => {
    const tree = new BTree();
    for (let i = 0; i < 10_000; i++) tree.exchange(String(i).padStart(5, '0'), i, i);
    let asked = 0;
    const ask = (): boolean => ++asked > 0;
    expect(tree.count('00010', '09990', 10_000, ask)).toBe(9980);
    expect(asked).toBe(0);
    tree.exchange('05000', 5000, 10_001);
    expect(tree.count('00010', '09990', 10_000, ask)).toBe(9980);
    expect(asked).toBeGreaterThan(0);
    expect(asked).toBeLessThanOrEqual(64);
  });
});
