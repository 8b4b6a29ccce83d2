import type { Key } from '@quorate/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Row, RowRange } from './backend.ts';
import { buckets } from './buckets.ts';
import { MapRowCursor, takeRows } from './row-cursor.ts';
import { SortedMap } from './sorted-map.ts';
import { WriteBuffer } from './write-buffer.ts';

const someKey = fc.string({ unit: fc.constantFrom('\0', 'a', 'b', '\xff'), maxLength: 2 });
const someValue = fc.uint8Array({ maxLength: 3 }).map((array) => Buffer.from(array));
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('put' as const), key: someKey, value: someValue }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('remove' as const), key: someKey }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('take' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('settle' as const) }) },
);
const someRange: fc.Arbitrary<RowRange> = fc.record(
  { from: someKey, to: someKey, limit: fc.integer({ min: 1, max: 8 }), reverse: fc.boolean() },
  { requiredKeys: ['from'] },
);

/** A buffer in front of a store that shows a batch some time after it was taken. */
class Harness {
  readonly buffer = new WriteBuffer();
  readonly store = new SortedMap<Buffer>();
  readonly model = new Map<Key, Buffer>();
  readonly staged = new Map<Key, Buffer | null>();
  #taken: ReturnType<WriteBuffer['take']> | undefined;

  do(one: typeof step extends fc.Arbitrary<infer Step> ? Step : never): void {
    if (one.do === 'put') {
      this.buffer.put(buckets.key, one.key, one.value);
      this.model.set(one.key, one.value);
      this.staged.set(one.key, one.value);
    } else if (one.do === 'remove') {
      this.buffer.remove(buckets.key, one.key);
      this.model.delete(one.key);
      this.staged.set(one.key, null);
    } else if (one.do === 'take') {
      this.#settle();
      this.#taken = this.buffer.take();
      this.staged.clear();
    } else {
      this.#settle();
    }
  }

  get(key: Key): Buffer | undefined {
    const change = this.buffer.get(buckets.key, key);
    return change === undefined ? this.store.get(key) : (change ?? undefined);
  }

  range(range: RowRange): Row[] {
    const cursor = this.buffer.cursor(buckets.key, range, () => new MapRowCursor(this.store, range));
    return takeRows(cursor, range.limit ?? Number.POSITIVE_INFINITY);
  }

  #settle(): void {
    for (const [key, change] of this.#taken?.of(buckets.key)?.entries() ?? []) {
      if (change === null) this.store.delete(key);
      else this.store.set(key, change);
    }
    this.#taken = undefined;
    this.buffer.settle();
  }
}

function expectedRows(model: ReadonlyMap<Key, Buffer>, { from, to, limit, reverse }: RowRange): Row[] {
  const rows = [...model]
    .filter(([key]) => key >= from && (to === undefined || key < to))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => ({ key, value }));
  if (reverse === true) rows.reverse();
  return rows.slice(0, limit ?? rows.length);
}

describe('the write buffer', () => {
  test('over any store reads like a plain map, whatever is staged, being committed or committed (B20)', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.array(someRange, { maxLength: 6 }), (steps, ranges) => {
        const harness = new Harness();
        for (const one of steps) {
          harness.do(one);
          const key = 'key' in one ? one.key : '';
          expect(harness.get(key)).toEqual(harness.model.get(key));
        }
        for (const range of ranges) expect(harness.range(range)).toEqual(expectedRows(harness.model, range));
        const bytes = [...harness.staged].reduce((sum, [key, value]) => sum + key.length + (value?.length ?? 0), 0);
        expect([harness.buffer.count, harness.buffer.bytes]).toEqual([harness.staged.size, bytes]);
      }),
      { numRuns: 1_000 },
    );
  });

  test('reads no more of the store than it returns, and closes the walk', () => {
    const buffer = new WriteBuffer();
    for (const [staged, key] of [
      [false, 'x'],
      [true, 'b'],
    ] as const) {
      if (staged) buffer.put(buckets.key, key, Buffer.of(2));
      let taken = 0;
      let closed = 0;
      const rows = ['a', 'c', 'd', 'e'].map((rowKey) => ({ key: rowKey, value: Buffer.of(1) }));
      const cursor = { next: () => rows[taken++], close: () => void closed++ };
      const found = takeRows(
        buffer.cursor(buckets.key, { from: '' }, () => cursor),
        2,
      );
      expect(found.map((row) => row.key)).toEqual(staged ? ['a', 'b'] : ['a', 'c']);
      expect(taken).toBe(2);
      expect(closed).toBe(1);
    }
  });

  test('refuses a second commit before the first settled', () => {
    const buffer = new WriteBuffer();
    buffer.take();
    expect(() => buffer.take()).toThrow('two commits at once');
  });
});
