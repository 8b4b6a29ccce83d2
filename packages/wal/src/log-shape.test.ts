import { FatalError } from '@quorate/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LogShape } from './log-shape.ts';

/** The same, entry by entry. */
class Model {
  base = 0;
  terms: number[] = [];

  get last(): number {
    return this.base + this.terms.length;
  }

  append(index: number, term: number): void {
    this.terms.length = index - this.base - 1;
    this.terms.push(term);
  }

  mark(index: number, term: number): void {
    if (index === this.base) return;
    this.terms = this.terms[index - this.base - 1] === term ? this.terms.slice(index - this.base) : [];
    this.base = index;
  }
}

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('append' as const), back: fc.nat(3), term: fc.nat(3) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('mark' as const), back: fc.integer({ min: -3, max: 8 }), term: fc.nat(3) }),
  },
);

test('it begins and ends where a log kept entry by entry does', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const shape = new LogShape(0);
      const model = new Model();
      for (const { do: what, back, term } of steps) {
        if (what === 'append') {
          const index = Math.max(model.base + 1, model.last + 1 - back);
          shape.append(index, term);
          model.append(index, term);
        } else {
          const index = Math.max(model.base, model.last - back);
          shape.mark(index, term);
          model.mark(index, term);
        }
        expect([shape.base, shape.lastIndex]).toEqual([model.base, model.last]);
      }
    }),
    { numRuns: 1000 },
  );
});

describe('what raft never does is refused', () => {
  test('a gap', () => {
    const shape = new LogShape(5);
    expect(() => shape.append(7, 1)).toThrow(FatalError);
  });

  test('an entry at or before the mark', () => {
    const shape = new LogShape(5);
    expect(() => shape.append(5, 1)).toThrow(FatalError);
  });

  test('a mark before the former one', () => {
    const shape = new LogShape(5);
    expect(() => shape.mark(4, 1)).toThrow(FatalError);
  });
});
