/**
 * Rebuilding the index from the rows when a store opens. It takes time by the number of versions, not keys, so it
 * goes in slices with a turn of the event loop between them.
 */
import { type Clock, type LeaseId, nextTurn, noLease } from '@quorate/base';
import { Reader } from '@quorate/proto';
import { IndexLoader, type RowFacts } from './index-loader.ts';
import type { RowStore, StoredRow } from './row-store.ts';
import type { TreeIndex } from './tree-index.ts';
import type { LeaseBook } from './types.ts';

/** Rows per turn of the event loop. */
const chunkLimits = { rowsMax: 1_000, sizeBytes: 4 * 1024 * 1024 } as const;

/** Tags of the fields of mvccpb.KeyValue that the index needs. */
const Tag = { key: 0x0a, createRevision: 0x10, version: 0x20, lease: 0x30 } as const;
/** What the rows said. */
export interface Restored {
  /** Main revision of the last row; 0 without rows. */
  readonly lastRevision: number;
  readonly rowCount: number;
}

/** Feeds all rows to the (empty) index, and attaches each living key to the lease its newest version names. */
export async function restoreIndex(
  store: { readonly index: TreeIndex; readonly rows: RowStore },
  world: { readonly clock: Clock; readonly leases: LeaseBook },
): Promise<Restored> {
  const { index, rows } = store;
  const loader = new IndexLoader(index.versions);
  let lastRevision = 0;
  let rowCount = 0;
  for (const chunk of rows.scan(Number.POSITIVE_INFINITY, chunkLimits)) {
    for (const row of chunk) addRow(loader, row);
    lastRevision = chunk.at(-1)!.main;
    rowCount += chunk.length;
    await nextTurn(world.clock);
  }
  const building = loader.build((lease, key) => world.leases.attach(lease, key));
  let step = building.next();
  for (; step.done !== true; step = building.next()) await nextTurn(world.clock);
  for (const _ of index.adopt(step.value)) await nextTurn(world.clock);
  return { lastRevision, rowCount };
}

function addRow(loader: IndexLoader, row: StoredRow): void {
  const { main, sub, record } = row;
  const reader = new Reader(record);
  let from = 0;
  let to = 0;
  let created = 0;
  let version = 0;
  let lease: LeaseId = noLease;
  // The value, most of the record, is passed over: KeyValue.decode would make a view of it and of the key.
  while (reader.pos < record.length) {
    const tag = reader.tag();
    if (tag === Tag.key) {
      to = reader.delimited();
      from = reader.pos;
      reader.pos = to;
    } else if (tag === Tag.createRevision) created = reader.int64();
    else if (tag === Tag.version) version = reader.int64();
    else if (tag === Tag.lease) lease = reader.biguint();
    else reader.skip(tag);
  }
  const facts: RowFacts = row.tombstone
    ? { main, sub, generation: undefined, lease: noLease }
    : { main, sub, generation: { created, version }, lease };
  loader.add(record, from, to, facts);
}
