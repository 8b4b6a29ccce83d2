/** Rows of the key bucket for tests that do not care what is in them. */
import type { Key } from '@quorate/base';
import { crc32c } from '@quorate/wal';

/** What is stored under `key` for `record`: its checksum, then it. */
export function storedRow(key: Key, record: Buffer): Buffer {
  const row = Buffer.concat([Buffer.alloc(4), record]);
  row.writeUInt32BE(crc32c(record, crc32c(Buffer.from(key, 'latin1'), 0)) >>> 0, 0);
  return row;
}
