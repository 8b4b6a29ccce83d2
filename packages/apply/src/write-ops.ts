/**
 * Puts and deletes, alone or inside a Txn. What can be refused is refused before a write transaction begins; from then on
 * nothing may fail any more.
 */
import { FatalError, invariant, noLease } from '@quorate/base';
import type { ReadTxn, WriteTxn } from '@quorate/mvcc';
import {
  type DeleteRangeRequest,
  KvError,
  type OpParts,
  type PutRequest,
  readKeyValueLease,
  readKeyValueValue,
} from '@quorate/proto';
import type { LeaseLookup, ReplicatedStore } from './applier.ts';
import { keyOf, rangeEndOf } from './keys.ts';

/** The parts of an answer to one kind of operation. */
export type PartsOf<Op extends OpParts['op']> = Extract<OpParts, { readonly op: Op }>;

/**
 * Runs `write` in a write transaction of its own. Any error in it is fatal, an answer too: the index already holds part of the
 * transaction, and neither it nor what was staged may be built upon.
 */
export function inWriteTxn<Request, Parts>(
  store: ReplicatedStore,
  write: (txn: WriteTxn, request: Request, answered: boolean) => Parts,
  request: Request,
  answered: boolean,
): Parts {
  const txn = store.write();
  try {
    const parts = write(txn, request, answered);
    txn.end();
    return parts;
  } catch (error) {
    throw new FatalError('write failed after its checks', { revision: store.currentRevision }, { cause: error });
  }
}

/** Whether the put takes its value or lease from the version before. */
export function needsPrevious(request: PutRequest): boolean {
  return request.ignoreValue || request.ignoreLease;
}

/** Throws KvError leaseNotFound. */
export function checkLease(request: PutRequest, leases: LeaseLookup): void {
  if (request.lease !== noLease && !leases.has(request.lease)) throw new KvError('leaseNotFound');
}

/** Throws KvError keyNotFound when the put needs a version before it and `view` has none. */
export function checkPrevious(request: PutRequest, view: ReadTxn): void {
  if (!needsPrevious(request)) return;
  if (view.range(keyOf(request.key), undefined, { countOnly: true }).count === 0) throw new KvError('keyNotFound');
}

/** Puts. `answered` false leaves the previous version out of the parts. */
export function executePut(txn: WriteTxn, request: PutRequest, answered: boolean): PartsOf<'put'> {
  const key = keyOf(request.key);
  const wantsPrevious = answered && request.prevKv;
  if (!wantsPrevious && !needsPrevious(request)) {
    return { op: 'put', revision: txn.put(key, request.value, request.lease), prevKv: undefined };
  }
  const previous = txn.range(key, undefined).rows[0];
  let { value, lease } = request;
  if (needsPrevious(request)) {
    invariant(previous !== undefined, 'put without the version it needs');
    if (request.ignoreValue) value = readKeyValueValue(previous);
    if (request.ignoreLease) lease = readKeyValueLease(previous);
  }
  return { op: 'put', revision: txn.put(key, value, lease), prevKv: wantsPrevious ? previous : undefined };
}

/** Deletes. `answered` false leaves the deleted versions out of the parts. */
export function executeDeleteRange(
  txn: WriteTxn,
  request: DeleteRangeRequest,
  answered: boolean,
): PartsOf<'deleteRange'> {
  const key = keyOf(request.key);
  const end = rangeEndOf(request.rangeEnd);
  const prevKvs = answered && request.prevKv ? txn.range(key, end).rows : [];
  const deleted = txn.deleteRange(key, end);
  return { op: 'deleteRange', revision: txn.revision, deleted, prevKvs };
}
