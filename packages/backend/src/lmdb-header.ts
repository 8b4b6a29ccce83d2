/**
 * A look at a data file before lmdb gets it. lmdb answers a file that is not its own, or not of its version, by crashing the process
 * instead of with an error (lmdb-js frees its bookkeeping twice), and reads beyond the end of a file that was cut off with a bus
 * error. So both are found here, in the meta pages (lmdb-meta.ts).
 */
import { type FileHandle, open } from 'node:fs/promises';
import { CorruptionError } from '@quorate/base';
import { type LmdbMeta, metaBytes, parseMeta } from './lmdb-meta.ts';

/**
 * Makes an existing data file safe to be opened. Throws CorruptionError when it is not of lmdb, with nothing changed. A file that
 * ends before the last page it uses is filled up with zeros: pages that were never written are never read, and a page that was
 * lost is then met as a page of the wrong kind, which is an error and not a crash.
 */
export async function prepareDataFile(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const first = await readMeta(file, path, 0);
    const second = await readMeta(file, path, first.pageSize);
    const newest = second.transaction > first.transaction ? second : first;
    const neededBytes = (newest.lastPage + 1) * newest.pageSize;
    if ((await file.stat()).size < neededBytes) await file.truncate(neededBytes);
  } finally {
    await file.close();
  }
}

async function readMeta(file: FileHandle, path: string, position: number): Promise<LmdbMeta> {
  const bytes = Buffer.alloc(metaBytes);
  const { bytesRead } = await file.read(bytes, 0, metaBytes, position);
  const meta = parseMeta(bytes.subarray(0, bytesRead), position);
  if (meta === undefined) throw new CorruptionError('backend', 'not a data file of lmdb', { path, position });
  return meta;
}
