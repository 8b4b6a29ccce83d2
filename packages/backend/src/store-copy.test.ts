import { StorageError } from '@quorate/base';
import { expect, test } from 'vitest';
import type { Commit, Row } from './backend.ts';
import type { Engine } from './engine.ts';
import { StoreCopy } from './store-copy.ts';
import { HurriedClock } from './testing/hurried-clock.ts';

const unneeded = (): never => {
  throw new Error('not needed');
};
const nothing = { get: unneeded, openView: unneeded, close: unneeded, rowCount: unneeded, sizeBytes: unneeded };

/** A store that grows while it is read: its rows never end. */
function endless(sizeInUseBytes: () => number): Engine {
  let next = 0;
  const row = (): Row => ({ key: String(next++).padStart(9, '0'), value: Buffer.alloc(200_000) });
  return { ...nothing, sizeInUseBytes, write: unneeded, cursor: () => ({ next: row, close: () => {} }) };
}

function sink(): Engine {
  const written: Commit = { done: Promise.resolve(), durable: Promise.resolve() };
  return { ...nothing, sizeInUseBytes: () => 0, cursor: unneeded, write: () => written };
}

test('a store that grows faster than it can be copied is given up, while nobody waits', async () => {
  let sizeBytes = 1_000_000;
  const source = endless(() => (sizeBytes += 100_000_000));
  const copy = new StoreCopy({ source, copy: sink(), clock: new HurriedClock() });
  const outcome = await copy.follow().catch((error: unknown) => error);
  expect(outcome).toBeInstanceOf(StorageError);
  expect(String(outcome)).toContain('faster than it can be copied');
});

test('of one that is nearly as fast only the rest is left for when commits wait', async () => {
  const copy = new StoreCopy({ source: endless(() => 1_000_000), copy: sink(), clock: new HurriedClock() });
  expect(await copy.follow()).toBe(true);
});
