/**
 * Software transactional memory, as clientv3/concurrency has it: a function reads and writes keys as if it were alone; what it wrote is
 * put in place by one transaction that checks what it read, and the function runs again when something has changed meanwhile.
 */
import { type Key, keyFromBytes, keyToBytes } from '@quorate/base';
import { type Compare, type KeyValue, KvError, type RequestOp, type TxnResponse } from '@quorate/proto';
import { type Bytes, toBuffer } from './bytes.ts';
import { type Limits, within } from './limits.ts';
import type { PutOptions } from './ranges.ts';
import type { RetryMode } from './retry.ts';
import type { Space } from './space.ts';
import { compare, op } from './txn.ts';

/**
 * `serializableSnapshot`: all reads are of one revision, and neither what was read nor what is written has changed since ·
 * `serializable`: all reads are of one revision, and what was read has not changed since ·
 * `repeatableReads`: reads are of different moments, and what was read has not changed since ·
 * `readCommitted`: reads are of different moments, and nothing is checked.
 */
export type Isolation = 'serializableSnapshot' | 'serializable' | 'repeatableReads' | 'readCommitted';

/** How to run a function atomically; the limits are for all its runs. */
export interface AtomicOptions extends Limits {
  /** Default `serializableSnapshot`. */
  readonly isolation?: Isolation;
  /** Keys that will be read, fetched in one request before the first run. */
  readonly prefetch?: readonly Bytes[];
  /**
   * `always`: a commit whose outcome is unknown is tried again. When it had taken effect, the check fails and the function runs once
   * more on its own result. Default `safe`: such a commit rejects with RpcError.
   */
  readonly retry?: RetryMode;
}

/** What a function does its reading and writing with; of no use after it has returned. */
export interface Atomic {
  /** The value; undefined when there is no such key. Sees the function's own writes. */
  get(key: Bytes): Promise<Buffer | undefined>;
  /** The revision that last changed the key, 0 when there is none; own writes are not counted. */
  revision(key: Bytes): Promise<number>;
  put(key: Bytes, value: Bytes, options?: Pick<PutOptions, 'lease'>): void;
  delete(key: Bytes): void;
}

/**
 * Runs `body`, again and again until its transaction takes effect, and resolves with what the last run returned. It must have no
 * other effects than through what it is given. What it throws ends the matter, and nothing was written.
 */
export function atomically<T>(
  space: Space,
  body: (atomic: Atomic) => Promise<T>,
  options: AtomicOptions = {},
): Promise<T> {
  const { isolation = 'serializableSnapshot', prefetch = [], retry = 'safe' } = options;
  return within(space, options, async (signal) => {
    const keys = [...new Set(prefetch.map((key) => keyFromBytes(toBuffer(key))))];
    for (let known = await fetchAll(space, keys, signal); ; ) {
      const run = new Run(space, { isolation, known, signal });
      const value = await run.try(body);
      if (value === 'stale') {
        known = nothing;
        continue;
      }
      const conflict = await run.commit(retry);
      if (conflict === undefined) return value.returned;
      known = conflict;
    }
  });
}

/** What was read at one revision. */
interface Snapshot {
  /** 0 before anything was read. */
  readonly revision: number;
  readonly pairs: ReadonlyMap<Key, KeyValue | undefined>;
}

const nothing: Snapshot = { revision: 0, pairs: new Map() };

async function fetchAll(space: Space, keys: readonly Key[], signal: AbortSignal): Promise<Snapshot> {
  if (keys.length === 0) return nothing;
  const response = await space.kv.txn({ success: keys.map((key) => op.get(keyToBytes(key))) }, { signal });
  return snapshotOf(keys, response);
}

function snapshotOf(keys: readonly Key[], { header, responses }: TxnResponse): Snapshot {
  const pairs = keys.map((key, i) => [key, responses[i]?.responseRange?.kvs[0]] as const);
  return { revision: header?.revision ?? 0, pairs: new Map(pairs) };
}

interface Write {
  readonly op: RequestOp;
  /** Undefined for a deletion. */
  readonly value: Buffer | undefined;
}

