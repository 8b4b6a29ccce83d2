import { CorruptionError, SeededRandom, StorageError } from '@quorate/base';
import type { Entry } from '@quorate/proto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { entry, MemoryDisk, metadata, StillClock, walOptions } from './testing/world.ts';
import { verifyWal } from './verify.ts';
import { Wal, type WalOptions } from './wal.ts';

async function reopen(options: WalOptions, committedAtLeast = 0) {
  const { wal, recovery } = await Wal.open(options, { committedAtLeast });
  return { wal, recovery };
}

describe('a log', () => {
  test('gives back what was synced, with the hard state, after a clean close', async () => {
    const options = walOptions(new MemoryDisk());
    const wal = await Wal.create(options, metadata);
    wal.append({ term: 1, vote: 7n, commit: 0 }, [entry(1), entry(2)]);
    await wal.sync();
    wal.append({ term: 1, vote: 7n, commit: 2 }, [entry(3, 40_000)]);
    await wal.sync();
    await wal.close();
    const { recovery } = await reopen(options);
    expect(recovery.metadata).toEqual(metadata);
    expect(recovery.hardState).toEqual({ term: 1, vote: 7n, commit: 2 });
    expect(recovery.entries).toEqual([entry(1), entry(2), entry(3, 40_000)]);
    expect(recovery.tornBytes).toBe(0);
  });

  test('goes on over many segments and keeps everything', async () => {
    const options = walOptions(new MemoryDisk());
    const wal = await Wal.create(options, metadata);
    for (let i = 1; i <= 400; i++) {
      wal.append(undefined, [entry(i, 100)]);
      await wal.sync();
    }
    await wal.close();
    const report = await verifyWal(options, { committedAtLeast: 400 });
    expect(report.segmentCount).toBeGreaterThan(5);
    const { recovery } = await reopen(options);
    expect(recovery.entries.map((e) => e.index)).toEqual(Array.from({ length: 400 }, (_, i) => i + 1));
  });

  test('a later entry replaces those of its index and behind it', async () => {
    const options = walOptions(new MemoryDisk());
    const wal = await Wal.create(options, metadata);
    wal.append(undefined, [entry(1), entry(2), entry(3)]);
    wal.append(undefined, [entry(2, 5, 2)]);
    await wal.sync();
    const { recovery } = await reopen(options);
    expect(recovery.entries).toEqual([entry(1), entry(2, 5, 2)]);
  });

  test('what is appended while a sync is under way is the next group', async () => {
    const disk = new MemoryDisk();
    const writes: number[] = [];
    const options = walOptions(countingDisk(disk, writes));
    const wal = await Wal.create(options, metadata);
    writes.length = 0;
    wal.append(undefined, [entry(1)]);
    const first = wal.sync();
    const later: Promise<void>[] = [];
    for (let i = 2; i <= 50; i++) {
      wal.append(undefined, [entry(i)]);
      later.push(wal.sync());
    }
    await first;
    await Promise.all(later);
    expect(writes).toHaveLength(2);
  });

  test('a mark cuts the log before it, and release removes the segments below', async () => {
    const disk = new MemoryDisk();
    const options = walOptions(disk);
    const wal = await Wal.create(options, metadata);
    for (let i = 1; i <= 200; i++) {
      wal.append(undefined, [entry(i, 100)]);
      await wal.sync();
    }
    const before = (await disk.list('wal')).length;
    wal.append(undefined, [], { index: 150, term: 1, confState: Buffer.from('conf') });
    await wal.sync();
    await wal.release(150);
    expect((await disk.list('wal')).length).toBeLessThan(before);
    await wal.close();
    const { recovery } = await reopen(options, 150);
    expect(recovery.snapshot).toMatchObject({ index: 150, term: 1 });
    expect(recovery.entries.map((e) => e.index)).toEqual(Array.from({ length: 50 }, (_, i) => 151 + i));
  });

  test('marks and releases in any rhythm leave a log that opens', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1e9 }), async (seed) => {
        const random = new SeededRandom(seed);
        const disk = new MemoryDisk();
        const options = walOptions(disk, { random });
        const wal = await Wal.create(options, metadata);
        let index = 0;
        let mark = 0;
        for (let i = 0; i < 30; i++) {
          // A new leader may replace what is not marked yet.
          if (random.below(4) === 0) index -= random.below(index - mark + 1);
          for (let n = random.below(20); n > 0; n--) wal.append(undefined, [entry(++index, random.below(400))]);
          if (index > mark && random.below(3) === 0) {
            mark += 1 + random.below(index - mark);
            wal.append(undefined, [], { index: mark, term: 1, confState: Buffer.alloc(0) });
          }
          await wal.sync();
          if (random.below(2) === 0) await wal.release(mark);
        }
        await wal.close();
        const { recovery } = await reopen(options, mark);
        expect(recovery.snapshot?.index ?? 0).toBe(mark);
        index = wal.lastIndex;
        expect(recovery.entries.map((e) => e.index)).toEqual(
          Array.from({ length: index - mark }, (_, i) => mark + 1 + i),
        );
      }),
      { numRuns: 150 },
    );
  });

  test('a mark that does not continue the log replaces it', async () => {
    const options = walOptions(new MemoryDisk());
    const wal = await Wal.create(options, metadata);
    wal.append(undefined, [entry(1), entry(2), entry(3)]);
    wal.append(undefined, [], { index: 2, term: 5, confState: Buffer.alloc(0) });
    await wal.sync();
    wal.append(undefined, [entry(3, 9, 5)]);
    await wal.sync();
    const { recovery } = await reopen(options);
    expect(recovery.entries).toEqual([entry(3, 9, 5)]);
  });

  test('an idle log writes one empty group, so that the last one with data has a successor', async () => {
    const disk = new MemoryDisk();
    const clock = new StillClock();
    const options = walOptions(disk, { clock });
    const wal = await Wal.create(options, metadata);
    wal.append(undefined, [entry(1, 600)]);
    await wal.sync();
    clock.fire();
    await wal.close();
    const [name] = (await disk.list('wal')).filter((file) => file.endsWith('.wal'));
    await flip(disk, `wal/${name}`, 96 + 200);
    await expect(reopen(options)).rejects.toThrow(CorruptionError);
  });

  test('a failed sync is final', async () => {
    const disk = new MemoryDisk();
    const broken = { now: false };
    const options = walOptions(failingDisk(disk, broken));
    const wal = await Wal.create(options, metadata);
    broken.now = true;
    wal.append(undefined, [entry(1)]);
    const [a, b] = [wal.sync(), wal.sync()];
    await expect(a).rejects.toThrow(StorageError);
    await expect(b).rejects.toThrow(StorageError);
    broken.now = false;
    await expect(wal.sync()).rejects.toThrow(StorageError);
    expect(() => wal.append(undefined, [entry(2)])).toThrow(StorageError);
  });
});

