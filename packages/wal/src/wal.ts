/**
 * The write-ahead log: what must survive, in order, made durable in groups. Exactly one write is in flight; what is appended
 * meanwhile is the next group, so the busier the member, the larger the groups, without any timer. Whatever the disk refuses
 * poisons the log for ever: nothing is retried, because a sync that succeeds after one that failed proves nothing, and every later
 * call fails with the same error until the process ends.
 */
import {
  type Counter,
  type CrashPoints,
  Deferred,
  exponentialBuckets,
  FatalError,
  type Histogram,
  invariant,
  type Meter,
  StorageError,
  type Timer,
} from '@quorate/base';
import type { Entry, HardState, SnapshotMark } from '@quorate/proto';
import { onDisk } from './disk-error.ts';
import { segmentHeaderBytes } from './format.ts';
import type { Group } from './group.ts';
import { readLog } from './log-reader.ts';
import { LogShape } from './log-shape.ts';
import { segmentSizeDefault, type WalKnowledge, type WalMetadata, type WalOptions, type WalPlace } from './options.ts';
import { removeTemporaryFiles, repairTail } from './repair.ts';
import { SegmentFiles } from './segment-files.ts';
import { hasSegments } from './segment-name.ts';
import { type LogEnd, Stage } from './stage.ts';

/** What a log said when it was opened. */
export interface WalRecovery {
  readonly metadata: WalMetadata;
  /** All zero when none was recorded. */
  readonly hardState: HardState;
  /** Behind the snapshot mark, in order and without gaps; what was overwritten is gone. Their data is the caller's. */
  readonly entries: Entry[];
  /** The newest mark: the log begins behind it. Undefined when it begins at index 1. */
  readonly snapshot: SnapshotMark | undefined;
  /** Bytes of a torn tail that were cut, none of them acknowledged. */
  readonly tornBytes: number;
}

/**
 * Silence after which an empty group is written, in milliseconds. The last group with data then has a successor that proves it
 * durable, so that damage to it can no longer pass for a torn tail.
 */
const idleMarkAfterMs = 100;
/** A group that takes longer is worth a warning, in milliseconds (etcd's limit). */
const slowSyncMs = 1_000;

export class Wal {
  readonly #options: WalOptions;
  readonly #crash: CrashPoints;
  readonly #stage: Stage;
  readonly #files: SegmentFiles;
  readonly #metrics: Metrics;
  #inFlight: Group | undefined = undefined;
  #isFlushing = false;
  #durableIndex: number;
  /** Newest snapshot mark that is durable: nothing behind it may be released. */
  #durableMark: number;
  /** The group made durable last needs a successor. */
  #needsIdleMark = false;
  #idleTimer: Timer | undefined = undefined;
  #lastSyncMs = 0;
  #syncStartedAtMs: number | undefined = undefined;
  #failure: FatalError | undefined = undefined;
  #isClosed = false;

  private constructor(options: WalOptions, stage: Stage, files: SegmentFiles, durableMark: number) {
    this.#options = options;
    this.#crash = options.crash;
    this.#stage = stage;
    this.#files = files;
    this.#metrics = new Metrics(options.meter);
    this.#durableIndex = stage.lastIndex;
    this.#durableMark = durableMark;
  }

  /** Whether there is a log to open. What a first start that died left behind is none; create() removes it. */
  static async exists(place: WalPlace): Promise<boolean> {
    const { disk, directory } = place;
    return hasSegments(await onDisk('list', directory, () => disk.list(directory)));
  }

  /** A new log. It is durable when this resolves; a crash before leaves no log, or an empty one. Refuses when there is one. */
  static async create(options: WalOptions, metadata: WalMetadata): Promise<Wal> {
    const { disk, directory } = options;
    await onDisk('open', directory, () => disk.makeDirectory(directory));
    if (await Wal.exists(options)) throw new StorageError('wal', 'open', 'there is a log already', { directory });
    await removeTemporaryFiles(options);
    const nothing: LogEnd = {
      segment: undefined,
      position: segmentHeaderBytes,
      lsn: 0,
      group: 1,
      chain: 0,
      shape: new LogShape(0),
      hardState: undefined,
      mark: undefined,
    };
    const sized = withSize(options);
    const wal = new Wal(options, new Stage({ ...sized, metadata }, nothing), new SegmentFiles(sized, [], undefined), 0);
    await wal.sync();
    return wal;
  }

