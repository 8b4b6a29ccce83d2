/** Files and directories of stores: what is done to them is durable or fails with StorageError. */
import { type FileHandle, mkdir, open, rename, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StorageError, type StorageVerb } from '@quorate/base';

/** Of lmdb's lock file, behind the name of the store. */
const lockSuffix = '-lock';

/** Runs `action`; what it fails with becomes a StorageError. */
export async function attempt<T>(verb: StorageVerb, path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof StorageError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new StorageError('backend', verb, reason, { path }, error);
  }
}

/** Makes a directory, with its parents, durably. */
export async function makeDirectory(path: string): Promise<void> {
  const topmost = await attempt('open', path, () => mkdir(path, { recursive: true, mode: 0o700 }));
  if (topmost === undefined) return;
  for (let made = path; made.length >= topmost.length; made = dirname(made)) await syncPath(dirname(made));
}

/** Rejects with StorageError when that cannot be said. */
export async function fileExists(path: string): Promise<boolean> {
  return attempt('read', path, async () => {
    try {
      await stat(path);
      return true;
    } catch (error) {
      if (isAbsent(error)) return false;
      throw error;
    }
  });
}

/** With its lock file; fine when absent. */
export async function removeStore(path: string): Promise<void> {
  await removeFile(path);
  await removeFile(path + lockSuffix);
}

/**
 * Gives the store at `from` the name `to`, durably. Lock files do not move: a store must never meet the lock file of another, and
 * whoever has one open keeps it.
 */
export async function renameStore(from: string, to: string): Promise<void> {
  await removeFile(from + lockSuffix);
  await removeFile(to + lockSuffix);
  await attempt('rename', from, () => rename(from, to));
  await syncPath(dirname(to));
}

async function removeFile(path: string): Promise<void> {
  await attempt('remove', path, async () => {
    try {
      await unlink(path);
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
  });
}

/** Makes the content of a file, or the entries of a directory, durable. */
export async function syncPath(path: string): Promise<void> {
  await attempt('sync', path, async () => {
    const handle: FileHandle = await open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  });
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
