/** Looks at a log with the eyes of recovery and changes nothing: the same decoder, the same verdicts. */
import { readLog } from './log-reader.ts';
import type { WalKnowledge, WalMetadata, WalPlace } from './options.ts';

/** A log that opening would accept. */
export interface WalReport {
  readonly metadata: WalMetadata;
  readonly segments: readonly WalSegmentReport[];
  /** The log begins behind this index. */
  readonly snapshotIndex: number;
  readonly lastIndex: number;
  readonly commitIndex: number;
  /** Bytes that opening would cut behind the last whole group, none of them acknowledged; 0 when the log is clean. */
  readonly tornBytes: number;
  /** Term of the entry at `index`, or of the mark there; undefined where the log says nothing. */
  readonly termAt: (index: number) => number | undefined;
}

/** One segment of it. */
export interface WalSegmentReport {
  readonly name: string;
  readonly sizeBytes: number;
  /** Bytes of header and whole groups. */
  readonly usedBytes: number;
  readonly isSealed: boolean;
}

/** Reads everything and judges as opening would, with CorruptionError for what that would refuse. */
export async function verifyWal(place: WalPlace, knowledge: WalKnowledge = {}): Promise<WalReport> {
  const { metadata, replayed, segments, tornBytes } = await readLog(place, knowledge);
  const snapshotIndex = replayed.snapshot?.index ?? 0;
  return {
    metadata,
    segments: segments.map(({ name, header, end }) => ({
      name: name.name,
      sizeBytes: header.sizeBytes,
      usedBytes: end.offset,
      isSealed: end.isSealed,
    })),
    snapshotIndex,
    lastIndex: replayed.entries.at(-1)?.index ?? snapshotIndex,
    commitIndex: replayed.hardState.commit,
    tornBytes,
    termAt: (index) =>
      index === snapshotIndex ? replayed.snapshot?.term : replayed.entries[index - snapshotIndex - 1]?.term,
  };
}
