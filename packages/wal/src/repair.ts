/**
 * Makes a log that was judged sound fit to be continued. The newest segment is written again, as a new file: after a failed sync
 * the page cache may show what the disk does not have, and a torn tail must not be found again. Old file and new file say the same,
 * and one atomically replaces the other, so a crash at any point changes nothing.
 *
 * The new file has a salt of its own, so that nothing left over from the old one can pass for a part of it, and ends with an idle
 * mark, so that the last recovered group has a successor.
 */
import { type DiskFile, joinPath, randomId } from '@quorate/base';
import { encodeIdleMark, encodeSeal } from './crc-record.ts';
import { onDisk } from './disk-error.ts';
import {
  aligned,
  crcRecordBytes,
  encodeSegmentHeader,
  readRecordHeader,
  recordBytes,
  type SegmentHeader,
  saltSeed,
  segmentHeaderBytes,
  writeHeaderCrc,
} from './format.ts';
import type { LogReading, ReadSegment } from './log-reader.ts';
import type { WalOptions } from './options.ts';
import { temporarySuffix, tornSuffix } from './segment-name.ts';
import { writeZeros } from './zero-fill.ts';

/** The newest segment, ready for the next group. */
export interface RepairedTail {
  readonly file: DiskFile;
  readonly header: SegmentHeader;
  readonly position: number;
  readonly lsn: number;
  /** Number of the next group. */
  readonly group: number;
  readonly chain: number;
}

/** Copies the torn tail aside, removes temporary files, rewrites the newest segment without the torn tail, finishes a cut. */
export async function repairTail(
  options: WalOptions,
  segmentSizeBytes: number,
  reading: LogReading,
): Promise<RepairedTail> {
  const { disk, directory, crash, random } = options;
  const path = joinPath(directory, reading.last.name.name);
  if (reading.tornBytes > 0) {
    await keepTornBytes(options, path, reading);
    crash.hit('walRecoverAfterTornCopy');
  }
  await removeTemporaryFiles(options);
  const { bytes, ...tail } = rewritten(reading, { salt: randomId(random), segmentSizeBytes });
  const temporary = path + temporarySuffix;
  const file = await onDisk('write', temporary, async () => {
    const created = await disk.create(temporary);
    await created.write(0, bytes);
    await writeZeros(created, bytes.length, tail.header.sizeBytes);
    return created;
  });
  crash.hit('walRecoverBeforeSync');
  await onDisk('sync', temporary, () => file.sync());
  await onDisk('rename', path, () => disk.rename(temporary, path));
  await onDisk('sync', directory, () => disk.syncDirectory(directory));
  // Not before: the name of the newest segment may have been in the page cache only, and a seal says that it is durable.
  if (reading.unsettledSeal !== undefined) await writeSeal(options, reading.unsettledSeal);
  return { ...tail, file };
}

/** Files that a start or a cut left unfinished. */
export async function removeTemporaryFiles(options: Pick<WalOptions, 'disk' | 'directory'>): Promise<void> {
  const { disk, directory } = options;
  for (const name of await onDisk('list', directory, () => disk.list(directory))) {
    const path = joinPath(directory, name);
    if (name.endsWith(temporarySuffix)) await onDisk('remove', path, () => disk.remove(path));
  }
}

/** For whoever wants to know what was lost. One per segment: the newest. */
async function keepTornBytes(options: WalOptions, path: string, reading: LogReading): Promise<void> {
  const { disk, directory, logger } = options;
  const { offset, lsn, usedBytes, stop } = reading.last.end;
  const torn = path + tornSuffix;
  await onDisk('write', torn, async () => {
    await disk.remove(torn);
    const file = await disk.create(torn);
    await file.writeAndSync(0, [reading.lastBytes.subarray(offset, usedBytes)]);
    await file.close();
    await disk.syncDirectory(directory);
  });
  logger.warn('cutting a torn tail off the write-ahead log', {
    file: path,
    offset,
    lsn,
    bytes: reading.tornBytes,
    reason: stop?.reason,
    kept: torn,
  });
}

/** A cut that was not finished is finished here. A seal that is there may be one whose sync failed, so it is written again. */
async function writeSeal(options: WalOptions, segment: ReadSegment): Promise<void> {
  const { header, end } = segment;
  const path = joinPath(options.directory, segment.name.name);
  const place = { lsn: end.lsn, group: end.group + 1, chain: end.chain };
  const seal = encodeSeal(place, saltSeed(header.salt));
  await onDisk('write', path, async () => {
    const file = await options.disk.open(path, { write: true });
    await file.writeAndSync(end.offset, [seal]);
    await file.close();
  });
}

/** The sound part of the newest segment under a new salt, with an idle mark behind it where one is needed. */
function rewritten(
  reading: LogReading,
  how: { readonly salt: bigint; readonly segmentSizeBytes: number },
): Omit<RepairedTail, 'file'> & { readonly bytes: Buffer } {
  const { header: before, end } = reading.last;
  const seed = saltSeed(how.salt);
  const next = { lsn: end.lsn, group: end.group + 1, chain: end.chain };
  const mark = end.holdsData ? encodeIdleMark(end.offset, next, seed) : undefined;
  const position = end.offset + (mark?.bytes.length ?? 0);
  const sizeBytes = aligned(Math.max(how.segmentSizeBytes, position + crcRecordBytes));
  const header = { ...before, salt: how.salt, sizeBytes };
  const bytes = Buffer.alloc(position);
  encodeSegmentHeader(header).copy(bytes);
  reading.lastBytes.copy(bytes, segmentHeaderBytes, segmentHeaderBytes, end.offset);
  for (let at = segmentHeaderBytes; at < end.offset; at += recordBytes(readRecordHeader(bytes, at).length)) {
    writeHeaderCrc(bytes, at, seed);
  }
  if (mark === undefined) return { bytes, header, position, ...next };
  mark.bytes.copy(bytes, end.offset);
  return { bytes, header, position, lsn: next.lsn + mark.bytes.length, group: next.group + 1, chain: mark.chain };
}
