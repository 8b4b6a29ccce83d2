import { Deferred, noCrashPoints, silentLogger } from '@quorate/base';
import { ConfState, Entry } from '@quorate/proto';
import { MemoryStorage } from '@quorate/raft';
import type { Wal } from '@quorate/wal';
import { expect, test } from 'vitest';
import { LogCompactor } from './log-compactor.ts';
import type { StateMachine } from './state-machine.ts';

const last = 20;

const settings = { snapshotCount: 5, snapshotCatchUpEntries: 5, logWindowBytesMax: 1_000_000 };

/** A log of 20 applied entries that is compacted when the store and the log say so. */
function start(config = settings, entryBytes = 0) {
  const storage = new MemoryStorage();
  storage.append(
    Array.from({ length: last }, (_, i) => Entry.create({ index: i + 1, term: 1, data: Buffer.alloc(entryBytes) })),
  );
  const [durable, synced] = [new Deferred<number>(), new Deferred<void>()];
  const marks: number[] = [];
  const released: number[] = [];
  const fatals: unknown[] = [];
  const wal = {
    append: (_state: unknown, _entries: unknown, mark: { index: number }) => void marks.push(mark.index),
    sync: () => synced.promise,
    release: async (index: number) => void released.push(index),
  } as unknown as Wal;
  const state = {
    applyLoop: { appliedIndex: last, confState: ConfState.create({ voters: [1n] }) },
    commits: { commitDurably: () => durable.promise },
  } as unknown as StateMachine;
  const compactor = new LogCompactor({
    config,
    crash: noCrashPoints,
    logger: silentLogger,
    wal,
    storage,
    onFatal: (error) => void fatals.push(error),
  });
  compactor.maybeCompact(state);
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return { compactor, state, storage, durable, synced, marks, released, fatals, settled };
}

test('entries go when the store holds them and the mark is on disk, but for those that are kept for the late', async () => {
  const { storage, durable, synced, marks, released, fatals, settled } = start();
  durable.resolve(last);
  await settled();
  expect(marks).toEqual([15]);
  expect(storage.firstIndex()).toBe(1);
  synced.resolve();
  await settled();
  expect(storage.firstIndex()).toBe(16);
  expect(released).toEqual([15]);
  expect(fatals).toEqual([]);
});

test('the log is bounded by bytes however few its entries are, those that a start finds included', async () => {
  const few = { ...settings, snapshotCount: 10_000, snapshotCatchUpEntries: 10_000, logWindowBytesMax: 1_000 };
  const { storage, durable, synced, marks, fatals, settled } = start(few, 100);
  durable.resolve(last);
  synced.resolve();
  await settled();
  expect(marks).toEqual([15]);
  expect([storage.firstIndex(), fatals]).toEqual([16, []]);
});

test('a log of few bytes is left as it is until more are applied', async () => {
  const few = { ...settings, snapshotCount: 10_000, snapshotCatchUpEntries: 10_000, logWindowBytesMax: 5_000 };
  const { compactor, state, storage, durable, synced, marks, settled } = start(few, 100);
  durable.resolve(last);
  synced.resolve();
  await settled();
  expect(marks).toEqual([]);
  compactor.applied(500);
  compactor.maybeCompact(state);
  await settled();
  expect([storage.firstIndex(), marks]).toEqual([1, []]);
});

test('a snapshot that is installed while the store is written ends the compaction: no mark goes behind its own', async () => {
  const { compactor, storage, durable, marks, released, fatals, settled } = start();
  compactor.restartsAt(18);
  durable.resolve(last);
  await settled();
  expect({ marks, released, fatals, first: storage.firstIndex() }).toEqual({
    marks: [],
    released: [],
    fatals: [],
    first: 1,
  });
});

test('a snapshot that is installed while the mark is written leaves the rest to the installation', async () => {
  const { compactor, storage, durable, synced, marks, released, fatals, settled } = start();
  durable.resolve(last);
  await settled();
  compactor.restartsAt(18);
  synced.resolve();
  await settled();
  expect({ marks, released, fatals, first: storage.firstIndex() }).toEqual({
    marks: [15],
    released: [],
    fatals: [],
    first: 1,
  });
});
