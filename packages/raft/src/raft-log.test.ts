import { silentLogger } from '@quorate/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RaftLog } from './raft-log.ts';
import { emptyConfState, MemoryStorage } from './storage.ts';
import { entriesOf, entry } from './testing/builders.ts';
import { EntryType, entriesSizeBytes } from './types.ts';

const unlimited = Number.POSITIVE_INFINITY;

/** A log with `stable` terms in storage from index 1 on, and `unstable` ones behind. */
function logWith(stable: readonly number[], unstable: readonly number[] = [], applyingBytesMax = unlimited): RaftLog {
  const storage = new MemoryStorage();
  storage.append(entriesOf(1, stable));
  const log = new RaftLog(storage, silentLogger, applyingBytesMax);
  log.append(entriesOf(stable.length + 1, unstable));
  return log;
}

function termsOf(log: RaftLog): number[] {
  return log.slice(log.firstIndex(), log.lastIndex() + 1, unlimited).map((each) => each.term);
}

describe('terms', () => {
  test('the term of what is compacted away or not there yet is unknown, not zero', () => {
    const storage = new MemoryStorage();
    storage.append(entriesOf(1, [1, 1, 2, 2]));
    storage.compact(2);
    const log = new RaftLog(storage, silentLogger, unlimited);
    expect([1, 2, 3, 4, 5].map((index) => log.term(index))).toEqual([undefined, 1, 2, 2, undefined]);
    expect(log.matchesTerm(1, 0)).toBe(false);
    expect(log.matchesTerm(5, 0)).toBe(false);
  });

  test('index 0 of a whole log has term 0', () => {
    expect(logWith([1]).term(0)).toBe(0);
  });

  test('a log is up to date by its last term, then by its length', () => {
    const log = logWith([1, 2, 2]);
    const offers = [
      { index: 1, term: 3 },
      { index: 3, term: 2 },
      { index: 4, term: 2 },
      { index: 2, term: 2 },
      { index: 9, term: 1 },
    ];
    expect(offers.map((offer) => log.isUpToDate(offer))).toEqual([true, true, true, false, false]);
  });
});

describe('appends of a leader', () => {
  test('an append whose predecessor is not there is refused', () => {
    const log = logWith([1, 1]);
    expect(log.maybeAppend({ index: 3, term: 1 }, [], 0)).toBeUndefined();
    expect(log.maybeAppend({ index: 2, term: 2 }, entriesOf(3, [2]), 9)).toBeUndefined();
    expect(log.committed).toBe(0);
  });

  test('what agrees is kept, from the first difference on it is replaced', () => {
    const log = logWith([1, 1], [1, 1]);
    expect(log.maybeAppend({ index: 1, term: 1 }, entriesOf(2, [1, 2]), 0)).toBe(3);
    expect(termsOf(log)).toEqual([1, 1, 2]);
  });

  test('a shorter append that agrees cuts nothing off', () => {
    const log = logWith([1, 1], [1, 1]);
    expect(log.maybeAppend({ index: 1, term: 1 }, entriesOf(2, [1]), 0)).toBe(2);
    expect(termsOf(log)).toEqual([1, 1, 1, 1]);
  });

  test('the commit index moves only as far as the append agrees', () => {
    const log = logWith([1, 1], [1, 1]);
    log.maybeAppend({ index: 1, term: 1 }, entriesOf(2, [1]), 4);
    expect(log.committed).toBe(2);
  });

  test('what is committed is never replaced', () => {
    const log = logWith([1, 1, 1]);
    log.commitTo(2);
    expect(() => log.maybeAppend({ index: 1, term: 1 }, entriesOf(2, [2]), 0)).toThrow('before the commit index');
  });

  test('committing what the log does not have is a broken invariant', () => {
    expect(() => logWith([1]).commitTo(5)).toThrow('beyond the last index');
  });
});

describe('a leader’s commit', () => {
  test('needs an entry of its own term', () => {
    const log = logWith([1, 1, 2]);
    expect(log.maybeCommit(2, 2)).toBe(false);
    expect(log.maybeCommit(3, 2)).toBe(true);
    expect(log.maybeCommit(3, 2)).toBe(false);
    expect(log.maybeCommit(unlimited, 2)).toBe(false);
    expect(log.committed).toBe(3);
  });
});

describe('finding where logs agree', () => {
  test('the hint skips entries of higher terms', () => {
    const log = logWith([1, 1, 3, 3, 5]);
    expect(log.findConflictByTerm(5, 2)).toEqual({ index: 2, term: 1 });
    expect(log.findConflictByTerm(5, 9)).toEqual({ index: 5, term: 5 });
    expect(log.findConflictByTerm(4, 0)).toEqual({ index: 0, term: 0 });
  });

  test('what is compacted away may agree', () => {
    const storage = new MemoryStorage();
    storage.append(entriesOf(1, [1, 1, 5]));
    storage.compact(2);
    const log = new RaftLog(storage, silentLogger, unlimited);
    expect(log.findConflictByTerm(1, 1)).toEqual({ index: 1, term: 0 });
  });
});

