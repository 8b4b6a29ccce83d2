import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IdTable } from './id-table.ts';

test('it holds what a Map would hold', () => {
  const id = fc.nat({ max: 60 }).map((n) => 2 * n + 1);
  const step = fc.oneof(
    fc.record({ op: fc.constant('add' as const), id }),
    fc.record({ op: fc.constant('delete' as const), id }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const table = new IdTable<{ id: number }>();
      const map = new Map<number, { id: number }>();
      for (const { op, id: key } of steps) {
        if (op === 'delete') {
          table.delete(key);
          map.delete(key);
        } else if (!map.has(key)) {
          const entry = { id: key };
          table.add(entry);
          map.set(key, entry);
        }
        expect(table.count).toBe(map.size);
      }
      for (let key = 1; key <= 121; key += 2) expect(table.get(key)).toBe(map.get(key));
      expect(new Set(table.all())).toEqual(new Set(map.values()));
    }),
  );
});

test('entries that stay do not make one long run for those that pass by', () => {
  const table = new IdTable<{ id: number }>();
  for (let id = 1; id < 20_000; id += 2) table.add({ id });
  let longest = 0;
  const slots = (table as unknown as { slots: unknown[] }).slots;
  for (let at = 0, run = 0; at < slots.length; at++) {
    run = slots[at] === undefined ? 0 : run + 1;
    longest = Math.max(longest, run);
  }
  expect(longest).toBeLessThan(200);
});
