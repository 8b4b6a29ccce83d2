/**
 * What a store must do to become a Backend: hold committed rows and write one batch at a time. Staging, overlay and the order of
 * commits are the same for all stores and live in BufferedBackend.
 */
import type { Key } from '@quorate/base';
import type { BackendView, Commit, RowRange } from './backend.ts';
import type { Bucket } from './buckets.ts';
import type { RowCursor } from './row-cursor.ts';
import type { ChangeSet } from './write-buffer.ts';

/** A store of committed rows. */
export interface Engine {
  /** Committed value, owned by the caller. */
  get(bucket: Bucket, key: Key): Buffer | undefined;
  /**
   * Walks the committed rows of a range; `limit` is not looked at. The walk ends or is closed in the same turn. With `lends`, a row's
   * value may be memory that the next row is read into.
   */
  cursor(bucket: Bucket, range: RowRange, lends?: boolean): RowCursor;
  /**
   * Writes `changes` as one atomic batch. Not called again before `done` settled. When `done` resolves, get and cursor show the
   * batch. Hits the crash points after the commit and after the flush.
   */
  write(changes: ChangeSet): Commit;
  sizeBytes(): number;
  sizeInUseBytes(): number;
  /** Committed rows of all buckets. */
  rowCount(): number;
  /** A view of what is committed. Views that are open when the engine closes must not be used any more. */
  openView(): BackendView;
  /** All writes have settled. */
  close(): Promise<void>;
}
