/** Looks at a log with the eyes of recovery and changes nothing: the same decoder, the same verdicts. */
import type { Disk, Logger } from '@quorate/base';
import { readLog, type WalMetadata } from './recovery.ts';

export interface WalReport {
  readonly metadata: WalMetadata;
  readonly segmentCount: number;
  /** Index behind which the log begins. */
  readonly snapshotIndex: number;
  readonly lastIndex: number;
  readonly commitIndex: number;
  /** Bytes of a torn tail that opening would cut; 0 when it is clean. */
  readonly tornBytes: number;
}

/** Throws CorruptionError for a log that opening would refuse. */
export async function verifyWal(
  options: { readonly disk: Disk; readonly directory: string; readonly logger: Logger },
  known: { readonly committedAtLeast: number },
): Promise<WalReport> {
  const { disk, directory, logger } = options;
  const { segments, recovery } = await readLog(disk, directory, logger, known.committedAtLeast);
  const snapshotIndex = recovery.snapshot?.index ?? 0;
  return {
    metadata: recovery.metadata,
    segmentCount: segments.length,
    snapshotIndex,
    lastIndex: recovery.entries.at(-1)?.index ?? snapshotIndex,
    commitIndex: recovery.hardState.commit,
    tornBytes: recovery.tornBytes,
  };
}
