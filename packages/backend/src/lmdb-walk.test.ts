import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DiskFile, MemoryDisk, noCrashPoints, silentLogger, silentMeter } from '@quorate/base';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buckets } from './buckets.ts';
import { lmdbBackendFactory } from './lmdb-factory.ts';
import { type WalkedRow, walkLmdbFile } from './lmdb-walk.ts';
import { ManualClock } from './testing/manual-clock.ts';

interface Found {
  readonly rows: WalkedRow[];
  readonly problems: { readonly offset: number; readonly reason: string }[];
}

let directory: string;
let whole: Buffer;
/** What was written, by bucket and key. */
const written = new Map<string, string>();

async function fileOf(bytes: Buffer): Promise<DiskFile> {
  const file = await new MemoryDisk().create('db');
  await file.write(0, bytes);
  return file;
}

async function walk(bytes: Buffer): Promise<Found> {
  const found: Found = { rows: [], problems: [] };
  await walkLmdbFile(await fileOf(bytes), {
    onRow: (row) => found.rows.push(row),
    onProblem: (offset, reason) => found.problems.push({ offset, reason }),
  });
  return found;
}

const nameOf = ({ bucketId, key }: { bucketId: number; key: string }): string => `${bucketId}:${key}`;

/** Rows in several buckets, values of up to five pages, commits that leave free pages behind. */
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'quorate-walk-'));
  const factory = lmdbBackendFactory({
    directory,
    clock: new ManualClock(),
    logger: silentLogger,
    meter: silentMeter,
    crash: noCrashPoints,
  });
  const store = await factory.open('db');
  written.set('0:format', Buffer.from('quorate 1').toString('hex'));
  for (let i = 0; i < 1_500; i++) {
    const bucket = [buckets.key, buckets.lease, buckets.meta][i % 3]!;
    const key = `${(i * 7_919) % 1_001}`.padStart((i % 5) * 9, 'k');
    const name = nameOf({ bucketId: bucket.id, key });
    if (i % 11 === 10) {
      store.remove(bucket, key);
      written.delete(name);
    } else {
      const value = Buffer.alloc(i % 97 === 0 ? 4_000 + (i % 5) * 3_000 : i % 200, i);
      store.put(bucket, key, value);
      written.set(name, value.toString('hex'));
    }
    if (i % 400 === 0) await store.commit().done;
  }
  await store.close();
  whole = readFileSync(join(directory, 'db'));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

/** Where the lists of free pages are in a file whose tree of them is one leaf. */
function freeLists(bytes: Buffer): { readonly at: number; readonly count: number }[] {
  const newest = bytes.readBigUInt64LE(152) > bytes.readBigUInt64LE(4_096 + 152) ? 0 : 4_096;
  const page = Number(bytes.readBigUInt64LE(newest + 48 + 40)) * 4_096;
  return Array.from({ length: bytes.readUInt16LE(page + 20) / 2 }, (_, i) => {
    const at = page + 24 + bytes.readUInt16LE(page + 24 + 2 * i) + 8 + 8;
    return { at, count: Number(bytes.readBigInt64LE(at)) };
  });
}

/** A machine that is busy with other things takes its time. */
const patience = { timeout: 60_000 };