/** Everything the writer was told, for comparing with what recovery says. */
interface Written {
  readonly acked: Entry[];
  readonly appended: Entry[];
}

async function writeRandomly(options: WalOptions, random: SeededRandom, groups: number): Promise<Written> {
  const wal = (await Wal.exists(options)) ? (await reopen(options)).wal : await Wal.create(options, metadata);
  const acked: Entry[] = [];
  const appended: Entry[] = [];
  let index = wal.lastIndex;
  for (let g = 0; g < groups; g++) {
    const batch = Array.from({ length: 1 + random.below(5) }, () => entry(++index, random.below(900)));
    wal.append({ term: 1, vote: 0n, commit: acked.at(-1)?.index ?? 0 }, batch);
    appended.push(...batch);
    await wal.sync();
    acked.push(...batch);
  }
  return { acked, appended };
}

describe('after a power failure', () => {
  test('everything synced is there and nothing that was never appended', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1e9 }), fc.integer({ min: 1, max: 30 }), async (seed, groups) => {
        const random = new SeededRandom(seed);
        const disk = new MemoryDisk();
        const options = walOptions(disk, { random });
        const { acked } = await writeRandomly(options, random, groups);
        // One more group whose sync never returns.
        const held = { now: false };
        const { wal } = await reopen({ ...options, disk: unsyncedDisk(disk, held) });
        held.now = true;
        const unacked = Array.from({ length: 1 + random.below(6) }, (_, i) =>
          entry((acked.at(-1)?.index ?? 0) + 1 + i, random.below(2000)),
        );
        wal.append(undefined, unacked);
        await wal.sync();
        disk.crash(random);
        const { recovery, wal: again } = await reopen(options, acked.at(-1)!.index);
        const expected = [...acked, ...unacked];
        expect(recovery.entries.length).toBeGreaterThanOrEqual(acked.length);
        expect(sameEntries(recovery.entries, expected.slice(0, recovery.entries.length))).toBe(true);
        // And the log goes on from there.
        again.append(undefined, [entry(recovery.entries.length + 1, 10, 3)]);
        await again.sync();
        const third = await reopen(options);
        const continued = [...recovery.entries, entry(recovery.entries.length + 1, 10, 3)];
        expect(sameEntries(third.recovery.entries, continued)).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  test('a new segment repeats no hard state of the group that is yet to be written', async () => {
    const disk = new MemoryDisk();
    const dying = { at: '' };
    const crash = {
      hit: (name: string) => {
        if (name === dying.at) throw new Error('dead');
      },
    };
    const options = walOptions(disk, { crash });
    const wal = await Wal.create(options, metadata);
    wal.append({ term: 1, vote: 0n, commit: 0 }, [entry(1, 4000)]);
    await wal.sync();
    dying.at = 'walBeforeAppend';
    wal.append({ term: 1, vote: 0n, commit: 2 }, [entry(2, 4000)]);
    await expect(wal.sync()).rejects.toThrow('dead');
    expect((await disk.list('wal')).filter((name) => name.endsWith('.wal'))).toHaveLength(2);
    const { recovery } = await reopen(walOptions(disk));
    expect(recovery.hardState.commit).toBe(0);
    expect(recovery.entries.map((e) => e.index)).toEqual([1]);
  });

  test('a first start that dies anywhere leaves no log or a whole one', async () => {
    for (let nth = 1; nth <= 12; nth++) {
      const disk = new MemoryDisk();
      const options = walOptions(dyingDisk(disk, nth));
      await Wal.create(options, metadata).catch(() => {});
      disk.crash(new SeededRandom(nth));
      const plain = walOptions(disk);
      if (await Wal.exists(plain)) expect((await reopen(plain)).recovery.metadata).toEqual(metadata);
      else await Wal.create(plain, metadata);
    }
  });
});

