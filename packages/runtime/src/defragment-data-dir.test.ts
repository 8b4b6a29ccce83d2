import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buckets, lmdbBackendFactory } from '@quorate/backend';
import { noCrashPoints, silentLogger, silentMeter } from '@quorate/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { acquireDataDir } from './data-dir.ts';
import { defragmentDataDir } from './defragment-data-dir.ts';
import { nodeClock } from './node-clock.ts';

let root: string;
let dataDir: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'quorate-defrag-'));
  dataDir = join(root, 'data');
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

const logger = silentLogger;

function openStore() {
  const clock = nodeClock;
  return lmdbBackendFactory({ directory: dataDir, clock, logger, meter: silentMeter, crash: noCrashPoints }).open('db');
}

test('the store gets small and keeps its rows', async () => {
  const store = await openStore();
  for (let i = 0; i < 1_000; i++) store.put(buckets.key, String(i).padStart(4, '0'), Buffer.alloc(3_000, i));
  await store.commit().done;
  for (let i = 0; i < 1_000; i++) if (i % 20 !== 0) store.remove(buckets.key, String(i).padStart(4, '0'));
  const rows = store.range(buckets.key, { from: '' });
  await store.close();
  const before = (await stat(join(dataDir, 'db'))).size;
  const done = await defragmentDataDir({ dataDir, logger });
  expect(done.sizeBytesBefore).toBeLessThanOrEqual(before);
  expect((await stat(join(dataDir, 'db'))).size).toBeLessThan(before / 4);
  expect((await readdir(dataDir)).filter((name) => name.includes('defrag'))).toEqual([]);
  const again = await openStore();
  expect(again.range(buckets.key, { from: '' })).toEqual(rows);
  await again.close();
});

test('no directory, no store in it, and a directory in use are refused, and nothing is made', async () => {
  await expect(defragmentDataDir({ dataDir, logger })).rejects.toThrow('there is no such directory');
  await mkdir(dataDir);
  await expect(defragmentDataDir({ dataDir, logger })).rejects.toThrow('there is no store in the directory');
  expect((await readdir(dataDir)).filter((name) => name.startsWith('db'))).toEqual([]);
  const owned = await acquireDataDir(dataDir, nodeClock);
  await expect(defragmentDataDir({ dataDir, logger })).rejects.toThrow('cannot lock');
  await owned.release();
});