describe('a walk over a store without lmdb', patience, () => {
  test('finds every row that was written, in the order of buckets and keys, and nothing wrong', async () => {
    const { rows, problems } = await walk(whole);
    expect(problems).toEqual([]);
    expect(new Map(rows.map((row) => [nameOf(row), row.value.toString('hex')]))).toEqual(written);
    const order = rows.map(({ bucketId, key }) => String.fromCharCode(bucketId) + key);
    expect(order).toEqual([...order].sort((a, b) => (a < b ? -1 : 1)));
    expect(rows.every(({ offset, key }) => whole.indexOf(key, offset + 9, 'latin1') === offset + 9)).toBe(true);
  });

  test('of a file cut off says where the first lost page is named, or that the file is cut', async () => {
    for (const share of [0.1, 0.5, 0.9]) {
      const { problems } = await walk(whole.subarray(0, Math.floor(whole.length * share)));
      expect(problems.length).toBeGreaterThan(0);
    }
    expect((await walk(Buffer.alloc(0))).problems).toHaveLength(2);
    expect((await walk(Buffer.alloc(100_000, 7))).problems).toHaveLength(2);
  });

  test('of a file with any byte behind the meta pages changed ends, and finds each row, or something wrong', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 8_192, max: whole.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        async (at, change) => {
          const damaged = Buffer.from(whole);
          damaged[at]! ^= change;
          const { rows, problems } = await walk(damaged);
          if (problems.length > 0) return;
          // A byte of a value, or of a key that stays in order: those who wrote the row know it by its checksum.
          expect(rows).toHaveLength(written.size);
          const wrong = rows.filter((row) => written.get(nameOf(row)) !== row.value.toString('hex'));
          expect(wrong.length).toBeLessThanOrEqual(1);
        },
      ),
      { numRuns: 100 },
    );
  });

  test('of a meta page with any bit turned says so, or finds what was there, or the state before it', async () => {
    const entries = [0, 4_096].map((base) => Number(whole.readBigUInt64LE(base + 96 + 32)));
    expect(entries).toContain(written.size);
    for (const base of [0, 4_096]) {
      for (let bit = 18 * 8 + (base % 5); bit < 160 * 8; bit += 5) {
        const damaged = Buffer.from(whole);
        damaged[base + (bit >> 3)]! ^= 1 << (bit & 7);
        const { rows, problems } = await walk(damaged);
        if (problems.length === 0) expect(entries).toContain(rows.length);
      }
    }
  });

  test('of a list of free pages with any bit of its numbers turned says so', async () => {
    const lists = freeLists(whole);
    expect(lists.length).toBeGreaterThan(0);
    for (const { at, count } of lists) {
      for (let i = 1; i <= count; i++) {
        const number = whole.readBigInt64LE(at + 8 * i);
        if (number <= 0n) continue;
        for (let bit = i % 7; bit < 64; bit += 7) {
          const turned = BigInt.asIntN(64, number ^ (1n << BigInt(bit)));
          // A place left empty: the page is not used again, and nothing else happens.
          if (turned === 0n) continue;
          const damaged = Buffer.from(whole);
          damaged.writeBigInt64LE(turned, at + 8 * i);
          expect((await walk(damaged)).problems.length, `${number}, bit ${bit}`).toBeGreaterThan(0);
        }
      }
    }
  });

  test('of a page overwritten with another, with zeros or with noise names the page', async () => {
    const pages = whole.length / 4096;
    const { rows } = await walk(whole);
    const inUse = new Set(rows.map(({ offset }) => Math.floor(offset / 4096)));
    for (const page of [...inUse].slice(0, 10)) {
      for (const other of [
        whole.subarray(0, 4096),
        whole.subarray(-4096),
        Buffer.alloc(4096),
        Buffer.alloc(4096, 0xa5),
      ]) {
        if (page === pages - 1) continue;
        const damaged = Buffer.from(whole);
        other.copy(damaged, page * 4096);
        const { problems } = await walk(damaged);
        expect(problems[0]?.offset).toBe(page * 4096);
      }
    }
  });

  test('of a large value in pages that are in use elsewhere says so', async () => {
    const { rows } = await walk(whole);
    const large = rows.filter(({ value }) => value.length > 4_096);
    const [one, other] = large as [WalkedRow, WalkedRow];
    const damaged = Buffer.from(whole);
    const pagesAt = ({ offset, key }: WalkedRow): number => offset + 8 + 1 + key.length;
    whole.copy(damaged, pagesAt(one), pagesAt(other), pagesAt(other) + 24);
    const { problems } = await walk(damaged);
    expect(problems.length).toBeGreaterThan(0);
  });
});
