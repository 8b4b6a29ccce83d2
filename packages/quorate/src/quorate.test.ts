import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StorageError } from '@quorate/base';
import { Client } from '@quorate/client';
import { KvError } from '@quorate/proto';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type OpenOptions, open, type Quorate } from './index.ts';

let directory: string;
const opened: Quorate[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-embedded-'));
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((db) => db.close()));
  rmSync(directory, { recursive: true, force: true });
});

async function opening(options: OpenOptions = { dataDir: directory }): Promise<Quorate> {
  const db = await open(options);
  opened.push(db);
  return db;
}

async function textAt(db: Quorate, key: string): Promise<string | undefined> {
  return (await db.kv.get(key)).kvs[0]?.value.toString();
}

describe('an embedded member', () => {
  test('keeps what it acknowledged over closing and opening, and goes on with the revisions', async () => {
    const first = await opening();
    expect(first.isLeader).toBe(true);
    const written = await first.kv.put('a', 'one');
    const { id } = await first.lease.grant(600);
    await first.kv.put('b', 'two', { lease: id });
    await first.close();
    const second = await opening();
    expect(second.memberId).toBe(first.memberId);
    expect(await textAt(second, 'a')).toBe('one');
    expect((await second.lease.timeToLive(id, { keys: true })).keys.map(String)).toEqual(['b']);
    expect((await second.kv.put('a', 'three')).header!.revision).toBe(written.header!.revision + 2);
  });

  test('takes bytes as they are when it is called, whatever becomes of them', async () => {
    const db = await opening({ inMemory: true });
    const value = Buffer.from('before');
    const putting = db.kv.put('k', value);
    value.fill(0);
    await putting;
    expect(await textAt(db, 'k')).toBe('before');
  });

  test('refuses as etcd refuses', async () => {
    const db = await opening({ inMemory: true });
    await expect(db.kv.put('', 'x')).rejects.toEqual(new KvError('emptyKey'));
    await expect(db.kv.put('a', 'x', { lease: 7n })).rejects.toEqual(new KvError('leaseNotFound'));
    await expect(db.kv.get('a', { revision: 99 })).rejects.toEqual(new KvError('futureRev'));
  });

  test('gives watchers every revision once and in order, past ones too', async () => {
    const db = await opening({ inMemory: true });
    for (let i = 0; i < 50; i++) await db.kv.put('w/a', String(i));
    const seen: number[] = [];
    const watch = db.watch('w/', { prefix: true, startRevision: 2 });
    const rest = Promise.all(Array.from({ length: 50 }, (_, i) => db.kv.put(`w/${i}`, '')));
    for await (const update of watch) {
      if (update.kind !== 'events') continue;
      for (const { kv } of update.events) seen.push(kv!.modRevision);
      if (seen.length === 100) break;
    }
    await rest;
    expect(seen).toEqual(Array.from({ length: 100 }, (_, i) => i + 2));
  });

  test('a watcher that does not read for a while misses nothing', async () => {
    const db = await opening({ inMemory: true });
    const watch = db.watch('big/', { prefix: true });
    await watch.created;
    const value = Buffer.alloc(100_000, 'x');
    for (let i = 0; i < 120; i++) await db.kv.put(`big/${i}`, value);
    const keys: string[] = [];
    for await (const update of watch) {
      if (update.kind === 'events') keys.push(...update.events.map(({ kv }) => String(kv!.key)));
      if (keys.length === 120) break;
    }
    expect(keys).toEqual(Array.from({ length: 120 }, (_, i) => `big/${i}`));
  });

  test('streams a snapshot and a range to whoever reads them, and stops when he leaves', async () => {
    const db = await opening({ inMemory: true });
    for (let i = 0; i < 100; i++) await db.kv.put(`k${i}`, Buffer.alloc(50_000));
    let bytes = 0;
    for await (const { blob } of db.maintenance.snapshot()) bytes += blob.length;
    expect(bytes).toBeGreaterThan(5_000_000);
    for await (const { blob } of db.maintenance.snapshot()) {
      expect(blob.length).toBeGreaterThan(0);
      break;
    }
    expect(await textAt(db, 'k1')).toBeDefined();
  });

  test('an aborted call rejects with the reason, a late one with the deadline', async () => {
    const db = await opening({ inMemory: true });
    const gone = new Error('gone');
    await expect(db.kv.get('a', {}, { signal: AbortSignal.abort(gone) })).rejects.toBe(gone);
    const controller = new AbortController();
    await db.rpc.lock.lock({ name: Buffer.from('l') });
    const waiting = db.rpc.lock.lock({ name: Buffer.from('l') }, { signal: controller.signal });
    controller.abort(gone);
    await expect(waiting).rejects.toBe(gone);
    const late = db.rpc.lock.lock({ name: Buffer.from('l') }, { timeoutMs: 20 });
    await expect(late).rejects.toThrow('context deadline exceeded');
    // Both left the line, the holder stays.
    await vi.waitFor(async () => expect((await db.kv.get('l/', { prefix: true })).count).toBe(1), 30_000);
  });

  test('several live in one process, each with its own', async () => {
    const [one, two] = await Promise.all([opening(), opening({ inMemory: true })]);
    await one!.kv.put('k', 'one');
    await two!.kv.put('k', 'two');
    expect([await textAt(one!, 'k'), await textAt(two!, 'k')]).toEqual(['one', 'two']);
  });

  test('serves clients from outside when asked to', async () => {
    const db = await opening({ dataDir: directory, listenClientUrls: ['http://127.0.0.1:0'] });
    const client = new Client({ endpoints: [`127.0.0.1:${db.clientPorts[0]}`] });
    await client.kv.put('from', 'outside');
    expect(await textAt(db, 'from')).toBe('outside');
    await db.kv.put('from', 'inside');
    expect((await client.kv.get('from')).kvs[0]!.value.toString()).toBe('inside');
    client.close();
  });
});

