import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Position } from './btree.ts';
import { none } from './key-index.ts';
import { TreeIndex } from './tree-index.ts';

interface Moment {
  readonly main: number;
  readonly alive: boolean;
}

/**
 * Several leaves of keys, some with a long history, some dead, some gone: an index, and each key's life said naively.
 */
class Pair {
  readonly index = new TreeIndex();
  readonly lives = new Map<string, Moment[]>();
  current = 1;
  compacted = -1;

  put(key: string): void {
    this.index.put(key, ++this.current, 0);
    this.#record(key, true);
  }

  delete(key: string): void {
    if (this.aliveAt(key, this.current) === undefined) return;
    this.index.tombstone(key, ++this.current, 0);
    this.#record(key, false);
  }

  /** Main revision of the version of `key` that lives at `at`. */
  aliveAt(key: string, at: number): number | undefined {
    const moment = this.lives.get(key)?.findLast(({ main }) => main <= at);
    return moment?.alive === true ? moment.main : undefined;
  }

  range(from: string, to: string | undefined, at: number): string[] {
    const keys = [...this.lives.keys()].filter((key) => key >= from && (to === undefined || key < to));
    return keys
      .sort((a, b) => (a < b ? -1 : 1))
      .flatMap((key) => {
        const main = this.aliveAt(key, at);
        return main === undefined ? [] : [`${key}@${main}`];
      });
  }

  #record(key: string, alive: boolean): void {
    const life = this.lives.get(key) ?? [];
    life.push({ main: this.current, alive });
    this.lives.set(key, life);
  }
}

const keyCount = 600;
const keyOf = (n: number): string => `k${(n % keyCount).toString(36).padStart(3, '0')}`;
const stretch = fc.record({
  /** Puts or deletes of neighbours in the key space, or scattered over it. */
  put: fc.boolean(),
  at: fc.nat(keyCount - 1),
  count: fc.integer({ min: 1, max: 250 }),
  stride: fc.constantFrom(1, 1, 7, 101),
});
const query = fc.record({
  from: fc.nat(keyCount - 1),
  to: fc.option(fc.nat(keyCount - 1), { nil: undefined }),
  at: fc.nat(100),
  limit: fc.constantFrom(1, 70, 1000),
});

function collected(index: TreeIndex, compactRevision: number, max: number): number[] {
  const mains: number[] = [];
  while (index.collect(compactRevision, max, (id) => mains.push(index.versions.main(id))) === max);
  return mains;
}

describe('TreeIndex', () => {
  test('ranges over many leaves go up and down and count as a naive index does, before and after compaction', () => {
    fc.assert(
      fc.property(
        fc.array(stretch, { minLength: 1, maxLength: 12 }),
        fc.nat(100),
        fc.array(query, { minLength: 5, maxLength: 10 }),
        fc.integer({ min: 1, max: 40 }),
        (stretches, compactAt, queries, sliceMax) => {
          const pair = new Pair();
          const compactAfter = Math.floor((stretches.length * compactAt) / 100);
          stretches.forEach(({ put, at, count, stride }, i) => {
            for (let n = 0; n < count; n++) {
              const key = keyOf(at + n * stride);
              if (put) pair.put(key);
              else pair.delete(key);
            }
            if (i === compactAfter) pair.compacted = Math.floor((pair.current * compactAt) / 100);
          });
          const check = (): void => {
            for (const { from, to, at, limit } of queries) {
              const revision = Math.max(pair.compacted, Math.ceil((pair.current * at) / 100));
              const range = { from: keyOf(from), to: to === undefined ? undefined : keyOf(to), at: revision };
              const expected = pair.range(range.from, range.to, revision);
              expect(pair.index.count(range)).toBe(expected.length);
              const found: string[] = [];
              const visit = (id: number, place: Position): boolean =>
                found.push(`${place.key}@${pair.index.versions.main(id)}`) < limit;
              pair.index.ascend(range, visit);
              expect(found).toEqual(expected.slice(0, limit));
              found.length = 0;
              pair.index.descend(range, visit);
              expect(found).toEqual(expected.toReversed().slice(0, limit));
            }
          };
          check();
          const removed = collected(pair.index, pair.compacted, sliceMax);
          expect(new Set(removed).size).toBe(removed.length);
          check();
          expect(pair.index.keyCount).toBe(pair.range('', undefined, pair.current).length);
          expect([...pair.index.dump()]).toEqual(expectedDump(pair));
        },
      ),
      { numRuns: 60 },
    );
  }, 60_000);

  test('a range over deleted keys passes over whole leaves', () => {
    const index = new TreeIndex();
    let main = 1;
    for (let n = 0; n < keyCount; n++) index.put(keyOf(n), ++main, 0);
    for (let n = 0; n < keyCount - 1; n++) index.tombstone(keyOf(n), ++main, 0);
    const found: string[] = [];
    let asked = 0;
    const at = index.versions.at.bind(index.versions);
    index.versions.at = (id, revision) => {
      asked++;
      return at(id, revision);
    };
    index.ascend({ from: '', to: undefined, at: main }, (_id, { key }) => found.push(key) > 0);
    expect(found).toEqual([keyOf(keyCount - 1)]);
    expect(asked).toBeLessThanOrEqual(64);
  });

  test('compaction costs by what there is to forget, not by what there is', () => {
    const index = new TreeIndex();
    let main = 1;
    for (let n = 0; n < keyCount; n++) index.put(keyOf(n), ++main, 0);
    for (let n = 0; n < 5; n++) index.put(keyOf(n), ++main, 0);
    let calls = 0;
    const read = index.versions.main.bind(index.versions);
    index.versions.main = (id) => {
      calls++;
      return read(id);
    };
    expect(collected(index, main, 1000).length).toBe(5);
    expect(calls).toBeLessThan(30);
  });

  test('a key that died and lives again is found by every revision of its lives', () => {
    const index = new TreeIndex();
    index.put('a', 2, 0);
    index.tombstone('a', 3, 0);
    index.put('a', 4, 1);
    const alive = [1, 2, 3, 4, 5].map((at) => index.find('a', at) !== none);
    expect(alive).toEqual([false, true, false, true, true]);
    expect(index.versions.isTombstone(index.findAny('a', 3))).toBe(true);
    expect(index.find('b', 5)).toBe(none);
  });

  test('a tombstone for a key that is not alive is a broken invariant', () => {
    const index = new TreeIndex();
    expect(() => index.tombstone('a', 2, 0)).toThrow('tombstone for a key that is not there');
  });
});

/** What dump() says when compaction is through. */
function expectedDump(pair: Pair): string[] {
  const lines: string[] = [];
  for (const [key, life] of [...pair.lives].sort(([a], [b]) => (a < b ? -1 : 1))) {
    let [created, version] = [0, 0];
    const versions: { main: number; text: string; alive: boolean }[] = [];
    for (const { main, alive } of life) {
      if (alive && version === 0) created = main;
      version = alive ? version + 1 : 0;
      versions.push({ main, alive, text: alive ? `${main}.0(${created},${version})` : `${main}.0(t)` });
    }
    const last = versions.findLastIndex(({ main }) => main <= pair.compacted);
    const kept = versions.slice(Math.max(last, 0));
    if (last >= 0 && !kept[0]!.alive && kept[0]!.main < pair.compacted) kept.shift();
    if (kept.length > 0) lines.push(`${JSON.stringify(key)} ${kept.map(({ text }) => text).join(' ')}`);
  }
  return lines;
}
