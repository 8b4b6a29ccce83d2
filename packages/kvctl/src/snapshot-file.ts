/**
 * The file that `snapshot save` writes. It has its name only when all of it is on the disk and fits its SHA-256; until then it is
 * `NAME.part`. Nothing that is there is ever overwritten.
 */
import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, link, lstat, open, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { SnapshotResponse } from '@quorate/proto';

const hashBytes = 32;
/** What a whole file is longer than a multiple of: this much, by its SHA-256. */
const alignment = 512;

/** What was saved. */
export interface SavedSnapshot {
  /** Of the stored schema, as the server said; empty for a server that does not say. */
  readonly version: string;
  readonly sizeBytes: number;
}

/** Writes what `fetch` yields to `path`. Rejects, with nothing left behind, when it cannot be written or is not whole. */
export async function saveSnapshot(path: string, fetch: () => AsyncIterable<SnapshotResponse>): Promise<SavedSnapshot> {
  if (await exists(path)) throw new Error(`${path} exists already, and is not overwritten`);
  const part = `${path}.part`;
  const file = await openPart(part);
  try {
    const saved = await receive(file, fetch());
    await file.sync();
    await file.close();
    // A link, because a rename would replace what came to be there meanwhile.
    await link(part, path);
    await unlink(part);
    await syncDirectory(dirname(path));
    return saved;
  } catch (error) {
    await file.close();
    await unlink(part);
    throw error;
  }
}

async function openPart(part: string): Promise<FileHandle> {
  try {
    return await open(part, 'wx', 0o600);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === 'EEXIST' ? 'another save is running, or one was ended; remove it when none runs' : message;
    throw new Error(`could not open ${part} (${reason})`, { cause: error });
  }
}

async function receive(file: FileHandle, responses: AsyncIterable<SnapshotResponse>): Promise<SavedSnapshot> {
  const hash = createHash('sha256');
  let last: Buffer = Buffer.alloc(0);
  let sizeBytes = 0;
  let version = '';
  for await (const response of responses) {
    hash.update(last);
    last = response.blob;
    version ||= response.version;
    await writeAll(file, last, sizeBytes);
    sizeBytes += last.length;
  }
  check(hash, last, sizeBytes);
  return { version, sizeBytes };
}

/** The last message is the checksum of all before. */
function check(hash: Hash, last: Buffer, sizeBytes: number): void {
  if (last.length !== hashBytes || sizeBytes % alignment !== hashBytes) {
    throw new Error(`sha256 checksum not found [bytes: ${sizeBytes}]`);
  }
  const actual = hash.digest();
  if (!actual.equals(last)) {
    throw new Error(`expected sha256 ${last.toString('hex')}, got ${actual.toString('hex')}: damaged on its way`);
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
