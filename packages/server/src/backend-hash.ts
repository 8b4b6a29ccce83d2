/**
 * Maintenance.Hash: one CRC-32C over everything a member stores, bucket after bucket, names, keys and values, as etcd builds it.
 * The number itself differs from etcd's, whose store is another one; members that hold the same give the same. The bucket meta is
 * left out: it says how far a member is and how its store came to be, which may differ between members that are level.
 */
import { allBuckets, type Backend, type BackendView, type Bucket, buckets } from '@quorate/backend';
import {
  type Clock,
  exponentialBuckets,
  type Histogram,
  type Key,
  keyToBytes,
  type Meter,
  nextTurn,
} from '@quorate/base';
import type { Checksum } from './snapshot-codec.ts';

/** Rows hashed in one turn. */
const rowsPerStep = 512;

export interface BackendHashOptions {
  readonly clock: Clock;
  readonly meter: Meter;
  readonly checksum: Checksum;
}

export class BackendHash {
  readonly #options: BackendHashOptions;
  readonly #seconds: Histogram;

  constructor(options: BackendHashOptions) {
    this.#options = options;
    this.#seconds = options.meter.histogram(
      { name: 'etcd_mvcc_hash_duration_seconds', help: 'How long hashing all that is stored took.' },
      exponentialBuckets(0.01, 2, 15),
    );
  }

  /** Hashes what is there now, in slices. */
  async run(backend: Backend): Promise<number> {
    const { clock, checksum } = this.#options;
    const startedMs = clock.nowMs();
    const view = await backend.openView();
    try {
      let hash = 0;
      for (const bucket of allBuckets) {
        if (bucket !== buckets.meta) hash = await hashBucket({ view, bucket, checksum, clock }, hash);
      }
      this.#seconds.observe((clock.nowMs() - startedMs) / 1_000);
      return hash >>> 0;
    } finally {
      view.close();
    }
  }
}

interface HashedBucket {
  readonly view: BackendView;
  readonly bucket: Bucket;
  readonly checksum: Checksum;
  readonly clock: Clock;
}

async function hashBucket({ view, bucket, checksum, clock }: HashedBucket, seed: number): Promise<number> {
  let hash = checksum(Buffer.from(bucket.name, 'latin1'), seed);
  let from: Key = '';
  for (;;) {
    const rows = view.range(bucket, { from, limit: rowsPerStep });
    for (const { key, value } of rows) hash = checksum(value, checksum(keyToBytes(key), hash));
    if (rows.length < rowsPerStep) return hash;
    from = `${rows.at(-1)!.key}\0`;
    await nextTurn(clock);
  }
}