describe('a damaged log', () => {
  async function sample(): Promise<{ disk: MemoryDisk; options: WalOptions; files: string[] }> {
    const disk = new MemoryDisk();
    const options = walOptions(disk);
    const random = new SeededRandom(5);
    await writeRandomly(options, random, 60);
    const files = (await disk.list('wal')).filter((name) => name.endsWith('.wal')).map((name) => `wal/${name}`);
    expect(files.length).toBeGreaterThan(3);
    return { disk, options, files };
  }

  async function expectRefused(disk: MemoryDisk, options: WalOptions): Promise<void> {
    const before = disk.contents();
    await expect(reopen(options)).rejects.toThrow(CorruptionError);
    expect(sameFiles(disk.contents(), before)).toBe(true);
  }

  test('one flipped byte anywhere in a closed segment that matters is refused with nothing changed', async () => {
    const { disk, options, files } = await sample();
    const clean = disk.contents();
    const end = usedBytes(clean.get(files[1]!)!);
    for (let at = 0; at < end - 96; at += 61) {
      await flip(disk, files[1]!, at);
      await expectRefused(disk, options);
      await flip(disk, files[1]!, at);
    }
  });

  test('zeroed sectors in the middle with sound groups behind them are refused', async () => {
    for (const size of [8, 512, 4096]) {
      const disk = new MemoryDisk();
      const options = walOptions(disk, { segmentSizeBytes: 64 * 1024 });
      const wal = await Wal.create(options, metadata);
      for (let i = 1; i <= 60; i++) {
        wal.append(undefined, [entry(i, 300)]);
        await wal.sync();
      }
      const [name] = (await disk.list('wal')).filter((file) => file.endsWith('.wal'));
      const file = await disk.open(`wal/${name}`, { write: true });
      await file.write(4096, Buffer.alloc(size));
      await expectRefused(disk, options);
    }
  });

  test('missing, swapped, shortened and foreign segments are refused', async () => {
    for (const damage of ['missing', 'newest', 'swapped', 'short', 'foreign'] as const) {
      const { disk, options, files } = await sample();
      if (damage === 'missing') await disk.remove(files[1]!);
      if (damage === 'newest') await disk.remove(files.at(-1)!);
      if (damage === 'swapped') {
        await disk.rename(files[1]!, 'wal/x');
        await disk.rename(files[2]!, files[1]!);
        await disk.rename('wal/x', files[2]!);
      }
      if (damage === 'short') await (await disk.open(files.at(-1)!, { write: true })).truncate(4096);
      if (damage === 'foreign') await replaceByForeign(disk, files[1]!);
      await expectRefused(disk, options);
    }
  });

  test('a tail torn at any byte of the last group is cut and copied aside; earlier groups stay', async () => {
    const disk = new MemoryDisk();
    const options = walOptions(disk);
    const wal = await Wal.create(options, metadata);
    wal.append(undefined, [entry(1), entry(2)]);
    await wal.sync();
    const [name] = (await disk.list('wal')).filter((file) => file.endsWith('.wal'));
    const path = `wal/${name}`;
    const from = usedBytes(disk.contents().get(path)!);
    wal.append(undefined, [entry(3, 100), entry(4, 100)]);
    await wal.sync();
    const whole = disk.contents().get(path)!;
    const end = usedBytes(whole);
    for (let cut = from; cut < end; cut += 3) {
      const torn = Buffer.from(whole);
      torn.fill(0, cut);
      const copy = new MemoryDisk();
      const file = await copy.create(path);
      await file.write(0, torn);
      const { recovery } = await reopen({ ...options, disk: copy });
      expect(recovery.entries).toEqual([entry(1), entry(2)]);
      const aside = (await copy.list('wal')).includes(`${name}.torn`);
      expect(aside).toBe(recovery.tornBytes > 0);
    }
  });

  test('garbage behind the end is a torn tail and never read as lengths', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 600 }), async (garbage) => {
        const disk = new MemoryDisk();
        const options = walOptions(disk);
        const wal = await Wal.create(options, metadata);
        wal.append(undefined, [entry(1)]);
        await wal.sync();
        const [name] = (await disk.list('wal')).filter((file) => file.endsWith('.wal'));
        const at = usedBytes(disk.contents().get(`wal/${name}`)!);
        await (await disk.open(`wal/${name}`, { write: true })).write(Math.ceil(at / 8) * 8, garbage);
        expect((await reopen(options)).recovery.entries).toEqual([entry(1)]);
      }),
      { numRuns: 200 },
    );
  });

  test('a torn tail that a known commit contradicts is corruption', async () => {
    const disk = new MemoryDisk();
    const options = walOptions(disk);
    const wal = await Wal.create(options, metadata);
    wal.append(undefined, [entry(1)]);
    await wal.sync();
    await expect(reopen(options, 2)).rejects.toThrow(/known to be committed/);
  });

  test('files of other names are passed over, names like ours are refused', async () => {
    const disk = new MemoryDisk();
    const options = walOptions(disk);
    await Wal.create(options, metadata);
    await disk.create('wal/lost+found');
    expect((await reopen(options)).recovery.entries).toEqual([]);
    await disk.create('wal/1-2.wal');
    await expect(reopen(options)).rejects.toThrow(/looks like a segment/);
  });
});

