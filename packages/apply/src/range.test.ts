import { KvError, type RangeParts, type RangeRequest, readKeyValueKey, readKeyValueValue } from '@quorate/proto';
import { beforeAll, describe, expect, test } from 'vitest';
import { RangeScan, rangeParts } from './range.ts';
import { Machine } from './testing/machine.ts';
import { del, get, put } from './testing/requests.ts';

let machine: Machine;

/** Keys a to e. Revisions: a 2 and 7, b 3, c 4, d 5, e 6; values run against the keys. */
beforeAll(async () => {
  machine = await Machine.open();
  for (const [key, value] of ['a9', 'b8', 'c7', 'd6', 'e5', 'a1'].map((pair) => [...pair])) {
    machine.do({ put: put(key!, value!) });
  }
});

const range = (more: Partial<RangeRequest> = {}): RangeParts => rangeParts(machine.store.read(), get('a', 'z', more));
const keys = ({ kvs }: RangeParts): string => kvs.map(readKeyValueKey).join('');

describe('limits', () => {
  test.each([
    [0, 'abcde', false],
    [-1, 'abcde', false],
    [4, 'abcd', true],
    [5, 'abcde', false],
    [6, 'abcde', false],
    [Number.MAX_SAFE_INTEGER, 'abcde', false],
  ])('limit %d', (limit, found, more) => {
    const parts = range({ limit });
    expect(keys(parts)).toBe(found);
    expect(parts).toMatchObject({ more, count: 5 });
  });

  test('the count is of the whole range, also for a later page at an old revision', () => {
    const parts = rangeParts(machine.store.read(), get('b\0', 'z', { limit: 2, revision: 6 }));
    expect(keys(parts)).toBe('cd');
    expect(parts).toMatchObject({ more: true, count: 3, revision: 7 });
  });

  test('only the count comes when only it is asked for, whatever the limit', () => {
    expect(range({ countOnly: true, limit: 1 })).toMatchObject({ kvs: [], more: false, count: 5 });
  });
});

describe('order', () => {
  const [key, version, create, mod, value] = [0, 1, 2, 3, 4];
  const [none, ascend, descend] = [0, 1, 2];
  test.each([
    ['key ascending', { sortTarget: key, sortOrder: ascend }, 'abcde'],
    ['key descending', { sortTarget: key, sortOrder: descend }, 'edcba'],
    ['version, equal ones in key order', { sortTarget: version, sortOrder: ascend }, 'bcdea'],
    ['version descending, equal ones in key order', { sortTarget: version, sortOrder: descend }, 'abcde'],
    ['create revision descending', { sortTarget: create, sortOrder: descend }, 'edcba'],
    ['mod revision', { sortTarget: mod, sortOrder: ascend }, 'bcdea'],
    ['value', { sortTarget: value, sortOrder: ascend }, 'aedcb'],
    ['a target without an order is ascending', { sortTarget: value, sortOrder: none }, 'aedcb'],
    ['the last keys, limited', { sortTarget: key, sortOrder: descend, limit: 2 }, 'ed'],
    ['with an order the limit comes after sorting', { sortTarget: mod, sortOrder: ascend, limit: 2 }, 'bc'],
    ['without an order the limit comes before sorting', { sortTarget: value, sortOrder: none, limit: 2 }, 'ac'],
  ])('%s', (_name, options, found) => {
    const parts = range(options);
    expect(keys(parts)).toBe(found);
    expect(parts).toMatchObject({ more: 'limit' in options, count: 5 });
  });
});

describe('filters', () => {
  test.each([
    ['from a mod revision on', { minModRevision: 5 }, 'ade', false],
    ['up to a mod revision', { maxModRevision: 4 }, 'bc', false],
    ['by create revision', { minCreateRevision: 2, maxCreateRevision: 3 }, 'ab', false],
    ['a negative bound is one', { maxModRevision: -1 }, '', false],
    ['the limit counts what passed', { minModRevision: 5, limit: 2 }, 'ad', true],
    ['no more when exactly the limit passed', { minModRevision: 5, limit: 3 }, 'ade', false],
    ['descending', { minModRevision: 5, limit: 2, sortOrder: 2 }, 'ed', true],
  ])('%s', (_name, options, found, more) => {
    const parts = range(options);
    expect(keys(parts)).toBe(found);
    expect(parts).toMatchObject({ more, count: 5 });
  });
});

