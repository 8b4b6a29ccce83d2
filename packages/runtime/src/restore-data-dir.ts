/** `snapshot restore` on this machine: a backup file becomes a data directory, whole or not at all. */
import { isAbsolute, join, relative, resolve } from 'node:path';
import { lmdbBackendFactory } from '@quorate/backend';
import { type Disk, type Logger, noCrashPoints, silentMeter } from '@quorate/base';
import {
  type FoundingFlags,
  foundingMembers,
  type Restored,
  restoreBackup,
  StartError,
  walDirectory,
} from '@quorate/server';
import { crc32c } from '@quorate/wal';
import { nodeClock } from './node-clock.ts';
import { NodeDisk } from './node-disk.ts';
import { nodeRandom } from './node-random.ts';
import { beginDirectory, type NewDirectory, openBackupFile } from './offline-files.ts';
import { RelocatedDisk } from './relocated-disk.ts';

export interface RestoreDataDirOptions extends FoundingFlags {
  /** The backup. */
  readonly file: string;
  /** `--data-dir`: absent or empty. */
  readonly dataDir: string;
  /** `--wal-dir`: absent or empty; undefined: inside the data directory. */
  readonly walDir: string | undefined;
  readonly clusterToken: string;
  readonly skipHashCheck: boolean;
  readonly bumpRevision: number;
  readonly logger: Logger;
}

/**
 * Builds the directory beside its place (or in it, when it is there and empty) and renames it when all of it is durable; on failure
 * nothing is left. Rejects with StartError, StorageError or BackupError.
 */
export async function restoreDataDir(options: RestoreDataDirOptions): Promise<Restored> {
  const members = foundingMembers(options);
  const file = await openBackupFile(options.file);
  const begun: NewDirectory[] = [];
  try {
    const data = await beginDirectory(options.dataDir, 'data-dir');
    begun.push(data);
    const disk = await diskFor(options, data, begun);
    const backends = lmdbBackendFactory({
      directory: data.staging,
      clock: nodeClock,
      logger: options.logger,
      meter: silentMeter,
      crash: noCrashPoints,
    });
    const world = { disk, backends, clock: nodeClock, random: nodeRandom, checksum: crc32c };
    const restored = await restoreBackup({ ...options, ...world, file, members });
    // The store comes last: a log without it is refused at a start, a store without its log as well.
    for (const directory of [...begun].reverse()) await directory.publish('db');
    return restored;
  } catch (error) {
    for (const directory of begun) await directory.discard();
    throw error;
  } finally {
    await file.close();
  }
}

/** The disk of the new directory, with the log where `--wal-dir` wants it. */
async function diskFor(options: RestoreDataDirOptions, data: NewDirectory, begun: NewDirectory[]): Promise<Disk> {
  const disk = new NodeDisk(data.staging);
  if (options.walDir === undefined) return disk;
  const inside = relative(resolve(options.dataDir), resolve(options.walDir));
  const around = relative(resolve(options.walDir), resolve(options.dataDir));
  if (isBelow(around) || inside === '') {
    throw new StartError('wal-dir must not be, or hold, the data directory');
  }
  if (isBelow(inside)) return new RelocatedDisk(disk, walDirectory, join(data.staging, inside));
  const wal = await beginDirectory(options.walDir, 'wal-dir');
  begun.push(wal);
  return new RelocatedDisk(disk, walDirectory, wal.staging);
}

/** Whether a relative path leads down. */
function isBelow(path: string): boolean {
  return path !== '' && path !== '..' && !path.startsWith('../') && !isAbsolute(path);
}
