import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CorruptionError,
  type CrashPointName,
  type MetricSpec,
  noCrashPoints,
  StorageError,
  silentLogger,
  silentMeter,
} from '@quorate/base';
import { open as openLmdb } from 'lmdb';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BackendFactory } from './backend.ts';
import { buckets } from './buckets.ts';
import { type FactoryFixture, testBackend, testRandomSequences } from './conformance.ts';
import { type LmdbFactoryOptions, lmdbBackendFactory } from './lmdb-factory.ts';
import { ManualClock } from './testing/manual-clock.ts';
import { SeenRows } from './testing/seen-rows.ts';

let directory: string;

function makeFactory(options: Partial<LmdbFactoryOptions> = {}): BackendFactory {
  return lmdbBackendFactory({
    directory,
    clock: new ManualClock(),
    logger: silentLogger,
    meter: silentMeter,
    crash: noCrashPoints,
    ...options,
  });
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'quorate-backend-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function makeFixture(options: Partial<LmdbFactoryOptions> = {}): Promise<FactoryFixture> {
  const own = await mkdtemp(join(directory, 'store-'));
  return { factory: makeFactory({ ...options, directory: own }), dispose: () => rm(own, { recursive: true }) };
}

testBackend('the store on disk', { makeFactory: makeFixture, sequenceCount: 60, sequenceLengthMax: 300 });

describe('the store on disk that outgrows its map again and again', () => {
  testRandomSequences({
    makeFactory: () => makeFixture({ mapSizeBytes: 64 * 1024 }),
    sequenceCount: 30,
    sequenceLengthMax: 300,
  });
});

