/** Backups for tests: the bytes that `Maintenance/Snapshot` would send of a store, and files of them. */
import type { Backend } from '@quorate/backend';
import { type ClusterId, type DiskFile, MemoryDisk } from '@quorate/base';
import type { SnapshotResponse } from '@quorate/proto';
import type { ServerCall, ServerStream } from '@quorate/rpc';
import { crc32c } from '@quorate/wal';
import { sendBackup } from '../backup-stream.ts';

/** The whole file. */
export async function backupOf(backend: Backend, clusterId: ClusterId = 5n): Promise<Buffer> {
  const blobs: Buffer[] = [];
  const call = { path: '', cancelled: false, onCancel: () => {} } as unknown as ServerCall;
  const stream = {
    send: ({ blob }: SnapshotResponse) => blobs.push(Buffer.from(blob)) > 0,
    onDrain: () => {},
    end: () => {},
    fail: (error: unknown) => {
      throw error;
    },
  } as unknown as ServerStream<SnapshotResponse>;
  const pause = (): Promise<void> => Promise.resolve();
  const options = {
    ...{ clusterId, checksum: crc32c, storageVersion: '3.6.0', backend: () => backend, pause },
    onFatal: (error: unknown): never => {
      throw error;
    },
  };
  await sendBackup(options, call, stream);
  return Buffer.concat(blobs);
}

/** A file in memory with these bytes. */
export async function fileOf(bytes: Buffer): Promise<DiskFile> {
  const disk = new MemoryDisk();
  const file = await disk.create('backup.db');
  await file.write(0, bytes);
  return file;
}
