/**
 * Looking for damage where nobody reads. Every row is read twice over, each way readers go: in order, as hashes, watches and the
 * next start do, with its checksum, and held against the index; and by its revision from the index, as ranges do, which finds rows
 * that are there and cannot be reached. Rows of other buckets, which are read at a start alone, are read once, with the checksum that
 * the backend gives them. Slice by slice, while the store is written and compacted.
 */
import { allBuckets, type Backend, buckets } from '@quorate/backend';
import { CorruptionError, type Key } from '@quorate/base';
import { KeyValue } from '@quorate/proto';
import { none } from './key-index.ts';
import type { RowStore } from './row-store.ts';
import type { StoredRow } from './stored-row.ts';
import type { TreeIndex } from './tree-index.ts';
import type { ScrubSlice } from './types.ts';

/** A slice is about a millisecond of work. */
const slice = { rowsMax: 256, sizeBytes: 256 * 1024 } as const;
/** Keys whose versions are read in one slice of the second half. */
const keysPerSlice = 64;

/** What is looked through. */
export interface ScrubParts {
  readonly index: TreeIndex;
  readonly rows: RowStore;
  readonly currentRevision: number;
  readonly compactRevision: number;
}

/** Looks through all buckets but that of keys once. Throws CorruptionError for what is not as it was written. */
export function* scrubOthers(backend: Backend): Generator<ScrubSlice> {
  for (const bucket of allBuckets) {
    if (bucket.id === buckets.key.id) continue;
    for (let from: Key | undefined = ''; from !== undefined; ) {
      const rows = backend.range(bucket, { from, limit: slice.rowsMax });
      yield { rows: rows.length, sizeBytes: rows.reduce((sum, { value }) => sum + value.length, 0) };
      from = rows.length < slice.rowsMax ? undefined : `${rows.at(-1)!.key}\0`;
    }
  }
}

/** Looks through all versions of keys once. Throws CorruptionError for what is not as it was written. */
export function* scrub(parts: ScrubParts): Generator<ScrubSlice> {
  yield* parts.rows.scan(Number.POSITIVE_INFINITY, slice, (row) => mustBeIndexed(parts, row));
  for (let from: Key | undefined = ''; from !== undefined; ) {
    const read: { rows: number; sizeBytes: number } = { rows: 0, sizeBytes: 0 };
    from = parts.index.ascend(
      { from, to: undefined, at: parts.currentRevision },
      (id) => {
        readVersions(parts, id, read);
        return true;
      },
      keysPerSlice,
    );
    yield read;
  }
}

/** What compaction has passed may be gone from the index before it is gone from the store. */
function mustBeIndexed({ index, compactRevision }: ScrubParts, row: StoredRow): void {
  if (row.main <= compactRevision) return;
  const { main, sub } = row;
  const id = index.findAny(KeyValue.decode(row.record).key.toString('latin1'), main);
  if (id !== none && index.versions.main(id) === main) return;
  throw new CorruptionError('backend', 'row is not in the index', { main, sub });
}

/** Reads the version `newest` and those before it that compaction has not passed. */
function readVersions(parts: ScrubParts, newest: number, read: { rows: number; sizeBytes: number }): void {
  const { index, rows, compactRevision } = parts;
  const { versions } = index;
  for (let id = newest; id !== none; id = versions.older(id)) {
    if (id !== newest && versions.main(id) <= compactRevision) return;
    if (versions.isTombstone(id)) continue;
    read.rows++;
    read.sizeBytes += rows.read(versions.main(id), versions.sub(id)).length;
  }
}
