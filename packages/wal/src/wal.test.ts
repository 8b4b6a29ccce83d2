import {
  type CrashPointName,
  Deferred,
  type DiskFile,
  FatalError,
  type MetricSpec,
  StorageError,
  silentLogger,
  silentMeter,
} from '@quorate/base';
import type { Entry } from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import type { WalOptions } from './options.ts';
import { FaultDisk } from './testing/fault-disk.ts';
import { entries, entry, metadata, outline, walOptions } from './testing/fixture.ts';
import { ManualClock } from './testing/manual-clock.ts';
import { verifyWal } from './verify.ts';
import { Wal } from './wal.ts';

const noState = { term: 0, vote: 0n, commit: 0 };

async function save(wal: Wal, list: readonly Entry[]): Promise<void> {
  wal.append(undefined, list);
  await wal.sync();
}

async function contentOf(options: WalOptions): Promise<string[]> {
  const { wal, recovery } = await Wal.open(options);
  await wal.close();
  return outline(recovery.entries);
}

async function namesIn(disk: FaultDisk, suffix: string): Promise<string[]> {
  return (await disk.memory.list('wal')).filter((name) => name.endsWith(suffix));
}

/** Holds every sync back until told; counts those that wait. */
function holdSyncs(disk: FaultDisk): { waiting: number; most: number; letOne(): void; letAll(): void } {
  const held: Deferred<void>[] = [];
  let isOpen = false;
  const gate = {
    waiting: 0,
    most: 0,
    letOne: () => held.shift()?.resolve(),
    letAll: () => {
      isOpen = true;
      for (const sync of held.splice(0)) sync.resolve();
    },
  };
  disk.before = async ({ kind, path }) => {
    if (kind !== 'sync' || isOpen || path.endsWith('.tmp')) return;
    const sync = new Deferred<void>();
    held.push(sync);
    gate.most = Math.max(gate.most, ++gate.waiting);
    await sync.promise;
    gate.waiting--;
  };
  return gate;
}

