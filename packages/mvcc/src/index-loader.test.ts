import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IndexLoader } from './index-loader.ts';
import { TreeIndex } from './tree-index.ts';

/** Keys that share beginnings, end inside each other, and differ by zeros at their end only. */
const key = fc.oneof(
  fc.nat(60).map((n) => `registry/pods/default/${n}`),
  fc.constantFrom('', '\0', '\0\0', 'a', 'a\0', 'a\0\0\0\0\0\0\0', 'aaaaaaaaaaaaaaaaaa', '\xff', '\xff\xff\0'),
  fc.string({ unit: fc.constantFrom('\0', 'a', '\xff'), maxLength: 12 }),
);
const change = fc.record({ key, isDelete: fc.boolean(), lease: fc.nat(3) });

/** What was written, in order; deletes of keys that were not there are left out. */
interface Written {
  readonly key: string;
  readonly main: number;
  readonly sub: number;
  readonly isDelete: boolean;
  readonly lease: bigint;
  readonly created: number;
  readonly version: number;
}

function writtenBy(changes: readonly { key: string; isDelete: boolean; lease: number }[]): Written[] {
  const alive = new Map<string, { created: number; version: number }>();
  return changes.flatMap((each, i) => {
    const { isDelete } = each;
    const main = 2 + Math.floor(i / 3);
    const former = alive.get(each.key);
    if (isDelete && former === undefined) return [];
    const created = isDelete ? 0 : (former?.created ?? main);
    const version = isDelete ? 0 : (former?.version ?? 0) + 1;
    if (isDelete) alive.delete(each.key);
    else alive.set(each.key, { created, version });
    return [{ key: each.key, main, sub: i % 3, isDelete, lease: isDelete ? 0n : BigInt(each.lease), created, version }];
  });
}

function load(written: readonly Written[], rowsPerRun: number): { index: TreeIndex; leases: Map<string, bigint> } {
  const index = new TreeIndex();
  const leases = new Map<string, bigint>();
  const loader = new IndexLoader(index.versions, rowsPerRun);
  for (const { key: name, main, sub, isDelete, lease, created, version } of written) {
    const bytes = Buffer.from(`<${name}>`, 'latin1');
    const generation = isDelete ? undefined : { created, version };
    loader.add(bytes, 1, bytes.length - 1, { main, sub, generation, lease });
  }
  const building = loader.build((lease, name) => leases.set(name, lease));
  let step = building.next();
  while (step.done !== true) step = building.next();
  for (const _ of index.adopt(step.value));
  return { index, leases };
}

function put(written: readonly Written[]): { index: TreeIndex; leases: Map<string, bigint> } {
  const index = new TreeIndex();
  const leases = new Map<string, bigint>();
  for (const { key: name, main, sub, isDelete, lease } of written) {
    if (isDelete) index.tombstone(name, main, sub);
    else index.put(name, main, sub);
    if (lease === 0n) leases.delete(name);
    else leases.set(name, lease);
  }
  return { index, leases };
}

/** Everything that compactions of it forget, in order, and what is left after each. */
function life(index: TreeIndex, last: number): string[] {
  const lines = [...index.dump(), `${index.keyCount} living`];
  for (let revision = 1; revision <= last; revision += 4) {
    index.collect(revision, Number.POSITIVE_INFINITY, (id) => lines.push(`forgets ${id}`));
    lines.push(...index.dump());
  }
  return lines;
}

describe('an index that was loaded', () => {
  test('is the one that the same changes made one by one, leases and the order of compaction included', () => {
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 400, size: 'max' }),
        fc.integer({ min: 1, max: 500 }),
        (changes, rowsPerRun) => {
          const written = writtenBy(changes);
          const last = (written.at(-1)?.main ?? 1) + 4;
          const loaded = load(written, rowsPerRun);
          const grown = put(written);
          expect(loaded.leases).toEqual(grown.leases);
          expect(life(loaded.index, last)).toEqual(life(grown.index, last));
        },
      ),
      { numRuns: 150 },
    );
  });

  test('goes on like one that grew', () => {
    const count = 5_000;
    const changes = Array.from({ length: count }, (_, i) => ({
      key: `k${(i * 7919) % count}`,
      isDelete: false,
      lease: 0,
    }));
    const { index } = load(writtenBy(changes), 512);
    for (let i = 0; i < count; i += 2) index.tombstone(`k${i}`, count + i, 0);
    for (let i = 0; i < count; i++) index.put(`k${i}/more`, 2 * count + i, 0);
    index.collect(3 * count, Number.POSITIVE_INFINITY, () => {});
    expect(index.keyCount).toBe(1.5 * count);
    expect([...index.dump()]).toHaveLength(1.5 * count);
    expect(index.count({ from: 'k1', to: 'k2', at: 4 * count })).toBe(555 + 1111 + 1);
  });

  test('has keys of any length, one longer than a run included', () => {
    const long = 'x'.repeat(6 * 1024 * 1024);
    const changes = [`${long}b`, `${long}a`, 'y', long].map((name) => ({ key: name, isDelete: false, lease: 0 }));
    const { index } = load(writtenBy(changes), 100);
    const found: string[] = [];
    index.ascend({ from: '', to: undefined, at: 9 }, (_id, { key: name }) => {
      found.push(name);
      return true;
    });
    expect(found.map((name) => [name.length, name.at(-1)])).toEqual([
      [long.length, 'x'],
      [long.length + 1, 'a'],
      [long.length + 1, 'b'],
      [1, 'y'],
    ]);
  });

  test('holds all versions of a few keys', () => {
    const changes = Array.from({ length: 40_000 }, (_, i) => ({ key: `counter/${i % 2}`, isDelete: false, lease: 0 }));
    const { index } = load(writtenBy(changes), 1 << 16);
    expect(index.keyCount).toBe(2);
    expect(index.versions.size).toBe(40_000);
  });
});
