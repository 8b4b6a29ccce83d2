/**
 * The changes of past revisions, read back from the rows for watchers that are behind. A revision is never split: it
 * is read whole even when it alone is more than a slice.
 */
import { readKeyValueKey } from '@quorate/proto';
import { encodeDeleted, type RowStore, type ScanLimits } from './row-store.ts';
import type { StoredRow } from './stored-row.ts';
import type { Change, PastChanges } from './types.ts';

/**
 * Changes of the revisions from `from` up to and with `through`, about as many as `limits` says. Compaction must not
 * have passed `from`.
 */
export function readChanges(
  rows: RowStore,
  { from, through }: { readonly from: number; readonly through: number },
  limits: ScanLimits,
): PastChanges {
  const changes: Change[] = [];
  let sizeBytes = 0;
  const visit = (row: StoredRow): void => {
    sizeBytes += row.record.length;
    changes.push(changeOf(row));
  };
  for (const _ of rows.scan(through + 1, limits, visit, from)) {
    if (changes.length < limits.rowsMax && sizeBytes < limits.sizeBytes) continue;
    // The last revision seen may go on in the next chunk.
    const cut = changes.at(-1)!.modRevision;
    if (changes[0]!.modRevision === cut) continue;
    return { changes: changes.filter((change) => change.modRevision < cut), through: cut - 1 };
  }
  return { changes, through };
}

function changeOf({ main, sub, tombstone, record }: StoredRow): Change {
  const key = readKeyValueKey(record);
  return tombstone
    ? { type: 'delete', key, record: encodeDeleted(key, main), modRevision: main, sub }
    : { type: 'put', key, record: Buffer.from(record), modRevision: main, sub };
}
