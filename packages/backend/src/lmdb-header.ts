/**
 * A look at a data file before lmdb gets it. lmdb answers a file that is not its own, or not of its version, by crashing the process
 * instead of with an error (lmdb-js frees its bookkeeping twice), and reads beyond the end of a file that was cut off with a bus
 * error. So both are found here.
 *
 * The two meta pages, each at its page's begin (little endian, written by the machine itself):
 *
 * | offset | bytes | content |
 * |---|---|---|
 * | 18 | 2 | page flags, 0x08 for a meta page |
 * | 24 | 4 | 0xbeefc0de |
 * | 28 | 4 | format of lmdb's file, 2 |
 * | 48 | 4 | page size |
 * | 144 | 8 | last page used |
 * | 152 | 8 | transaction that wrote it |
 */
import { type FileHandle, open } from 'node:fs/promises';
import { CorruptionError } from '@quorate/base';

const metaBytes = 160;
const metaPageFlag = 0x08;
const magic = 0xbeefc0de;
const fileFormat = 2;

interface Meta {
  readonly pageSize: number;
  readonly lastPage: number;
  readonly transaction: bigint;
}

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

async function readMeta(file: FileHandle, path: string, position: number): Promise<Meta> {
  const bytes = Buffer.alloc(metaBytes);
  const { bytesRead } = await file.read(bytes, 0, metaBytes, position);
  const pageSize = bytes.readUInt32LE(48);
  const isMeta =
    bytesRead === metaBytes &&
    (bytes.readUInt16LE(18) & metaPageFlag) !== 0 &&
    bytes.readUInt32LE(24) === magic &&
    bytes.readUInt32LE(28) === fileFormat &&
    pageSize >= 256 &&
    pageSize <= 0x10000 &&
    (pageSize & (pageSize - 1)) === 0;
  if (!isMeta) throw new CorruptionError('backend', 'not a data file of lmdb', { path, position });
  return { pageSize, lastPage: Number(bytes.readBigUInt64LE(144)), transaction: bytes.readBigUInt64LE(152) };
}
