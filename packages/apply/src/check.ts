/**
 * What is wrong with a request, before anything is proposed: the rules of etcd's API layer (server/etcdserver/api/v3rpc/key.go
 * of 3.6), in its order, because which of two faults is reported is visible. Pure: the verdict depends on the request and, for
 * transactions, on the limit given. Nothing here throws anything but KvError, whatever was decoded.
 */
import type { Key } from '@quorate/base';
import {
  type DeleteRangeRequest,
  KvError,
  type PutRequest,
  type RangeRequest,
  RangeRequestSortOrder,
  RangeRequestSortTarget,
  type RequestOp,
  type TxnRequest,
} from '@quorate/proto';
import { KeyIntervals } from './key-intervals.ts';
import { keyOf } from './keys.ts';

/**
 * Transactions inside each other, the outermost included. etcd is bounded by its operation budget alone (128 levels by
 * default); here a request must also stay within what every decoder accepts (100 nested messages, two per level), with room for
 * the envelope it travels in through the log.
 */
export const txnDepthMax = 32;

/** Throws emptyKey, invalidSortOption. */
export function checkRangeRequest(request: RangeRequest): void {
  if (request.key.length === 0) throw new KvError('emptyKey');
  if (!hasKnownSort(request)) throw new KvError('invalidSortOption');
}

/** Throws emptyKey, valueProvided, leaseProvided. */
export function checkPutRequest(request: PutRequest): void {
  if (request.key.length === 0) throw new KvError('emptyKey');
  if (request.ignoreValue && request.value.length > 0) throw new KvError('valueProvided');
  if (request.ignoreLease && request.lease !== 0n) throw new KvError('leaseProvided');
}

/** Throws emptyKey. */
export function checkDeleteRangeRequest(request: DeleteRangeRequest): void {
  if (request.key.length === 0) throw new KvError('emptyKey');
}

/**
 * Throws tooManyOps, emptyKey, keyNotFound (an operation that is none), what the checks of its operations throw, and
 * duplicateKey. `opsMax` limits the operations of each level; levels below have what the ones above left over (etcd:
 * --max-txn-ops).
 */
export function checkTxnRequest(request: TxnRequest, opsMax: number): void {
  checkTxnLevel(request, opsMax, 1);
  checkDuplicates(request.success);
  checkDuplicates(request.failure);
}

/** True when the sort order and target are ones of the API; numbers beyond it pass through decoding. */
export function hasKnownSort(request: RangeRequest): boolean {
  const { sortOrder, sortTarget } = request;
  return (
    sortOrder >= RangeRequestSortOrder.NONE &&
    sortOrder <= RangeRequestSortOrder.DESCEND &&
    sortTarget >= RangeRequestSortTarget.KEY &&
    sortTarget <= RangeRequestSortTarget.VALUE
  );
}

/** Only ranges, in both branches: such a transaction needs no log. One that holds a transaction counts as a write, as in etcd. */
export function isReadonlyTxn(request: TxnRequest): boolean {
  return request.success.every(isRange) && request.failure.every(isRange);
}

/** Only ranges that ask for no read index. True for a transaction without operations. */
export function isSerializableTxn(request: TxnRequest): boolean {
  return request.success.every(isSerializableRange) && request.failure.every(isSerializableRange);
}

function isRange(op: RequestOp): boolean {
  return op.requestRange !== undefined;
}

function isSerializableRange(op: RequestOp): boolean {
  return op.requestRange?.serializable === true;
}

function checkTxnLevel(request: TxnRequest, opsMax: number, depth: number): void {
  const opsCount = Math.max(request.compare.length, request.success.length, request.failure.length);
  if (opsCount > opsMax || depth > txnDepthMax) throw new KvError('tooManyOps');
  for (const compare of request.compare) {
    if (compare.key.length === 0) throw new KvError('emptyKey');
  }
  for (const op of request.success) checkOp(op, opsMax - opsCount, depth);
  for (const op of request.failure) checkOp(op, opsMax - opsCount, depth);
}

function checkOp(op: RequestOp, opsLeft: number, depth: number): void {
  if (op.requestRange !== undefined) checkRangeRequest(op.requestRange);
  else if (op.requestPut !== undefined) checkPutRequest(op.requestPut);
  else if (op.requestDeleteRange !== undefined) checkDeleteRangeRequest(op.requestDeleteRange);
  else if (op.requestTxn !== undefined) checkTxnLevel(op.requestTxn, opsLeft, depth + 1);
  else throw new KvError('keyNotFound');
}

/** Keys a list of operations may put, and ranges it may delete, its nested transactions included. */
interface Touched {
  readonly puts: Set<Key>;
  readonly deletes: KeyIntervals;
}

/** The common lists, where nothing can meet anything, cost nothing. */
function checkDuplicates(ops: readonly RequestOp[]): void {
  if (ops.length > 1 || ops[0]?.requestTxn !== undefined) collectTouched(ops);
}

/**
 * No key is put twice, and none is both put and deleted, in one run of the list. Two of etcd's gaps are kept, because clients
 * may lean on them (both seen on etcd 3.5.30):
 * - Among nested transactions side by side, a put is only held against deletes of earlier ones: `txn{put a}, txn{delete a}`
 *   passes and the reverse does not.
 * - The end `\0` (no end) is taken literally here, so a delete from a key onwards meets no put.
 */
function collectTouched(ops: readonly RequestOp[]): Touched {
  const touched: Touched = { puts: new Set(), deletes: new KeyIntervals() };
  for (const { requestDeleteRange } of ops) {
    if (requestDeleteRange === undefined) continue;
    const from = keyOf(requestDeleteRange.key);
    const end = keyOf(requestDeleteRange.rangeEnd);
    touched.deletes.add(from, end === '' ? `${from}\0` : end);
  }
  for (const { requestTxn } of ops) {
    if (requestTxn === undefined) continue;
    const then = collectTouched(requestTxn.success);
    const otherwise = collectTouched(requestTxn.failure);
    for (const key of then.puts) addPut(touched, key);
    for (const key of otherwise.puts) {
      // Only one branch runs, so both may put the same key.
      if (!then.puts.has(key)) addPut(touched, key);
    }
    touched.deletes.addAll(then.deletes);
    touched.deletes.addAll(otherwise.deletes);
  }
  for (const { requestPut } of ops) {
    if (requestPut !== undefined) addPut(touched, keyOf(requestPut.key));
  }
  return touched;
}

function addPut(touched: Touched, key: Key): void {
  if (touched.puts.has(key) || touched.deletes.covers(key)) throw new KvError('duplicateKey');
  touched.puts.add(key);
}
