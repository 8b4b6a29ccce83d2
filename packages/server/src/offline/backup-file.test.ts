import { createHash } from 'node:crypto';
import { buckets, MemoryBackendFactory } from '@quorate/backend';
import { CorruptionError } from '@quorate/base';
import { crc32c } from '@quorate/wal';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { SnapshotRow } from '../snapshot-codec.ts';
import { backupOf, fileOf } from '../testing/backup.ts';
import { storedRow } from '../testing/rows.ts';
import { BackupError, readBackup } from './backup-file.ts';
import { backupStatus } from './backup-status.ts';

async function filled(rows: number): Promise<Buffer> {
  const backend = await new MemoryBackendFactory().open('db');
  for (let i = 0; i < rows; i++) backend.put(buckets.lease, String(i).padStart(6, '0'), Buffer.alloc(i % 300, i));
  return backupOf(backend);
}

async function read(bytes: Buffer, skipHashCheck = false): Promise<SnapshotRow[]> {
  const rows: SnapshotRow[] = [];
  const file = await fileOf(bytes);
  await readBackup(file, { onRows: (more) => void rows.push(...more) }, { checksum: crc32c, skipHashCheck });
  return rows;
}

/** Refused as a file that is no whole backup. */
async function refused(bytes: Buffer, skipHashCheck = false): Promise<Error> {
  const error: unknown = await read(bytes, skipHashCheck).then(
    () => new Error('it was taken'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof BackupError || error instanceof CorruptionError)) throw error;
  return error;
}

const rehashed = (bytes: Buffer): Buffer => {
  const content = bytes.subarray(0, -32);
  return Buffer.concat([content, createHash('sha256').update(content).digest()]);
};

describe('a backup file', { timeout: 60_000 }, () => {
  test.each([0, 1, 3_000])('of %i rows is read as it was written', async (count) => {
    const rows = await read(await filled(count));
    expect(rows).toHaveLength(count);
    expect(rows.every(({ value }, i) => value.equals(Buffer.alloc(i % 300, i)))).toBe(true);
  });

  test('with any one bit flipped is refused', async () => {
    const bytes = await filled(20);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length * 8 - 1), async (bit) => {
        const damaged = Buffer.from(bytes);
        damaged[bit >> 3]! ^= 1 << (bit & 7);
        await refused(damaged);
      }),
    );
  });

  test('cut anywhere, or with bytes behind its end, is refused, also without the hash check', async () => {
    const bytes = await filled(200);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 600), fc.boolean(), async (length, skip) => {
        await refused(bytes.subarray(0, length), skip);
      }),
    );
    for (const more of [1, 32, 512, 544]) await refused(Buffer.concat([bytes, Buffer.alloc(more)]));
    for (const more of [1, 512, 544]) {
      await refused(Buffer.concat([bytes.subarray(0, -32), Buffer.alloc(more, 1)]), true);
    }
  });

  test('with a wrong hash is refused in etcd’s words, and taken when the check is skipped', async () => {
    const bytes = await filled(20);
    bytes[bytes.length - 1]! ^= 1;
    expect((await refused(bytes)).message).toMatch(/^expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}: /);
    expect(await read(bytes, true)).toHaveLength(20);
  });

  test('without its hash is refused in etcd’s words, and taken when the check is skipped', async () => {
    const bytes = (await filled(20)).subarray(0, -32);
    expect((await refused(bytes)).message).toMatch(/^snapshot missing hash but --skip-hash-check=false: /);
    expect(await read(bytes, true)).toHaveLength(20);
  });

  test('whose damage was hashed again is still refused by the checksum of the frame', async () => {
    const bytes = await filled(20);
    bytes[200]! ^= 1;
    expect(await refused(rehashed(bytes))).toBeInstanceOf(CorruptionError);
    expect(await refused(rehashed(bytes), true)).toBeInstanceOf(CorruptionError);
  });

  test('that is something else is refused', async () => {
    await refused(Buffer.alloc(0), true);
    await refused(Buffer.alloc(512), true);
    expect((await refused(rehashed(Buffer.alloc(1_024 + 32)))).message).toContain('not a snapshot');
  });
});

describe('the status of a backup', () => {
  test('counts rows of all buckets, and its hash depends on the rows alone', async () => {
    const backend = await new MemoryBackendFactory().open('db');
    backend.put(buckets.lease, 'a', Buffer.from('1'));
    const key = '\0\0\0\0\0\0\0\x07_\0\0\0\0\0\0\0\0';
    backend.put(buckets.key, key, storedRow(key, Buffer.from('record')));
    const one = await backupStatus(await fileOf(await backupOf(backend)), crc32c);
    expect(one).toMatchObject({ revision: 7, totalKey: 2, totalSize: 512, version: '3.6.0' });
    expect(await backupStatus(await fileOf(await backupOf(backend, 99n)), crc32c)).toEqual(one);
    backend.put(buckets.lease, 'a', Buffer.from('2'));
    expect((await backupStatus(await fileOf(await backupOf(backend)), crc32c)).hash).not.toBe(one.hash);
  });

  test('is refused for a damaged file', async () => {
    const bytes = await filled(3);
    bytes[50]! ^= 1;
    await expect(backupStatus(await fileOf(bytes), crc32c)).rejects.toThrow(CorruptionError);
  });
});
