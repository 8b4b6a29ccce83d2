import { type CrashPointName, Deferred, noCrashPoints, silentMeter } from '@quorate/base';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Commit } from './backend.ts';
import { buckets } from './buckets.ts';
import { BufferedBackend } from './buffered-backend.ts';
import type { Engine } from './engine.ts';
import { MapRowCursor } from './row-cursor.ts';
import { SortedMap } from './sorted-map.ts';
import { ManualClock, settled } from './testing/manual-clock.ts';

/** An engine whose commits end when the test says so, and the way it says. */
class ScriptedEngine implements Engine {
  readonly rows = new SortedMap<Buffer>();
  readonly writes: { readonly keys: string[]; readonly done: Deferred<void>; readonly durable: Deferred<void> }[] = [];

  get(): Buffer | undefined {
    return undefined;
  }
  cursor(): MapRowCursor {
    return new MapRowCursor(this.rows, { from: '' });
  }
  write(changes: Parameters<Engine['write']>[0]): Commit {
    const write = {
      keys: [...changes.of(buckets.key)!.keys()],
      done: new Deferred<void>(),
      durable: new Deferred<void>(),
    };
    this.writes.push(write);
    return { done: write.done.promise, durable: write.durable.promise };
  }
  sizeBytes(): number {
    return 0;
  }
  sizeInUseBytes(): number {
    return 0;
  }
  rowCount(): number {
    return this.rows.size;
  }
  openView(): never {
    return unneeded();
  }
  async close(): Promise<void> {}
}

function unneeded(): never {
  throw new Error('not needed');
}

let engine: ScriptedEngine;
let backend: BufferedBackend;
let observed: number[];
let clock: ManualClock;
let closedCount: number;

function make(crash = noCrashPoints): void {
  engine = new ScriptedEngine();
  observed = [];
  closedCount = 0;
  clock = new ManualClock();
  backend = new BufferedBackend({
    engine,
    copies: { create: unneeded, install: unneeded, discard: unneeded },
    clock,
    crash,
    commitSeconds: {
      ...silentMeter.histogram({ name: '', help: '' }, []),
      observe: (value) => void observed.push(value),
    },
    onClosed: () => void closedCount++,
  });
}

function put(key: string): void {
  backend.put(buckets.key, key, Buffer.of(1));
}

/** How a promise stands now. */
async function state(promise: Promise<unknown>): Promise<string> {
  let found = 'pending';
  promise.then(
    () => {
      found = 'resolved';
    },
    (error: unknown) => {
      found = String((error as Error).message);
    },
  );
  await settled();
  return found;
}

describe('commits of a buffered backend', () => {
  beforeEach(() => make());

  test('run one at a time; all who ask during one share the next', async () => {
    put('a');
    const first = backend.commit();
    put('b');
    const second = backend.commit();
    const third = backend.commit();
    expect(engine.writes.map((write) => write.keys)).toEqual([['a']]);
    engine.writes[0]!.done.resolve();
    put('c');
    await settled();
    expect(engine.writes.map((write) => write.keys)).toEqual([['a'], ['b', 'c']]);
    engine.writes[0]!.durable.resolve();
    engine.writes[1]!.done.resolve();
    expect(await Promise.all([first.done, first.durable, second.done, third.done].map(state))).toEqual(
      Array(4).fill('resolved'),
    );
    expect(await Promise.all([second.durable, third.durable].map(state))).toEqual(['pending', 'pending']);
    engine.writes[1]!.durable.resolve();
    expect(await Promise.all([second.durable, third.durable].map(state))).toEqual(['resolved', 'resolved']);
  });

  test('with nothing staged are as durable as the last one', async () => {
    put('a');
    backend.commit();
    engine.writes[0]!.done.resolve();
    await settled();
    const empty = backend.commit();
    expect(await Promise.all([empty.done, empty.durable].map(state))).toEqual(['resolved', 'pending']);
    engine.writes[0]!.durable.resolve();
    expect(await state(empty.durable)).toBe('resolved');
    expect(engine.writes).toHaveLength(1);
  });

  test('are measured until they are durable, in seconds', async () => {
    put('a');
    backend.commit();
    await clock.advance(2_000);
    engine.writes[0]!.done.resolve();
    await clock.advance(500);
    engine.writes[0]!.durable.resolve();
    await settled();
    expect(observed).toEqual([2.5]);
  });

  test('that fail refuse all later ones, while reads go on', async () => {
    put('a');
    const failed = backend.commit();
    put('b');
    const waiting = backend.commit();
    engine.writes[0]!.done.reject(new Error('disk said no'));
    expect(await Promise.all([failed.done, failed.durable, waiting.done, waiting.durable].map(state))).toEqual(
      Array(4).fill('disk said no'),
    );
    put('c');
    const late = backend.commit();
    expect(await Promise.all([late.done, late.durable].map(state))).toEqual(Array(2).fill('disk said no'));
    await expect(backend.openView()).rejects.toThrow('disk said no');
    expect(engine.writes).toHaveLength(1);
    expect(backend.range(buckets.key, { from: '' }).map((row) => row.key)).toEqual(['a', 'b', 'c']);
    await expect(backend.close()).rejects.toThrow('disk said no');
    expect(closedCount).toBe(0);
  });

  test('that become visible but not durable refuse all later ones', async () => {
    put('a');
    const failed = backend.commit();
    engine.writes[0]!.done.resolve();
    await settled();
    put('b');
    const running = backend.commit();
    engine.writes[0]!.durable.reject(new Error('sync failed'));
    expect(await Promise.all([failed.done, failed.durable, running.done].map(state))).toEqual([
      'resolved',
      'sync failed',
      'pending',
    ]);
    engine.writes[1]!.done.resolve();
    await settled();
    put('c');
    expect(await state(backend.commit().done)).toBe('sync failed');
  });

  test('that die at the first crash point take nothing', async () => {
    const passed: CrashPointName[] = [];
    make({
      hit: (name) => {
        passed.push(name);
        throw new Error('crash');
      },
    });
    put('a');
    const { done, durable } = backend.commit();
    expect(await Promise.all([done, durable].map(state))).toEqual(['crash', 'crash']);
    expect([passed, engine.writes.length, backend.stagedCount]).toEqual([['backendBeforeCommit'], 0, 1]);
  });
});
