/**
 * Copying a store while it is written to: rows in key order, in slices, and behind them whatever was committed meanwhile to keys
 * that were copied already. Keys ahead of the walk need no note: it meets them as they are then. So no view is held, which would
 * pin pages of the store for as long as the copy takes, and no more is remembered than what one batch to the copy lets gather.
 */
import { type Clock, type Key, nextTurn, StorageError, sleep } from '@quorate/base';
import { allBuckets, bucketIdMax } from './buckets.ts';
import type { Engine } from './engine.ts';
import type { Change } from './row-cursor.ts';
import { ChangeSet } from './write-buffer.ts';

/** What goes to the copy in one durable batch: small enough not to be in the way of other writers of the disk. */
const batchBytesMax = 512 * 1024;
const batchCountMax = 2_000;
/** Milliseconds of reading before other work gets its turn. */
const sliceMs = 2;
/** Rows between two looks at the clock. */
const lookRows = 32;
/**
 * Of the first walk: after a batch the disk belongs to others for so many times as long as the batch took, and for so many
 * milliseconds at least.
 */
const pauseFactor = 3;
const pauseMsMin = 5;
/** So little may be left for the end, when commits wait: as much as two commits of the size at which they are not put off. */
const remainderCount = 20_000;
/**
 * How many times the bytes there were may be copied in pursuit of the writers. Then commits wait for what is missing, if it is no
 * more than so many bytes: what is staged meanwhile stays in memory.
 */
const chaseFactor = 4;
const remainderBytesMax = 64 * 1024 * 1024;

export interface StoreCopyOptions {
  readonly source: Engine;
  readonly copy: Engine;
  readonly clock: Clock;
}

export class StoreCopy {
  readonly #options: StoreCopyOptions;
  /** Everything before this key of this bucket was copied. */
  #bucketId = 0;
  #from: Key = '';
  /** Committed to copied keys, and not yet taken to the copy. */
  #missed = new ChangeSet();
  /** What was missed, on its way. */
  #catchingUp: Iterator<[bucketId: number, key: Key, change: Change]> = [][Symbol.iterator]();
  #copiedBytes = 0;
  #cancelled = false;

  constructor(options: StoreCopyOptions) {
    this.#options = options;
  }

  /** The source committed `changes`, and shows them. */
  committed(changes: ChangeSet): void {
    for (const [bucketId, changed] of changes.perBucket()) {
      if (bucketId > this.#bucketId) break;
      changed.forEach((key, change) => {
        if (bucketId < this.#bucketId || key < this.#from) this.#missed.setIn(bucketId, key, change);
      });
    }
  }

  /**
   * Copies until little is missing, while the source may commit. Resolves false when cancelled; rejects with StorageError when the
   * source grows faster than it can be copied.
   */
  async follow(): Promise<boolean> {
    const { copy, clock, source } = this.#options;
    const firstBytes = source.sizeInUseBytes();
    while (!this.#cancelled) {
      const batch = await this.#nextBatch();
      const startedMs = clock.nowMs();
      if (batch.count > 0) await copy.write(batch).durable;
      const tookMs = clock.nowMs() - startedMs;
      this.#copiedBytes += batch.bytes;
      if (this.#atEnd && this.#missed.count <= remainderCount) return !this.#cancelled;
      if (this.#copiedBytes > chaseFactor * firstBytes + batchBytesMax) {
        const missingBytes = source.sizeInUseBytes() - copy.sizeInUseBytes() + this.#missed.bytes;
        if (missingBytes <= remainderBytesMax) return !this.#cancelled;
        throw new StorageError('backend', 'write', 'the store is written to faster than it can be copied');
      }
      if (this.#copiedBytes <= firstBytes) await sleep(clock, Math.max(pauseMsMin, pauseFactor * tookMs));
    }
    return false;
  }

  /** Copies what is missing still, while the source commits nothing. */
  async finish(): Promise<void> {
    for (;;) {
      const batch = await this.#nextBatch();
      if (batch.count === 0) return;
      await this.#options.copy.write(batch).durable;
    }
  }

  /** Ends {@link follow} after the batch under way. */
  cancel(): void {
    this.#cancelled = true;
  }

  get #atEnd(): boolean {
    return this.#bucketId > bucketIdMax;
  }

  /** What was missed first, then rows behind those copied. */
  async #nextBatch(): Promise<ChangeSet> {
    const batch = new ChangeSet();
    this.#catchUp(batch);
    while (!isFull(batch) && !this.#atEnd) {
      this.#readRows(batch);
      await nextTurn(this.#options.clock);
    }
    return batch;
  }

  #catchUp(batch: ChangeSet): void {
    while (!isFull(batch)) {
      const next = this.#catchingUp.next();
      if (next.done !== true) {
        batch.setIn(...next.value);
        continue;
      }
      if (this.#missed.count === 0) return;
      this.#catchingUp = this.#missed.all();
      this.#missed = new ChangeSet();
    }
  }

  /** Walks on from where the last slice ended. */
  #readRows(batch: ChangeSet): void {
    const { source, clock } = this.#options;
    const bucket = allBuckets.find(({ id }) => id >= this.#bucketId);
    if (bucket === undefined) {
      this.#bucketId = bucketIdMax + 1;
      return;
    }
    if (bucket.id > this.#bucketId) this.#from = '';
    this.#bucketId = bucket.id;
    const untilMs = clock.nowMs() + sliceMs;
    const rows = source.cursor(bucket, { from: this.#from });
    try {
      for (let n = 1; !isFull(batch); n++) {
        const row = rows.next();
        if (row === undefined) {
          this.#bucketId = bucket.id + 1;
          this.#from = '';
          return;
        }
        batch.set(bucket, row.key, row.value);
        // The very next key there can be.
        this.#from = `${row.key}\0`;
        if (n % lookRows === 0 && clock.nowMs() >= untilMs) return;
      }
    } finally {
      rows.close();
    }
  }
}

function isFull(batch: ChangeSet): boolean {
  return batch.bytes >= batchBytesMax || batch.count >= batchCountMax;
}
