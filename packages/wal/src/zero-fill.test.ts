import type { DiskFile } from '@quorate/base';
import { expect, test } from 'vitest';
import { segmentSizeDefault } from './options.ts';
import { FaultDisk } from './testing/fault-disk.ts';
import { walOptions } from './testing/fixture.ts';
import { ManualClock } from './testing/manual-clock.ts';
import { Spare, writeZeros } from './zero-fill.ts';

const piece = 256 * 1024;

function spareOn(disk: FaultDisk, clock: ManualClock, segmentSizeBytes: number): Spare {
  return new Spare({ ...walOptions(disk, { clock }), segmentSizeBytes });
}

async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

async function isZero(file: DiskFile, size: number): Promise<boolean> {
  return (await file.size()) === size && (await file.read(0, size)).equals(Buffer.alloc(size));
}

test('zeros are written from start to end, in pieces', async () => {
  const disk = new FaultDisk();
  const file = await disk.create('f');
  await file.write(0, Buffer.alloc(10, 1));
  const sizes: number[] = [];
  disk.before = ({ bytes = 0 }) => void sizes.push(bytes);
  await writeZeros(file, 4, 2 * piece + 9);
  expect(sizes).toEqual([piece, piece, 5]);
  expect(
    (await disk.memory.contents().get('f'))?.equals(Buffer.concat([Buffer.alloc(4, 1), Buffer.alloc(2 * piece + 5)])),
  ).toBe(true);
  await writeZeros(file, 7, 7);
  expect(sizes).toHaveLength(3);
});

test('filling ahead makes one piece durable at a time and pauses in between', async () => {
  const disk = new FaultDisk();
  const clock = new ManualClock();
  const spare = spareOn(disk, clock, 3 * piece + 8);
  const done: string[] = [];
  disk.before = ({ kind }) => void done.push(kind);
  spare.prepare(0.3);
  spare.prepare(0.3);
  await settle();
  expect(done).toEqual(['remove', 'create', 'write', 'sync']);
  clock.advance(4);
  await settle();
  expect(done).toHaveLength(4);
  for (let i = 0; i < 3; i++) {
    clock.advance(5);
    await settle();
  }
  expect(done).toEqual(['remove', 'create', ...Array(4).fill(['write', 'sync']).flat()]);
  expect(clock.timerCount).toBe(0);
  expect(await isZero(await spare.take(3 * piece + 8), 3 * piece + 8)).toBe(true);
});

test('when the log is quicker than it, pieces are larger, and it does not pause until it is ahead again', async () => {
  const disk = new FaultDisk();
  const clock = new ManualClock();
  const spare = spareOn(disk, clock, 64 * piece);
  const sizes: number[] = [];
  disk.before = ({ kind, bytes = 0 }) => void (kind === 'write' && sizes.push(bytes / piece));
  spare.prepare(0.2);
  await settle();
  expect(sizes).toEqual([]);
  spare.prepare(0.5);
  await settle();
  await settle();
  expect(sizes).toEqual(Array(8).fill(4));
  clock.advance(5);
  await settle();
  expect(sizes.slice(8)).toEqual([1]);
  spare.prepare(0.75);
  clock.advance(5);
  await settle();
  await settle();
  expect(sizes.slice(9)).toEqual([...Array(7).fill(4), 1, 1, 1]);
});

test('who needs it now waits for one pause at most', async () => {
  const disk = new FaultDisk();
  const clock = new ManualClock();
  const spare = spareOn(disk, clock, 8 * piece);
  spare.prepare(0.3);
  await settle();
  const taken = spare.take(8 * piece);
  clock.advance(5);
  expect(await isZero(await taken, 8 * piece)).toBe(true);
});

test('one of another size is made from it; without one it is made at once', async () => {
  const disk = new FaultDisk();
  const clock = new ManualClock();
  const spare = spareOn(disk, clock, 4096);
  spare.prepare(0.3);
  expect(await isZero(await spare.take(10_000), 10_000)).toBe(true);
  expect(await isZero(await spare.take(5000), 5000)).toBe(true);
});

test('closing stops it in the middle and removes the file', async () => {
  const disk = new FaultDisk();
  const clock = new ManualClock();
  const spare = spareOn(disk, clock, segmentSizeDefault);
  spare.prepare(0.3);
  await settle();
  const closed = spare.close();
  clock.advance(5);
  await closed;
  expect(await disk.memory.list('wal')).toEqual([]);
  expect(clock.timerCount).toBe(0);
});

test('a directory in which not even removing works is left to the next cut', async () => {
  const disk = new FaultDisk();
  const spare = spareOn(disk, new ManualClock(), 4096);
  disk.before = ({ kind }) => {
    if (kind !== 'create') throw new Error('EIO: i/o error');
  };
  spare.prepare(0.3);
  await settle();
  await expect(spare.take(4096)).rejects.toThrow('cannot write wal: EIO');
  disk.before = () => {};
  expect(await isZero(await spare.take(4096), 4096)).toBe(true);
});
