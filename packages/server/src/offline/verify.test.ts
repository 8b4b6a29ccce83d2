import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConsistentIndex } from '@quorate/apply';
import { type Backend, buckets, lmdbBackendFactory } from '@quorate/backend';
import { type DiskFile, MemoryDisk, noCrashPoints, SeededRandom, silentLogger, silentMeter } from '@quorate/base';
import { crc32c, Wal, type WalOptions } from '@quorate/wal';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../testing/manual-clock.ts';
import { type VerifyReport, verifyMember } from './verify.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-verify-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

interface StoreAt {
  readonly index: number;
  readonly term: number;
  /** Further rows. */
  readonly fill?: (store: Backend) => void;
}

/** The data file of a store at this index. */
async function storeFile({ index, term, fill }: StoreAt): Promise<Buffer> {
  const tools = { clock: new ManualClock(), logger: silentLogger, meter: silentMeter, crash: noCrashPoints };
  const backends = lmdbBackendFactory({ directory, ...tools });
  await backends.remove('made');
  const store = await backends.open('made');
  const consistent = new ConsistentIndex(store);
  while (consistent.index < index) consistent.moveTo({ index: consistent.index + 1, term });
  consistent.stage();
  fill?.(store);
  await store.close();
  return readFileSync(join(directory, 'made'));
}

interface LogAt {
  /** The log begins behind this index. */
  readonly mark: number;
  readonly last: number;
  readonly term: number;
}

/** A disk with this log and these stores. */
async function member(log: LogAt | undefined, stores: Readonly<Record<string, StoreAt>>): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  if (log !== undefined) {
    const options: WalOptions = {
      disk,
      directory: 'wal',
      clock: new ManualClock(),
      random: new SeededRandom(1),
      logger: silentLogger,
      meter: silentMeter,
      crash: noCrashPoints,
      segmentSizeBytes: 64 * 1024,
    };
    const { mark, last, term } = log;
    const wal = await Wal.create(options, { memberId: 1n, clusterId: 2n, incarnation: 3n });
    const entries = Array.from({ length: last - mark }, (_, i) => ({
      term,
      index: mark + 1 + i,
      type: 0,
      data: Buffer.alloc(100, i),
    }));
    const snapshot = mark === 0 ? undefined : { index: mark, term, confState: Buffer.alloc(0) };
    wal.append({ term, vote: 0n, commit: last }, entries, snapshot);
    await wal.sync();
    await wal.close();
  }
  for (const [name, store] of Object.entries(stores)) await write(disk, name, await storeFile(store));
  return disk;
}

async function write(disk: MemoryDisk, name: string, bytes: Buffer): Promise<void> {
  await disk.remove(name);
  const file: DiskFile = await disk.create(name);
  await file.write(0, bytes);
}

function verify(disk: MemoryDisk): Promise<VerifyReport> {
  return verifyMember({ disk, checksum: crc32c, logger: silentLogger });
}

const log: LogAt = { mark: 3, last: 9, term: 2 };

describe('the files of a member', { timeout: 60_000 }, () => {
  test('that belong together are told, and stay as they are', async () => {
    const disk = await member(log, { db: { index: 5, term: 2 } });
    const before = disk.contents();
    expect(await verify(disk)).toEqual({
      notes: [
        'db: 2 rows, 0 keys, revision 1, consistent index 5 of term 2',
        'wal: 1 segments, entries 4 to 9, commit index 9, member 1 of cluster 2',
      ],
      problems: [],
    });
    expect(disk.contents()).toEqual(before);
  });

  test.each([
    ['a store beyond the log', log, { db: { index: 10, term: 2 } }, 'ends before what was applied'],
    ['a store before the log', log, { db: { index: 2, term: 2 } }, 'is at index 2, before the log begins, at 4'],
    ['a store of another term', log, { db: { index: 5, term: 1 } }, 'of term 2 in the log, of term 1 in the store'],
    ['a store of another term at the mark', log, { db: { index: 3, term: 1 } }, 'of term 2 in the log, of term 1'],
    ['no store behind a mark', log, {}, 'the store is missing'],
    ['no log', undefined, { db: { index: 5, term: 2 } }, 'there is no log'],
  ])('with %s are wrong', async (_, wal, stores, reason) => {
    const { problems } = await verify(await member(wal, stores as Record<string, StoreAt>));
    expect(problems).toMatchObject([{ reason: expect.stringContaining(reason) }]);
  });

  test('of a first start that was cut short are right', async () => {
    const { notes, problems } = await verify(await member({ mark: 0, last: 1, term: 1 }, {}));
    expect({ notes: notes[1], problems }).toEqual({
      notes: 'there is no store yet; the next start makes it',
      problems: [],
    });
  });

  test('with a received state that waits to be put in place are right', async () => {
    const complete = (store: Backend): void => store.put(buckets.meta, 'snapshotComplete', Buffer.from('3'));
    const stores = { db: { index: 1, term: 1 }, 'db.next': { index: 3, term: 2, fill: complete } };
    const { notes, problems } = await verify(await member(log, stores));
    expect(problems).toEqual([]);
    expect(notes.at(-1)).toBe('db.next: a received state that the next start puts in the place of db');
    // One that is not whole does not count, and then the store is too old.
    const cutShort = { ...stores, 'db.next': { index: 3, term: 2 } };
    expect((await verify(await member(log, cutShort))).problems).toMatchObject([{ file: 'db' }]);
  });

  test('with damage name file, offset and key of it', async () => {
    const disk = await member(log, { db: { index: 5, term: 2 } });
    const [segment] = [...disk.contents().keys()].filter((name) => name.endsWith('.wal'));
    const bytes = Buffer.from(disk.contents().get(segment!)!);
    bytes[400]! ^= 1;
    await write(disk, segment!, bytes);
    const lease = (store: Backend): void => store.put(buckets.lease, 'short', Buffer.alloc(1));
    await write(disk, 'db', await storeFile({ index: 5, term: 2, fill: lease }));
    const { problems } = await verify(disk);
    expect(problems).toMatchObject([
      { file: 'db', key: 'lease/short', reason: 'not the id of a lease' },
      { file: segment, offset: expect.any(Number) },
    ]);
    expect(problems[0]!.offset).toBeGreaterThan(8_192);
    const many = (store: Backend): void => {
      for (let i = 0; i < 150; i++) store.put(buckets.lease, `short${i}`, Buffer.alloc(1));
    };
    const report = await verify(await member(log, { db: { index: 5, term: 2, fill: many } }));
    expect(report.problems).toHaveLength(100);
    expect(report.notes.at(-1)).toBe('db: 50 more problems');
  });

  test('of a member that found its store damaged say so', async () => {
    const disk = await member(log, { db: { index: 5, term: 2 } });
    await write(disk, 'store-damaged', Buffer.from('checksum mismatch'));
    expect((await verify(disk)).notes.at(-1)).toBe(
      'store-damaged: db was found damaged, and no start takes it; rebuild it',
    );
  });

  test('with a torn tail say so, and nothing is wrong', async () => {
    const disk = await member({ mark: 0, last: 9, term: 2 }, { db: { index: 5, term: 2 } });
    const [segment] = [...disk.contents().keys()].filter((name) => name.endsWith('.wal'));
    const bytes = Buffer.from(disk.contents().get(segment!)!);
    const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
    bytes[Math.ceil(end / 8) * 8 + 3] = 7;
    await write(disk, segment!, bytes);
    const { notes, problems } = await verify(disk);
    expect(problems).toEqual([]);
    expect(notes.at(-1)).toMatch(/^wal: a torn tail of \d+ bytes in /);
  });
});
