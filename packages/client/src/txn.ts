/** The parts of a transaction, to be put into a TxnRequest: `{ compare: [compare.version('k', '=', 0)], success: [op.put('k', 'v')] }`. */
import { Compare, CompareCompareResult, CompareCompareTarget, RequestOp, TxnRequest } from '@quorate/proto';
import { type Bytes, toBuffer } from './bytes.ts';
import {
  type DeleteOptions,
  deleteRequest,
  type GetOptions,
  type PutOptions,
  putRequest,
  rangeRequest,
} from './ranges.ts';

/** How the stored number or value must relate to the one given. */
export type CompareOperator = '=' | '!=' | '<' | '>';

const results: Readonly<Record<CompareOperator, number>> = {
  '=': CompareCompareResult.EQUAL,
  '!=': CompareCompareResult.NOT_EQUAL,
  '<': CompareCompareResult.LESS,
  '>': CompareCompareResult.GREATER,
};

type Numeric = (key: Bytes, operator: CompareOperator, number: number) => Compare;

/** Conditions. Of a key that does not exist all numbers are 0, and a comparison of its value is false. */
export const compare: {
  readonly version: Numeric;
  readonly createRevision: Numeric;
  readonly modRevision: Numeric;
  readonly value: (key: Bytes, operator: CompareOperator, value: Bytes) => Compare;
  readonly lease: (key: Bytes, operator: CompareOperator, lease: bigint) => Compare;
} = {
  version: (key, operator, version) => make(key, operator, { target: CompareCompareTarget.VERSION, version }),
  createRevision: (key, operator, createRevision) =>
    make(key, operator, { target: CompareCompareTarget.CREATE, createRevision }),
  modRevision: (key, operator, modRevision) => make(key, operator, { target: CompareCompareTarget.MOD, modRevision }),
  value: (key, operator, value) => make(key, operator, { target: CompareCompareTarget.VALUE, value: toBuffer(value) }),
  lease: (key, operator, lease) => make(key, operator, { target: CompareCompareTarget.LEASE, lease }),
};

/** Operations of a branch. */
export const op: {
  readonly get: (key: Bytes, options?: GetOptions) => RequestOp;
  readonly put: (key: Bytes, value: Bytes, options?: PutOptions) => RequestOp;
  readonly delete: (key: Bytes, options?: DeleteOptions) => RequestOp;
  readonly txn: (txn: Partial<TxnRequest>) => RequestOp;
} = {
  get: (key, options) => RequestOp.create({ requestRange: rangeRequest(key, options) }),
  put: (key, value, options) => RequestOp.create({ requestPut: putRequest(key, value, options) }),
  delete: (key, options) => RequestOp.create({ requestDeleteRange: deleteRequest(key, options) }),
  txn: (txn) => RequestOp.create({ requestTxn: TxnRequest.create(txn) }),
};

function make(key: Bytes, operator: CompareOperator, target: Partial<Compare>): Compare {
  return Compare.create({ ...target, key: toBuffer(key), result: results[operator] });
}