/** Buffers compared as a whole: comparing them element by element takes most of a test's time. */
function sameEntries(a: readonly Entry[], b: readonly Entry[]): boolean {
  return (
    a.length === b.length &&
    a.every((one, i) => {
      const other = b[i]!;
      return one.index === other.index && one.term === other.term && one.data.equals(other.data);
    })
  );
}

function sameFiles(a: ReadonlyMap<string, Buffer>, b: ReadonlyMap<string, Buffer>): boolean {
  return a.size === b.size && [...a].every(([path, bytes]) => b.get(path)?.equals(bytes) === true);
}

async function flip(disk: MemoryDisk, path: string, at: number): Promise<void> {
  const file = await disk.open(path, { write: true });
  const [byte] = await file.read(at, 1);
  await file.write(at, Buffer.from([byte! ^ 0x40]));
}

/** Position behind the last byte that is not zero. */
function usedBytes(bytes: Buffer): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return end;
}

async function replaceByForeign(disk: MemoryDisk, path: string): Promise<void> {
  const other = new MemoryDisk();
  const random = new SeededRandom(99);
  await writeRandomly(walOptions(other, { random }), random, 60);
  const foreign = (await other.list('wal')).filter((name) => name.endsWith('.wal'))[1]!;
  const bytes = other.contents().get(`wal/${foreign}`)!;
  await disk.remove(path);
  await (await disk.create(path)).write(0, bytes);
}

