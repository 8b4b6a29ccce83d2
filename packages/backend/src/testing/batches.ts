/** Batches for crash tests: of any state they left one can tell which batch it is the state after, or that it is of none. */
import type { Backend, Row } from '../backend.ts';
import { buckets } from '../buckets.ts';

const rowsPerBatch = 300;
/** Rows of older batches are removed. */
const batchesKept = 5;

function rowKey(batch: number, row: number): string {
  return `${String(batch).padStart(8, '0')}/${String(row).padStart(4, '0')}`;
}

/** A value that only this row has; now and then one that needs pages of its own. */
function rowValue(batch: number, row: number): Buffer {
  return Buffer.alloc(row % 50 === 7 ? 9_000 : 300, `${batch}/${row} `);
}

/** Stages batch `batch`, the one after the state the backend is in. */
export function stageBatch(backend: Backend, batch: number): void {
  for (let row = 0; row < rowsPerBatch; row++) {
    backend.put(buckets.key, rowKey(batch, row), rowValue(batch, row));
    backend.remove(buckets.key, rowKey(batch - batchesKept, row));
  }
  for (let i = 0; i < 20; i++) backend.put(buckets.lease, `hot ${i}`, Buffer.from(`${batch} ${i}`));
  backend.put(buckets.meta, 'batch', Buffer.from(String(batch)));
}

/** The batch whose row in the meta bucket is there; 0 before the first. */
export function batchIn(backend: Backend): number {
  return Number(backend.get(buckets.meta, 'batch')?.toString() ?? 0);
}

/** What is wrong with the state when it should be exactly that after batch `batch`; undefined when nothing is. */
export function faultIn(backend: Backend, batch: number): string | undefined {
  const rows: Row[] = [];
  for (let kept = Math.max(1, batch - batchesKept + 1); kept <= batch; kept++) {
    for (let row = 0; row < rowsPerBatch; row++) rows.push({ key: rowKey(kept, row), value: rowValue(kept, row) });
  }
  const found = backend.range(buckets.key, { from: '' });
  if (found.length !== rows.length) return `${found.length} rows instead of ${rows.length}`;
  const wrong = rows.findIndex((row, i) => row.key !== found[i]!.key || !row.value.equals(found[i]!.value));
  if (wrong !== -1) return `row ${rows[wrong]!.key} is wrong`;
  for (let i = 0; i < 20 && batch > 0; i++) {
    if (backend.get(buckets.lease, `hot ${i}`)?.toString() !== `${batch} ${i}`)
      return `hot row ${i} is of another batch`;
  }
  return undefined;
}
