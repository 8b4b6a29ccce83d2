/** What recipes (sessions, locks, elections, transactional memory, mirrors) are built on: a client, or a namespace of one. */
import type { Clock } from '@quorate/base';
import type { Bytes } from './bytes.ts';
import type { Kv } from './kv.ts';
import type { Lease } from './lease.ts';
import type { Watcher, WatchOptions } from './watch.ts';

/** Keys, watches of keys, and leases. */
export interface Space {
  readonly kv: Kv;
  readonly lease: Lease;
  readonly clock: Clock;
  watch(key: Bytes, options?: WatchOptions): Watcher;
}
