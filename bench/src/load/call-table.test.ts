import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CallTable, type OnAnswer } from './call-table.ts';

test('a table of calls gives each call once, to its stream alone, as a map does', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(400), { maxLength: 600 }), (ages) => {
      const table = new CallTable();
      const calls = new Map<number, OnAnswer>();
      let next = 1;
      for (const age of ages) {
        table.add(next, () => {});
        const known = table.take(next);
        expect(known).toBeDefined();
        table.add(next, known!);
        calls.set(next, known!);
        next += 2;
        // One that is under way, was answered, or was never opened.
        const stream = Math.max(1, next + 20 - 2 * age);
        expect(table.take(stream)).toBe(calls.get(stream));
        calls.delete(stream);
      }
      for (const [stream, call] of calls) expect(table.take(stream)).toBe(call);
    }),
  );
});
