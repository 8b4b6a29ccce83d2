import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ExpiryQueue, type Queued } from './expiry-queue.ts';

interface Item extends Queued {
  readonly name: number;
}

const operations = fc.array(
  fc.record({ name: fc.nat({ max: 30 }), dueMs: fc.option(fc.integer({ min: 0, max: 50 }), { nil: undefined }) }),
  { maxLength: 200 },
);

test('hands out whatever was set and not deleted, by when it falls due', () => {
  fc.assert(
    fc.property(operations, (steps) => {
      const queue = new ExpiryQueue<Item>();
      const items = Array.from({ length: 31 }, (_, name): Item => ({ name, dueMs: 0, place: -1 }));
      const model = new Map<number, number>();
      for (const { name, dueMs } of steps) {
        if (dueMs === undefined) {
          queue.delete(items[name]!);
          model.delete(name);
        } else {
          queue.set(items[name]!, dueMs);
          model.set(name, dueMs);
        }
        expect(queue.size).toBe(model.size);
        expect(queue.first?.dueMs).toBe(model.size === 0 ? undefined : Math.min(...model.values()));
      }
      const out: [number, number][] = [];
      for (let { first } = queue; first !== undefined; first = queue.first) {
        out.push([first.name, first.dueMs]);
        queue.delete(first);
      }
      expect(out.map(([, dueMs]) => dueMs)).toEqual([...model.values()].sort((a, b) => a - b));
      expect(new Map(out)).toEqual(model);
    }),
  );
});

test('items know when they were cleared away', () => {
  const queue = new ExpiryQueue<Item>();
  const item: Item = { name: 1, dueMs: 0, place: -1 };
  queue.set(item, 5);
  queue.clear();
  expect(item.place).toBe(-1);
  queue.set(item, 7);
  expect(queue.first).toBe(item);
});
