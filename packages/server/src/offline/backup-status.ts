/** What is in a backup file, without restoring it. */
import { buckets } from '@quorate/backend';
import type { DiskFile } from '@quorate/base';
import { compactionMarks, decodeMark, parseRowKey } from '@quorate/mvcc';
import { storageVersion } from '../maintenance-server.ts';
import type { Checksum, SnapshotRow } from '../snapshot-codec.ts';
import { readBackup } from './backup-file.ts';

/** Named as etcdutl names them. */
export interface BackupStatus {
  /** CRC-32C over the rows: bucket, key and value. Equal for equal states, whatever the file around them. */
  readonly hash: number;
  readonly revision: number;
  /** Rows of all buckets, as etcd counts. */
  readonly totalKey: number;
  /** Bytes of the file without its SHA-256. */
  readonly totalSize: number;
  /** Of the stored schema. */
  readonly version: string;
}

/** Reads and checks all of `file`. Rejects as readBackup does. */
export async function backupStatus(file: DiskFile, checksum: Checksum): Promise<BackupStatus> {
  let hash = 0;
  let totalKey = 0;
  const revision = new RevisionSeen();
  const onRows = (rows: readonly SnapshotRow[]): void => {
    totalKey += rows.length;
    for (const row of rows) {
      hash = checksum(Buffer.from(row.bucket.name, 'latin1'), hash);
      hash = checksum(Buffer.from(row.key, 'latin1'), hash);
      hash = checksum(row.value, hash);
      revision.see(row);
    }
  };
  const { sizeBytes } = await readBackup(file, { onRows }, { checksum, skipHashCheck: false });
  return { hash: hash >>> 0, revision: revision.value, totalKey, totalSize: sizeBytes, version: storageVersion };
}

/** The revision a store has that holds these rows: that of the newest change, or of a compaction that took it. */
export class RevisionSeen {
  value = 0;

  see({ bucket, key, value }: SnapshotRow): void {
    if (bucket === buckets.key) this.value = Math.max(this.value, parseRowKey(key).main);
    const isMark = bucket === buckets.meta && Object.values<string>(compactionMarks).includes(key);
    if (isMark) this.value = Math.max(this.value, decodeMark(value));
  }
}
