/**
 * Changes on their way to the store: those staged, and those a commit took and the store does not show yet. Readers look here
 * first, so that a change is seen from the moment it was staged and never goes missing in between. Of several changes to one key
 * within a layer the last one counts, and it counts once.
 */
import { invariant, type Key } from '@quorate/base';
import type { RowRange } from './backend.ts';
import { type Bucket, bucketIdMax } from './buckets.ts';
import { type Change, MapCursor, MergedCursor, type RowCursor } from './row-cursor.ts';
import { SortedMap } from './sorted-map.ts';

/** One layer of changes: what one commit writes. */
export class ChangeSet {
  /** By bucket id. */
  readonly #buckets: (SortedMap<Change> | undefined)[] = new Array(bucketIdMax + 1).fill(undefined);
  /** Keys changed. */
  count = 0;
  /** Bytes of keys and values. */
  bytes = 0;

  /** Changes of one bucket; undefined when there are none. */
  of(bucket: Bucket): SortedMap<Change> | undefined {
    return this.#buckets[bucket.id];
  }

  /** Bucket ids that have changes, with them, ascending. */
  *perBucket(): Generator<[bucketId: number, changes: SortedMap<Change>]> {
    for (let id = 0; id < this.#buckets.length; id++) {
      const changes = this.#buckets[id];
      if (changes !== undefined) yield [id, changes];
    }
  }

  /** Every change, bucket by bucket. */
  *all(): Generator<[bucketId: number, key: Key, change: Change]> {
    for (const [bucketId, changes] of this.perBucket()) {
      for (const [key, change] of changes.entries()) yield [bucketId, key, change];
    }
  }

  set(bucket: Bucket, key: Key, change: Change): void {
    this.setIn(bucket.id, key, change);
  }

  setIn(bucketId: number, key: Key, change: Change): void {
    let changes = this.#buckets[bucketId];
    if (changes === undefined) {
      changes = new SortedMap();
      this.#buckets[bucketId] = changes;
    }
    const former = changes.exchange(key, change);
    if (former === undefined) {
      this.count++;
      this.bytes += key.length;
    } else if (former !== null) {
      this.bytes -= former.length;
    }
    if (change !== null) this.bytes += change.length;
  }
}

export class WriteBuffer {
  #staged = new ChangeSet();
  #committing: ChangeSet | undefined;

  /** Keys with changes that no commit took yet. */
  get count(): number {
    return this.#staged.count;
  }

  /** Bytes of keys and values that no commit took yet. */
  get bytes(): number {
    return this.#staged.bytes;
  }

  put(bucket: Bucket, key: Key, value: Buffer): void {
    this.#staged.set(bucket, key, value);
  }

  remove(bucket: Bucket, key: Key): void {
    this.#staged.set(bucket, key, null);
  }

  /** The newest change to `key`; undefined when the store knows better. */
  get(bucket: Bucket, key: Key): Change | undefined {
    const staged = this.#staged.of(bucket)?.get(key);
    if (staged !== undefined || this.#committing === undefined) return staged;
    return this.#committing.of(bucket)?.get(key);
  }

  /** Rows of `range`: those of the store, which `committed` opens a walk over, with the changes on top. */
  cursor(bucket: Bucket, range: RowRange, committed: () => RowCursor): RowCursor {
    const overlays: MapCursor<Change>[] = [];
    for (const changes of [this.#staged.of(bucket), this.#committing?.of(bucket)]) {
      if (changes === undefined) continue;
      const cursor = new MapCursor(changes, range);
      if (cursor.key !== undefined) overlays.push(cursor);
    }
    return overlays.length === 0 ? committed() : new MergedCursor(committed(), overlays, range.reverse === true);
  }

  /** Hands the staged changes to a commit. They stay readable until {@link settle}. */
  take(): ChangeSet {
    invariant(this.#committing === undefined, 'two commits at once');
    const taken = this.#staged;
    this.#committing = taken;
    this.#staged = new ChangeSet();
    return taken;
  }

  /** The store shows what the commit took. */
  settle(): void {
    this.#committing = undefined;
  }
}
