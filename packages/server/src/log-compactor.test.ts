import { Deferred, noCrashPoints, silentLogger } from '@quorate/base';
import { ConfState, Entry } from '@quorate/proto';
import { MemoryStorage } from '@quorate/raft';
import type { Wal } from '@quorate/wal';
import { expect, test } from 'vitest';
import { LogCompactor } from './log-compactor.ts';
import type { StateMachine } from './state-machine.ts';

const last = 20;

/** A log of 20 applied entries that is compacted when the store and the log say so. */
function start() {
  const storage = new MemoryStorage();
  storage.append(Array.from({ length: last }, (_, i) => Entry.create({ index: i + 1, term: 1 })));
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
    config: { snapshotCount: 5, snapshotCatchUpEntries: 5, logWindowBytesMax: 1_000_000 },
    crash: noCrashPoints,
    logger: silentLogger,
    wal,
    storage,
    onFatal: (error) => void fatals.push(error),
  });
  compactor.maybeCompact(state);
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return { compactor, storage, durable, synced, marks, released, fatals, settled };
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
