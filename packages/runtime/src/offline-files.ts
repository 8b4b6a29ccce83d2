/** Files of a member that does not run: opening a backup to read it, and where a directory is built before it gets its name. */
import { mkdir, readdir, realpath, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type DiskFile, StorageError } from '@quorate/base';
import { BackupError, type BackupStatus, backupStatus, StartError } from '@quorate/server';
import { crc32c } from '@quorate/wal';
import { NodeDisk } from './node-disk.ts';

/** Opens a backup for reading. Rejects with BackupError in etcdutl's words. */
export async function openBackupFile(path: string): Promise<DiskFile> {
  try {
    return await new NodeDisk('/').open(await realpath(path), { write: false });
  } catch (error) {
    throw new BackupError(`open ${path}: ${reasonOf(error)}`, { cause: error });
  }
}

/** Reads and checks a backup. Rejects with BackupError, or CorruptionError for a damaged frame. */
export async function backupFileStatus(path: string): Promise<BackupStatus> {
  const file = await openBackupFile(path);
  try {
    return await backupStatus(file, crc32c);
  } finally {
    await file.close();
  }
}

/** A directory under construction. */
export interface NewDirectory {
  /** Where to build; exists, with mode 0700, and is empty. */
  readonly staging: string;
  /**
   * Gives what was built its name, durably, `last` after everything else. One rename when the directory did not exist; one for each
   * entry when it did, because it may be a mount point.
   */
  publish(last?: string): Promise<void>;
  /** Removes what was built. */
  discard(): Promise<void>;
}

/**
 * Begins a directory at `path`, which must be absent or empty. `flag` is what the person called it. Rejects with StartError, with
 * nothing changed, when there is something, or when another restore builds there or died there.
 */
export async function beginDirectory(path: string, flag: string): Promise<NewDirectory> {
  const target = resolve(path);
  const disk = new NodeDisk('/');
  const exists = await isEmptyDirectory(path, flag);
  const staging = exists ? join(target, 'restoring') : `${target}.restoring`;
  await attempt(flag, () => disk.makeDirectory(dirname(staging)));
  await attempt(flag, async () => {
    try {
      await mkdir(staging, { mode: 0o700 });
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
      throw new StartError(
        `${staging} is there: another restore is running, or one was ended; remove it when none runs`,
      );
    }
  });
  const publish = async (last?: string): Promise<void> => {
    await disk.syncDirectory(staging);
    if (!exists) {
      await rename(staging, target);
    } else {
      const names = (await readdir(staging)).sort((a, b) => Number(a === last) - Number(b === last));
      for (const name of names) await rename(join(staging, name), join(target, name));
      await rm(staging, { recursive: true });
      await disk.syncDirectory(target);
    }
    await disk.syncDirectory(dirname(target));
  };
  return {
    staging,
    publish: (last) => attempt(flag, () => publish(last)),
    discard: () => rm(staging, { recursive: true, force: true }),
  };
}

async function isEmptyDirectory(path: string, flag: string): Promise<boolean> {
  try {
    if ((await readdir(path)).length === 0) return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw notEmpty(path, flag);
  }
  throw notEmpty(path, flag);
}

function notEmpty(path: string, flag: string): StartError {
  return new StartError(`${flag} "${path}" not empty or could not be read`);
}

async function attempt<T>(flag: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof StartError) throw error;
    throw new StorageError('data-dir', 'write', `${flag}: ${reasonOf(error)}`, {}, error);
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

function reasonOf(error: unknown): string {
  if (hasCode(error, 'ENOENT')) return 'no such file or directory';
  return error instanceof Error ? error.message : String(error);
}
