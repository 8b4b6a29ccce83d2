/** Names in the log's directory: `<sequence>-<first index>.wal` in hex as etcd's, and what may lie beside them. */
import { type CorruptionError, type Disk, joinPath, type Logger } from '@quorate/base';

/** A segment file as listed. */
export interface SegmentName {
  readonly name: string;
  readonly sequence: number;
  readonly firstIndex: number;
}

/** A file that is not part of the log yet. All of them go when a log is opened. */
export const temporarySuffix = '.tmp';
/** What was cut off a segment, kept beside it until the segment goes. */
export const tornSuffix = '.torn';
/** The segment prepared for the next cut. */
export const spareName: string = `spare${temporarySuffix}`;

const segmentSuffix = '.wal';
const pattern = /^([0-9a-f]{16})-([0-9a-f]{16})\.wal$/;

export function segmentName(sequence: number, firstIndex: number): SegmentName {
  const hex = (value: number): string => value.toString(16).padStart(16, '0');
  return { name: `${hex(sequence)}-${hex(firstIndex)}${segmentSuffix}`, sequence, firstIndex };
}

/** Whether a directory holds a log, or something that claims to be a part of one. */
export function hasSegments(names: readonly string[]): boolean {
  return names.some((name) => name.endsWith(segmentSuffix));
}

/**
 * The segments of a directory in order, sequences without gaps. Other names are passed over, with a log line when unknown; a name
 * that looks like a segment's and is none is refused, because somebody may have renamed a part of the log.
 */
export async function listSegments(
  options: { readonly disk: Disk; readonly directory: string; readonly logger: Logger },
  corruption: (file: string, reason: string) => CorruptionError,
): Promise<SegmentName[]> {
  const { disk, directory, logger } = options;
  const segments: SegmentName[] = [];
  for (const name of await disk.list(directory)) {
    const file = joinPath(directory, name);
    const match = pattern.exec(name);
    if (match !== null) {
      segments.push({ name, sequence: Number.parseInt(match[1]!, 16), firstIndex: Number.parseInt(match[2]!, 16) });
    } else if (name.endsWith(segmentSuffix)) {
      throw corruption(file, 'looks like a segment but is not named like one');
    } else if (!name.endsWith(temporarySuffix) && !name.endsWith(tornSuffix)) {
      logger.warn('passing over an unknown file beside the write-ahead log', { file });
    }
  }
  segments.sort((a, b) => a.sequence - b.sequence);
  for (let i = 1; i < segments.length; i++) {
    const { name, sequence } = segments[i]!;
    const before = segments[i - 1]!.sequence;
    if (sequence === before) throw corruption(joinPath(directory, name), 'has the sequence number of another segment');
    if (sequence > before + 1)
      throw corruption(joinPath(directory, name), 'does not follow: a segment before it is missing');
  }
  return segments;
}
