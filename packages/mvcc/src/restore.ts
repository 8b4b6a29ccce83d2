/**
 * Rebuilding the index from the rows when a store opens. It takes time by the number of versions, not keys, so it
 * goes in chunks with a turn of the event loop between them.
 */
import { type Clock, type Key, type LeaseId, noLease } from '@quorate/base';
import { KeyValue } from '@quorate/proto';
import type { RowStore, StoredRow } from './row-store.ts';
import type { TreeIndex } from './tree-index.ts';
import { nextTurn } from './turn.ts';
import type { LeaseBook } from './types.ts';

/** Rows per turn of the event loop. */
const chunkLimits = { rowsMax: 10_000, sizeBytes: 16 * 1024 * 1024 } as const;

/** What the rows said. */
export interface Restored {
  /** Main revision of the last row; 0 without rows. */
  readonly lastRevision: number;
  readonly rowCount: number;
}

/** Feeds all rows to the (empty) index, then attaches each living key to the lease its newest version names. */
export async function restoreIndex(
  store: { readonly index: TreeIndex; readonly rows: RowStore },
  world: { readonly clock: Clock; readonly leases: LeaseBook },
): Promise<Restored> {
  const leaseOfKey = new Map<Key, LeaseId>();
  let lastRevision = 0;
  let rowCount = 0;
  for (const chunk of store.rows.scan(Number.POSITIVE_INFINITY, chunkLimits)) {
    for (const row of chunk) restoreRow(store.index, row, leaseOfKey);
    lastRevision = chunk.at(-1)!.main;
    rowCount += chunk.length;
    await nextTurn(world.clock);
  }
  for (const [key, lease] of leaseOfKey) world.leases.attach(lease, key);
  return { lastRevision, rowCount };
}

function restoreRow(index: TreeIndex, row: StoredRow, leaseOfKey: Map<Key, LeaseId>): void {
  const record = KeyValue.decode(row.record);
  const key = record.key.toString('latin1');
  if (row.tombstone) {
    index.restore(key, row.main, row.sub, undefined);
    leaseOfKey.delete(key);
    return;
  }
  index.restore(key, row.main, row.sub, { created: record.createRevision, version: record.version });
  if (record.lease === noLease) leaseOfKey.delete(key);
  else leaseOfKey.set(key, record.lease);
}