describe('files', () => {
  test('are for their owner only, whatever the umask, after replacing and reopening too', async () => {
    const umask = process.umask(0);
    try {
      const inner = join(directory, 'a', 'b');
      const factory = makeFactory({ directory: inner });
      for (const name of ['db', 'db.next']) {
        const backend = await factory.open(name);
        backend.put(buckets.key, 'k', Buffer.from(name));
        await backend.close();
      }
      await factory.replace('db.next', 'db');
      const backend = await factory.open('db');
      expect(backend.get(buckets.key, 'k')?.toString()).toBe('db.next');
      expect(readdirSync(inner).sort()).toEqual(['db', 'db-lock']);
      for (const path of ['', 'db', 'db-lock']) expect(statSync(join(inner, path)).mode & 0o077, path).toBe(0);
      await backend.close();
    } finally {
      process.umask(umask);
    }
  });

  test('left by a creation that was cut off are removed, whatever is in them', async () => {
    for (const name of ['db.creating', 'db.creating-lock']) writeFileSync(join(directory, name), 'junk');
    const factory = makeFactory();
    const backend = await factory.open('db');
    backend.put(buckets.key, 'a', Buffer.of(1));
    await backend.close();
    expect(readdirSync(directory).sort()).toEqual(['db', 'db-lock']);
    writeFileSync(join(directory, 'db.creating'), 'junk');
    const again = await factory.open('db');
    expect(again.get(buckets.key, 'a')).toEqual(Buffer.of(1));
    expect(existsSync(join(directory, 'db.creating'))).toBe(false);
    await again.close();
    writeFileSync(join(directory, 'db.creating'), 'junk');
    await factory.remove('db');
    expect(readdirSync(directory)).toEqual([]);
  });

  test('of others are refused and stay as they are', async () => {
    const factory = makeFactory();
    const path = join(directory, 'db');
    for (const content of ['', 'short', 'not lmdb'.repeat(5_000)]) {
      writeFileSync(path, content);
      await expect(factory.open('db')).rejects.toThrow('cannot verify backend: not a data file of lmdb');
      expect(readFileSync(path, 'latin1')).toBe(content);
    }
    await factory.remove('db');
    const foreign = openLmdb<string, string>({ path, noSubdir: true, overlappingSync: false });
    await foreign.put('key', 'value');
    await foreign.close();
    await expect(factory.open('db')).rejects.toThrow('not a store of this program');
    await expect(factory.open('db')).rejects.toThrow('not a store of this program');
    await factory.remove('db');
    mkdirSync(path);
    await expect(factory.open('db')).rejects.toThrow('cannot open backend: EISDIR');
  });

  test('of which only the first meta page is whole are refused', async () => {
    const factory = makeFactory();
    await (await factory.open('db')).close();
    truncateSync(join(directory, 'db'), 4_096 + 100);
    await expect(factory.open('db')).rejects.toThrow('cannot verify backend: not a data file of lmdb');
    expect(statSync(join(directory, 'db')).size).toBe(4_096 + 100);
  });

  test('that were cut off or overwritten are refused before lmdb sees them, and stay as they are', async () => {
    const path = join(directory, 'db');
    await fill(makeFactory());
    const whole = readFileSync(path);
    for (const [what, content] of Object.entries(damagedCopies(whole))) {
      writeFileSync(path, content);
      await expect(makeFactory().open('db'), what).rejects.toThrow(CorruptionError);
      expect(readFileSync(path).equals(content), what).toBe(true);
    }
    writeFileSync(path, whole);
    const healthy = await makeFactory().open('db');
    expect(healthy.range(buckets.key, { from: '' })).toHaveLength(2_000);
    await healthy.close();
  });

  test('that are damaged after they were opened once give errors where pages are missing', async () => {
    const factory = makeFactory();
    const path = join(directory, 'db');
    await fill(factory);
    const whole = readFileSync(path);
    for (const [what, content] of Object.entries(damagedCopies(whole))) {
      writeFileSync(path, content);
      const backend = await factory.open('db');
      expect(backend.get(buckets.key, keyOf(0)), what).toEqual(Buffer.alloc(300, 0));
      // Key by key: lmdb's cursors end the process when they step onto such a page.
      const readAll = (): void => {
        for (let i = 0; i < 2_000; i++) backend.get(buckets.key, keyOf(i));
      };
      expect(readAll, what).toThrow(CorruptionError);
      expect(readAll, what).toThrow(StorageError);
      await backend.close();
    }
    writeFileSync(path, whole.subarray(0, 12_288));
    await expect(factory.open('db')).rejects.toThrow(CorruptionError);
  });

  test('that take the place of another are looked at unless they were before', async () => {
    await fill(makeFactory(), 'next');
    const path = join(directory, 'next');
    writeFileSync(path, damagedCopies(readFileSync(path))['zeroed in the middle']!);
    const factory = makeFactory();
    await (await factory.open('db')).close();
    await factory.replace('next', 'db');
    await expect(factory.open('db')).rejects.toThrow(CorruptionError);
  });

  test('show whoever opens them their keys’ rows, once in a process, and have no end when a page is damaged', async () => {
    const backend = await makeFactory().open('db');
    for (let i = 0; i < 400; i++) {
      backend.put(buckets.key, `key ${i}`, Buffer.alloc(i % 40 === 0 ? 1_000 * i : i, i));
      backend.put(buckets.lease, `lease ${i}`, Buffer.from('other'));
    }
    await backend.commit().done;
    const rows = backend.range(buckets.key, { from: '' });
    await backend.close();
    const path = join(directory, 'db');
    const whole = readFileSync(path);
    const factory = makeFactory();
    for (const expected of [{ rows, ends: 1 }, new SeenRows()]) {
      const seen = new SeenRows();
      const again = await factory.open('db', seen);
      expect(seen).toEqual(expected);
      await again.close();
    }
    const name = whole.indexOf('key 100');
    whole[name] = 'z'.charCodeAt(0);
    writeFileSync(path, whole);
    const seen = new SeenRows();
    await expect(makeFactory().open('db', seen)).rejects.toThrow(CorruptionError);
    expect(seen.ends).toBe(0);
  });

  test('have names, not paths', async () => {
    const factory = makeFactory();
    for (const name of ['', '.', '..', '../db', 'a/b', 'a\0', '-x']) {
      await expect(factory.open(name), name).rejects.toThrow('not a name of a store');
    }
    await expect(factory.replace('../x', 'db')).rejects.toThrow('not a name of a store');
    expect(readdirSync(directory)).toEqual([]);
  });
});

