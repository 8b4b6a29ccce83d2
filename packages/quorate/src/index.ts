export { CorruptionError, FatalError, type Logger, type Meter, StorageError } from '@quorate/base';
export {
  type Atomic,
  type AtomicOptions,
  atomically,
  type Bytes,
  type CallOptions,
  CompactedError,
  type CompareOperator,
  compare,
  type DeleteOptions,
  Election,
  type GetOptions,
  type KeepAlive,
  LeaseLostError,
  Mutex,
  Namespace,
  op,
  type PutOptions,
  RpcError,
  Session,
  type SessionOptions,
  WatchCanceledError,
  type Watcher,
  type WatchOptions,
  type WatchUpdate,
} from '@quorate/client';
export { KvError } from '@quorate/proto';
export { PromMeter } from '@quorate/runtime';
export { StartError } from '@quorate/server';
export type { ClusterPlace, DurableOptions, InMemoryOptions, OpenOptions, Tuning } from './options.ts';
export { open, Quorate } from './quorate.ts';