describe('a directory', () => {
  test('has one owner at a time', async () => {
    await opening();
    await expect(open({ dataDir: directory })).rejects.toThrow(StorageError);
  });

  test('is given back when the member cannot be opened', async () => {
    const wrong = open({ dataDir: directory, listenClientUrls: ['ftp://nowhere:1'] });
    await expect(wrong).rejects.toThrow('cannot listen at ftp://nowhere:1: not http://host:port');
    expect(readdirSync(directory)).toEqual([]);
    await opening();
  });

  test('is not touched for a cluster that does not name the member', async () => {
    const cluster = { members: { a: 'http://127.0.0.1:1' } };
    await expect(open({ dataDir: directory, name: 'b', cluster })).rejects.toThrow(TypeError);
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('the end', () => {
  test('calls under way are rejected by closing, later ones too, and watches end', async () => {
    const db = await opening();
    const watch = db.watch('a');
    await watch.created;
    const waiting = db.rpc.lock
      .lock({ name: Buffer.from('l') })
      .then(() => db.rpc.lock.lock({ name: Buffer.from('l') }));
    const refused = expect(waiting).rejects.toThrow();
    const reading = expect(watch.next()).rejects.toThrow();
    await db.kv.put('before', 'the end');
    await Promise.all([db.close(), db.close()]);
    await Promise.all([refused, reading]);
    await expect(db.kv.get('a')).rejects.toThrow('the member is closed');
    expect(await textAt(await opening(), 'before')).toBe('the end');
  });

  test('every write that was acknowledged before closing is there, whenever it is closed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 60 }), async (count) => {
        const db = await open({ dataDir: directory });
        const acked: string[] = [];
        const writers = Array.from({ length: 8 }, async (_, writer) => {
          for (let i = 0; ; i++) {
            await db.kv.put(`${writer}/${i}`, 'v');
            acked.push(`${writer}/${i}`);
          }
        });
        const over = Promise.allSettled(writers);
        while (acked.length < count) await db.kv.put('turn', '');
        await db.close();
        await over;
        const again = await open({ dataDir: directory });
        const there = new Set((await again.kv.get('', { fromKey: true })).kvs.map(({ key }) => String(key)));
        await again.close();
        expect(acked.filter((key) => !there.has(key))).toEqual([]);
      }),
      { numRuns: 5 },
    );
  });
});
