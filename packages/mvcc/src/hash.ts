/**
 * The hash of the history up to a revision, by which members compare themselves: CRC-32C over the bucket's name, then
 * key and record of each row in order, exactly as etcd defines it (server/storage/mvcc/hash.go), so the figures are
 * etcd's.
 *
 * Rows that compaction has passed count only if they are what their key was at the hashed revision, whether the
 * compactor has removed the others yet or not. etcd makes one exception, which leaves traces in the figure: when no
 * key at all is alive at the hashed revision it counts every row that compaction leaves; so do we.
 */
import { type Clock, keyToBytes, nextTurn } from '@quorate/base';
import { readKeyValueKey } from '@quorate/proto';
import { none } from './key-index.ts';
import type { RowStore } from './row-store.ts';
import type { StoredRow } from './stored-row.ts';
import type { TreeIndex } from './tree-index.ts';
import type { Checksum, HashResult } from './types.ts';

/** Rows per slice: a few milliseconds of work. */
const slice = { rowsMax: 1000, sizeBytes: 1024 * 1024 } as const;

/** What hashing works with. Until it ended, no compaction beyond `compactRevision` may forget anything. */
export interface HashParts {
  readonly index: TreeIndex;
  readonly rows: RowStore;
  readonly clock: Clock;
  readonly checksum: Checksum;
  /** Called between slices; throws when hashing must not go on. */
  readonly checkOpen: () => void;
}

/** Hashes rows up to `revision`, with a turn of the event loop between slices. */
export async function hashHistory(
  parts: HashParts,
  { revision, compactRevision }: { readonly revision: number; readonly compactRevision: number },
): Promise<HashResult> {
  const { index, rows, checksum } = parts;
  // Of the rows behind the compact revision, the ones that are current here are counted.
  const keptAt = anyAlive(index, revision) ? revision : compactRevision;
  let hash = checksum(Buffer.from('key'), 0);
  const visit = (row: StoredRow): void => {
    if (row.main <= compactRevision && !isKept(index, row, keptAt)) return;
    hash = checksum(row.record, checksum(keyToBytes(row.rowKey), hash));
  };
  for (const _ of rows.scan(Math.max(revision + 1, 0), slice, visit)) {
    await nextTurn(parts.clock);
    parts.checkOpen();
  }
  return { hash: hash >>> 0, hashRevision: revision, compactRevision };
}

function isKept(index: TreeIndex, row: StoredRow, at: number): boolean {
  if (row.tombstone) return false;
  const id = index.findAny(readKeyValueKey(row.record), at);
  return id !== none && index.versions.main(id) === row.main && index.versions.sub(id) === row.sub;
}

function anyAlive(index: TreeIndex, at: number): boolean {
  let found = false;
  index.ascend({ from: '', to: undefined, at }, () => {
    found = true;
    return false;
  });
  return found;
}
