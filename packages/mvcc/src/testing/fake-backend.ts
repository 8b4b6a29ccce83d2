/** A backend for tests: sorted maps, staged operations, and crash() back to what was committed. */
import type { Backend, BackendView, Bucket, Commit, Row, RowRange } from '@quorate/backend';
import type { Key } from '@quorate/base';

type Rows = Map<string, Buffer>;

export class FakeBackend implements Backend {
  #live: Map<number, Rows> = new Map();
  #committed: Map<number, Rows> = new Map();
  #sorted: Map<number, string[]> = new Map();
  stagedCount = 0;
  stagedBytes = 0;

  get(bucket: Bucket, key: Key): Buffer | undefined {
    return this.#rows(bucket).get(key);
  }

  range(bucket: Bucket, range: RowRange): Row[] {
    const rows = this.#rows(bucket);
    let keys = this.#sorted.get(bucket.id);
    if (keys === undefined) {
      keys = [...rows.keys()].sort((a, b) => (a < b ? -1 : 1));
      this.#sorted.set(bucket.id, keys);
    }
    const { from, to, limit, reverse } = range;
    const found = keys.filter((key) => key >= from && (to === undefined || key < to));
    if (reverse === true) found.reverse();
    return found.slice(0, limit ?? found.length).map((key) => ({ key, value: rows.get(key)! }));
  }

  put(bucket: Bucket, key: Key, value: Buffer): void {
    const rows = this.#rows(bucket);
    if (!rows.has(key)) this.#sorted.delete(bucket.id);
    rows.set(key, value);
    this.stagedCount++;
  }

  remove(bucket: Bucket, key: Key): void {
    if (this.#rows(bucket).delete(key)) this.#sorted.delete(bucket.id);
    this.stagedCount++;
  }

  commit(): Commit {
    this.#committed = copy(this.#live);
    this.stagedCount = 0;
    return { done: Promise.resolve(), durable: Promise.resolve() };
  }

  crash(): void {
    this.#live = copy(this.#committed);
    this.#sorted.clear();
    this.stagedCount = 0;
  }

  sizeBytes(): number {
    return 0;
  }

  sizeInUseBytes(): number {
    return 0;
  }

  openView(): Promise<BackendView> {
    return Promise.reject(new Error('not needed'));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #rows(bucket: Bucket): Rows {
    let rows = this.#live.get(bucket.id);
    if (rows === undefined) {
      rows = new Map();
      this.#live.set(bucket.id, rows);
    }
    return rows;
  }
}

function copy(buckets: Map<number, Rows>): Map<number, Rows> {
  return new Map([...buckets].map(([id, rows]) => [id, new Map(rows)]));
}
