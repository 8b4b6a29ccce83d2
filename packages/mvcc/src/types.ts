/**
 * What others see of the store: read and write transactions, changes, the lease book it asks for, options. The
 * classes behind these live in store.ts, read-txn.ts and write-txn.ts.
 */
import type { Backend } from '@quorate/backend';
import type { Clock, CrashPoints, Key, LeaseId, Logger, Meter } from '@quorate/base';

/** CRC-32C (Castagnoli) of `bytes`, continuing from `seed` (0 to begin), as any 32-bit integer, signed or not. */
export type Checksum = (bytes: Buffer, seed: number) => number;

/** What a range may ask for besides its keys. */
export interface RangeOptions {
  /** Revision to read at; absent, 0 or negative means the transaction's own. */
  readonly revision?: number | undefined;
  /** Most rows to return; absent, 0 or negative means all. The count is of the whole range all the same. */
  readonly limit?: number | undefined;
  /**
   * Stop after the row that reaches this many bytes of records: at least one row is returned. Absent means no such
   * limit.
   */
  readonly sizeBytesMax?: number | undefined;
  /**
   * Stop after looking at so many keys, whether they live at the revision read or not: there may be no rows, and more to come.
   * With `countOnly` the count is then of these keys. Absent means no such limit.
   */
  readonly keysMax?: number | undefined;
  /** Only the count; no rows. */
  readonly countOnly?: boolean | undefined;
  /** Leave `count` at 0: for the later slices of a range whose count is already known. */
  readonly skipCount?: boolean | undefined;
  /** Rows in descending key order. */
  readonly descending?: boolean | undefined;
}

/** The answer to a range. */
export interface RangeResult {
  /** Encoded mvccpb.KeyValue messages in key order, checksum verified and taken off. Never changed by anyone. */
  readonly rows: readonly Buffer[];
  /** Keys alive in the whole range at the revision read, whatever the limits. */
  readonly count: number;
  /** The store's (inside a write transaction: the transaction's) revision, never an older one that was asked for. */
  readonly revision: number;
  /**
   * Where to go on after what the limits left out, undefined when that is nothing. An ascending range goes on with
   * `range(next, end, …)`, a descending one with `range(key, next + '\0', …)`, at the same explicit revision.
   */
  readonly next: Key | undefined;
}

/**
 * A view at one revision. It stays valid across turns: writes that come later are invisible, and once a compaction
 * passes the revision its reads throw KvError `compacted`.
 */
export interface ReadTxn {
  /** The revision of the view. */
  readonly revision: number;
  /** The store's compact revision now; -1 when never compacted. */
  readonly compactRevision: number;
  /**
   * Keys from `key` up to but without `end`, in byte order. `end` absent or empty: just `key`; `'\0'`: no upper
   * bound; an end at or below `key`: nothing. Throws KvError `compacted` and `futureRev`, CorruptionError for a row
   * that is missing or damaged.
   */
  range(key: Key, end: Key | undefined, options?: RangeOptions): RangeResult;
}

/**
 * The one writer. Its own reads see what it has written so far. Nothing reaches the backend before {@link end}, so a
 * transaction that an error tears apart leaves no trace there; the store refuses to begin another after it.
 */
export interface WriteTxn extends ReadTxn {
  /** The revision reads see: the store's until the first change, then the one all changes of this transaction carry. */
  readonly revision: number;
  /**
   * Writes one version of `key` and sets its lease to exactly `lease` (0n: none). Returns the revision of the
   * transaction.
   */
  put(key: Key, value: Uint8Array, lease: LeaseId): number;
  /** Deletes the keys of a range (conventions of {@link ReadTxn.range}) in key order. Returns how many there were. */
  deleteRange(key: Key, end: Key | undefined): number;
  /** Whether anything was written or deleted. */
  readonly changed: boolean;
  /** The changes so far, in order. */
  readonly changes: readonly Change[];
  /** Stages the rows, moves the store's revision if anything changed, tells the listeners. Call once. */
  end(): void;
}

/** One change of a key: the raw material of watch events. */
export interface Change {
  readonly type: 'put' | 'delete';
  readonly key: Key;
  /** Encoded mvccpb.KeyValue: the new version, or for a delete just key and mod revision, as etcd's events carry it. */
  readonly record: Buffer;
  readonly modRevision: number;
  /** Position among the changes of its revision, from 0. */
  readonly sub: number;
}

/** A stretch of history: all changes of whole revisions. */
export interface PastChanges {
  readonly changes: readonly Change[];
  /** The last revision covered, whether it has a change here or not. */
  readonly through: number;
}

/** Called synchronously at the end of each transaction that changed something; must not write to the store. */
export type ChangeListener = (revision: number, changes: readonly Change[]) => void;

/** Which lease a key hangs on. Kept elsewhere; the store says what changes. */
export interface LeaseBook {
  /** The lease of a key, 0n for none. */
  leaseOf(key: Key): LeaseId;
  attach(lease: LeaseId, key: Key): void;
  detach(lease: LeaseId, key: Key): void;
}

/** A book for stores without leases: forgets everything it is told. */
export const noLeases: LeaseBook = { leaseOf: () => 0n, attach: () => {}, detach: () => {} };

/** How compaction takes its time. */
export interface CompactionOptions {
  /** Versions removed per slice. Default 1,000 (etcd: --compaction-batch-limit). */
  readonly batchLimit: number;
  /** Pause between slices in milliseconds. Default 10 (etcd: --compaction-sleep-interval). */
  readonly sleepMs: number;
}

/** A compaction under way. */
export interface Compaction {
  /**
   * Everything the compaction forgets is gone from the backend, committed. Rejects with KvError `stopped` when the
   * store closes first. (What readers see changed at once; only a `physical` request waits for this.)
   */
  readonly done: Promise<void>;
}

/** The hash of the history, as Maintenance.HashKV answers it. */
export interface HashResult {
  /** CRC-32C, unsigned. */
  readonly hash: number;
  /** The revision hashed. */
  readonly hashRevision: number;
  /** The compact revision the hash is for; -1 when never compacted. */
  readonly compactRevision: number;
}

/** A step of looking for damage. */
export interface ScrubSlice {
  readonly rows: number;
  readonly sizeBytes: number;
}

/** What a store needs from the world. */
export interface StoreOptions {
  readonly backend: Backend;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly meter: Meter;
  readonly crash: CrashPoints;
  readonly leases: LeaseBook;
  readonly checksum: Checksum;
  readonly compaction?: Partial<CompactionOptions> | undefined;
  /** Told when background work (compaction, hashing) met an error the process must not survive. */
  readonly onFatal: (error: unknown) => void;
}
