/**
 * What the history was when it was compacted, as a hash, for the newest compactions. Members make it at the same revision with the
 * same compact revision, whenever they get there, so that the hashes can be compared later, without stopping anybody and exactly
 * (etcd: CompactHashCheck).
 */
import type { Logger } from '@quorate/base';
import type { HashResult, Store } from '@quorate/mvcc';
import { KvError } from '@quorate/proto';

/** As many as etcd keeps. */
const keptMax = 10;

export class CompactionHashes {
  readonly #store: Pick<Store, 'hashKv'>;
  readonly #logger: Logger;
  /** By revision, the oldest compaction first. */
  readonly #hashes = new Map<number, HashResult>();

  constructor(store: Pick<Store, 'hashKv' | 'onCompaction'>, logger: Logger) {
    this.#store = store;
    this.#logger = logger;
    store.onCompaction((revision) => void this.#hash(revision));
  }

  get(revision: number): HashResult | undefined {
    return this.#hashes.get(revision);
  }

  /** Newest first. */
  revisions(): number[] {
    return [...this.#hashes.keys()].sort((a, b) => b - a);
  }

  /** The call that begins it holds back the next compaction until it is made. Damage is reported by the store itself. */
  async #hash(revision: number): Promise<void> {
    // Nothing was ever written: there is no history to compare.
    if (revision <= 0) return;
    try {
      this.#hashes.set(revision, await this.#store.hashKv(revision));
      for (const old of this.revisions().slice(keptMax)) this.#hashes.delete(old);
    } catch (error) {
      if (!(error instanceof KvError)) return;
      this.#logger.debug('no hash of a compaction', { revision, reason: error.message });
    }
  }
}