test('keys only: everything but the value', () => {
  const parts = range({ keysOnly: true, sortTarget: 4, sortOrder: 1, limit: 2 });
  expect(keys(parts)).toBe('ae');
  expect(parts.kvs.map((kv) => readKeyValueValue(kv).length)).toEqual([0, 0]);
});

test.each([
  ['the future', { revision: 8 }, 'futureRev'],
  ['the future, counted', { revision: 8, countOnly: true }, 'futureRev'],
  ['an unknown order', { sortOrder: 7 }, 'invalidSortOption'],
])('%s is refused', (_name, options, code) => {
  expect(() => range(options)).toThrow(new KvError(code as 'futureRev'));
});

test('an end at or below the key is an empty range, but the revision is looked at', () => {
  const view = machine.store.read();
  expect(rangeParts(view, get('c', 'a'))).toMatchObject({ kvs: [], count: 0, more: false });
  expect(() => rangeParts(view, get('c', 'a', { revision: 99 }))).toThrow(new KvError('futureRev'));
});

test('below the compact revision nothing is read, at it and for any negative revision it is', async () => {
  const compacted = await Machine.open();
  for (const value of ['1', '2', '3']) compacted.do({ put: put('a', value) });
  compacted.do({ compaction: { revision: 3, physical: false } });
  const view = compacted.store.read();
  const valueAt = (revision: number): string =>
    readKeyValueValue(rangeParts(view, get('a', '', { revision })).kvs[0]!).toString();
  expect(valueAt(3)).toBe('2');
  expect(valueAt(-5)).toBe('3');
  expect(() => valueAt(2)).toThrow(new KvError('compacted'));
});

describe('in slices of one row, whatever the order and limit, the answer is the same', () => {
  const options = [{}, { minModRevision: 4 }, { keysOnly: true }, { countOnly: true }, { revision: 4 }];
  const orders = [0, 1, 2].flatMap((sortOrder) => [0, 4].map((sortTarget) => ({ sortOrder, sortTarget })));
  test.each(orders.flatMap((order) => options.map((option) => ({ ...order, ...option }))))('%o', (option) => {
    for (const limit of [0, 1, 2, 3, 5, 6]) {
      const request = get('a', 'z', { ...option, limit });
      const scan = new RangeScan(machine.store.read(), request);
      let steps = 1;
      while (!scan.step({ sizeBytesMax: 1 })) steps++;
      expect(scan.step()).toBe(true);
      expect(scan.parts()).toEqual(rangeParts(machine.store.read(), request));
      expect(steps).toBeLessThanOrEqual(6);
      const taken = new RangeScan(machine.store.read(), request);
      const kvs: Buffer[] = [];
      for (let done = false; !done || taken.readyCount > 0; kvs.push(...taken.take(1))) {
        done = taken.step({ sizeBytesMax: 1, keysMax: 1 });
      }
      const { revision } = taken;
      expect({ op: 'range', revision, kvs, ...taken.summary }).toEqual(rangeParts(machine.store.read(), request));
    }
  });
});

test('a scan that a compaction overtakes ends with the answer for it', async () => {
  const other = await Machine.open();
  for (const key of ['a', 'b', 'c']) other.do({ put: put(key) });
  const scan = new RangeScan(other.store.read(), get('a', 'z'));
  expect(scan.step({ sizeBytesMax: 1 })).toBe(false);
  other.do({ deleteRange: del('a') });
  other.do({ compaction: { revision: 5, physical: false } });
  expect(() => scan.step({ sizeBytesMax: 1 })).toThrow(new KvError('compacted'));
});

test('a step asks for few keys, whether they lived at the revision or not, and the steps together give the answer', async () => {
  const other = await Machine.open();
  for (const key of ['a', 'm', 'z']) other.do({ put: put(key) });
  const revision = other.store.currentRevision;
  for (let i = 0; i < 300; i++) other.do({ put: put(`n${i}`) });
  for (const sortOrder of [0, 2]) {
    const request = get('a', '\0', { revision, sortOrder });
    const scan = new RangeScan(other.store.read(), request);
    let steps = 1;
    while (!scan.step({ keysMax: 20 })) steps++;
    // 303 keys are looked at twice, to count them and to read them.
    expect(steps).toBeGreaterThanOrEqual(2 * 15);
    expect(scan.parts()).toEqual(rangeParts(other.store.read(), request));
  }
});