  /**
   * Opens what is there. A torn tail is copied aside and cut; for corruption it throws CorruptionError with nothing changed. When
   * this resolves, everything it returns is durable.
   */
  static async open(
    options: WalOptions,
    knowledge: WalKnowledge = {},
  ): Promise<{ readonly wal: Wal; readonly recovery: WalRecovery }> {
    const reading = await readLog(options, knowledge);
    const { metadata, replayed, segments, tornBytes } = reading;
    options.crash.hit('walRecoverBeforeRepair');
    const sized = withSize(options);
    const tail = await repairTail(options, sized.segmentSizeBytes, reading);
    const mark = replayed.snapshot?.index ?? 0;
    const shape = new LogShape(mark);
    for (const entry of replayed.entries) shape.append(entry.index, entry.term);
    const { term, vote, commit } = replayed.hardState;
    const end: LogEnd = {
      ...tail,
      segment: tail.header,
      shape,
      hardState: term === 0 && vote === 0n && commit === 0 ? undefined : replayed.hardState,
      mark: replayed.snapshot,
    };
    const closed = segments.slice(0, -1).map((segment) => segment.name);
    const active = { name: reading.last.name, file: tail.file, sizeBytes: tail.header.sizeBytes };
    const files = new SegmentFiles(sized, closed, active);
    const wal = new Wal(options, new Stage({ ...sized, metadata }, end), files, mark);
    return { wal, recovery: { metadata, ...replayed, tornBytes } };
  }

  /** Index of the last entry appended; that of the snapshot mark when there is none behind it. */
  get lastIndex(): number {
    return this.#stage.lastIndex;
  }

  /** {@link lastIndex} as of the last group that is durable. It goes back when entries are overwritten. */
  get durableIndex(): number {
    return this.#durableIndex;
  }

  /** Since when a write has been under way, on the options' clock; undefined while none is. For noticing a disk that hangs. */
  get syncStartedAtMs(): number | undefined {
    return this.#syncStartedAtMs;
  }

  /**
   * Stages, in this order: a snapshot mark, entries behind it, the hard state. Durable once a later sync() resolved, all or
   * nothing of it. Entries replace those of the same and of higher indices. A mark says that a snapshot at its index is durable; one
   * that does not fit the log replaces it. The data of entries must not change any more. Throws when the log has failed.
   */
  append(hardState: HardState | undefined, entries: readonly Entry[], mark?: SnapshotMark): void {
    this.#mustWork();
    this.#crash.hit('walBeforeAppend');
    try {
      this.#stage.append(hardState, entries, mark);
    } catch (error) {
      // Half an append is staged; it must never reach the disk.
      this.#fail(error);
      throw error;
    }
  }

