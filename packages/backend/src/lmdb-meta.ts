/**
 * The two meta pages of a data file, read without lmdb. A commit writes the older of the two; the one of the later transaction
 * counts.
 *
 * | at | bytes | content |
 * |---|---|---|
 * | 0 | 8 | number of the page, 0 or 1 |
 * | 18 | 2 | page flags, 8 for a meta page |
 * | 24 | 4 | 0xbeefc0de |
 * | 28 | 4 | version of the format, 2 |
 * | 48 | 48 | the tree of free pages; its first 4 bytes are the size of a page |
 * | 96 | 48 | the tree of rows |
 * | 144 | 8 | last page used |
 * | 152 | 8 | transaction |
 *
 * One of the two is of the transaction before the other's, and what never changes is the same in both. A tree: its flags at 4 and its depth at 6 (2 bytes each), then from 8 on branch, leaf and overflow pages, entries, root (8 bytes each).
 */
import type { ReadableFile } from './page-reader.ts';

/** What a meta page says of a tree. */
export interface TreeMeta {
  readonly depth: number;
  readonly branches: number;
  readonly leaves: number;
  readonly overflows: number;
  readonly entries: number;
  /** Undefined for an empty tree. */
  readonly root: number | undefined;
}

/** What the newer meta page says. */
export interface LmdbMeta {
  /** Of the meta page in the file. */
  readonly offset: number;
  readonly pageSize: number;
  /** Of the trees; they stay as they were when the file was made. */
  readonly flags: readonly [free: number, main: number];
  readonly free: TreeMeta;
  readonly main: TreeMeta;
  readonly lastPage: number;
  readonly transaction: bigint;
}

/** Bytes of a meta page that say something. */
export const metaBytes = 160;
const noPage = 0xffff_ffff_ffff_ffffn;
/** Far more pages than a disk has; what is above is no number of pages. */
const pagesMax = 2 ** 40;

/** Reads both, and tells of one that is damaged. Undefined when neither can be used, or nobody can tell which. */
export async function readLmdbMeta(
  file: ReadableFile,
  sink: { onProblem(offset: number, reason: string): void },
): Promise<LmdbMeta | undefined> {
  const first = parseMeta(await file.read(0, metaBytes), 0);
  // The size of a page is in both; every store here has the one that lmdb takes on this machine.
  const pageSize = first?.pageSize ?? 4096;
  const second = parseMeta(await file.read(pageSize, metaBytes), pageSize);
  if (first === undefined) sink.onProblem(0, 'not a data file of lmdb: the first meta page is damaged');
  if (second === undefined) sink.onProblem(pageSize, 'not a data file of lmdb: the second meta page is damaged');
  if (first !== undefined && second !== undefined) {
    const contradiction = contradictionOf(first, second);
    if (contradiction !== undefined) {
      sink.onProblem(0, contradiction);
      return undefined;
    }
  }
  const newest = first !== undefined && second !== undefined ? newerOf(first, second) : (first ?? second);
  if (newest !== undefined && newest.lastPage * newest.pageSize > (await file.size()) + gapBytesMax) {
    sink.onProblem(newest.offset, `the last page is ${newest.lastPage}, far beyond the end of the file`);
    return undefined;
  }
  return newest;
}

/** The one that counts. */
export function newerOf(first: LmdbMeta, second: LmdbMeta): LmdbMeta {
  return second.transaction > first.transaction ? second : first;
}

/** Why no two commits can have left both. */
function contradictionOf(first: LmdbMeta, second: LmdbMeta): string | undefined {
  const apart = second.transaction - first.transaction;
  if (apart !== 1n && apart !== -1n) {
    return `the meta pages are of the transactions ${first.transaction} and ${second.transaction}, which do not follow each other`;
  }
  const isAlike = first.pageSize === second.pageSize && first.flags.every((flags, i) => flags === second.flags[i]);
  return isAlike ? undefined : 'the meta pages contradict each other';
}

/** Free pages at the end need not be in the file; more than this is damage, and must not become memory. */
const gapBytesMax = 2 ** 34;

/** What the bytes at `offset` of a data file say; undefined when they are no meta page. */
export function parseMeta(bytes: Buffer, offset: number): LmdbMeta | undefined {
  const isMeta =
    bytes.length === metaBytes &&
    bytes.readBigUInt64LE(0) === (offset === 0 ? 0n : 1n) &&
    bytes.readUInt16LE(18) === 0x08 &&
    bytes.readUInt32LE(24) === 0xbeefc0de &&
    bytes.readUInt32LE(28) === 2;
  if (!isMeta) return undefined;
  const pageSize = bytes.readUInt32LE(48);
  const isPower = pageSize >= 256 && pageSize <= 0x10000 && (pageSize & (pageSize - 1)) === 0;
  const lastPage = Number(bytes.readBigUInt64LE(144));
  if (!isPower || lastPage > pagesMax || (offset > 0 && offset !== pageSize)) return undefined;
  return {
    offset,
    pageSize,
    flags: [bytes.readUInt16LE(52), bytes.readUInt16LE(100)],
    free: treeAt(bytes, 48),
    main: treeAt(bytes, 96),
    lastPage,
    transaction: bytes.readBigUInt64LE(152),
  };
}

function treeAt(bytes: Buffer, at: number): TreeMeta {
  const root = bytes.readBigUInt64LE(at + 40);
  const number = (offset: number): number => Number(bytes.readBigUInt64LE(at + offset));
  return {
    depth: bytes.readUInt16LE(at + 6),
    branches: number(8),
    leaves: number(16),
    overflows: number(24),
    entries: number(32),
    root: root === noPage ? undefined : Number(root),
  };
}
