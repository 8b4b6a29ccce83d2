/**
 * When a failed call may be repeated (the pool decides where and after how long). The rule: nothing that could happen twice is repeated unless the
 * caller says so. A read is harmless. A write is repeated only when its request provably never left this process; after any
 * other failure its outcome is unknown, and only the caller can know whether doing it again is right.
 */
import { type AnyMethod, type RequestOp, Status, services, type TxnRequest } from '@quorate/proto';
import { RpcError } from './errors.ts';

/**
 * `safe`: as the rule above · `always`: a write may happen more than once, the caller accepts it · `never`: one attempt.
 */
export type RetryMode = 'safe' | 'always' | 'never';

const { auth, cluster, kv, lease, maintenance } = services;

const reads: ReadonlySet<string> = new Set(
  [
    kv.methods.range,
    kv.methods.rangeStream,
    lease.methods.leaseTimeToLive,
    lease.methods.leaseLeases,
    cluster.methods.memberList,
    maintenance.methods.status,
    maintenance.methods.hash,
    maintenance.methods.hashKV,
    maintenance.methods.snapshot,
    auth.methods.authStatus,
    auth.methods.userGet,
    auth.methods.userList,
    auth.methods.roleGet,
    auth.methods.roleList,
  ].map((method) => method.path),
);

const alarmGet = 0;

/** True when the call changes nothing, so that doing it twice is the same as doing it once. */
export function isRead(method: AnyMethod, request: unknown): boolean {
  if (reads.has(method.path)) return true;
  if (method.path === kv.methods.txn.path) return isReadOnlyTxn(request as TxnRequest);
  return method.path === maintenance.methods.alarm.path && (request as { action: number }).action === alarmGet;
}

/** May the call be made again after this failure of one attempt? Answers of a server are final. */
export function mayRepeat(failure: unknown, call: { mode: RetryMode; isRead: boolean }): boolean {
  if (!(failure instanceof RpcError) || failure.status !== Status.UNAVAILABLE || call.mode === 'never') return false;
  return !failure.sent || call.isRead || call.mode === 'always';
}

function isReadOnlyTxn(txn: TxnRequest): boolean {
  return txn.success.every(isReadOnlyOp) && txn.failure.every(isReadOnlyOp);
}

function isReadOnlyOp(op: RequestOp): boolean {
  if (op.requestTxn !== undefined) return isReadOnlyTxn(op.requestTxn);
  return op.requestRange !== undefined;
}
