import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { NodeDisk } from './node-disk.ts';
import { RelocatedDisk } from './relocated-disk.ts';

let base: string;
let disk: RelocatedDisk;
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'quorate-relocated-'));
  const inner = new NodeDisk(base);
  await inner.makeDirectory('data');
  disk = new RelocatedDisk(new NodeDisk(join(base, 'data')), 'wal', join(base, 'fast/log'));
});
afterEach(() => rm(base, { recursive: true }));

test('what is under the directory lies elsewhere, the rest where it was', async () => {
  await disk.makeDirectory('wal');
  for (const path of ['wal/one', 'snap', 'walrus']) await (await disk.create(path)).close();
  await disk.syncDirectory('wal');
  expect(await readdir(join(base, 'fast/log'))).toEqual(['one']);
  expect((await readdir(join(base, 'data'))).sort()).toEqual(['snap', 'walrus']);
  expect(await disk.list('wal')).toEqual(['one']);
  expect([await disk.exists('wal'), await disk.exists('wal/one'), await disk.exists('one')]).toEqual([
    true,
    true,
    false,
  ]);
});

test('files there are opened, renamed and removed by their old names', async () => {
  await disk.makeDirectory('wal');
  const file = await disk.create('wal/0.tmp');
  await file.writeAndSync(0, [Buffer.from('log')]);
  await file.close();
  await disk.rename('wal/0.tmp', 'wal/0.wal');
  const reopened = await disk.open('wal/0.wal', { write: false });
  expect((await reopened.read(0, 10)).toString()).toBe('log');
  await reopened.close();
  await disk.remove('wal/0.wal');
  expect(await readdir(join(base, 'fast/log'))).toEqual([]);
});
