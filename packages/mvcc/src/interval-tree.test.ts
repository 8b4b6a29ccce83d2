import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IntervalTree, unbounded } from './interval-tree.ts';

const anyKey = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '\0', '\xff'), maxLength: 3 });
const anyInterval = fc.tuple(anyKey, fc.oneof(anyKey, fc.constant(unbounded)));

test('a key finds the intervals that hold it, in order, whatever was added and removed before', () => {
  const step = fc.record({ interval: anyInterval, add: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.array(anyKey, { minLength: 1 }), (steps, keys) => {
      const tree = new IntervalTree<string>();
      const model = new Map<string, readonly [string, string]>();
      for (const { interval, add } of steps) {
        const [from, to] = interval;
        const name = JSON.stringify(interval);
        if (!add) {
          tree.remove(from, to);
          model.delete(name);
        } else if (!model.has(name)) {
          tree.add(from, to, name);
          model.set(name, interval);
        }
        expect(tree.get(from, to)).toBe(add ? name : undefined);
      }
      for (const key of keys) {
        const found: string[] = [];
        tree.stab(key, (name) => found.push(name));
        const order = (a: readonly [string, string], b: readonly [string, string]): number =>
          a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]) ? -1 : 1;
        const expected = [...model.values()].filter(([from, to]) => from <= key && key < to).sort(order);
        expect(found).toEqual(expected.map((interval) => JSON.stringify(interval)));
      }
    }),
  );
});

test('a hundred thousand intervals in order make no deep tree, and a key looks at few of them', () => {
  const tree = new IntervalTree<number>();
  const name = (i: number): string => String(i).padStart(6, '0');
  for (let i = 0; i < 100_000; i++) tree.add(name(i), name(i + 1), i);
  const found: number[] = [];
  for (let i = 0; i < 100_000; i += 1000) tree.stab(name(i), (value) => found.push(value));
  expect(found).toEqual(Array.from({ length: 100 }, (_, i) => i * 1000));
});
