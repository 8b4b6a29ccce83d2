/**
 * The conditions of a transaction (etcd server/etcdserver/txn). A key that does not exist compares as a record of zeros; its
 * value compares as nothing at all: no condition on it holds, NOT_EQUAL neither. A condition on a range holds when it does for
 * every key of it; an empty range is one key that does not exist.
 *
 * Kept from etcd because clients may lean on it (seen on 3.5.30): an operator outside the enumeration always holds, a target
 * outside it compares 0 with 0, an operand of another kind than the target counts as zero or empty.
 */
import type { Key } from '@quorate/base';
import type { ReadTxn } from '@quorate/mvcc';
import {
  type Compare,
  CompareCompareResult,
  CompareCompareTarget,
  emptyBytes,
  readKeyValueCreateRevision,
  readKeyValueLease,
  readKeyValueModRevision,
  readKeyValueValue,
  readKeyValueVersion,
} from '@quorate/proto';
import { keyOf, rangeEndOf } from './keys.ts';

/** Records of a range looked at before asking for more: a condition that fails early need not read all of a large range. */
const chunkRowsMax = 256;

/** Whether all conditions hold; true for none. */
export function compareAll(view: ReadTxn, compares: readonly Compare[]): boolean {
  for (const compare of compares) if (!holds(view, compare)) return false;
  return true;
}

function holds(view: ReadTxn, compare: Compare): boolean {
  const end = rangeEndOf(compare.rangeEnd);
  let from: Key | undefined = keyOf(compare.key);
  let exists = false;
  while (from !== undefined) {
    const { rows, next } = view.range(from, end, { limit: chunkRowsMax, skipCount: true });
    for (const row of rows) if (!holdsFor(row, compare)) return false;
    exists ||= rows.length > 0;
    from = next;
  }
  if (exists) return true;
  return compare.target !== CompareCompareTarget.VALUE && holdsFor(emptyBytes, compare);
}

/** `record`: an encoded KeyValue; empty bytes are one whose fields are all zero. */
function holdsFor(record: Buffer, compare: Compare): boolean {
  const order = orderOf(record, compare);
  switch (compare.result) {
    case CompareCompareResult.EQUAL:
      return order === 0;
    case CompareCompareResult.NOT_EQUAL:
      return order !== 0;
    case CompareCompareResult.GREATER:
      return order > 0;
    case CompareCompareResult.LESS:
      return order < 0;
    default:
      return true;
  }
}

/** Negative when what the record holds is less than the operand, 0 when equal, positive when greater. */
function orderOf(record: Buffer, compare: Compare): number {
  switch (compare.target) {
    case CompareCompareTarget.VERSION:
      return readKeyValueVersion(record) - (compare.version ?? 0);
    case CompareCompareTarget.CREATE:
      return readKeyValueCreateRevision(record) - (compare.createRevision ?? 0);
    case CompareCompareTarget.MOD:
      return readKeyValueModRevision(record) - (compare.modRevision ?? 0);
    case CompareCompareTarget.VALUE:
      return readKeyValueValue(record).compare(compare.value ?? emptyBytes);
    case CompareCompareTarget.LEASE:
      return leaseOrder(readKeyValueLease(record), compare.lease ?? 0n);
    default:
      return 0;
  }
}

/** Lease ids are unsigned here and int64 on the wire, which is how etcd orders them. */
function leaseOrder(a: bigint, b: bigint): number {
  const left = BigInt.asIntN(64, a);
  const right = BigInt.asIntN(64, b);
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