/** One run of the function. */
class Run implements Atomic {
  readonly #space: Space;
  readonly #isolation: Isolation;
  readonly #signal: AbortSignal;
  /** Fetched before this run, and of the same revision as its reads if that matters. */
  readonly #known: Snapshot;
  readonly #reads = new Map<Key, KeyValue | undefined>();
  readonly #writes = new Map<Key, Write>();
  /** Reads that did not come back: two reads of a key are one. */
  readonly #fetches = new Map<Key, Promise<KeyValue | undefined>>();
  /** The revision of the first read, and when reads are of one revision the one of all. */
  #revision: number;
  /** The first read, which decides about the revision of the others. */
  #first: Promise<unknown> | undefined;

  constructor(space: Space, options: { isolation: Isolation; known: Snapshot; signal: AbortSignal }) {
    this.#space = space;
    this.#isolation = options.isolation;
    this.#known = options.known;
    this.#signal = options.signal;
    this.#revision = options.known.revision;
  }

  /** What the function returned; `stale` when its revision was compacted away meanwhile. */
  async try<T>(body: (atomic: Atomic) => Promise<T>): Promise<{ readonly returned: T } | 'stale'> {
    try {
      return { returned: await body(this) };
    } catch (error) {
      if (this.#isOfOneRevision && error instanceof KvError && error.code === 'compacted') return 'stale';
      throw error;
    }
  }

  async get(key: Bytes): Promise<Buffer | undefined> {
    const name = keyFromBytes(toBuffer(key));
    const write = this.#writes.get(name);
    return write === undefined ? (await this.#read(name))?.value : write.value;
  }

  async revision(key: Bytes): Promise<number> {
    return (await this.#read(keyFromBytes(toBuffer(key))))?.modRevision ?? 0;
  }

  put(key: Bytes, value: Bytes, options: Pick<PutOptions, 'lease'> = {}): void {
    this.#writes.set(keyFromBytes(toBuffer(key)), { op: op.put(key, value, options), value: toBuffer(value) });
  }

  delete(key: Bytes): void {
    this.#writes.set(keyFromBytes(toBuffer(key)), { op: op.delete(key), value: undefined });
  }

  /** Undefined when the writes took effect, otherwise what was read, as it is now. */
  async commit(retry: RetryMode): Promise<Snapshot | undefined> {
    const keys = [...this.#reads.keys()];
    if (keys.length === 0 && this.#writes.size === 0) return undefined;
    const response = await this.#space.kv.txn(
      {
        compare: this.#checks(),
        success: [...this.#writes.values()].map((write) => write.op),
        // Read at once what the next run will read.
        failure: keys.map((key) => op.get(keyToBytes(key))),
      },
      { signal: this.#signal, retry },
    );
    return response.succeeded ? undefined : snapshotOf(keys, response);
  }

  get #isOfOneRevision(): boolean {
    return this.#isolation === 'serializable' || this.#isolation === 'serializableSnapshot';
  }

  #checks(): Compare[] {
    if (this.#isolation === 'readCommitted') return [];
    const reads = [...this.#reads].map(([key, kv]) => compare.modRevision(keyToBytes(key), '=', kv?.modRevision ?? 0));
    if (this.#isolation !== 'serializableSnapshot' || this.#reads.size === 0) return reads;
    const unread = [...this.#writes.keys()].filter((key) => !this.#reads.has(key));
    return [...reads, ...unread.map((key) => compare.modRevision(keyToBytes(key), '<', this.#revision + 1))];
  }

  async #read(key: Key): Promise<KeyValue | undefined> {
    if (this.#reads.has(key)) return this.#reads.get(key);
    const fetch = this.#fetches.get(key) ?? this.#fetch(key);
    this.#fetches.set(key, fetch);
    const kv = await fetch;
    this.#reads.set(key, kv);
    return kv;
  }

  async #fetch(key: Key): Promise<KeyValue | undefined> {
    if (this.#known.pairs.has(key)) return this.#known.pairs.get(key);
    if (!this.#isOfOneRevision || this.#revision !== 0) return this.#ask(key);
    if (this.#first !== undefined) {
      await this.#first;
      return this.#ask(key);
    }
    const first = this.#ask(key);
    this.#first = first;
    return first;
  }

  async #ask(key: Key): Promise<KeyValue | undefined> {
    const at = this.#isOfOneRevision ? { revision: this.#revision } : {};
    const { kvs, header } = await this.#space.kv.get(keyToBytes(key), at, { signal: this.#signal });
    if (this.#revision === 0) this.#revision = header?.revision ?? 0;
    return kvs[0];
  }
}