const keyOf = (i: number): string => String(i).padStart(5, '0');

/** Two thousand rows of 300 bytes. */
async function fill(factory: BackendFactory, name = 'db'): Promise<void> {
  const store = await factory.open(name);
  for (let i = 0; i < 2_000; i++) store.put(buckets.key, keyOf(i), Buffer.alloc(300, i));
  await store.close();
}

function damagedCopies(whole: Buffer): Record<string, Buffer> {
  const middle = Math.floor(whole.length / 8_192) * 4_096;
  return {
    'cut in the middle': whole.subarray(0, middle),
    'zeroed in the middle': Buffer.concat([
      whole.subarray(0, middle),
      Buffer.alloc(40_960),
      whole.subarray(middle + 40_960),
    ]),
  };
}

test('the metrics follow the store and its commits', async () => {
  const gauges = new Map<string, () => number>();
  const commitSeconds: number[] = [];
  const clock = new ManualClock();
  const meter = {
    ...silentMeter,
    histogram: (spec: MetricSpec) => {
      expect(spec.name).toBe('etcd_disk_backend_commit_duration_seconds');
      return { observe: (value: number) => void commitSeconds.push(value) };
    },
    observedGauge: (spec: MetricSpec, read: () => number) => void gauges.set(spec.name, read),
  };
  const factory = makeFactory({ meter, clock });
  const gauge = (name: string): number => gauges.get(name)!();
  expect(gauge('etcd_mvcc_db_total_size_in_bytes')).toBe(0);
  const backend = await factory.open('db');
  const other = await factory.open('db.next');
  for (let i = 0; i < 100; i++) backend.put(buckets.key, String(i), Buffer.alloc(4_000));
  const { durable } = backend.commit();
  clock.jump(20);
  await durable;
  expect(commitSeconds).toEqual([0.02]);
  expect(gauge('etcd_mvcc_db_total_size_in_bytes')).toBe(backend.sizeBytes());
  expect(gauge('etcd_mvcc_db_total_size_in_use_in_bytes')).toBe(backend.sizeInUseBytes());
  expect(backend.sizeBytes()).toBeGreaterThan(other.sizeBytes());
  expect(statSync(join(directory, 'db')).size).toBe(backend.sizeBytes());
  expect(gauge('etcd_mvcc_db_open_read_transactions')).toBe(0);
  const view = await backend.openView();
  expect(gauge('etcd_mvcc_db_open_read_transactions')).toBe(1);
  view.close();
  expect(gauge('etcd_mvcc_db_open_read_transactions')).toBe(0);
  const last = backend.sizeBytes();
  const closing = backend.close();
  expect(gauge('etcd_mvcc_db_total_size_in_bytes')).toBe(last);
  await closing;
  await other.close();
  expect(gauge('etcd_mvcc_db_total_size_in_bytes')).toBe(last);
});

test('the crash points stand before the commit, while lmdb writes, and after the flush', async () => {
  const passed: CrashPointName[] = [];
  const factory = makeFactory({ crash: { hit: (name) => void passed.push(name) } });
  const backend = await factory.open('db');
  expect(passed).toEqual([]);
  backend.put(buckets.key, 'a', Buffer.of(1));
  const { done } = backend.commit();
  expect(passed).toEqual(['backendBeforeCommit', 'backendAfterCommitBeforeFlush']);
  await done;
  expect(passed.slice(2)).toEqual(['backendAfterFlush']);
  await backend.close();
});
