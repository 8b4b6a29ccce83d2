/**
 * Ranges: which keys, at which revision, how many; the rows are fetched by whoever asks. And the read transaction,
 * which is nothing but a revision.
 */
import type { Key } from '@quorate/base';
import { KvError } from '@quorate/proto';
import type { Position } from './btree.ts';
import { none } from './key-index.ts';
import type { StoreMetrics } from './metrics.ts';
import type { RowStore } from './row-store.ts';
import type { IndexRange, TreeIndex } from './tree-index.ts';
import type { RangeOptions, RangeResult, ReadTxn } from './types.ts';

/** The parts of the store that its transactions work on. */
export interface StoreParts {
  readonly index: TreeIndex;
  readonly rows: RowStore;
  readonly metrics: StoreMetrics;
  readonly currentRevision: number;
  readonly compactRevision: number;
}

/** Where a range reads. */
export interface RangeSource {
  readonly index: TreeIndex;
  /** The newest revision that may be asked for, and the one that is read when none is. */
  readonly revision: number;
  readonly compactRevision: number;
  /** The record of a version in the index. */
  record(id: number): Buffer;
}

const noRows: readonly Buffer[] = [];
const noOptions: RangeOptions = {};

/** A view at the revision that was current when it was made. */
export class StoreReadTxn implements ReadTxn, RangeSource {
  readonly revision: number;
  readonly index: TreeIndex;
  readonly #parts: StoreParts;

  constructor(parts: StoreParts) {
    this.revision = parts.currentRevision;
    this.index = parts.index;
    this.#parts = parts;
  }

  get compactRevision(): number {
    return this.#parts.compactRevision;
  }

  range(key: Key, end: Key | undefined, options: RangeOptions = noOptions): RangeResult {
    this.#parts.metrics.ranges.add();
    return rangeOf(this, key, end, options);
  }

  record(id: number): Buffer {
    const { versions } = this.index;
    return this.#parts.rows.read(versions.main(id), versions.sub(id));
  }
}

/** Answers a range (conventions and errors: {@link ReadTxn.range}). */
export function rangeOf(source: RangeSource, key: Key, end: Key | undefined, options: RangeOptions): RangeResult {
  const asked = options.revision ?? 0;
  if (asked > source.revision) throw new KvError('futureRev');
  const at = asked > 0 ? asked : source.revision;
  if (at < source.compactRevision) throw new KvError('compacted');
  if (end === undefined || end === '') return single(source, key, at, options);

  const { index, revision } = source;
  const range = { from: key, to: end === '\0' ? undefined : end, at };
  const { keysMax = Number.POSITIVE_INFINITY } = options;
  if (options.countOnly === true && keysMax < Number.POSITIVE_INFINITY) return counted(source, range, keysMax);
  const count = options.skipCount === true ? 0 : index.count(range);
  if (options.countOnly === true) return { rows: noRows, count, revision, next: undefined };

  const limit = options.limit !== undefined && options.limit > 0 ? options.limit : Number.POSITIVE_INFINITY;
  const sizeBytesMax = options.sizeBytesMax ?? Number.POSITIVE_INFINITY;
  const rows: Buffer[] = [];
  let sizeBytes = 0;
  let next: Key | undefined;
  const visit = (id: number, place: Position): boolean => {
    if (rows.length >= limit || sizeBytes >= sizeBytesMax) {
      next = place.key;
      return false;
    }
    const record = source.record(id);
    sizeBytes += record.length;
    rows.push(record);
    return true;
  };
  const stopped =
    options.descending === true ? index.descend(range, visit, keysMax) : index.ascend(range, visit, keysMax);
  return { rows, count, revision, next: next ?? stopped };
}

/** Counts among the next `keysMax` keys by walking, for revisions that the index has no counts of. */
function counted({ index, revision }: RangeSource, range: IndexRange, keysMax: number): RangeResult {
  let count = 0;
  const one = (): boolean => {
    count++;
    return true;
  };
  const next = index.ascend(range, one, keysMax);
  return { rows: noRows, count, revision, next };
}

function single(source: RangeSource, key: Key, at: number, options: RangeOptions): RangeResult {
  const { index, revision } = source;
  const id = index.find(key, at);
  if (id === none) return { rows: noRows, count: 0, revision, next: undefined };
  const rows = options.countOnly === true ? noRows : [source.record(id)];
  return { rows, count: 1, revision, next: undefined };
}
