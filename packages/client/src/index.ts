export { type Bytes, endOfPrefix, toBuffer } from './bytes.ts';
export type { Caller, CallOptions } from './call.ts';
export type { Attempt, Channel, OpenChannel } from './channel.ts';
export { Client, type ClientOptions } from './client.ts';
export type { Cluster } from './cluster.ts';
export { type Endpoint, EndpointError, parseEndpoint, type Security } from './endpoint.ts';
export { deadlineText, errorText, RpcError, type RpcFailure } from './errors.ts';
export { type GrpcOptions, grpcTransport, type TlsOptions } from './grpc-channel.ts';
export type { Kv } from './kv.ts';
export type { Maintenance } from './maintenance.ts';
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
export type { Stubs } from './stubs.ts';
export { systemClock, systemRandom } from './system.ts';
export { type CompareOperator, compare, op } from './txn.ts';
