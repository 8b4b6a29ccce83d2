/**
 * Maintenance.Hash: one CRC-32C over everything a member stores, bucket after bucket, names, keys and values, as etcd builds it.
 * The number itself differs from etcd's, whose store is another one; members that hold the same give the same. The bucket meta is
 * left out: it says how far a member is and how its store came to be, which may differ between members that are level.
 */
import { allBuckets, type Backend, type BackendView, type Bucket, buckets } from '@quorate/backend';
import { type Key, keyToBytes } from '@quorate/base';
import type { Checksum } from './snapshot-codec.ts';

/** Rows hashed in one turn. */
const rowsPerStep = 512;

/** Hashes what is there now; `pause` is awaited between slices. */
export async function hashBackend(backend: Backend, checksum: Checksum, pause: () => Promise<void>): Promise<number> {
  const view = await backend.openView();
  try {
    let hash = 0;
    for (const bucket of allBuckets) {
      if (bucket !== buckets.meta) hash = await hashBucket({ view, bucket, checksum, pause }, hash);
    }
    return hash >>> 0;
  } finally {
    view.close();
  }
}

interface HashedBucket {
  readonly view: BackendView;
  readonly bucket: Bucket;
  readonly checksum: Checksum;
  readonly pause: () => Promise<void>;
}

async function hashBucket({ view, bucket, checksum, pause }: HashedBucket, seed: number): Promise<number> {
  let hash = checksum(Buffer.from(bucket.name, 'latin1'), seed);
  let from: Key = '';
  for (;;) {
    const rows = view.range(bucket, { from, limit: rowsPerStep });
    for (const { key, value } of rows) hash = checksum(value, checksum(keyToBytes(key), hash));
    if (rows.length < rowsPerStep) return hash;
    from = `${rows.at(-1)!.key}\0`;
    await pause();
  }
}
