/**
 * Looking for damage where nobody reads. Every row is read twice over, each way readers go: in order, as hashes, watches and the
 * next start do, with its checksum, and held against the index; and by its revision from the index, as ranges do, which finds rows
 * that are there and cannot be reached. Rows of other buckets, which are read at a start alone, are read once, with the checksum that
 * the backend gives them. Slice by slice, while the store is written and compacted.
 */
import { allBuckets, type Backend, buckets } from '@quorate/backend';
import { CorruptionError, type Key } from '@quorate/base';
import { readKeyValueKey } from '@quorate/proto';
import { none } from './key-index.ts';
import type { RowStore } from './row-store.ts';
import type { StoredRow } from './stored-row.ts';
import type { TreeIndex } from './tree-index.ts';
import type { ScrubSlice } from './types.ts';

/** A slice is a quarter of a millisecond of work, which a put that meets it hardly feels. */
const slice = { rowsMax: 64, sizeBytes: 64 * 1024 } as const;
/** Keys looked at in one slice of the second half, which ends sooner when their versions are many. */
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
  const visit = (row: StoredRow): void => mustBeIndexed(parts, row);
  // Rows that come meanwhile are for the next pass: there are writers that outrun this one.
  yield* parts.rows.scan(parts.currentRevision + 1, slice, visit);
  // Behind the newest revision there are none, or they are not in the index.
  yield* parts.rows.scan(Number.POSITIVE_INFINITY, slice, visit, parts.currentRevision + 1);
  for (let place: Place | undefined = { key: '', at: undefined }; place !== undefined; ) {
    const read = { rows: 0, sizeBytes: 0 };
    place = readVersions(parts, place, read);
    yield read;
  }
}

/** Where a walk through the versions of all keys goes on: in the midst of `key`, at what it was at a revision, or in front of it. */
interface Place {
  readonly key: Key;
  readonly at: number | undefined;
}

/** What a slice has read so far. */
interface Read {
  rows: number;
  sizeBytes: number;
}

/** What compaction has passed may be gone from the index before it is gone from the store. */
function mustBeIndexed({ index, compactRevision }: ScrubParts, row: StoredRow): void {
  if (row.main <= compactRevision) return;
  const { main, sub } = row;
  const id = index.findAny(readKeyValueKey(row.record), main);
  if (id !== none && index.versions.main(id) === main) return;
  throw new CorruptionError('backend', 'row is not in the index', { main, sub });
}

/** Reads versions that compaction has not passed, key by key, a slice of them; returns where to go on, undefined at the end. */
function readVersions(parts: ScrubParts, { key, at }: Place, read: Read): Place | undefined {
  const { index } = parts;
  if (at !== undefined) {
    const rest = readKey(parts, index.findAny(key, at), read);
    return rest === undefined ? { key: `${key}\0`, at: undefined } : { key, at: rest };
  }
  let inside: Place | undefined;
  const next = index.ascend(
    { from: key, to: undefined, at: parts.currentRevision },
    (id, position) => {
      const rest = readKey(parts, id, read);
      if (rest !== undefined) inside = { key: position.key, at: rest };
      return rest === undefined;
    },
    keysPerSlice,
  );
  return inside ?? (next === undefined ? undefined : { key: next, at: undefined });
}

/**
 * Reads the version `newest` of a key and those before it that compaction has not passed. Returns the revision at which to go on
 * when the slice is full, undefined when the key is done. Changes of one revision are read together.
 */
function readKey({ index, rows, compactRevision }: ScrubParts, newest: number, read: Read): number | undefined {
  const { versions } = index;
  let lastMain = Number.POSITIVE_INFINITY;
  for (let id = newest; id !== none; id = versions.older(id)) {
    const main = versions.main(id);
    if (id !== newest && main <= compactRevision) return undefined;
    if (main !== lastMain && (read.rows >= slice.rowsMax || read.sizeBytes >= slice.sizeBytes)) return main;
    lastMain = main;
    if (versions.isTombstone(id)) continue;
    read.rows++;
    read.sizeBytes += rows.read(main, versions.sub(id)).length;
  }
  return undefined;
}
