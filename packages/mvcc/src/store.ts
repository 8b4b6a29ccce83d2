/**
 * The store: the current and the compact revision, and the door to everything else. Rows live in the backend, the
 * index in memory; opening rebuilds the index from the rows.
 *
 * All of it is synchronous but opening, the background part of compaction, and hashing. One write transaction is open
 * at a time, from write() to its end(), with no await in between.
 */
import { type Backend, buckets } from '@quorate/backend';
import { invariant, type Key } from '@quorate/base';
import { KvError } from '@quorate/proto';
import { readChanges } from './changes.ts';
import { Compactor, compactionMarks } from './compaction.ts';
import { hashHistory } from './hash.ts';
import { none } from './key-index.ts';
import { StoreMetrics } from './metrics.ts';
import { type StoreParts, StoreReadTxn } from './read-txn.ts';
import { restoreIndex } from './restore.ts';
import { decodeMark, encodeMark } from './revision.ts';
import { RowIntake } from './row-intake.ts';
import { RowStore, type ScanLimits } from './row-store.ts';
import { scrub, scrubOthers } from './scrub.ts';
import type { TreeIndex } from './tree-index.ts';
import type {
  ChangeListener,
  Compaction,
  CompactionOptions,
  HashResult,
  PastChanges,
  ReadTxn,
  ScrubSlice,
  StoreOptions,
  WriteTxn,
} from './types.ts';
import { StoreWriteTxn } from './write-txn.ts';

/** etcd's: --compaction-batch-limit, --compaction-sleep-interval. */
const compactionDefaults: CompactionOptions = { batchLimit: 1000, sleepMs: 10 };

/** The revision of a store nothing was ever written to. */
const firstRevision = 1;
/** The compact revision of a store that was never compacted. */
const neverCompacted = -1;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** A multi-version key-value store over a backend. */
export class Store {
  readonly #options: StoreOptions;
  readonly #backend: Backend;
  readonly #parts: Mutable<StoreParts>;
  readonly #compactor: Compactor;
  readonly #listeners = new Set<ChangeListener>();
  readonly #compactionListeners = new Set<(revision: number) => void>();
  #writing: WriteTxn | undefined;
  #closed = false;

  private constructor(options: StoreOptions, index: TreeIndex) {
    const { backend, checksum, clock, crash, logger, meter, onFatal } = options;
    const rows = new RowStore(backend, checksum);
    const metrics = new StoreMetrics(meter, this);
    const compaction = { ...compactionDefaults, ...options.compaction };
    const compactorParts = { backend, index, rows, clock, crash, logger, metrics, onFatal, options: compaction };
    this.#options = options;
    this.#backend = backend;
    this.#parts = { index, rows, metrics, currentRevision: firstRevision, compactRevision: neverCompacted };
    this.#compactor = new Compactor(compactorParts);
  }

  /**
   * Rebuilds the index from the rows of `backend`, attaches keys to their leases, and resumes a compaction that a
   * crash or stop interrupted. `intake` may have seen these rows while the backend was opened. Throws CorruptionError for damaged rows.
   */
  static async open(options: StoreOptions, intake: RowIntake = new RowIntake(options.checksum)): Promise<Store> {
    const store = new Store(options, intake.index);
    await store.#restore(intake);
    return store;
  }

  /**
   * The revision of the last transaction that changed something; 1 when there was none. Never below the compact
   * revision.
   */
  get currentRevision(): number {
    return this.#parts.currentRevision;
  }

  /** Reads below it are refused; -1 when never compacted. */
  get compactRevision(): number {
    return this.#parts.compactRevision;
  }

  /** Living keys. */
  get keyCount(): number {
    return this.#parts.index.keyCount;
  }

