/** Defragmentation of both kinds of stores, while they are written to, read and closed. */
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CrashPoints, noCrashPoints, SeededRandom, StorageError, silentLogger, silentMeter } from '@quorate/base';
import { afterEach, describe, expect, test } from 'vitest';
import type { Backend, BackendFactory } from './backend.ts';
import { buckets } from './buckets.ts';
import { DefragmentError } from './defragmenter.ts';
import { lmdbBackendFactory } from './lmdb-factory.ts';
import { MemoryBackendFactory } from './memory-backend.ts';
import { batchIn, faultIn, stageBatch } from './testing/batches.ts';
import { HurriedClock } from './testing/hurried-clock.ts';
import { ManualClock } from './testing/manual-clock.ts';

const directories: string[] = [];
afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true });
});

async function newDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'quorate-defrag-'));
  directories.push(directory);
  return directory;
}

function onDisk(directory: string, crash: CrashPoints = noCrashPoints): BackendFactory {
  const clock = new ManualClock();
  return lmdbBackendFactory({ directory, clock, logger: silentLogger, meter: silentMeter, crash });
}

/** Fails at `place`, every time. */
function failingAt(place: string): CrashPoints {
  return {
    hit: (name) => {
      if (name === place) throw new StorageError('backend', 'write', 'no space left', {});
    },
  };
}

/** Many rows, of which every tenth is left. */
async function fragment(backend: Backend): Promise<void> {
  const key = (i: number): string => String(i).padStart(6, '0');
  for (let i = 0; i < 5_000; i++) backend.put(buckets.key, key(i), Buffer.alloc(500, i));
  await backend.commit().done;
  for (let i = 0; i < 5_000; i++) if (i % 10 !== 0) backend.remove(buckets.key, key(i));
  await backend.commit().done;
}

describe.each([
  ['on disk', async (crash?: CrashPoints) => onDisk(await newDirectory(), crash)],
  ['in memory', async (crash?: CrashPoints) => new MemoryBackendFactory(crash === undefined ? {} : { crash })],
] as const)('a store %s', { timeout: 60_000 }, (_kind, makeFactory) => {
  test('is smaller afterwards, with the same rows, and opens again', async () => {
    const factory = await makeFactory();
    const backend = await factory.open('db');
    await fragment(backend);
    const rows = backend.range(buckets.key, { from: '' });
    const before = backend.sizeBytes();
    const done = await backend.defragment(new HurriedClock());
    expect(backend.sizeBytes()).toBeLessThan(before / 5);
    expect(done).toMatchObject({ sizeBytesBefore: before, sizeBytes: backend.sizeBytes() });
    expect(backend.sizeInUseBytes()).toBeLessThanOrEqual(backend.sizeBytes());
    expect(backend.range(buckets.key, { from: '' })).toEqual(rows);
    await backend.close();
    const again = await factory.open('db');
    expect(again.range(buckets.key, { from: '' })).toEqual(rows);
    await again.close();
  });

  test('loses nothing of what is committed meanwhile, round after round', async () => {
    const random = new SeededRandom(7);
    const factory = await makeFactory();
    let backend = await factory.open('db');
    let batch = 0;
    for (let round = 0; round < 6; round++) {
      let isOver = false;
      const defragmentation = backend.defragment(new HurriedClock()).finally(() => {
        isOver = true;
      });
      do {
        stageBatch(backend, ++batch);
        const { done } = backend.commit();
        if (random.below(3) > 0) await done;
        for (let turns = random.below(4); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
      } while (!isOver);
      expect(await defragmentation).toBeDefined();
      expect(faultIn(backend, batch)).toBeUndefined();
      if (round % 2 === 0) continue;
      await backend.close();
      backend = await factory.open('db');
      expect([batchIn(backend), faultIn(backend, batch)]).toEqual([batch, undefined]);
    }
    await backend.close();
  });

  test('is read on by the views it had, and closes with them', async () => {
    const backend = await (await makeFactory()).open('db');
    await fragment(backend);
    const rows = backend.range(buckets.key, { from: '' });
    const views = [await backend.openView(), await backend.openView()];
    await backend.defragment(new HurriedClock());
    backend.remove(buckets.key, rows[0]!.key);
    await backend.commit().done;
    for (const view of views) expect(view.range(buckets.key, { from: '' })).toEqual(rows);
    const later = await backend.openView();
    views[0]!.close();
    expect(views[1]!.range(buckets.key, { from: '', limit: 1 })).toEqual(rows.slice(0, 1));
    expect(later.range(buckets.key, { from: '', limit: 1 })).toEqual(rows.slice(1, 2));
    await backend.close();
  });

  test('that is closed gives it up, and has no other file the next time', async () => {
    const factory = await makeFactory();
    const backend = await factory.open('db');
    await fragment(backend);
    const defragmentation = backend.defragment(new HurriedClock());
    backend.put(buckets.key, 'last', Buffer.of(1));
    await backend.close();
    expect(await defragmentation).toBeUndefined();
    expect(await factory.exists('db.defrag')).toBe(false);
    const again = await factory.open('db');
    expect(again.get(buckets.key, 'last')).toEqual(Buffer.of(1));
    await again.close();
  });

  test('shares one among all who ask meanwhile', async () => {
    const backend = await (await makeFactory()).open('db');
    await fragment(backend);
    const [one, other] = await Promise.all([
      backend.defragment(new HurriedClock()),
      backend.defragment(new HurriedClock()),
    ]);
    expect(other).toBe(one);
    await backend.close();
  });

  test('goes on as before when the copy fails', async () => {
    const factory = await makeFactory(failingAt('defragAfterCopy'));
    const backend = await factory.open('db');
    stageBatch(backend, 1);
    await expect(backend.defragment(new HurriedClock())).rejects.toThrow(DefragmentError);
    expect(await factory.exists('db.defrag')).toBe(false);
    stageBatch(backend, 2);
    await backend.commit().durable;
    expect(faultIn(backend, 2)).toBeUndefined();
    await backend.close();
  });

  test.each(['defragBeforeRename', 'defragAfterRename'])(
    'commits nothing more when the swap fails at %s',
    async (place) => {
      const backend = await (await makeFactory(failingAt(place))).open('db');
      stageBatch(backend, 1);
      await backend.commit().done;
      await expect(backend.defragment(new HurriedClock())).rejects.toThrow('no space left');
      stageBatch(backend, 2);
      await expect(backend.commit().done).rejects.toThrow('no space left');
    },
  );
});

test('files that a crash left are removed when the store is opened', async () => {
  const directory = await newDirectory();
  const factory = onDisk(directory);
  await (await factory.open('db.defrag')).close();
  expect(existsSync(join(directory, 'db.defrag'))).toBe(true);
  await (await factory.open('db')).close();
  expect(readdirSync(directory).filter((name) => name.includes('defrag'))).toEqual([]);
});
