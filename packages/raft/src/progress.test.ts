import { expect, test } from 'vitest';
import { Inflights } from './inflights.ts';
import { Progress, ProgressState } from './progress.ts';

function progress(fields: { match?: number; next?: number; window?: number } = {}): Progress {
  const { match = 3, next = 6, window = 4 } = fields;
  const inflights = new Inflights({ countMax: window, bytesMax: Number.POSITIVE_INFINITY });
  return new Progress({ match, next, learner: false, recentActive: true, inflights });
}

function replicating(fields: { match?: number; window?: number } = {}): Progress {
  const made = progress(fields);
  made.becomeReplicate();
  return made;
}

test('a probe with entries pauses until it is answered, an empty one does not', () => {
  const made = progress();
  made.sentEntries(0, 0);
  expect(made.paused).toBe(false);
  made.sentEntries(2, 10);
  expect(made.paused).toBe(true);
  expect(made.next).toBe(6);
  made.maybeUpdate(4);
  expect(made.paused).toBe(false);
});

test('replication sends ahead until the window is full, and goes on when an answer frees it', () => {
  const made = replicating({ window: 2 });
  made.sentEntries(3, 30);
  expect([made.next, made.paused]).toEqual([7, false]);
  made.sentEntries(1, 10);
  expect([made.next, made.paused]).toEqual([8, true]);
  made.inflights.freeTo(6);
  expect(made.maybeUpdate(6)).toBe(true);
  expect([made.match, made.next, made.paused]).toEqual([6, 8, false]);
});

test('an answer that is old news changes nothing', () => {
  const made = replicating({ match: 5 });
  expect(made.maybeUpdate(5)).toBe(false);
  expect(made.maybeUpdate(4)).toBe(false);
  expect(made.match).toBe(5);
});

test('an answer ahead of what was sent moves next along', () => {
  const made = replicating();
  expect(made.maybeUpdate(20)).toBe(true);
  expect([made.match, made.next]).toEqual([20, 21]);
});

test('a rejection while replicating falls back to what matches, unless it is out of date', () => {
  const made = replicating({ match: 5 });
  made.sentEntries(3, 0);
  expect(made.maybeDecreaseTo(5, 0)).toBe(false);
  expect(made.next).toBe(9);
  expect(made.maybeDecreaseTo(8, 2)).toBe(true);
  expect(made.next).toBe(6);
});

test('a rejected probe moves to the hint, never below what matches', () => {
  const made = progress({ match: 3, next: 10 });
  expect(made.maybeDecreaseTo(7, 5)).toBe(false);
  expect(made.maybeDecreaseTo(9, 6)).toBe(true);
  expect(made.next).toBe(7);
  expect(made.maybeDecreaseTo(6, 0)).toBe(true);
  expect(made.next).toBe(4);
});

test('a probe rejected with a hint ahead of it still moves down', () => {
  const made = progress({ match: 0, next: 10 });
  expect(made.maybeDecreaseTo(9, 50)).toBe(true);
  expect(made.next).toBe(9);
});

test('a rejection does not disturb a snapshot under way', () => {
  const made = progress();
  made.becomeSnapshot(20);
  expect(made.maybeDecreaseTo(20, 1)).toBe(false);
  expect([made.next, made.pendingSnapshot]).toEqual([21, 20]);
});

test('after a snapshot the probe starts behind it; after a failed one, behind what matches', () => {
  const delivered = progress();
  delivered.becomeSnapshot(20);
  expect(delivered.paused).toBe(true);
  delivered.becomeProbe();
  expect([delivered.state, delivered.next, delivered.pendingSnapshot]).toEqual([ProgressState.probe, 21, 0]);
  const failed = progress();
  failed.becomeSnapshot(20);
  failed.pendingSnapshot = 0;
  failed.becomeProbe();
  expect(failed.next).toBe(4);
});

test('a member that matches beyond the snapshot is probed behind what it matches', () => {
  const made = progress();
  made.becomeSnapshot(20);
  made.maybeUpdate(30);
  made.becomeProbe();
  expect(made.next).toBe(31);
});

test('a changed state empties the window', () => {
  const made = replicating({ window: 1 });
  made.sentEntries(1, 5);
  expect(made.paused).toBe(true);
  made.becomeProbe();
  expect([made.inflights.count, made.paused]).toEqual([0, false]);
});

test('sending entries to a member that waits for a snapshot is a broken invariant', () => {
  const made = progress();
  made.becomeSnapshot(20);
  expect(() => made.sentEntries(1, 1)).toThrow('waits for a snapshot');
});

test('a commit index is worth sending when it is news that the member can use', () => {
  const made = replicating({ match: 5 });
  made.sentEntries(5, 0);
  made.sentCommit(5);
  expect(made.canBumpCommit(8)).toBe(true);
  made.sentCommit(8);
  expect(made.canBumpCommit(8)).toBe(false);
  made.sentCommit(10);
  // The member has nothing beyond 10 in flight to commit.
  expect(made.canBumpCommit(12)).toBe(false);
  // Probing again: what was sent is probably lost.
  made.becomeProbe();
  made.maybeUpdate(10);
  expect(made.canBumpCommit(12)).toBe(true);
});

test('a copy is independent but for the window it shares', () => {
  const made = replicating();
  const copy = made.clone();
  copy.learner = true;
  copy.match = 99;
  expect([made.learner, made.match]).toEqual([false, 3]);
  expect(copy.view()).toMatchObject({ state: ProgressState.replicate, next: 4, learner: true });
  expect(copy.inflights).toBe(made.inflights);
});
