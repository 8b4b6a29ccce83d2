export { type Bytes, endOfPrefix, toBuffer } from './bytes.ts';
export type { BidiCall, Caller, CallOptions } from './call.ts';
export type { Attempt, BidiStream, Channel, OpenChannel } from './channel.ts';
export { Client, type ClientOptions } from './client.ts';
export { Cluster } from './cluster.ts';
export { Election, type LeaderUpdate } from './election.ts';
export { type Endpoint, EndpointError, parseEndpoint, type Security } from './endpoint.ts';
export {
  CompactedError,
  deadlineError,
  deadlineText,
  errorText,
  LeaseLostError,
  RpcError,
  type RpcFailure,
  WatchCanceledError,
} from './errors.ts';
export { type GrpcOptions, grpcTransport, type TlsOptions } from './grpc-channel.ts';
export type { KeepAlive, KeepAliveOptions } from './keep-alive.ts';
export { Kv } from './kv.ts';
export { Lease } from './lease.ts';
export type { Limits } from './limits.ts';
export { Mailbox } from './mailbox.ts';
export { Maintenance } from './maintenance.ts';
export { Mirror, type MirrorOptions } from './mirror.ts';
export { Mutex } from './mutex.ts';
export { Namespace } from './namespace.ts';
export type { Place } from './queue.ts';
export {
  type DeleteOptions,
  deleteRequest,
  type GetOptions,
  type KeyRange,
  type PutOptions,
  putRequest,
  rangeRequest,
  type SortOrder,
  type SortTarget,
} from './ranges.ts';
export type { RetryMode } from './retry.ts';
export { Session, SessionClosedError, type SessionOptions } from './session.ts';
export type { Space } from './space.ts';
export { type Atomic, type AtomicOptions, atomically, type Isolation } from './stm.ts';
export { type Stubs, stubsOf } from './stubs.ts';
export { systemClock, systemRandom } from './system.ts';
export { type CompareOperator, compare, op } from './txn.ts';
export type { Watcher, WatchOptions, WatchUpdate } from './watch.ts';
export { WatchHub } from './watch-hub.ts';
