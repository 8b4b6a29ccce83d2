/**
 * The contract of a backend: ordered buckets of bytes with staged writes that readers see at once and that reach the store in
 * whole batches. LmdbBackend keeps it on disk, MemoryBackend in memory (and can crash); one conformance suite tests both.
 *
 * What a crash may leave is exactly the state after some completed commit: never a part of one, and at least the last one whose
 * `durable` promise resolved. The consistent index lives in the same batches as the data, so any such state is a state the
 * replicated log can continue from.
 */
import type { Clock, Key } from '@quorate/base';
import type { Bucket } from './buckets.ts';

/** One stored pair. The value is owned by the caller (never a view of the store's memory). */
export interface Row {
  readonly key: Key;
  readonly value: Buffer;
}

/** Half-open range [from, to) of keys in byte order; `to` undefined means to the end of the bucket. */
export interface RowRange {
  readonly from: Key;
  readonly to?: Key | undefined;
  /** Most rows to return; default unlimited. Callers that scan pass a limit and continue after the last key. */
  readonly limit?: number;
  /** Descending key order. Default false. */
  readonly reverse?: boolean;
}

/** Looks at a row, whose value is the store's memory here and changes when the call is over. False: that was enough. */
export type RowVisit = (row: Row) => boolean;

/** Bytes [at, end) of a buffer. */
export interface Place {
  readonly bytes: Buffer;
  readonly at: number;
  readonly end: number;
}

/**
 * Sees all rows of the key bucket while a store is opened, where opening reads through the store anyway. Nothing here may throw.
 */
export interface RowSight {
  /** The next row in key order, where it lies. The bytes are not to be changed, and what is kept of them is to be copied. */
  row(key: Place, value: Place): void;
  /** All rows were shown. Not called for a store that is not read through. */
  end(): void;
}

/** A commit under way. */
export interface Commit {
  /** The batch is in the store: a crash of the process keeps it. */
  readonly done: Promise<void>;
  /** The batch also survives a loss of power. Rejection means the disk said no and must stop the process. */
  readonly durable: Promise<void>;
}

/** A fixed view of all committed rows, for snapshots and hashes that read in slices over many turns. */
export interface BackendView {
  range(bucket: Bucket, range: RowRange): Row[];
  /** Releases the view; pages it pinned can be reused. Idempotent. */
  close(): void;
}

/** What a defragmentation did. */
export interface Defragmentation {
  readonly sizeBytesBefore: number;
  readonly sizeBytes: number;
  /** Rows copied, those of all buckets. */
  readonly rows: number;
}

export interface Backend {
  /** Latest value, staged ones included; undefined when absent. */
  get(bucket: Bucket, key: Key): Buffer | undefined;
  /** Rows in key order, staged changes included. Synchronous: keep `limit` small enough for one turn. */
  range(bucket: Bucket, range: RowRange): Row[];
  /**
   * The same rows for those who keep none of them, one after the other, without a copy. `visit` must not use the backend, and ends the
   * walk when it is enough for one turn.
   */
  visit(bucket: Bucket, range: RowRange, visit: RowVisit): void;
  /** Stages a put. `value` must not change afterwards. Throws FatalError when the key is longer than 1977 bytes. */
  put(bucket: Bucket, key: Key, value: Buffer): void;
  /** Stages a removal; fine when the key is absent. */
  remove(bucket: Bucket, key: Key): void;
  /** Keys with staged changes that no commit has taken yet; several changes to one key count once. */
  readonly stagedCount: number;
  /** Bytes of these keys and of their staged values. */
  readonly stagedBytes: number;
  /**
   * Hands everything staged so far to the store as one atomic batch. One commit runs at a time; a call during one waits its turn
   * and takes what is staged then. With nothing staged it still waits for earlier commits. After one commit failed, all later
   * ones are refused with its error: the process must end.
   */
  commit(): Commit;
  /** Bytes the store occupies (file size), free pages included. */
  sizeBytes(): number;
  /** Bytes in pages that hold data: what the quota measures. Staged rows that are not committed yet are not counted. */
  sizeInUseBytes(): number;
  /**
   * Gives back the space of free pages: copies the store beside itself, in slices, while it is read and written, and puts the copy
   * in its place. Views stay as they are. A call during another shares it. Resolves undefined when the backend was closed
   * meanwhile. Rejects with DefragmentError when there is no room for the copy or it could not be written; the store is as before then.
   */
  defragment(clock: Clock): Promise<Defragmentation | undefined>;
  /** Commits what is staged, then opens a view of it. */
  openView(): Promise<BackendView>;
  /**
   * Gives up a defragmentation under way, commits and makes durable what is staged, then closes, with all views that are still open.
   * Later calls throw.
   */
  close(): Promise<void>;
}

/** Makes, finds and replaces whole backends by name; names are plain file names such as `db` or `db.next`. */
export interface BackendFactory {
  /** Opens or creates, and shows `sight` the rows on the way. Rejects with StorageError when it is open already, or not a store. */
  open(name: string, sight?: RowSight): Promise<Backend>;
  exists(name: string): Promise<boolean>;
  /** Atomically puts the closed backend `from` in the place of the closed (or absent) backend `to`, durably. */
  replace(from: string, to: string): Promise<void>;
  /** Removes a closed backend; fine when absent. */
  remove(name: string): Promise<void>;
}
