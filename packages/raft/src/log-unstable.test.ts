import { silentLogger } from '@quorate/base';
import type { Snapshot } from '@quorate/proto';
import { expect, test } from 'vitest';
import { LogUnstable } from './log-unstable.ts';
import { emptyConfState } from './storage.ts';
import { entriesOf } from './testing/builders.ts';

const unlimited = Number.POSITIVE_INFINITY;

function unstable(offset: number, terms: readonly number[] = []): LogUnstable {
  const made = new LogUnstable(offset, silentLogger);
  if (terms.length > 0) made.truncateAndAppend(entriesOf(offset, terms));
  return made;
}

function snapshot(index: number, term: number): Snapshot {
  return { data: Buffer.alloc(0), metadata: { confState: emptyConfState(), index, term } };
}

function termsOf(log: LogUnstable): number[] {
  return log.slice(log.offset, log.offset + log.length, unlimited).map((each) => each.term);
}

test('an empty tail knows nothing', () => {
  const log = unstable(5);
  expect([log.firstIndex(), log.lastIndex(), log.term(5), log.term(4)]).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});

test('a snapshot decides the first index, and the last as long as nothing follows it', () => {
  const log = unstable(5, [1, 1]);
  log.restore(snapshot(20, 3));
  expect([log.firstIndex(), log.lastIndex(), log.term(20), log.term(19), log.offset]).toEqual([
    21,
    20,
    3,
    undefined,
    21,
  ]);
  log.truncateAndAppend(entriesOf(21, [3, 4]));
  expect([log.lastIndex(), log.term(22)]).toEqual([22, 4]);
});

test('appending at the end extends, before the start replaces, inside truncates', () => {
  const extended = unstable(5, [1, 1]);
  extended.truncateAndAppend(entriesOf(7, [2]));
  expect([extended.offset, termsOf(extended)]).toEqual([5, [1, 1, 2]]);
  const replaced = unstable(5, [1, 1]);
  replaced.truncateAndAppend(entriesOf(4, [2, 2]));
  expect([replaced.offset, termsOf(replaced)]).toEqual([4, [2, 2]]);
  const truncated = unstable(5, [1, 1, 1]);
  truncated.truncateAndAppend(entriesOf(6, [2]));
  expect([truncated.offset, termsOf(truncated)]).toEqual([5, [1, 2]]);
});

test('a gap is a broken invariant', () => {
  expect(() => unstable(5, [1]).truncateAndAppend(entriesOf(7, [1]))).toThrow('gap');
});

test('the appended array stays the caller’s', () => {
  const log = unstable(5);
  const entries = entriesOf(5, [1]);
  log.truncateAndAppend(entries);
  log.truncateAndAppend(entriesOf(6, [1]));
  expect(entries.length).toBe(1);
});

test('what was handed out is not handed out again, unless it was rewritten', () => {
  const log = unstable(5, [1, 1, 1]);
  expect(log.nextEntries().length).toBe(3);
  log.acceptInProgress();
  expect([log.hasNextEntries(), log.nextEntries().length]).toEqual([false, 0]);
  log.truncateAndAppend(entriesOf(7, [2, 2]));
  expect(log.nextEntries().map((each) => each.index)).toEqual([7, 8]);
});

test('an acknowledgement makes entries stable when index and term still match', () => {
  const log = unstable(5, [1, 1, 2]);
  log.acceptInProgress();
  log.stableTo(6, 1);
  expect([log.offset, log.length, log.hasNextEntries()]).toEqual([7, 1, false]);
});

test('an acknowledgement of what was replaced, is stable already, or never was is ignored', () => {
  const log = unstable(5, [1, 1, 2]);
  log.stableTo(7, 1);
  log.stableTo(9, 2);
  log.stableTo(4, 1);
  expect([log.offset, log.length]).toEqual([5, 3]);
});

test('an acknowledgement that covers what was not handed out does not hand it out twice', () => {
  const log = unstable(5, [1, 1]);
  log.stableTo(6, 1);
  log.truncateAndAppend(entriesOf(7, [1]));
  expect(log.nextEntries().map((each) => each.index)).toEqual([7]);
});

test('a snapshot is handed out once and forgotten when it is acknowledged', () => {
  const log = unstable(5);
  log.restore(snapshot(20, 3));
  expect(log.nextSnapshot()?.metadata?.index).toBe(20);
  log.acceptInProgress();
  expect(log.nextSnapshot()).toBeUndefined();
  expect(log.snapshot).toBeDefined();
  log.stableSnapshotTo(20);
  expect(log.snapshot).toBeUndefined();
});

test('acknowledging a snapshot that a newer one replaced keeps the newer one', () => {
  const log = unstable(5);
  log.restore(snapshot(20, 3));
  log.acceptInProgress();
  log.restore(snapshot(30, 3));
  log.stableSnapshotTo(20);
  expect(log.nextSnapshot()?.metadata?.index).toBe(30);
});

test('an acknowledged entry is not mistaken for a snapshot at the same index', () => {
  const log = unstable(5);
  log.restore(snapshot(20, 3));
  log.stableTo(20, 3);
  expect([log.offset, log.snapshot !== undefined]).toEqual([21, true]);
});
