/**
 * Makes the end of a log fit to be continued: the torn tail copied aside and zeroed, the sound part of the last segment written
 * again and synced, what earlier starts left behind removed. Rewriting puts the same bytes in the same place, so a crash during it
 * changes nothing.
 */
import { type DiskFile, joinPath } from '@quorate/base';
import type { LogReading } from './recovery.ts';

import type { WalOptions } from './wal.ts';

const zeroBytes = 1024 * 1024;

/** Returns the last segment open for writing. */
export async function repairTail(options: WalOptions, reading: LogReading): Promise<DiskFile> {
  const { disk, directory, logger, crash } = options;
  const last = reading.segments.at(-1)!;
  const path = joinPath(directory, last.name.name);
  const { goodEnd, badAt, endLsn } = last.scan;
  if (badAt !== undefined) {
    await copyAside(options, `${path}.torn`, reading.lastBytes.subarray(goodEnd));
    crash.hit('walRecoverAfterTornCopy');
    logger.warn('cut a torn tail of the write-ahead log', {
      file: path,
      offset: goodEnd,
      lsn: endLsn,
      bytes: reading.lastBytes.length - goodEnd,
    });
  }
  const file = await disk.open(path, { write: true });
  await file.write(0, reading.lastBytes.subarray(0, goodEnd));
  if (badAt !== undefined) await zero(file, goodEnd, reading.lastBytes.length);
  crash.hit('walRecoverBeforeSync');
  await file.sync();
  await removeLeftovers(options);
  await disk.syncDirectory(directory);
  return file;
}

/** Keeps the torn bytes for whoever wants to look; without the zeros behind them. */
async function copyAside(options: WalOptions, path: string, tail: Buffer): Promise<void> {
  const { disk, directory } = options;
  let end = tail.length;
  while (end > 0 && tail[end - 1] === 0) end--;
  await disk.remove(path);
  const copy = await disk.create(path);
  await copy.writeAndSync(0, [tail.subarray(0, end)]);
  await copy.close();
  await disk.syncDirectory(directory);
}

async function zero(file: DiskFile, from: number, to: number): Promise<void> {
  const zeros = Buffer.alloc(Math.min(zeroBytes, to - from));
  for (let at = from; at < to; at += zeros.length)
    await file.write(at, zeros.subarray(0, Math.min(zeros.length, to - at)));
}

/** Prepared segments that never got a name. */
async function removeLeftovers(options: WalOptions): Promise<void> {
  const { disk, directory } = options;
  for (const name of await disk.list(directory)) {
    if (name.endsWith('.tmp')) await disk.remove(joinPath(directory, name));
  }
}