/** While held, what is written is never synced: the state of the disk when the power goes during a sync. */
function unsyncedDisk(disk: MemoryDisk, held: { now: boolean }): WalOptions['disk'] {
  return wrapFiles(disk, (file) => ({
    ...file,
    writeAndSync: async (position, chunks) => {
      // A new segment is synced before it gets its name; only what goes into named ones is under way.
      if (!held.now || file.path.endsWith('.tmp')) return file.writeAndSync(position, chunks);
      let at = position;
      for (const chunk of chunks) {
        await file.write(at, chunk);
        at += chunk.length;
      }
    },
  }));
}

function countingDisk(disk: MemoryDisk, writes: number[]): WalOptions['disk'] {
  return wrapFiles(disk, (file) => ({
    ...file,
    writeAndSync: (position, chunks) => {
      writes.push(position);
      return file.writeAndSync(position, chunks);
    },
  }));
}

function failingDisk(disk: MemoryDisk, broken: { now: boolean }): WalOptions['disk'] {
  return wrapFiles(disk, (file) => ({
    ...file,
    writeAndSync: (position, chunks) =>
      broken.now ? Promise.reject(new Error('EIO: i/o error')) : file.writeAndSync(position, chunks),
  }));
}

/** Fails the nth operation and all after it. */
function dyingDisk(disk: MemoryDisk, nth: number): WalOptions['disk'] {
  let left = nth;
  const step = <T>(run: () => Promise<T>): Promise<T> => (--left <= 0 ? Promise.reject(new Error('gone')) : run());
  const inner = wrapFiles(disk, (file) => ({
    ...file,
    write: (position, bytes) => step(() => file.write(position, bytes)),
    writeAndSync: (position, chunks) => step(() => file.writeAndSync(position, chunks)),
    sync: () => step(() => file.sync()),
  }));
  return {
    ...inner,
    create: (path) => step(() => inner.create(path)),
    rename: (from, to) => step(() => inner.rename(from, to)),
    syncDirectory: (path) => step(() => inner.syncDirectory(path)),
  };
}

type File = Awaited<ReturnType<WalOptions['disk']['open']>>;

function wrapFiles(disk: MemoryDisk, wrap: (file: File) => File): WalOptions['disk'] {
  const plain = (file: File): File => ({
    path: file.path,
    read: (position, length) => file.read(position, length),
    write: (position, bytes) => file.write(position, bytes),
    writeAndSync: (position, chunks) => file.writeAndSync(position, chunks),
    sync: () => file.sync(),
    truncate: (size) => file.truncate(size),
    size: () => file.size(),
    close: () => file.close(),
  });
  return {
    open: async (path, options) => wrap(plain(await disk.open(path, options))),
    create: async (path) => wrap(plain(await disk.create(path))),
    exists: (path) => disk.exists(path),
    list: (directory) => disk.list(directory),
    makeDirectory: (path) => disk.makeDirectory(path),
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    syncDirectory: (path) => disk.syncDirectory(path),
  };
}
