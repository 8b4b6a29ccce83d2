/** Segment files: names, creation filled with zeros, listing. A segment gets its name only when it is whole and durable. */
import { CorruptionError, type CrashPoints, type Disk, type DiskFile, joinPath, type Logger } from '@quorate/base';
import { encodeSegmentHeader, type SegmentHeader } from './record.ts';

/** A segment file as listed. */
export interface SegmentName {
  readonly name: string;
  readonly sequence: number;
  readonly firstIndex: number;
}

const pattern = /^([0-9a-f]{16})-([0-9a-f]{16})\.wal$/;
export const spareName = 'next.tmp';
/** Zeros are written in pieces, so that the disk and others get a turn in between. */
const fillBytes = 1024 * 1024;
const zeros = Buffer.alloc(fillBytes);

export function segmentName(sequence: number, firstIndex: number): string {
  const hex = (value: number): string => value.toString(16).padStart(16, '0');
  return `${hex(sequence)}-${hex(firstIndex)}.wal`;
}

/**
 * Segments by sequence. Names that are none of ours are passed over with a log line; names that look like ours and are not are
 * refused, and so is a sequence that appears twice.
 */
export async function listSegments(disk: Disk, directory: string, logger: Logger): Promise<SegmentName[]> {
  const segments: SegmentName[] = [];
  for (const name of await disk.list(directory)) {
    const match = pattern.exec(name);
    if (match !== null) {
      segments.push({ name, sequence: Number.parseInt(match[1]!, 16), firstIndex: Number.parseInt(match[2]!, 16) });
    } else if (name.endsWith('.wal')) {
      throw new CorruptionError('wal', 'a file looks like a segment but is not named like one; move it away', {
        file: joinPath(directory, name),
      });
    } else if (!name.endsWith('.tmp') && !name.endsWith('.torn')) {
      logger.warn('passing over an unknown file beside the write-ahead log', { file: joinPath(directory, name) });
    }
  }
  segments.sort((a, b) => a.sequence - b.sequence);
  for (let i = 1; i < segments.length; i++) {
    if (segments[i]!.sequence !== segments[i - 1]!.sequence) continue;
    throw new CorruptionError('wal', 'two segments have the same sequence number', {
      file: segments[i - 1]!.name,
      other: segments[i]!.name,
    });
  }
  return segments;
}

/** Creates a file of `sizeBytes` zeros, written for real so that later writes hit allocated blocks, and syncs it. */
export async function createZeroed(disk: Disk, path: string, sizeBytes: number): Promise<DiskFile> {
  await disk.remove(path);
  const file = await disk.create(path);
  for (let at = 0; at < sizeBytes; at += fillBytes) {
    await file.write(at, zeros.subarray(0, Math.min(fillBytes, sizeBytes - at)));
  }
  await file.sync();
  return file;
}

/** Gives a prepared file its header and first group, makes both durable and names it. The handle stays open for writing. */
export async function nameSegment(
  context: { readonly disk: Disk; readonly directory: string; readonly crash: CrashPoints },
  file: DiskFile,
  header: SegmentHeader,
  firstGroup: readonly Uint8Array[],
): Promise<SegmentName> {
  const { disk, directory, crash } = context;
  await file.writeAndSync(0, [encodeSegmentHeader(header), ...firstGroup]);
  crash.hit('walAfterSegmentHeader');
  const name = segmentName(header.sequence, header.firstIndex);
  await disk.rename(file.path, joinPath(directory, name));
  crash.hit('walAfterRename');
  await disk.syncDirectory(directory);
  crash.hit('walAfterDirectorySync');
  return { name, sequence: header.sequence, firstIndex: header.firstIndex };
}
