/**
 * Rebuilding the index from the rows when a store opens. It takes time by the number of versions, not keys, so it
 * goes in slices with a turn of the event loop between them.
 */
import { type Clock, nextTurn } from '@quorate/base';
import type { RowIntake } from './row-intake.ts';
import type { RowStore } from './row-store.ts';
import type { LeaseBook } from './types.ts';

/** Rows per turn of the event loop. */
const chunkLimits = { rowsMax: 1_000, sizeBytes: 4 * 1024 * 1024 } as const;

/**
 * Makes the index of `intake` from all rows, read from `rows` unless they were shown to it already, and attaches each living key to
 * the lease its newest version names. Rejects with CorruptionError.
 */
export async function restoreIndex(
  intake: RowIntake,
  rows: RowStore,
  world: { readonly clock: Clock; readonly leases: LeaseBook },
): Promise<void> {
  const { clock, leases } = world;
  if (!intake.hasAll) {
    for (const _ of rows.scan(Number.POSITIVE_INFINITY, chunkLimits, (row) => intake.add(row))) await nextTurn(clock);
  }
  const building = intake.loader.build((lease, key) => leases.attach(lease, key));
  let step = building.next();
  for (; step.done !== true; step = building.next()) await nextTurn(clock);
  for (const _ of intake.index.adopt(step.value)) await nextTurn(clock);
}