  /** Resolves when everything appended before this call is durable. Rejects when the log failed, now or at any time before. */
  sync(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#isClosed) return Promise.reject(new FatalError('the write-ahead log is closed'));
    const group = this.#stage.newest ?? this.#inFlight;
    if (group === undefined) return Promise.resolve();
    group.waiter ??= new Deferred<void>();
    if (!this.#isFlushing) void this.#flush();
    return group.waiter.promise;
  }

  /**
   * Drops segments that hold nothing above `index`. A snapshot mark at `index` or behind it must be durable already: the mark is
   * what says where the log begins.
   */
  async release(index: number): Promise<void> {
    this.#mustWork();
    invariant(index <= this.#durableMark, 'release behind the durable snapshot mark', {
      index,
      mark: this.#durableMark,
    });
    try {
      await this.#files.release(index);
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  /** Makes durable what was appended, ends the log with an idle mark and closes its files. Of a failed log it only closes the files. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#idleTimer?.cancel();
    if (this.#failure === undefined) {
      const last = this.#stage.newest ?? this.#inFlight;
      if (last?.holdsData ?? this.#needsIdleMark) this.#stage.appendIdleMark();
      await this.sync();
    }
    this.#isClosed = true;
    await this.#files.close();
  }

  /** Writes group after group until there is none. Errors end in {@link Wal.#fail}, never in the promise. */
  async #flush(): Promise<void> {
    this.#isFlushing = true;
    try {
      for (let group = this.#stage.take(); group !== undefined; group = this.#stage.take()) {
        this.#inFlight = group;
        await this.#commit(group);
        this.#inFlight = undefined;
        this.#stage.recycle(group);
        group.waiter?.resolve();
      }
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#isFlushing = false;
    this.#armIdleTimer(idleMarkAfterMs);
  }

  async #commit(group: Group): Promise<void> {
    const { clock, logger } = this.#options;
    const startedMs = clock.nowMs();
    const { sizeBytes } = group;
    this.#syncStartedAtMs = startedMs;
    this.#crash.hit('walAfterAppendBeforeSync');
    if (group.segmentStart !== undefined) await this.#files.begin(group.segmentStart, group.chunks());
    else await this.#files.write(group.position, group.chunks(), sizeBytes);
    this.#crash.hit('walAfterSyncBeforeAck');
    this.#lastSyncMs = clock.nowMs();
    this.#syncStartedAtMs = undefined;
    this.#durableIndex = group.lastIndex;
    this.#durableMark = Math.max(this.#durableMark, group.mark);
    this.#needsIdleMark = group.holdsData;
    const tookMs = this.#lastSyncMs - startedMs;
    this.#metrics.observe(tookMs, sizeBytes);
    if (tookMs > slowSyncMs) logger.warn('slow write to the write-ahead log', { tookMs, bytes: sizeBytes });
  }

  #armIdleTimer(delayMs: number): void {
    if (!this.#needsIdleMark || this.#idleTimer !== undefined || this.#isClosed) return;
    this.#idleTimer = this.#options.clock.after(delayMs, () => this.#onIdleTimer());
  }

  /** A busy log has one timer at a time, which looks every {@link idleMarkAfterMs}; an idle one has none once its mark is written. */
  #onIdleTimer(): void {
    this.#idleTimer = undefined;
    if (this.#isFlushing || this.#isClosed || this.#failure !== undefined) return;
    const silentMs = this.#options.clock.nowMs() - this.#lastSyncMs;
    if (silentMs < idleMarkAfterMs) {
      // Rounded up: a rest too small for the clock's fractions would come round again and again at the same time.
      this.#armIdleTimer(Math.ceil(idleMarkAfterMs - silentMs));
      return;
    }
    if (this.#stage.newest === undefined) this.#stage.appendIdleMark();
    void this.#flush();
  }

  /** Ends the log. Whoever waits for a group learns it; nothing that was staged is written any more. */
  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    const failure =
      error instanceof FatalError ? error : new FatalError('the write-ahead log failed', {}, { cause: error });
    this.#failure = failure;
    this.#idleTimer?.cancel();
    this.#inFlight?.waiter?.reject(failure);
    for (const group of this.#stage.drain()) group.waiter?.reject(failure);
    this.#options.onFailure?.(failure);
  }

  #mustWork(): void {
    if (this.#failure !== undefined) throw this.#failure;
    invariant(!this.#isClosed, 'the write-ahead log is closed');
  }
}

/** etcd's names. Write and sync are one call here, so both durations are of that call. */
class Metrics {
  readonly #fsyncSeconds: Histogram;
  readonly #writeSeconds: Histogram;
  readonly #writtenBytes: Counter;

  constructor(meter: Meter) {
    const buckets = exponentialBuckets(0.001, 2, 14);
    this.#fsyncSeconds = meter.histogram(
      { name: 'etcd_disk_wal_fsync_duration_seconds', help: 'The latency distributions of fsync called by WAL.' },
      buckets,
    );
    this.#writeSeconds = meter.histogram(
      { name: 'etcd_disk_wal_write_duration_seconds', help: 'The latency distributions of write called by WAL.' },
      buckets,
    );
    this.#writtenBytes = meter.counter({
      name: 'etcd_disk_wal_write_bytes_total',
      help: 'Total number of bytes written in WAL.',
    });
  }

  observe(tookMs: number, bytes: number): void {
    this.#fsyncSeconds.observe(tookMs / 1000);
    this.#writeSeconds.observe(tookMs / 1000);
    this.#writtenBytes.add(bytes);
  }
}

function withSize(options: WalOptions): WalOptions & { readonly segmentSizeBytes: number } {
  return { ...options, segmentSizeBytes: options.segmentSizeBytes ?? segmentSizeDefault };
}
