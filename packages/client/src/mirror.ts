/** Copying a range of keys elsewhere and keeping the copy current, as clientv3/mirror has it. */
import type { KeyValue } from '@quorate/proto';
import { type Bytes, endOfPrefix, toBuffer } from './bytes.ts';
import type { CallOptions } from './call.ts';
import type { Space } from './space.ts';
import type { Watcher, WatchOptions } from './watch.ts';

/** What to mirror. */
export interface MirrorOptions {
  /** Only keys that begin so; default all. */
  readonly prefix?: Bytes;
  /** Mirror the state of this revision and what came after; 0, the default: of now. */
  readonly revision?: number;
  /** Keys per request, 1,000 by default. */
  readonly pageKeys?: number;
}

/**
 * First {@link base}, to its end, then {@link updates}: together they are every state of the keys from one revision on. When either
 * fails with `compacted`, the copy can only be begun anew.
 */
export class Mirror {
  readonly #space: Space;
  readonly #prefix: Buffer;
  readonly #pageKeys: number;
  #revision: number;

  constructor(space: Space, { prefix = '', revision = 0, pageKeys = 1_000 }: MirrorOptions = {}) {
    this.#space = space;
    this.#prefix = toBuffer(prefix);
    this.#revision = revision;
    this.#pageKeys = pageKeys;
  }

  /** The revision of the base; 0 before the first page, if none was given. */
  get revision(): number {
    return this.#revision;
  }

  /** All keys at one revision in pages, in the order of keys. */
  async *base(call: CallOptions = {}): AsyncGenerator<readonly KeyValue[], void, undefined> {
    let from: Buffer | undefined;
    for (;;) {
      const { kvs, more, header } = await this.#page(from, call);
      if (this.#revision === 0) this.#revision = header?.revision ?? 0;
      if (kvs.length > 0) yield kvs;
      const last = kvs.at(-1);
      if (!more || last === undefined) return;
      // The smallest key behind the last one.
      from = Buffer.concat([last.key, Buffer.from([0])]);
    }
  }

  /** Everything after the base's revision. Throws when the base was not begun and no revision was given. */
  updates(options: Omit<WatchOptions, 'prefix' | 'end' | 'fromKey' | 'startRevision'> = {}): Watcher {
    if (this.#revision === 0) throw new Error('the base has to be read before the updates');
    return this.#space.watch(this.#prefix, { ...options, prefix: true, startRevision: this.#revision + 1 });
  }

  #page(from: Buffer | undefined, call: CallOptions): ReturnType<Space['kv']['get']> {
    const options = { limit: this.#pageKeys, revision: this.#revision };
    if (from === undefined) return this.#space.kv.get(this.#prefix, { ...options, prefix: true }, call);
    return this.#space.kv.get(from, { ...options, end: endOfPrefix(this.#prefix) }, call);
  }
}
