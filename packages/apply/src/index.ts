export type { Applied, ApplyResult } from './answer.ts';
export type { AlarmBook, LeaseLookup, LeaseTable, ReplicatedStore } from './applier.ts';
export { type ApplyHooks, ApplyLoop, type ApplyLoopOptions } from './apply-loop.ts';
export {
  checkDeleteRangeRequest,
  checkPutRequest,
  checkRangeRequest,
  checkTxnRequest,
  isReadonlyTxn,
  isSerializableTxn,
  txnDepthMax,
} from './check.ts';
export { ConsistentIndex, readConsistentIndex, type StoredIndex } from './consistent-index.ts';
export { EntryBackend } from './entry-backend.ts';
export { MembershipStore } from './membership-store.ts';
export { RangeScan, rangeResponse } from './range.ts';
export { readonlyTxnResponse } from './txn.ts';
