import fc from 'fast-check';
import { expect, test } from 'vitest';
import { emptyConfState, MemoryStorage } from './storage.ts';
import { entriesOf, entry } from './testing/builders.ts';
import { entryOverheadBytes } from './types.ts';

const unlimited = Number.POSITIVE_INFINITY;

function storage(terms: readonly number[]): MemoryStorage {
  const made = new MemoryStorage();
  made.append(entriesOf(1, terms));
  return made;
}

function snapshotAt(index: number, term: number): Parameters<MemoryStorage['applySnapshot']>[0] {
  return { data: Buffer.alloc(0), metadata: { confState: { ...emptyConfState(), voters: [1n] }, index, term } };
}

test('an empty log begins at 1, behind an entry 0 of term 0', () => {
  const made = new MemoryStorage();
  expect([made.firstIndex(), made.lastIndex(), made.term(0), made.term(1)]).toEqual([1, 0, 0, undefined]);
});

test('appending replaces what it overlaps and refuses a gap', () => {
  const made = storage([1, 1, 1]);
  made.append(entriesOf(2, [2]));
  expect([made.lastIndex(), made.term(2)]).toEqual([2, 2]);
  expect(() => made.append(entriesOf(4, [2]))).toThrow('gap');
});

test('appending skips what was compacted away meanwhile', () => {
  const made = storage([1, 1, 1]);
  made.compact(2);
  made.append(entriesOf(1, [1]));
  expect(made.lastIndex()).toBe(3);
  made.append(entriesOf(2, [1, 1, 2]));
  expect([made.firstIndex(), made.lastIndex(), made.term(4)]).toEqual([3, 4, 2]);
});

test('compaction keeps the term of the last entry it drops, and is not undone or repeated', () => {
  const made = storage([1, 2, 3]);
  expect(made.compact(2)).toBe(true);
  expect([made.firstIndex(), made.term(2), made.term(1)]).toEqual([3, 2, undefined]);
  expect(made.compact(2)).toBe(false);
  expect(() => made.compact(9)).toThrow('beyond the last index');
});

test('entries are cut to the size limit, but never to nothing', () => {
  const made = new MemoryStorage();
  made.append([entry(1, 1, 'aaaa'), entry(1, 2, 'bbbb'), entry(1, 3, 'cccc')]);
  const one = 4 + entryOverheadBytes;
  expect(made.entries(1, 4, 0).length).toBe(1);
  expect(made.entries(1, 4, 2 * one - 1).length).toBe(1);
  expect(made.entries(1, 4, 2 * one).length).toBe(2);
  expect(made.entries(2, 4, unlimited).map((each) => each.index)).toEqual([2, 3]);
});

test('entries outside the log are a broken invariant', () => {
  const made = storage([1, 1, 1]);
  made.compact(1);
  expect(() => made.entries(1, 3, unlimited)).toThrow('before the first index');
  expect(() => made.entries(2, 5, unlimited)).toThrow('beyond the last index');
});

test('a received snapshot replaces the log unless it is older than the one there', () => {
  const made = storage([1, 1, 1]);
  expect(made.applySnapshot(snapshotAt(9, 4))).toBe(true);
  expect([made.firstIndex(), made.lastIndex(), made.term(9)]).toEqual([10, 9, 4]);
  expect(made.applySnapshot(snapshotAt(9, 4))).toBe(false);
  expect(made.initialState().confState.voters).toEqual([1n]);
});

test('a snapshot made here leaves the log, and serves followers', () => {
  const made = storage([1, 2, 3]);
  const confState = { ...emptyConfState(), voters: [1n, 2n] };
  expect(made.createSnapshot(2, confState, Buffer.from('x'))).toBe(true);
  expect(made.snapshot().metadata).toEqual({ confState, index: 2, term: 2 });
  expect(made.firstIndex()).toBe(1);
  expect(made.createSnapshot(1, confState, Buffer.from('x'))).toBe(false);
  expect(() => made.createSnapshot(7, confState, Buffer.from('x'))).toThrow('outside the log');
});

test('the configuration of the applied state goes before that of the snapshot, until a newer snapshot comes', () => {
  const made = storage([1]);
  made.setConfState({ ...emptyConfState(), voters: [7n] });
  expect(made.initialState().confState.voters).toEqual([7n]);
  made.applySnapshot(snapshotAt(9, 4));
  expect(made.initialState().confState.voters).toEqual([1n]);
});

test('the log behaves as a plain map would', () => {
  const operation = fc.oneof(
    fc.record({ at: fc.nat(12), count: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ compact: fc.nat(12) }),
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
      const made = new MemoryStorage();
      const terms = new Map<number, number>();
      let term = 1;
      for (const op of operations) {
        if ('compact' in op) {
          const index = Math.min(made.firstIndex() - 1 + op.compact, made.lastIndex());
          made.compact(index);
          for (const key of terms.keys()) if (key < index) terms.delete(key);
        } else {
          const from = Math.min(Math.max(made.firstIndex(), made.lastIndex() + 1 - op.at), made.lastIndex() + 1);
          const entries = entriesOf(from, new Array<number>(op.count).fill(++term));
          made.append(entries);
          for (const key of terms.keys()) if (key >= from) terms.delete(key);
          for (const each of entries) terms.set(each.index, each.term);
        }
        for (let index = made.firstIndex(); index <= made.lastIndex(); index++) {
          expect(made.term(index)).toBe(terms.get(index));
        }
        expect(made.term(made.lastIndex() + 1)).toBeUndefined();
      }
    }),
  );
});
