/**
 * The backend as the parts of the state see it: what an entry stages is held back here and reaches the backend behind in one
 * go, when the entry is whole with its index. So no commit, whoever asks for it and however long it waits its turn, can take
 * half an entry.
 *
 * Applying is synchronous, so in health nobody else runs while an entry is open. When an error tears an entry apart, it stays
 * open for good: commits are refused, and nothing that timers, background work or orderly closing still write reaches the
 * backend before the process ends.
 */
import type { Backend, BackendView, Bucket, Commit, Defragmentation, Row, RowRange, RowVisit } from '@quorate/backend';
import { type Clock, FatalError, type Key } from '@quorate/base';

/** Every part of a member's state works on the same one. */
export class EntryBackend implements Backend {
  readonly #backend: Backend;
  /** Index of the entry being applied; 0 between entries. */
  #entry = 0;
  // What the open entry staged, in order, a column each; undefined as the value of a removal. The arrays are used again for
  // every entry instead of making three each time.
  readonly #buckets: Bucket[] = [];
  readonly #keys: Key[] = [];
  readonly #values: (Buffer | undefined)[] = [];
  #count = 0;

  /** Called before whatever commits; see {@link beforeCommits}. */
  #onCommit: () => void = () => {};

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /** From now on `stage` runs before anything is committed through here. */
  beforeCommits(stage: () => void): void {
    this.#onCommit = stage;
  }

  /** The backend behind, past an entry that is open: for what belongs to those that are whole. */
  get behind(): Backend {
    return this.#backend;
  }

  /** From here on writes are held back. Throws FatalError when an entry was torn. */
  beginEntry(index: number): void {
    this.#mustBeWhole();
    this.#entry = index;
  }

  /** The entry is whole: stages everything it wrote. */
  endEntry(): void {
    const backend = this.#backend;
    for (let i = 0; i < this.#count; i++) {
      const value = this.#values[i];
      if (value === undefined) backend.remove(this.#buckets[i]!, this.#keys[i]!);
      else backend.put(this.#buckets[i]!, this.#keys[i]!, value);
      this.#values[i] = undefined;
    }
    this.#count = 0;
    this.#entry = 0;
  }

  get(bucket: Bucket, key: Key): Buffer | undefined {
    for (let i = this.#count - 1; i >= 0; i--) {
      if (this.#keys[i] === key && this.#buckets[i] === bucket) return this.#values[i];
    }
    return this.#backend.get(bucket, key);
  }

  range(bucket: Bucket, range: RowRange): Row[] {
    for (let i = 0; i < this.#count; i++) if (this.#buckets[i] === bucket) return this.#mergedRange(bucket, range);
    return this.#backend.range(bucket, range);
  }

  visit(bucket: Bucket, range: RowRange, visit: RowVisit): void {
    if (this.#count === 0) this.#backend.visit(bucket, range, visit);
    else for (const row of this.range(bucket, range)) if (!visit(row)) return;
  }

  put(bucket: Bucket, key: Key, value: Buffer): void {
    if (this.#entry === 0) this.#backend.put(bucket, key, value);
    else this.#hold(bucket, key, value);
  }

  remove(bucket: Bucket, key: Key): void {
    if (this.#entry === 0) this.#backend.remove(bucket, key);
    else this.#hold(bucket, key, undefined);
  }

  get stagedCount(): number {
    return this.#backend.stagedCount;
  }

  get stagedBytes(): number {
    return this.#backend.stagedBytes;
  }

  /** Throws FatalError while an entry is open. */
  commit(): Commit {
    this.#mustBeWhole();
    this.#onCommit();
    return this.#backend.commit();
  }

  sizeBytes(): number {
    return this.#backend.sizeBytes();
  }

  sizeInUseBytes(): number {
    return this.#backend.sizeInUseBytes();
  }

  defragment(clock: Clock): Promise<Defragmentation | undefined> {
    return this.#backend.defragment(clock);
  }

  /** Rejects with FatalError while an entry is open. */
  async openView(): Promise<BackendView> {
    this.#mustBeWhole();
    this.#onCommit();
    return this.#backend.openView();
  }

  /** Rejects with FatalError while an entry is open: closing commits. */
  async close(): Promise<void> {
    this.#mustBeWhole();
    this.#onCommit();
    await this.#backend.close();
  }

  #hold(bucket: Bucket, key: Key, value: Buffer | undefined): void {
    const at = this.#count++;
    this.#buckets[at] = bucket;
    this.#keys[at] = key;
    this.#values[at] = value;
  }

  /** For an entry that reads rows of a bucket it wrote to: rare, so it may read the whole range. */
  #mergedRange(bucket: Bucket, range: RowRange): Row[] {
    const { from, to, limit, reverse } = range;
    const rows = new Map(this.#backend.range(bucket, { from, to }).map((row) => [row.key, row]));
    for (let i = 0; i < this.#count; i++) {
      const key = this.#keys[i]!;
      const value = this.#values[i];
      if (this.#buckets[i] !== bucket || key < from || (to !== undefined && key >= to)) continue;
      if (value === undefined) rows.delete(key);
      else rows.set(key, { key, value });
    }
    const sorted = [...rows.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    if (reverse === true) sorted.reverse();
    return sorted.slice(0, limit ?? sorted.length);
  }

  #mustBeWhole(): void {
    if (this.#entry !== 0) throw new FatalError('an entry was torn apart while it was applied', { index: this.#entry });
  }
}
