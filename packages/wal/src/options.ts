/** What a log needs from the world, and its defaults. */
import type { Clock, CrashPoints, Disk, FatalError, Logger, Meter, Random } from '@quorate/base';

/**
 * Size of a segment unless told otherwise, in bytes. A quarter of etcd's: every start writes the newest segment again, and every
 * member keeps one prepared.
 */
export const segmentSizeDefault: number = 16 * 1024 * 1024;

/** Whose log it is. The incarnation is random per data directory: a wiped one is another member in all but name. */
export interface WalMetadata {
  readonly memberId: bigint;
  readonly clusterId: bigint;
  readonly incarnation: bigint;
}

/** What it takes to look at a log. */
export interface WalPlace {
  readonly disk: Disk;
  readonly directory: string;
  readonly logger: Logger;
}

export interface WalOptions extends WalPlace {
  readonly clock: Clock;
  /** For the salts of segments. */
  readonly random: Random;
  readonly meter: Meter;
  readonly crash: CrashPoints;
  /** Default {@link segmentSizeDefault}. An append that needs more gets a segment of its own size. */
  readonly segmentSizeBytes?: number;
  /**
   * Called once when the log failed and can never be written again. Callers of sync() learn it from their promise; this is for
   * failures while nobody waits.
   */
  readonly onFailure?: (error: FatalError) => void;
}

/** What the caller knows when it opens a log. */
export interface WalKnowledge {
  /**
   * An index known to be committed, normally the consistent index of the store. A log that ends before it has lost acknowledged
   * entries and is refused. Default 0.
   */
  readonly committedAtLeast?: number;
  /** Snapshot marks above this index are passed over, as if their snapshots were lost. Default: none is. */
  readonly snapshotAtMost?: number;
}
