/**
 * A look at a data file before lmdb gets it. lmdb trusts what it reads: a file that is not its own, or not of its version, ends the
 * process (lmdb-js frees its bookkeeping twice), one that was cut off is a bus error, and a damaged page is met as an abort, as a
 * circle without end, as rows that are missing without a word, or as a page given away twice. So every page in use is looked at
 * first (lmdb-walk.ts); from then on a reader meets damage that comes while the store is open, and no other.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { CorruptionError } from '@quorate/base';
import type { RowSight } from './backend.ts';
import { type LmdbMeta, metaBytes, newerOf, parseMeta } from './lmdb-meta.ts';
import { walkLmdbFile } from './lmdb-walk.ts';
import type { ReadableFile } from './page-reader.ts';

/** What is told of a file, at most. */
const problemsMax = 3;

/**
 * Looks at all pages of an existing data file, and changes nothing. Throws CorruptionError when they are not as lmdb left them.
 * Values in the pages are not looked at, but by `sight`.
 */
export async function checkDataFile(path: string, sight?: RowSight): Promise<void> {
  const file = await open(path, 'r');
  try {
    const problems: string[] = [];
    let count = 0;
    await walkLmdbFile(readable(file), {
      sight,
      onProblem: (offset, reason) => {
        if (count++ < problemsMax) problems.push(`${reason}, at offset ${offset}`);
      },
    });
    const [first, ...more] = problems;
    if (first !== undefined)
      throw new CorruptionError('backend', first, { path, problems: count, more: more.join('; ') });
    sight?.end();
  } finally {
    await file.close();
  }
}

/**
 * Makes an existing data file safe to be mapped. Throws CorruptionError when it is not of lmdb, with nothing changed. A file that
 * ends before the last page it uses is filled up with zeros: pages that were never written are never read.
 */
export async function prepareDataFile(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const first = await readMeta(file, path, 0);
    const second = await readMeta(file, path, first.pageSize);
    const newest = newerOf(first, second);
    const neededBytes = (newest.lastPage + 1) * newest.pageSize;
    if ((await file.stat()).size < neededBytes) await file.truncate(neededBytes);
  } finally {
    await file.close();
  }
}

async function readMeta(file: FileHandle, path: string, position: number): Promise<LmdbMeta> {
  const meta = parseMeta(await readable(file).read(position, metaBytes), position);
  if (meta === undefined) throw new CorruptionError('backend', 'not a data file of lmdb', { path, position });
  return meta;
}

function readable(file: FileHandle): ReadableFile {
  return {
    size: async () => (await file.stat()).size,
    read: async (position, length) => {
      const bytes = Buffer.allocUnsafe(length);
      const { bytesRead } = await file.read(bytes, 0, length, position);
      return bytes.subarray(0, bytesRead);
    },
  };
}
