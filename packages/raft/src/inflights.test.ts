import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Inflights } from './inflights.ts';

const unlimited = Number.POSITIVE_INFINITY;

test('the window is full at its count', () => {
  const inflights = new Inflights({ countMax: 2, bytesMax: unlimited });
  inflights.add(1, 10);
  expect(inflights.full).toBe(false);
  inflights.add(2, 10);
  expect(inflights.full).toBe(true);
  expect(() => inflights.add(3, 10)).toThrow('in-flight window');
});

test('one message may pass the byte bound, no further one', () => {
  const inflights = new Inflights({ countMax: 10, bytesMax: 100 });
  inflights.add(1, 99);
  expect(inflights.full).toBe(false);
  inflights.add(2, 500);
  expect(inflights.full).toBe(true);
  inflights.freeTo(1);
  expect(inflights.full).toBe(true);
  inflights.freeTo(2);
  expect(inflights.full).toBe(false);
});

test('an empty window is never full, whatever the byte bound', () => {
  expect(new Inflights({ countMax: 1, bytesMax: 0 }).full).toBe(false);
});

test('after a reset nothing is in flight', () => {
  const inflights = new Inflights({ countMax: 3, bytesMax: 10 });
  inflights.add(1, 5);
  inflights.add(2, 5);
  inflights.reset();
  expect([inflights.count, inflights.bytes, inflights.full]).toEqual([0, 0, false]);
});

test('the ring behaves as a plain list would', () => {
  const operation = fc.oneof(
    fc.record({ add: fc.integer({ min: 0, max: 50 }) }),
    fc.record({ free: fc.integer({ min: 0, max: 30 }) }),
  );
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 70 }),
      fc.integer({ min: 1, max: 600 }),
      fc.array(operation, { maxLength: 300 }),
      (countMax, bytesMax, operations) => {
        const inflights = new Inflights({ countMax, bytesMax });
        let list: { index: number; bytes: number }[] = [];
        let next = 1;
        for (const op of operations) {
          if ('add' in op) {
            if (inflights.full) continue;
            inflights.add(next, op.add);
            list.push({ index: next++, bytes: op.add });
          } else {
            const to = next - op.free;
            inflights.freeTo(to);
            list = list.filter(({ index }) => index > to);
          }
          const bytes = list.reduce((sum, each) => sum + each.bytes, 0);
          expect(inflights.count).toBe(list.length);
          expect(inflights.bytes).toBe(bytes);
          expect(inflights.full).toBe(list.length === countMax || (list.length > 0 && bytes >= bytesMax));
        }
      },
    ),
  );
});
