/** From operations to the messages a server is sent. */
import {
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
  WatchCreateRequest,
} from '@quorate/proto';
import type {
  Condition,
  DeleteOp,
  InnerOp,
  LeaseRef,
  PutOp,
  RangeOp,
  RevisionRef,
  Text,
  TxnOp,
  WatchOp,
} from './operations.ts';

/** What relative things mean at one server at one moment. */
export interface Meaning {
  revision(ref: RevisionRef): number;
  lease(ref: LeaseRef): bigint;
}

export const bytesOf = (text: Text): Buffer => Buffer.from(text, 'latin1');

export function rangeRequest(op: RangeOp, meaning: Meaning): RangeRequest {
  return RangeRequest.create({
    key: bytesOf(op.key),
    rangeEnd: bytesOf(op.end),
    limit: op.limit,
    revision: meaning.revision(op.revision),
    sortOrder: op.sortOrder,
    sortTarget: op.sortTarget,
    serializable: op.serializable,
    keysOnly: op.keysOnly,
    countOnly: op.countOnly,
    minModRevision: meaning.revision(op.minMod),
    maxModRevision: meaning.revision(op.maxMod),
    minCreateRevision: meaning.revision(op.minCreate),
    maxCreateRevision: meaning.revision(op.maxCreate),
  });
}

export function putRequest(op: PutOp, meaning: Meaning): PutRequest {
  return PutRequest.create({
    key: bytesOf(op.key),
    value: bytesOf(op.value),
    lease: meaning.lease(op.lease),
    prevKv: op.prevKv,
    ignoreValue: op.ignoreValue,
    ignoreLease: op.ignoreLease,
  });
}

export function deleteRequest(op: DeleteOp): DeleteRangeRequest {
  return DeleteRangeRequest.create({ key: bytesOf(op.key), rangeEnd: bytesOf(op.end), prevKv: op.prevKv });
}

export function txnRequest(op: TxnOp, meaning: Meaning): TxnRequest {
  return TxnRequest.create({
    compare: op.compare.map((one) => compareOf(one, meaning)),
    success: op.success.map((one) => requestOp(one, meaning)),
    failure: op.failure.map((one) => requestOp(one, meaning)),
  });
}

/** As many deletions of nothing as said, inside transactions inside each other. */
export function bigTxnRequest(opsCount: number, depth: number): TxnRequest {
  const one = RequestOp.create({ requestDeleteRange: DeleteRangeRequest.create({ key: bytesOf('nothing') }) });
  let txn = TxnRequest.create({ success: Array.from({ length: opsCount }, () => one) });
  for (let level = 1; level < depth; level++) {
    txn = TxnRequest.create({ success: [RequestOp.create({ requestTxn: txn })] });
  }
  return txn;
}

export function watchRequest(op: WatchOp, meaning: Meaning): WatchCreateRequest {
  return WatchCreateRequest.create({
    key: bytesOf(op.key),
    rangeEnd: bytesOf(op.end),
    startRevision: meaning.revision(op.start),
    progressNotify: op.progressNotify,
    filters: [...op.filters],
    prevKv: op.prevKv,
    watchId: BigInt(op.id),
    fragment: op.fragment,
  });
}

function requestOp(op: InnerOp, meaning: Meaning): RequestOp {
  switch (op.kind) {
    case 'range':
      return RequestOp.create({ requestRange: rangeRequest(op, meaning) });
    case 'put':
      return RequestOp.create({ requestPut: putRequest(op, meaning) });
    case 'delete':
      return RequestOp.create({ requestDeleteRange: deleteRequest(op) });
    case 'txn':
      return RequestOp.create({ requestTxn: txnRequest(op, meaning) });
    default:
      return RequestOp.create();
  }
}

function compareOf(condition: Condition, meaning: Meaning): Compare {
  const { key, end, result, target, operand } = condition;
  const compare = Compare.create({ key: bytesOf(key), rangeEnd: bytesOf(end), result, target });
  if (operand.of === 'version') compare.version = operand.version;
  else if (operand.of === 'create') compare.createRevision = meaning.revision(operand.revision);
  else if (operand.of === 'mod') compare.modRevision = meaning.revision(operand.revision);
  else if (operand.of === 'value') compare.value = bytesOf(operand.value);
  else if (operand.of === 'lease') compare.lease = meaning.lease(operand.lease);
  return compare;
}