describe('handing out committed entries', () => {
  test('only what is durable, unless the owner saves it first', () => {
    const log = logWith([1, 1], [1, 1]);
    log.commitTo(4);
    expect(log.nextCommitted(false).map((each) => each.index)).toEqual([1, 2]);
    expect(log.nextCommitted(true).map((each) => each.index)).toEqual([1, 2, 3, 4]);
  });

  test('nothing while a snapshot waits to be put in place', () => {
    const log = logWith([1, 1]);
    log.commitTo(1);
    log.restore({ data: Buffer.alloc(0), metadata: { confState: emptyConfState(), index: 9, term: 2 } });
    expect(log.hasNextCommitted(true)).toBe(false);
    expect([log.committed, log.lastIndex(), log.overtakenTo()]).toEqual([9, 9, 9]);
  });

  test('pages of any size give every committed entry once and in order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(300), { minLength: 1, maxLength: 40 }),
        fc.nat(40),
        fc.integer({ min: 1, max: 900 }),
        fc.array(fc.nat(3), { maxLength: 200 }),
        (sizes, stableCount, limit, schedule) => {
          const storage = new MemoryStorage();
          const all = sizes.map((size, i) => entry(1, i + 1, 'x'.repeat(size)));
          storage.append(all.slice(0, stableCount));
          const log = new RaftLog(storage, silentLogger, limit);
          log.append(all.slice(stableCount));
          const handedOut: number[] = [];
          const outstanding: { last: number; bytes: number }[] = [];
          for (const choice of [...schedule, ...new Array<number>(300).fill(3)]) {
            if (choice === 0) log.commitTo(Math.min(log.committed + 3, all.length));
            if (choice === 3) log.commitTo(all.length);
            if (choice === 1 || choice === 3) {
              const page = log.nextCommitted(true);
              if (page.length > 0) {
                const bytes = entriesSizeBytes(page);
                expect(log.applyingBytes).toBeLessThan(limit);
                expect(page.length === 1 || log.applyingBytes + bytes <= limit).toBe(true);
                handedOut.push(...page.map((each) => each.index));
                outstanding.push({ last: page.at(-1)!.index, bytes });
                log.acceptApplying(page.at(-1)!.index, bytes, true);
              }
            }
            if (choice >= 2) {
              const done = outstanding.shift();
              if (done !== undefined) log.appliedTo(done.last, done.bytes);
            }
          }
          expect(handedOut).toEqual(all.map((each) => each.index));
          expect([log.applied, log.applyingBytes]).toEqual([all.length, 0]);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('slices', () => {
  test('any range and limit gives a prefix of the range, as large as the limit allows', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(100), { minLength: 1, maxLength: 20 }),
        fc.nat(20),
        fc.nat(20),
        fc.nat(20),
        fc.nat(1200),
        (sizes, stableCount, a, b, limit) => {
          const storage = new MemoryStorage();
          const all = sizes.map((size, i) => entry(1, i + 1, 'x'.repeat(size)));
          storage.append(all.slice(0, stableCount));
          const log = new RaftLog(storage, silentLogger, unlimited);
          log.append(all.slice(stableCount));
          const [lo, hi] = [1 + Math.min(a, b, sizes.length), 1 + Math.min(Math.max(a, b), sizes.length)];
          const found = log.slice(lo, hi, limit);
          const range = all.slice(lo - 1, hi - 1);
          expect(found).toEqual(range.slice(0, found.length));
          if (range.length === 0) return;
          expect(found.length).toBeGreaterThan(0);
          if (found.length > 1) expect(entriesSizeBytes(found)).toBeLessThanOrEqual(limit);
          if (found.length < range.length) {
            expect(entriesSizeBytes(range.slice(0, found.length + 1))).toBeGreaterThan(limit);
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test('outside the log is a broken invariant', () => {
    const storage = new MemoryStorage();
    storage.append(entriesOf(1, [1, 1, 1]));
    storage.compact(1);
    const log = new RaftLog(storage, silentLogger, unlimited);
    expect(() => log.slice(1, 2, unlimited)).toThrow('before the first index');
    expect(() => log.slice(2, 5, unlimited)).toThrow('beyond the last index');
  });
});

describe('watermarks', () => {
  test('applied never passes committed and never moves back', () => {
    const log = logWith([1, 1, 1]);
    log.commitTo(2);
    expect(() => log.appliedTo(3, 0)).toThrow('beyond the commit index');
    log.appliedTo(2, 0);
    expect(() => log.appliedTo(1, 0)).toThrow('moved back');
  });
});

describe('configuration changes in the log', () => {
  const change = (index: number) => ({ ...entry(1, index), type: EntryType.ENTRY_CONF_CHANGE_V2 });

  test('one that is committed and not applied is found on any page', () => {
    const storage = new MemoryStorage();
    storage.append([entry(1, 1), entry(1, 2), change(3), entry(1, 4)]);
    const log = new RaftLog(storage, silentLogger, 1);
    log.commitTo(2);
    expect(log.hasUnappliedConfChange()).toBe(false);
    log.commitTo(4);
    expect(log.hasUnappliedConfChange()).toBe(true);
    log.appliedTo(3, 0);
    expect(log.hasUnappliedConfChange()).toBe(false);
  });

  test('what was compacted away before its acknowledgement arrived was applied', () => {
    const storage = new MemoryStorage();
    storage.append([entry(1, 1), change(2), entry(1, 3)]);
    const log = new RaftLog(storage, silentLogger, unlimited);
    log.commitTo(3);
    storage.compact(2);
    expect([log.applied, log.hasUnappliedConfChange()]).toEqual([0, false]);
  });

  test('the last but one proves itself committed', () => {
    const storage = new MemoryStorage();
    storage.append([entry(1, 1), change(2), entry(1, 3), change(4), entry(1, 5)]);
    const log = new RaftLog(storage, silentLogger, 1);
    expect(log.provenByConfChanges()).toBe(2);
    log.commitTo(2);
    expect(log.provenByConfChanges()).toBe(0);
  });
});
