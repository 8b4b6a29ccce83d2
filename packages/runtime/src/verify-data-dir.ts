/** `verify` on this machine: all files of a member that does not run, read and judged. */
import { resolve } from 'node:path';
import type { Logger } from '@quorate/base';
import { type VerifyReport, verifyMember, walDirectory } from '@quorate/server';
import { crc32c } from '@quorate/wal';
import { acquireExistingDataDir } from './data-dir.ts';
import { nodeClock } from './node-clock.ts';
import { NodeDisk } from './node-disk.ts';
import { RelocatedDisk } from './relocated-disk.ts';

export interface VerifyDataDirOptions {
  readonly dataDir: string;
  /** `--wal-dir`; undefined: `wal` inside the data directory. */
  readonly walDir: string | undefined;
  readonly logger: Logger;
}

/**
 * Holds the directory while it reads, so that no daemon changes it meanwhile: the `lock` file is the only one it touches. Rejects with
 * StorageError when there is no such directory, or somebody runs on it.
 */
export async function verifyDataDir({ dataDir, walDir, logger }: VerifyDataDirOptions): Promise<VerifyReport> {
  const owned = await acquireExistingDataDir(dataDir, nodeClock);
  try {
    const disk = new NodeDisk(owned.path);
    return await verifyMember({
      disk: walDir === undefined ? disk : new RelocatedDisk(disk, walDirectory, resolve(walDir)),
      checksum: crc32c,
      logger,
    });
  } finally {
    await owned.release();
  }
}
