import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fifo } from './fifo.ts';

test('items leave in the order they came, also after the front was let go of', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ push: fc.nat(3000), shift: fc.nat(3000) }), { maxLength: 12 }), (rounds) => {
      const fifo = new Fifo<number>();
      let pushed = 0;
      let shifted = 0;
      for (const round of rounds) {
        for (let i = 0; i < round.push; i++) fifo.push(pushed++);
        for (let i = 0; i < round.shift; i++) {
          const expected = shifted < pushed ? shifted++ : undefined;
          if (fifo.peek() !== expected || fifo.shift() !== expected) expect.fail(`expected ${expected}`);
        }
        expect(fifo.length).toBe(pushed - shifted);
      }
    }),
    { numRuns: 20 },
  );
});
