/** Requests by hand, from text. */
import { DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest } from '@quorate/proto';

export function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

export function put(key: string, value = '', more: Partial<PutRequest> = {}): PutRequest {
  return PutRequest.create({ key: bytes(key), value: bytes(value), ...more });
}

export function get(key: string, rangeEnd = '', more: Partial<RangeRequest> = {}): RangeRequest {
  return RangeRequest.create({ key: bytes(key), rangeEnd: bytes(rangeEnd), ...more });
}

export function del(key: string, rangeEnd = '', more: Partial<DeleteRangeRequest> = {}): DeleteRangeRequest {
  return DeleteRangeRequest.create({ key: bytes(key), rangeEnd: bytes(rangeEnd), ...more });
}

/** Operations of transactions. */
export const op = {
  put: (...args: Parameters<typeof put>): RequestOp => RequestOp.create({ requestPut: put(...args) }),
  get: (...args: Parameters<typeof get>): RequestOp => RequestOp.create({ requestRange: get(...args) }),
  del: (...args: Parameters<typeof del>): RequestOp => RequestOp.create({ requestDeleteRange: del(...args) }),
  txn: (success: RequestOp[], failure: RequestOp[] = []): RequestOp =>
    RequestOp.create({ requestTxn: TxnRequest.create({ success, failure }) }),
};

/** A transaction without conditions. */
export function txn(...success: RequestOp[]): TxnRequest {
  return TxnRequest.create({ success });
}

/** A transaction in `depth` others. */
export function nestedTxn(depth: number, innermost: RequestOp): TxnRequest {
  let ops = [innermost];
  for (let i = 1; i < depth; i++) ops = [op.txn(ops)];
  return txn(...ops);
}
