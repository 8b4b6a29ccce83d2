/**
 * The checksum of a row in the data file. The rows of the key bucket have their own, which goes with them wherever they go; those of
 * all other buckets (leases, members, alarms, marks, the format) get one here, on their way to lmdb, and lose it on their way back:
 *
 * | bytes | content |
 * |---|---|
 * | 0–3 | CRC-32 (IEEE) of bucket id, key and value, big endian |
 * | 4– | the value |
 */
import { crc32 } from 'node:zlib';
import { CorruptionError, type Key } from '@quorate/base';
import { buckets } from './buckets.ts';

const checksumBytes = 4;

/** What is stored for `value`: a copy, or `value` itself. */
export function sealValue(bucketId: number, key: Key, value: Buffer): Buffer {
  if (bucketId === buckets.key.id) return value;
  const stored = Buffer.allocUnsafe(checksumBytes + value.length);
  value.copy(stored, checksumBytes);
  stored.writeUInt32BE(sumOf(bucketId, key, value), 0);
  return stored;
}

/** The value in what was stored, as a view of it. Throws CorruptionError when it is not as it was written. */
export function openValue(bucketId: number, key: Key, stored: Buffer): Buffer {
  const value = valueIn(bucketId, key, stored);
  if (value !== undefined) return value;
  const facts = { bucketId, key: Buffer.from(key, 'latin1').toString('hex') };
  throw new CorruptionError('backend', 'row does not match its checksum', facts);
}

/** The same, for those who go on: undefined when it is not as it was written. */
export function valueIn(bucketId: number, key: Key, stored: Buffer): Buffer | undefined {
  if (bucketId === buckets.key.id) return stored;
  if (stored.length < checksumBytes) return undefined;
  const value = stored.subarray(checksumBytes);
  return stored.readUInt32BE(0) === sumOf(bucketId, key, value) ? value : undefined;
}

function sumOf(bucketId: number, key: Key, value: Buffer): number {
  const name = Buffer.allocUnsafe(1 + key.length);
  name[0] = bucketId;
  name.write(key, 1, 'latin1');
  return crc32(value, crc32(name));
}