/** Lets everything run that does not wait for time or for a held sync. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

describe('a log', () => {
  test('gives back what was synced, byte for byte', async () => {
    const options = walOptions(new FaultDisk());
    const wal = await Wal.create(options, metadata);
    wal.append({ term: 1, vote: 7n, commit: 0 }, [entry(1), { ...entry(2), type: 2 }]);
    wal.append({ term: 2, vote: 0xffff_ffff_ffff_fffen, commit: 2 }, [entry(3, 40_000, 2), entry(4, 0, 2)]);
    await wal.close();
    const { recovery } = await Wal.open(options);
    expect(recovery.metadata).toEqual(metadata);
    expect(recovery.hardState).toEqual({ term: 2, vote: 0xffff_ffff_ffff_fffen, commit: 2 });
    expect(recovery.entries).toEqual([entry(1), { ...entry(2), type: 2 }, entry(3, 40_000, 2), entry(4, 0, 2)]);
    expect(recovery.snapshot).toBeUndefined();
    expect(recovery.tornBytes).toBe(0);
  });

  test('that was only created is empty', async () => {
    const options = walOptions(new FaultDisk());
    await Wal.create(options, metadata);
    const { wal, recovery } = await Wal.open(options);
    expect(recovery).toEqual({ metadata, hardState: noState, entries: [], snapshot: undefined, tornBytes: 0 });
    expect([wal.lastIndex, wal.durableIndex]).toEqual([0, 0]);
  });

  test('goes on over many segments and many starts', async () => {
    const options = walOptions(new FaultDisk());
    let wal = await Wal.create(options, metadata);
    for (let i = 1; i <= 300; i++) {
      await save(wal, [entry(i, 100)]);
      if (i % 100 !== 0) continue;
      await wal.close();
      ({ wal } = await Wal.open(options));
      expect(wal.lastIndex).toBe(i);
    }
    expect((await verifyWal(options, { committedAtLeast: 300 })).segments.length).toBeGreaterThan(5);
    expect(await contentOf(options)).toEqual(outline(entries(1, 300, 100)));
  });

  test('starting again and again without work does not make it grow', async () => {
    const options = walOptions(new FaultDisk());
    await save(await Wal.create(options, metadata), [entry(1)]);
    const used: number[] = [];
    for (let i = 0; i < 4; i++) {
      await (await Wal.open(options)).wal.close();
      used.push((await verifyWal(options)).segments[0]!.usedBytes);
    }
    expect(new Set(used).size).toBe(1);
  });

  test('replaces entries of the same and of higher indices', async () => {
    const options = walOptions(new FaultDisk());
    const wal = await Wal.create(options, metadata);
    await save(wal, entries(1, 5));
    await save(wal, [entry(3, 5, 2)]);
    expect([wal.lastIndex, wal.durableIndex]).toEqual([3, 3]);
    expect(await contentOf(options)).toEqual(outline([entry(1), entry(2), entry(3, 5, 2)]));
  });

  test('gives an append that fits into no segment one of its own', async () => {
    const disk = new FaultDisk();
    const options = walOptions(disk);
    const wal = await Wal.create(options, metadata);
    await save(wal, [entry(1)]);
    await save(wal, entries(2, 3, 30_000));
    await save(wal, [entry(5)]);
    const sizes = (await verifyWal(options)).segments.map((segment) => segment.sizeBytes);
    expect(sizes[0]).toBe(8192);
    expect(Math.max(...sizes)).toBeGreaterThan(90_000);
    expect(await contentOf(options)).toEqual(outline([entry(1), ...entries(2, 3, 30_000), entry(5)]));
  });

  test('gathers any number of small entries in one group', async () => {
    const options = walOptions(new FaultDisk(), { segmentSizeBytes: 1_000_000 });
    const wal = await Wal.create(options, metadata);
    await save(wal, entries(1, 2000, 200));
    expect(await contentOf(options)).toEqual(outline(entries(1, 2000, 200)));
  });

  test('does not copy large data on the way to the disk', async () => {
    const disk = new FaultDisk();
    const written: Uint8Array[] = [];
    const options = walOptions({
      ...spread(disk),
      create: async (path) => watchChunks(await disk.create(path), written),
    });
    const wal = await Wal.create({ ...options, segmentSizeBytes: 1_000_000 }, metadata);
    const large = entry(1, 100_000);
    const small = entry(2, 1000);
    await save(wal, [large, small]);
    expect(written).toContain(large.data);
    expect(written).not.toContain(small.data);
  });

  test('is refused when there is one already, and when there is none', async () => {
    const options = walOptions(new FaultDisk());
    await expect(Wal.open(options)).rejects.toThrow('no segment found');
    await Wal.create(options, metadata);
    await expect(Wal.create(options, metadata)).rejects.toThrow('there is a log already');
  });

  test('does not exist while its creation is unfinished, and is then created from scratch', async () => {
    const disk = new FaultDisk();
    const options = walOptions(disk);
    expect(await Wal.exists(options)).toBe(false);
    await disk.memory.create('wal/spare.tmp');
    expect(await Wal.exists(options)).toBe(false);
    await Wal.create(options, metadata);
    expect(await Wal.exists(options)).toBe(true);
    expect(await namesIn(disk, '.tmp')).toEqual([]);
  });
});

describe('group commit', () => {
  test('one sync is in flight; what is appended meanwhile is the next group', async () => {
    const disk = new FaultDisk();
    const wal = await Wal.create(walOptions(disk, { segmentSizeBytes: 1_000_000 }), metadata);
    const gate = holdSyncs(disk);
    const done: number[] = [];
    const syncs = entries(1, 100).map((one) => {
      wal.append(undefined, [one]);
      return wal.sync().then(() => done.push(one.index));
    });
    await settle();
    expect(gate.waiting).toBe(1);
    gate.letOne();
    await settle();
    expect(done).toEqual([1]);
    expect(wal.durableIndex).toBe(1);
    expect(wal.lastIndex).toBe(100);
    gate.letOne();
    await Promise.all(syncs);
    expect(done).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    expect(gate.most).toBe(1);
    expect(wal.durableIndex).toBe(100);
  });

  test('a sync with nothing appended waits for what is in flight, or for nothing', async () => {
    const disk = new FaultDisk();
    const wal = await Wal.create(walOptions(disk), metadata);
    const { count } = disk;
    await wal.sync();
    expect(disk.count).toBe(count);
    const gate = holdSyncs(disk);
    let isDone = false;
    wal.append(undefined, [entry(1)]);
    void wal.sync();
    const second = wal.sync().then(() => {
      isDone = true;
    });
    await settle();
    expect(isDone).toBe(false);
    gate.letAll();
    await second;
    expect(wal.durableIndex).toBe(1);
  });

  test('an append of nothing is nothing', async () => {
    const disk = new FaultDisk();
    const wal = await Wal.create(walOptions(disk), metadata);
    const { count } = disk;
    wal.append(undefined, []);
    await wal.sync();
    expect(disk.count).toBe(count);
  });

  test('a group takes no more than 4 MiB of appends, so that the first of them need not wait for all', async () => {
    const disk = new FaultDisk();
    const wal = await Wal.create(walOptions(disk, { segmentSizeBytes: 32_000_000 }), metadata);
    const writes: number[] = [];
    disk.before = ({ kind, path, bytes = 0 }) => {
      if (kind === 'write' && path.endsWith('.wal')) writes.push(bytes);
    };
    for (const one of entries(1, 12, 1_000_000)) wal.append(undefined, [one]);
    await wal.sync();
    expect(writes).toHaveLength(3);
    expect(Math.max(...writes)).toBeLessThan(4.2e6);
    expect(wal.durableIndex).toBe(12);
  });

  test('a stalled disk shows since when', async () => {
    const disk = new FaultDisk();
    const clock = new ManualClock();
    const wal = await Wal.create(walOptions(disk, { clock }), metadata);
    clock.advance(50);
    expect(wal.syncStartedAtMs).toBeUndefined();
    const gate = holdSyncs(disk);
    wal.append(undefined, [entry(1)]);
    const synced = wal.sync();
    await settle();
    clock.advance(5000);
    expect(wal.syncStartedAtMs).toBe(50);
    gate.letAll();
    await synced;
    expect(wal.syncStartedAtMs).toBeUndefined();
  });

  test('durations and bytes are counted under etcd’s names, and a slow write is said', async () => {
    const disk = new FaultDisk();
    const clock = new ManualClock();
    const seen: [string, number][] = [];
    const warned: string[] = [];
    const note =
      (spec: MetricSpec) =>
      (value = 1) =>
        void seen.push([spec.name, value]);
    const meter: WalOptions['meter'] = {
      ...silentMeter,
      counter: (spec) => ({ add: note(spec) }),
      histogram: (spec) => ({ observe: note(spec) }),
    };
    const logger = { ...silentLogger, warn: (message: string) => void warned.push(message) };
    const wal = await Wal.create(walOptions(disk, { clock, meter, logger }), metadata);
    seen.length = 0;
    disk.before = ({ kind }) => {
      if (kind === 'sync') clock.advance(1500);
    };
    await save(wal, [entry(1)]);
    expect(seen).toEqual([
      ['etcd_disk_wal_fsync_duration_seconds', 1.5],
      ['etcd_disk_wal_write_duration_seconds', 1.5],
      ['etcd_disk_wal_write_bytes_total', 32 + 32],
    ]);
    expect(warned).toEqual(['slow write to the write-ahead log']);
  });
});

describe('the idle mark', () => {
  test('is written once after 100 ms of silence, and then no timer is left', async () => {
    const disk = new FaultDisk();
    const clock = new ManualClock();
    const wal = await Wal.create(walOptions(disk, { clock, segmentSizeBytes: 65_536 }), metadata);
    expect(clock.timerCount).toBe(0);
    await save(wal, [entry(1)]);
    clock.advance(60);
    await save(wal, [entry(2)]);
    clock.advance(60);
    await settle();
    const { count } = disk;
    clock.advance(39);
    await settle();
    expect(disk.count).toBe(count);
    clock.advance(1);
    await settle();
    expect(disk.count).toBe(count + 2);
    expect(clock.timerCount).toBe(0);
    clock.advance(10_000);
    await settle();
    expect(disk.count).toBe(count + 2);
  });

  test('does not wake again and again for a rest of time that a clock cannot count', async () => {
    const delays: number[] = [];
    let nowMs = 123_456.789;
    let fire = (): void => {};
    const clock = {
      nowMs: () => nowMs,
      wallMs: () => nowMs,
      soon: () => {},
      after: (delayMs: number, fn: () => void) => {
        delays.push(delayMs);
        fire = fn;
        return { cancel: () => {} };
      },
    };
    const wal = await Wal.create(walOptions(new FaultDisk(), { clock, segmentSizeBytes: 1_000_000 }), metadata);
    await save(wal, [entry(1)]);
    nowMs += 100 - 1e-10;
    fire();
    expect(delays).toEqual([100, 1]);
  });

  test('does not stand in the way of the next append', async () => {
    const disk = new FaultDisk();
    const clock = new ManualClock();
    const options = walOptions(disk, { clock });
    const wal = await Wal.create(options, metadata);
    await save(wal, [entry(1)]);
    const gate = holdSyncs(disk);
    clock.advance(100);
    await settle();
    expect(gate.waiting).toBe(1);
    const saved = save(wal, [entry(2)]);
    gate.letAll();
    await saved;
    await wal.close();
    expect(await contentOf(options)).toEqual(outline(entries(1, 2)));
  });

  test('begins a page of its own, which damage to the page before does not reach', async () => {
    const disk = new FaultDisk();
    const clock = new ManualClock();
    const wal = await Wal.create(walOptions(disk, { clock, segmentSizeBytes: 1_000_000 }), metadata);
    const ends: number[] = [];
    disk.before = ({ kind, position = 0, bytes = 0 }) => {
      if (kind === 'write') ends.push(position + bytes);
    };
    for (let i = 1; i <= 30; i++) {
      await save(wal, [entry(i, 100 + 97 * i)]);
      clock.advance(100);
      await settle();
    }
    const marks = ends.filter((_, i) => i % 2 === 1);
    expect(marks).toHaveLength(30);
    expect(marks.every((end) => end % 4096 === 40)).toBe(true);
  });

  test('that cannot be written ends the log, although nobody waits', async () => {
    const disk = new FaultDisk();
    const clock = new ManualClock();
    const failures: FatalError[] = [];
    const wal = await Wal.create(walOptions(disk, { clock, onFailure: (error) => failures.push(error) }), metadata);
    await save(wal, [entry(1)]);
    disk.before = ({ kind }) => {
      if (kind === 'sync') throw new Error('EIO: i/o error, fdatasync');
    };
    clock.advance(100);
    await settle();
    expect(failures).toHaveLength(1);
    expect(failures[0]).toBeInstanceOf(StorageError);
    expect(() => wal.append(undefined, [entry(2)])).toThrow(failures[0]);
  });
});

describe('closing', () => {
  test('makes durable what was appended, once', async () => {
    const options = walOptions(new FaultDisk());
    const wal = await Wal.create(options, metadata);
    wal.append(undefined, entries(1, 3));
    await wal.close();
    await wal.close();
    expect(await contentOf(options)).toEqual(outline(entries(1, 3)));
  });

  test('waits for what is in flight, and leaves no timer and no spare', async () => {
    const disk = new FaultDisk();
    const clock = new ManualClock();
    const wal = await Wal.create(walOptions(disk, { clock }), metadata);
    await save(wal, [entry(1, 5000)]);
    await settle();
    expect(await namesIn(disk, '.tmp')).toEqual(['spare.tmp']);
    wal.append(undefined, [entry(2)]);
    const synced = wal.sync();
    await wal.close();
    await synced;
    expect(clock.timerCount).toBe(0);
    expect(await namesIn(disk, '.tmp')).toEqual([]);
  });

  test('is final', async () => {
    const wal = await Wal.create(walOptions(new FaultDisk()), metadata);
    await wal.close();
    expect(() => wal.append(undefined, [entry(1)])).toThrow(FatalError);
    await expect(wal.sync()).rejects.toThrow('closed');
    await expect(wal.release(0)).rejects.toThrow('closed');
  });
});

describe('a disk that says no poisons the log for ever:', () => {
  async function expectPoisoned(disk: FaultDisk, wal: Wal, failures: readonly Error[]): Promise<void> {
    disk.before = () => {};
    const { count } = disk;
    expect(failures).toHaveLength(1);
    expect(failures[0]).toBeInstanceOf(StorageError);
    await expect(wal.sync()).rejects.toBe(failures[0]);
    await expect(wal.release(0)).rejects.toBe(failures[0]);
    expect(() => wal.append(undefined, [entry(1)])).toThrow(failures[0]);
    expect(disk.count).toBe(count);
  }

  for (const kind of ['write', 'sync', 'create', 'rename', 'syncDirectory', 'close'] as const) {
    test(`${kind} during a cut`, async () => {
      const disk = new FaultDisk();
      const failures: Error[] = [];
      const options = walOptions(disk, { onFailure: (error) => void failures.push(error), segmentSizeBytes: 4096 });
      const wal = await Wal.create(options, metadata);
      await save(wal, [entry(1, 300)]);
      disk.before = (operation) => {
        if (operation.kind === kind) throw new Error(`EIO: i/o error, ${kind}`);
      };
      await expect(save(wal, [entry(2, 3500)])).rejects.toThrow(`EIO: i/o error, ${kind}`);
      await expectPoisoned(disk, wal, failures);
      expect((await contentOf(walOptions(disk))).slice(0, 1)).toEqual(outline([entry(1, 300)]));
    });
  }

  test('a sync that fails once is not tried again, and all that wait are told', async () => {
    const disk = new FaultDisk();
    const failures: Error[] = [];
    const wal = await Wal.create(walOptions(disk, { onFailure: (error) => void failures.push(error) }), metadata);
    let syncs = 0;
    disk.before = ({ kind }) => {
      if (kind === 'sync' && ++syncs === 1) throw new Error('EIO: i/o error, fdatasync');
    };
    const waiting = entries(1, 5).map((one) => {
      wal.append(undefined, [one]);
      return wal.sync();
    });
    for (const sync of waiting) await expect(sync).rejects.toThrow('cannot sync wal: EIO');
    expect(syncs).toBe(1);
    await expectPoisoned(disk, wal, failures);
  });

  test('a release that fails', async () => {
    const disk = new FaultDisk();
    const failures: Error[] = [];
    const wal = await Wal.create(walOptions(disk, { onFailure: (error) => void failures.push(error) }), metadata);
    for (const one of entries(1, 50, 500)) await save(wal, [one]);
    wal.append(undefined, [], { index: 50, term: 1, confState: Buffer.alloc(0) });
    await wal.sync();
    disk.before = ({ kind }) => {
      if (kind === 'remove') throw new Error('EROFS: read-only file system');
    };
    await expect(wal.release(50)).rejects.toThrow('cannot remove wal: EROFS');
    await expectPoisoned(disk, wal, failures);
  });

  test('an append that breaks an invariant leaves nothing of itself on disk', async () => {
    const disk = new FaultDisk();
    const options = walOptions(disk);
    const wal = await Wal.create(options, metadata);
    wal.append(undefined, [entry(1)]);
    expect(() => wal.append(undefined, [entry(2), entry(4)])).toThrow('gap in the appended entries');
    await expect(wal.sync()).rejects.toThrow('gap in the appended entries');
    await wal.close();
    expect(await contentOf(options)).toEqual([]);
  });

  test('a commit index beyond the log is refused before it is written', async () => {
    const wal = await Wal.create(walOptions(new FaultDisk()), metadata);
    expect(() => wal.append({ term: 1, vote: 0n, commit: 2 }, [entry(1)])).toThrow('commit index beyond the log');
  });
});

describe('the next segment', () => {
  test('is prepared once a quarter of the present one is used', async () => {
    const disk = new FaultDisk();
    const wal = await Wal.create(walOptions(disk), metadata);
    await save(wal, [entry(1, 1500)]);
    await settle();
    expect(await namesIn(disk, '.tmp')).toEqual([]);
    await save(wal, [entry(2, 800)]);
    await settle();
    expect(await namesIn(disk, '.tmp')).toEqual(['spare.tmp']);
    const created: string[] = [];
    disk.before = ({ kind, path }) => {
      if (kind === 'create') created.push(path);
    };
    await save(wal, [entry(3, 6500)]);
    expect(created.filter((path) => !path.endsWith('spare.tmp'))).toEqual([]);
    expect(await namesIn(disk, '.wal')).toHaveLength(2);
  });

  test('that cannot be prepared ahead of time is no reason to stop, until it is needed', async () => {
    const disk = new FaultDisk();
    const warned: string[] = [];
    const logger = { ...silentLogger, warn: (message: string) => void warned.push(message) };
    const options = walOptions(disk, { logger });
    const wal = await Wal.create(options, metadata);
    disk.before = ({ kind, path }) => {
      if (kind === 'write' && path.endsWith('spare.tmp')) throw new Error('ENOSPC: no space left on device, write');
    };
    await save(wal, [entry(1, 5000)]);
    await settle();
    expect(warned).toEqual(['could not prepare the next segment of the write-ahead log']);
    expect(await namesIn(disk, '.tmp')).toEqual([]);
    await save(wal, [entry(2)]);
    await expect(save(wal, [entry(3, 5000)])).rejects.toThrow('ENOSPC');
    disk.before = () => {};
    expect(await contentOf(walOptions(disk))).toEqual(outline([entry(1, 5000), entry(2)]));
  });
});

describe('snapshot marks and release', () => {
  const mark = (index: number, term = 1) => ({ index, term, confState: Buffer.from([index]) });

  async function filled(disk: FaultDisk): Promise<Wal> {
    const wal = await Wal.create(walOptions(disk), metadata);
    for (const one of entries(1, 100, 400)) await save(wal, [one]);
    return wal;
  }

  test('a mark that fits the log cuts what is before it', async () => {
    const disk = new FaultDisk();
    const wal = await filled(disk);
    wal.append(undefined, [], mark(40));
    await wal.close();
    const { recovery } = await Wal.open(walOptions(disk));
    expect(recovery.snapshot).toEqual(mark(40));
    expect(outline(recovery.entries)).toEqual(outline(entries(41, 60, 400)));
  });

  test('a mark that does not fit the log replaces it', async () => {
    const disk = new FaultDisk();
    const wal = await filled(disk);
    wal.append({ term: 3, vote: 0n, commit: 40 }, [entry(41, 10, 3)], mark(40, 3));
    await wal.close();
    const { wal: again, recovery } = await Wal.open(walOptions(disk));
    expect(recovery.snapshot).toEqual(mark(40, 3));
    expect(outline(recovery.entries)).toEqual(outline([entry(41, 10, 3)]));
    expect(again.lastIndex).toBe(41);
  });

  test('a mark beyond the log replaces it', async () => {
    const disk = new FaultDisk();
    const wal = await filled(disk);
    wal.append(undefined, [], mark(250));
    expect(wal.lastIndex).toBe(250);
    await wal.close();
    const { recovery } = await Wal.open(walOptions(disk));
    expect(recovery.snapshot?.index).toBe(250);
    expect(recovery.entries).toEqual([]);
  });

  test('segments wholly below a released index go, with what was torn off them; nothing else does', async () => {
    const disk = new FaultDisk();
    const wal = await filled(disk);
    const before = await namesIn(disk, '.wal');
    await disk.memory.create(`wal/${before[0]!}.torn`);
    wal.append(undefined, [], mark(40));
    await wal.sync();
    await wal.release(40);
    const after = await namesIn(disk, '.wal');
    expect(after.length).toBeLessThan(before.length);
    expect(await namesIn(disk, '.torn')).toEqual([]);
    const first = Number.parseInt(after[0]!.slice(17, 33), 16);
    const second = Number.parseInt(after[1]!.slice(17, 33), 16);
    expect(first).toBeLessThanOrEqual(41);
    expect(second).toBeGreaterThan(41);
    await wal.close();
    expect(await contentOf(walOptions(disk))).toEqual(outline(entries(41, 60, 400)));
  });

  test('one segment goes after the other, each durably', async () => {
    const disk = new FaultDisk();
    const wal = await filled(disk);
    wal.append(undefined, [], mark(100));
    await wal.sync();
    const done: string[] = [];
    disk.before = ({ kind, path }) => {
      if (kind === 'syncDirectory' || path.endsWith('.wal')) done.push(kind);
    };
    await wal.release(100);
    expect(done.length).toBeGreaterThan(6);
    expect(done.every((kind, i) => kind === (i % 2 === 0 ? 'remove' : 'syncDirectory'))).toBe(true);
  });

  test('a segment whose entries were replaced by lower ones in a later segment goes with them', async () => {
    const disk = new FaultDisk();
    const wal = await filled(disk);
    for (const one of entries(60, 60, 400, 2)) await save(wal, [one]);
    wal.append(undefined, [], mark(70, 2));
    await wal.sync();
    await wal.release(70);
    await wal.close();
    expect(await contentOf(walOptions(disk))).toEqual(outline(entries(71, 49, 400, 2)));
  });

  test('release behind the durable mark is a programming error', async () => {
    const disk = new FaultDisk();
    const wal = await filled(disk);
    wal.append(undefined, [], mark(40));
    await expect(wal.release(40)).rejects.toThrow(FatalError);
    await wal.sync();
    await wal.release(40);
  });

  test('marks above what the caller allows are passed over, as long as the entries are there', async () => {
    const disk = new FaultDisk();
    const wal = await filled(disk);
    wal.append(undefined, [], mark(40));
    wal.append(undefined, [], mark(60));
    await wal.sync();
    const allowed = await Wal.open(walOptions(disk), { snapshotAtMost: 50 });
    expect(allowed.recovery.snapshot?.index).toBe(40);
    expect(allowed.recovery.entries[0]?.index).toBe(41);
    await allowed.wal.close();
    const { wal: again } = await Wal.open(walOptions(disk));
    await again.release(60);
    await again.close();
    await expect(Wal.open(walOptions(disk), { snapshotAtMost: 30 })).rejects.toThrow('entries are missing');
  });
});

describe('crash points', () => {
  test('stand where the write path says they do', async () => {
    const disk = new FaultDisk();
    const hits: CrashPointName[] = [];
    const options = walOptions(disk, { crash: { hit: (name) => void hits.push(name) } });
    const wal = await Wal.create(options, metadata);
    const cut = [
      'walBeforeCut',
      'walAfterPreallocate',
      'walAfterSegmentHeader',
      'walAfterRename',
      'walAfterDirectorySync',
    ];
    const write = ['walAfterAppendBeforeSync', 'walAfterSyncBeforeAck'];
    expect(hits).toEqual([write[0], ...cut, write[1]]);
    hits.length = 0;
    await save(wal, [entry(1)]);
    expect(hits).toEqual(['walBeforeAppend', ...write]);
    hits.length = 0;
    await save(wal, [entry(2, 9000)]);
    expect(hits).toEqual(['walBeforeAppend', write[0], ...cut, write[1], ...write]);
    wal.append(undefined, [], { index: 1, term: 1, confState: Buffer.alloc(0) });
    await wal.sync();
    hits.length = 0;
    await wal.release(1);
    expect(hits).toEqual(['walBeforeRelease', 'walMidRelease']);
    const file = await disk.memory.open(`wal/${(await namesIn(disk, '.wal')).at(-1)!}`, { write: true });
    await file.write((await file.size()) - 8, Buffer.from([1]));
    hits.length = 0;
    await Wal.open(options);
    expect(hits).toEqual(['walRecoverBeforeRepair', 'walRecoverAfterTornCopy', 'walRecoverBeforeSync']);
  });
});

/** The methods of a disk as properties of their own, so that some can be replaced. */
function spread(disk: FaultDisk): WalOptions['disk'] {
  return {
    open: (path, options) => disk.open(path, options),
    create: (path) => disk.create(path),
    exists: (path) => disk.exists(path),
    list: (path) => disk.list(path),
    makeDirectory: (path) => disk.makeDirectory(path),
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    syncDirectory: (path) => disk.syncDirectory(path),
  };
}

function watchChunks(file: DiskFile, chunks: Uint8Array[]): DiskFile {
  return {
    path: file.path,
    read: (position, length) => file.read(position, length),
    write: (position, bytes) => file.write(position, bytes),
    writeAndSync: (position, parts) => {
      chunks.push(...parts);
      return file.writeAndSync(position, parts);
    },
    sync: () => file.sync(),
    truncate: (size) => file.truncate(size),
    size: () => file.size(),
    close: () => file.close(),
  };
}