  /** A view at the current revision. Nothing to close. */
  read(): ReadTxn {
    this.#checkOpen();
    return new StoreReadTxn(this.#parts);
  }

  /** Begins the one write transaction. */
  write(): WriteTxn {
    this.#checkOpen();
    invariant(this.#writing === undefined, 'write transaction begun before the one before it ended');
    const txn = new StoreWriteTxn(this.#parts, this.#options.leases, this.#finishTxn);
    this.#writing = txn;
    return txn;
  }

  /**
   * Forgets history: reads below `revision` fail from now on. Throws KvError `compacted` when it is not above the
   * compact revision and `futureRev` when it is above the current one. (So compacting a fresh store to 0 works once,
   * as in etcd.)
   */
  compact(revision: number): Compaction {
    this.#checkOpen();
    invariant(this.#writing === undefined, 'compaction inside a write transaction');
    if (revision <= this.compactRevision) throw new KvError('compacted');
    if (revision > this.currentRevision) throw new KvError('futureRev');
    this.#parts.compactRevision = revision;
    this.#backend.put(buckets.meta, compactionMarks.scheduled, encodeMark(revision));
    this.#options.crash.hit('compactAfterSchedule');
    const compaction = this.#compactor.schedule(revision);
    for (const listener of this.#compactionListeners) listener(revision);
    return compaction;
  }

  /**
   * Hashes the history up to `revision` (0: the current one; up to a negative one there is nothing), in slices. Equal on members with equal
   * revision and compact revision, however far their compactors are. Rejects with KvError `compacted`, `futureRev`,
   * or `stopped` when the store closes meanwhile; a damaged row also goes to onFatal.
   */
  async hashKv(revision: number): Promise<HashResult> {
    this.#checkOpen();
    const { compactRevision, currentRevision } = this;
    if (revision > 0 && revision < compactRevision) throw new KvError('compacted');
    if (revision > currentRevision) throw new KvError('futureRev');
    const { clock, checksum, onFatal } = this.#options;
    const startedMs = clock.nowMs();
    const checkOpen = (): void => {
      if (this.#closed) throw new KvError('stopped');
    };
    const parts = { index: this.#parts.index, rows: this.#parts.rows, clock, checksum, checkOpen };
    this.#compactor.hold(compactRevision);
    try {
      return await hashHistory(parts, { revision: revision === 0 ? currentRevision : revision, compactRevision });
    } catch (error) {
      // Whoever asked for the hash gets the error as an answer; the process must hear of damage all the same.
      if (!(error instanceof KvError)) onFatal(error);
      throw error;
    } finally {
      this.#compactor.release(compactRevision);
      this.#parts.metrics.hashSeconds.observe((clock.nowMs() - startedMs) / 1000);
    }
  }

  /**
   * Looks through all rows once, a slice at each step: take the next when there is time. Its steps throw CorruptionError for rows
   * that are damaged, missing, or not where the index says.
   */
  *scrub(): Generator<ScrubSlice> {
    for (const slices of [scrub(this.#parts), scrubOthers(this.#backend)]) {
      for (const slice of slices) {
        yield slice;
        this.#checkOpen();
      }
    }
  }

  /** Calls `listener` at the end of every transaction that changes something. Returns what takes it off again. */
  onChanges(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Changes of whole revisions from `from` on, about as many as `limits` allows, in order. `from` must not be below
   * the compact revision; beyond the current one there is nothing.
   */
  changesFrom(from: number, limits: ScanLimits): PastChanges {
    this.#checkOpen();
    const { compactRevision, currentRevision } = this;
    invariant(from >= compactRevision, 'history asked for that is compacted', { from, compactRevision });
    return readChanges(this.#parts.rows, { from, through: currentRevision }, limits);
  }

  /** Calls `listener` with the revision of every compaction from now on, when it takes effect. */
  onCompaction(listener: (revision: number) => void): void {
    this.#compactionListeners.add(listener);
  }

  /** The record of `key` as it was at `revision`; undefined when it did not exist or compaction has passed that. */
  recordAt(key: Key, revision: number): Buffer | undefined {
    this.#checkOpen();
    if (revision < this.compactRevision) return undefined;
    const { index, rows } = this.#parts;
    const id = index.find(key, revision);
    return id === none ? undefined : rows.read(index.versions.main(id), index.versions.sub(id));
  }

  /** Every key in the index with its versions, as text: for tests and for looking into a store. */
  dumpIndex(): Iterable<string> {
    return this.#parts.index.dump();
  }

  /** Stops background work. The backend stays open: it belongs to the caller. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#compactor.stop();
  }

  /** A function of its own, because one made for every transaction would be garbage after it. */
  readonly #finishTxn = (txn: WriteTxn): void => {
    this.#writing = undefined;
    if (!txn.changed) return;
    this.#parts.currentRevision++;
    for (const listener of this.#listeners) listener(this.currentRevision, txn.changes);
  };

  async #restore(intake: RowIntake): Promise<void> {
    const { clock, leases, logger } = this.#options;
    const startedMs = clock.nowMs();
    await restoreIndex(intake, this.#parts.rows, { clock, leases });
    // One version for each row, in order of time.
    const { versions } = intake.index;
    const rowCount = versions.size;
    const lastRevision = rowCount === 0 ? 0 : versions.main(rowCount - 1);
    const scheduled = this.#readMark(compactionMarks.scheduled);
    const finished = this.#readMark(compactionMarks.finished);
    const compactRevision = Math.max(scheduled, finished);
    this.#parts.compactRevision = compactRevision;
    this.#parts.currentRevision = Math.max(firstRevision, lastRevision, compactRevision);
    if (scheduled > finished) this.#compactor.schedule(scheduled);
    logger.info('restored key-value store', {
      revision: this.currentRevision,
      compactRevision,
      keys: this.keyCount,
      rows: rowCount,
      durationMs: clock.nowMs() - startedMs,
    });
  }

  #readMark(name: string): number {
    const mark = this.#backend.get(buckets.meta, name);
    return mark === undefined ? neverCompacted : decodeMark(mark);
  }

  #checkOpen(): void {
    invariant(!this.#closed, 'store used after close');
  }
}
