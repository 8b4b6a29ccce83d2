import { expect, test } from 'vitest';
import { MemoryDisk } from './memory-disk.ts';
import { SeededRandom } from './random.ts';

async function afterCrash(seed: number, prepare: (disk: MemoryDisk) => Promise<void>): Promise<Map<string, Buffer>> {
  const disk = new MemoryDisk();
  await prepare(disk);
  disk.crash(new SeededRandom(seed));
  return disk.contents();
}

const seeds = Array.from({ length: 40 }, (_, i) => i);

test('what was synced, file and directory, survives every crash', async () => {
  for (const seed of seeds) {
    const contents = await afterCrash(seed, async (disk) => {
      const file = await disk.create('d/a');
      await file.write(0, Buffer.from('kept'));
      await file.sync();
      await disk.syncDirectory('d');
      await file.write(4, Buffer.from('more'));
    });
    expect(contents.get('d/a')?.subarray(0, 4).toString()).toBe('kept');
  }
});

test('an unsynced sector keeps its old or its new content, both happen', async () => {
  const seen = new Set<string>();
  for (const seed of seeds) {
    const contents = await afterCrash(seed, async (disk) => {
      const file = await disk.create('a');
      await file.write(0, Buffer.alloc(1024, 'o'));
      await file.sync();
      await disk.syncDirectory('');
      await file.write(0, Buffer.alloc(1024, 'n'));
    });
    const bytes = contents.get('a')!;
    seen.add(`${String.fromCharCode(bytes[0]!)}${String.fromCharCode(bytes[512]!)}`);
    expect(new Set(bytes.subarray(0, 512)).size).toBe(1);
  }
  expect([...seen].sort()).toEqual(['nn', 'no', 'on', 'oo']);
});

test('an unsynced creation, renaming or removal may be undone', async () => {
  const created = new Set<boolean>();
  const removed = new Set<boolean>();
  for (const seed of seeds) {
    const contents = await afterCrash(seed, async (disk) => {
      await disk.create('old');
      await disk.syncDirectory('');
      await disk.create('new');
      await disk.remove('old');
    });
    created.add(contents.has('new'));
    removed.add(!contents.has('old'));
  }
  expect(created.size).toBe(2);
  expect(removed.size).toBe(2);
});

test('the same random sequence crashes the same way', async () => {
  const prepare = async (disk: MemoryDisk): Promise<void> => {
    for (let i = 0; i < 8; i++) await (await disk.create(`f${i}`)).write(0, Buffer.alloc(2000, i + 1));
  };
  expect(await afterCrash(7, prepare)).toEqual(await afterCrash(7, prepare));
});

test('what a truncation cut off does not come back when the file grows again', async () => {
  for (const seed of seeds) {
    const contents = await afterCrash(seed, async (disk) => {
      const file = await disk.create('a');
      await file.write(0, Buffer.alloc(2048, 'o'));
      await file.sync();
      await disk.syncDirectory('');
      await file.truncate(100);
      await file.truncate(2048);
      expect(await file.read(0, 4096)).toEqual(Buffer.concat([Buffer.alloc(100, 'o'), Buffer.alloc(1948)]));
      await file.sync();
    });
    expect(contents.get('a')).toEqual(Buffer.concat([Buffer.alloc(100, 'o'), Buffer.alloc(1948)]));
  }
});

test('a file grown piece by piece holds the pieces and zeros between them', async () => {
  const disk = new MemoryDisk();
  const file = await disk.create('a');
  const expected = Buffer.alloc(5_010);
  for (let at = 0; at < 5_000; at += 50) {
    await file.write(at, Buffer.from([1, 2, 3, at % 251]));
    expected.set([1, 2, 3, at % 251], at);
  }
  await file.write(5_000, Buffer.alloc(10));
  expect(disk.contents().get('a')).toEqual(expected);
  expect(await file.size()).toBe(5_010);
});
