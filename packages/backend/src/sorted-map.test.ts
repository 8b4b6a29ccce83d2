import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { lowerBound, SortedMap } from './sorted-map.ts';

const someKey = fc.string({ unit: fc.constantFrom('\0', 'a', '\x80', '\xff'), maxLength: 3 });

function byByte(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1'));
}

describe('a sorted map', () => {
  test('is a map whose keys come in byte order, whatever was stored, deleted and walked in between', () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ do: fc.constant('set' as const), key: someKey, value: fc.nat(9) }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('delete' as const), key: someKey }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('keys' as const) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const map = new SortedMap<number>();
        const model = new Map<string, number>();
        for (const one of steps) {
          if (one.do === 'set') {
            map.set(one.key, one.value);
            model.set(one.key, one.value);
          } else if (one.do === 'delete') {
            expect(map.delete(one.key)).toBe(model.delete(one.key));
          } else {
            expect(map.keys()).toEqual([...model.keys()].sort(byByte));
          }
        }
        expect(map.keys()).toEqual([...model.keys()].sort(byByte));
        expect(map.size).toBe(model.size);
        expect(new Map(map.entries())).toEqual(model);
        const visited: [string, number][] = [];
        map.forEach((key, value) => {
          visited.push([key, value]);
        });
        expect(visited).toEqual([...map.entries()]);
        for (const key of ['', 'a', '\xff\xff'])
          expect([map.get(key), map.has(key)]).toEqual([model.get(key), model.has(key)]);
      }),
      { numRuns: 500 },
    );
  });

  test('a clone lives on its own', () => {
    const map = new SortedMap<number>();
    for (const key of ['b', 'a', 'c']) map.set(key, 1);
    map.delete('c');
    const clone = map.clone();
    map.set('a', 2);
    clone.set('d', 3);
    expect([map.keys(), map.get('a')]).toEqual([['a', 'b'], 2]);
    expect([clone.keys(), clone.get('a')]).toEqual([['a', 'b', 'd'], 1]);
  });

  test('the lower bound is the first key that is not before', () => {
    fc.assert(
      fc.property(fc.uniqueArray(someKey), someKey, (found, key) => {
        const keys = found.sort(byByte);
        const expected = keys.findIndex((other) => byByte(other, key) >= 0);
        expect(lowerBound(keys, key)).toBe(expected === -1 ? keys.length : expected);
      }),
    );
  });
});
