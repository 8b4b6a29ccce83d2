/** A backend for tests: rows in maps, commits at once, a look at everything, and a copy of what a crash would leave. */
import {
  allBuckets,
  type Backend,
  type BackendView,
  type Bucket,
  type Commit,
  type Row,
  type RowRange,
  type RowVisit,
} from '@quorate/backend';
import type { Key } from '@quorate/base';

type Rows = Map<number, Map<Key, Buffer>>;

export class TestBackend implements Backend {
  #live: Rows;
  #committed: Rows;
  stagedCount = 0;
  stagedBytes = 0;
  closed = false;
  /** Called before every operation that reads or stages. */
  beforeOperation: () => void = () => {};

  constructor(rows: Rows = new Map()) {
    this.#live = copyOf(rows);
    this.#committed = copyOf(rows);
  }

  get(bucket: Bucket, key: Key): Buffer | undefined {
    this.beforeOperation();
    return this.#rows(bucket).get(key);
  }

  range(bucket: Bucket, { from, to, limit, reverse }: RowRange): Row[] {
    this.beforeOperation();
    const found = [...this.#rows(bucket)]
      .filter(([key]) => key >= from && (to === undefined || key < to))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => ({ key, value }));
    if (reverse === true) found.reverse();
    return found.slice(0, limit ?? found.length);
  }

  visit(bucket: Bucket, range: RowRange, visit: RowVisit): void {
    for (const row of this.range(bucket, range)) if (!visit(row)) return;
  }

  put(bucket: Bucket, key: Key, value: Buffer): void {
    this.beforeOperation();
    this.stagedCount++;
    this.stagedBytes += key.length + value.length;
    this.#rows(bucket).set(key, value);
  }

  remove(bucket: Bucket, key: Key): void {
    this.beforeOperation();
    this.stagedCount++;
    this.#rows(bucket).delete(key);
  }

  commit(): Commit {
    this.#committed = copyOf(this.#live);
    this.stagedCount = 0;
    this.stagedBytes = 0;
    return { done: Promise.resolve(), durable: Promise.resolve() };
  }

  sizeBytes(): number {
    return 0;
  }

  sizeInUseBytes(): number {
    return 0;
  }

  defragment(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  openView(): Promise<BackendView> {
    this.commit();
    const view = new TestBackend(this.#committed);
    return Promise.resolve({ range: (bucket, range) => view.range(bucket, range), close: () => {} });
  }

  close(): Promise<void> {
    this.commit();
    this.closed = true;
    return Promise.resolve();
  }

  /** What a restart finds after the process died now. */
  afterCrash(): TestBackend {
    return new TestBackend(this.#committed);
  }

  /** Every row, staged ones included, as text. */
  dump(): string {
    const lines: string[] = [];
    for (const bucket of allBuckets) {
      for (const [key, value] of [...this.#rows(bucket)].sort(([a], [b]) => (a < b ? -1 : 1))) {
        lines.push(`${bucket.name} ${Buffer.from(key, 'latin1').toString('hex')} ${value.toString('hex')}`);
      }
    }
    return lines.join('\n');
  }

  #rows(bucket: Bucket): Map<Key, Buffer> {
    let rows = this.#live.get(bucket.id);
    if (rows === undefined) {
      rows = new Map();
      this.#live.set(bucket.id, rows);
    }
    return rows;
  }
}

function copyOf(rows: Rows): Rows {
  return new Map([...rows].map(([id, bucket]) => [id, new Map(bucket)]));
}
