/**
 * Transactions, in etcd's order of things: all conditions first, nested ones too, against the state before; then every check
 * that can refuse, on every member alike; then the operations of the branches taken, in order, each seeing the ones before it,
 * all at one revision. After the first write nothing can be refused any more; an error there ends the process.
 */
import type { Key } from '@quorate/base';
import type { ReadTxn, WriteTxn } from '@quorate/mvcc';
import {
  encodeTxnResponse,
  type HeaderPrefix,
  KvError,
  type OpParts,
  type RangeRequest,
  type RequestOp,
  type TxnRequest,
} from '@quorate/proto';
import type { LeaseLookup, ReplicatedStore } from './applier.ts';
import { hasKnownSort } from './check.ts';
import { compareAll } from './compare.ts';
import { keyOf, rangeEndOf } from './keys.ts';
import { rangeParts } from './range.ts';
import {
  checkLease,
  checkPrevious,
  executeDeleteRange,
  executePut,
  inWriteTxn,
  needsPrevious,
  type PartsOf,
} from './write-ops.ts';

/** The branch a transaction takes, with those of the transactions among its operations, in their order. */
interface Branch {
  readonly succeeded: boolean;
  readonly ops: readonly RequestOp[];
  readonly nested: readonly Branch[];
}

/** Applies a transaction. Throws KvError when it is refused, having written nothing. */
export function applyTxn(
  store: ReplicatedStore,
  leases: LeaseLookup,
  request: TxnRequest,
  answered: boolean,
): PartsOf<'txn'> {
  const view = store.read();
  const branch = resolve(view, request);
  const checks = new Checks(view, leases);
  checks.check(branch);
  if (!checks.writes) {
    const responses = answered ? readBranch(view, branch) : [];
    return { op: 'txn', revision: view.revision, succeeded: branch.succeeded, responses };
  }
  const responses = inWriteTxn(store, executeBranch, branch, answered);
  return { op: 'txn', revision: store.currentRevision, succeeded: branch.succeeded, responses };
}

/**
 * The encoded TxnResponse of a transaction that only reads (see isReadonlyTxn): it needs no log. Throws KvError compacted,
 * futureRev.
 */
export function readonlyTxnResponse(view: ReadTxn, request: TxnRequest, headerPrefix: HeaderPrefix): Buffer {
  const branch = resolve(view, request);
  new Checks(view, { has: () => true }).check(branch);
  const responses = readBranch(view, branch);
  return encodeTxnResponse({ headerPrefix, revision: view.revision, succeeded: branch.succeeded, responses });
}

function resolve(view: ReadTxn, request: TxnRequest): Branch {
  const succeeded = compareAll(view, request.compare);
  const ops = succeeded ? request.success : request.failure;
  const nested: Branch[] = [];
  for (const { requestTxn } of ops) if (requestTxn !== undefined) nested.push(resolve(view, requestTxn));
  return { succeeded, ops, nested };
}

/**
 * Everything that can refuse a transaction, over the branches taken. Requests passed the checks of the edge
 * before they were proposed; what would break the execution is refused here again, because the log is trusted for order and
 * not for sense.
 */
class Checks {
  readonly #view: ReadTxn;
  readonly #leases: LeaseLookup;
  /** Deletes met so far, in order. */
  readonly #deletes: { readonly from: Key; readonly end: Key | undefined }[] = [];
  /** Whether any operation may write. */
  writes = false;

  constructor(view: ReadTxn, leases: LeaseLookup) {
    this.#view = view;
    this.#leases = leases;
  }

  /** All that may write before all that reads, as in etcd: which of two faults is reported is visible. */
  check(branch: Branch): void {
    this.#writesOf(branch);
    this.#rangesOf(branch);
  }

  #writesOf({ ops, nested }: Branch): void {
    let nestedSeen = 0;
    for (const op of ops) {
      if (op.requestPut !== undefined) this.#put(op);
      else if (op.requestDeleteRange !== undefined) this.#deleteRange(op);
      else if (op.requestTxn !== undefined) this.#writesOf(nested[nestedSeen++]!);
      else if (op.requestRange === undefined) throw new KvError('keyNotFound');
    }
  }

  #rangesOf({ ops, nested }: Branch): void {
    let nestedSeen = 0;
    for (const { requestRange, requestTxn } of ops) {
      if (requestRange !== undefined) this.#range(requestRange);
      else if (requestTxn !== undefined) this.#rangesOf(nested[nestedSeen++]!);
    }
  }

  /**
   * A plain range takes a negative revision for the current one; here it is compared first, so it is refused below the compact
   * revision, which is -1 before the first compaction (etcd 13871, kept).
   */
  #range(request: RangeRequest): void {
    if (request.key.length === 0) throw new KvError('emptyKey');
    if (!hasKnownSort(request)) throw new KvError('invalidSortOption');
    const { revision } = request;
    if (revision === 0) return;
    if (revision > this.#view.revision) throw new KvError('futureRev');
    if (revision < this.#view.compactRevision) throw new KvError('compacted');
  }

  /** The key before the lease: the other way round than a plain put, as in etcd. */
  #put({ requestPut }: RequestOp): void {
    const request = requestPut!;
    this.writes = true;
    if (request.key.length === 0) throw new KvError('emptyKey');
    if (needsPrevious(request)) {
      checkPrevious(request, this.#view);
      // The rules against deleting and putting one key let an end of "\0" pass, and etcd 3.5 panics on what then follows.
      if (this.#wasDeleted(keyOf(request.key))) throw new KvError('keyNotFound');
    }
    checkLease(request, this.#leases);
  }

  #deleteRange({ requestDeleteRange }: RequestOp): void {
    const request = requestDeleteRange!;
    this.writes = true;
    if (request.key.length === 0) throw new KvError('emptyKey');
    this.#deletes.push({ from: keyOf(request.key), end: rangeEndOf(request.rangeEnd) });
  }

  #wasDeleted(key: Key): boolean {
    return this.#deletes.some(({ from, end }) => {
      if (end === undefined) return key === from;
      return key >= from && (end === '\0' || key < end);
    });
  }
}

function readBranch(view: ReadTxn, branch: Branch): OpParts[] {
  const responses: OpParts[] = [];
  let nestedSeen = 0;
  for (const { requestRange } of branch.ops) {
    responses.push(
      requestRange === undefined ? readNested(view, branch.nested[nestedSeen++]!) : rangeParts(view, requestRange),
    );
  }
  return responses;
}

function readNested(view: ReadTxn, branch: Branch): OpParts {
  return { op: 'txn', revision: 0, succeeded: branch.succeeded, responses: readBranch(view, branch) };
}

function executeBranch(txn: WriteTxn, branch: Branch, answered: boolean): OpParts[] {
  const responses: OpParts[] = [];
  let nestedSeen = 0;
  for (const op of branch.ops) {
    if (op.requestRange !== undefined) {
      if (answered) responses.push(rangeParts(txn, op.requestRange));
    } else if (op.requestPut !== undefined) {
      responses.push(executePut(txn, op.requestPut, answered));
    } else if (op.requestDeleteRange !== undefined) {
      responses.push(executeDeleteRange(txn, op.requestDeleteRange, answered));
    } else {
      const nested = branch.nested[nestedSeen++]!;
      const inner = executeBranch(txn, nested, answered);
      responses.push({ op: 'txn', revision: 0, succeeded: nested.succeeded, responses: inner });
    }
  }
  return responses;
}
