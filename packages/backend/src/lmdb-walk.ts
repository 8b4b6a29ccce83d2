/**
 * Reads the data file of a store page by page, without lmdb: it trusts what it reads, ends the process on some kinds of damage, goes
 * round in circles on others, and could not say where in the file the damage is. Nothing is written, no lock file is touched. What is
 * looked at: the meta pages (lmdb-meta.ts), each page by itself (lmdb-page.ts), whether the keys below a branch are those it says,
 * whether each page is in use once, or free (lmdb-free-pages.ts), and whether there is as much of everything as the meta page says.
 * Where values are asked for, they are held against the checksum that rows get which bring none of their own (row-checksum.ts);
 * those of the key bucket are left to who made them.
 */
import { type Key, keyFromBytes } from '@quorate/base';
import type { Place, RowSight } from './backend.ts';
import { buckets } from './buckets.ts';
import { PageUse, takeFreePages } from './lmdb-free-pages.ts';
import { type LmdbMeta, readLmdbMeta, type TreeMeta } from './lmdb-meta.ts';
import {
  type CompareKeys,
  childAt,
  compareBytes,
  compareNumbers,
  findFault,
  headerBytes,
  isLarge,
  keyAt,
  largeValueBytes,
  nodeCount,
  nodePlace,
  PageKind,
  type Span,
} from './lmdb-page.ts';
import { PageReader, type ReadableFile } from './page-reader.ts';
import { valueIn } from './row-checksum.ts';

/** A row as it stands in the file. */
export interface WalkedRow {
  /** Which bucket; one that is not known to this program stays a number. */
  readonly bucketId: number;
  readonly key: Key;
  readonly value: Buffer;
  /** Where its node begins in the file. */
  readonly offset: number;
}

/** Told what the walk finds, rows in key order. */
export interface WalkSink {
  /** Told of each row. Without this and {@link sight} values are not read. */
  onRow?(row: WalkedRow): void;
  /** Sees the rows of the key bucket as they stand in the file, in place of {@link onRow}. */
  readonly sight?: RowSight | undefined;
  /** Damage. What hangs below a damaged page is passed over. */
  onProblem(offset: number, reason: string): void;
}

/** No tree is deeper: a page holds two keys at least. */
const depthMax = 32;

/** Walks every row of the store in `file`. Rejects only when the disk does. */
export async function walkLmdbFile(file: ReadableFile, sink: WalkSink): Promise<void> {
  const meta = await readLmdbMeta(file, sink);
  if (meta === undefined) return;
  const size = await file.size();
  const needed = (meta.lastPage + 1) * meta.pageSize;
  const use = new PageUse(meta.lastPage + 1);
  const walk = new Walk(new PageReader(file, meta.pageSize), meta, use, sink);
  await walk.tree(meta.main, {
    name: 'rows',
    compare: compareBytes,
    onNode: tellerOf(sink),
  });
  await walk.tree(meta.free, {
    name: 'free pages',
    compare: compareNumbers,
    onNode: ({ offset, value }) => {
      const reason = takeFreePages(bytesOf(value), use);
      if (reason !== undefined) sink.onProblem(offset, reason);
    },
  });
  // lmdb never writes pages that are free, so a file may end before them, but not before one that is used.
  if (size < needed && use.highest * meta.pageSize >= size) {
    sink.onProblem(size, `the file is cut off: its last page in use is ${use.highest}`);
  }
}

/** A key and its value. */
interface LeafNode {
  /** In the file. */
  readonly offset: number;
  readonly key: Place;
  readonly value: Place;
}

interface TreeKind {
  readonly name: string;
  readonly compare: CompareKeys;
  /** Undefined when nobody needs the values. */
  readonly onNode: ((node: LeafNode) => void) | undefined;
}

/** Who is told of the nodes of rows. */
function tellerOf(sink: WalkSink): TreeKind['onNode'] {
  const { sight } = sink;
  if (sight === undefined) return sink.onRow === undefined ? undefined : (node) => tellRow(node, sink);
  return ({ key: { bytes, at, end }, value }) => {
    if (bytes[at] === buckets.key.id) sight.row({ bytes, at: at + 1, end }, value);
  };
}

/** A row whose value is not what was stored is a problem, and no row. */
function tellRow({ offset, key: place, value: stored }: LeafNode, sink: WalkSink): void {
  const bytes = bytesOf(place);
  const bucketId = bytes[0]!;
  const key = keyFromBytes(bytes.subarray(1));
  const value = valueIn(bucketId, key, Buffer.from(bytesOf(stored)));
  if (value === undefined) {
    sink.onProblem(offset, `a row does not match its checksum: key ${bytes.toString('hex')}`);
    return;
  }
  sink.onRow?.({ bucketId, key, value, offset });
}

/** Where a page was named, and what it must be. */
interface Visit {
  readonly page: number;
  /** In the file. */
  readonly from: number;
  /** 1 for a leaf. */
  readonly level: number;
  readonly span: Span;
}

class Walk {
  readonly #pages: PageReader;
  readonly #meta: LmdbMeta;
  readonly #use: PageUse;
  readonly #sink: WalkSink;
  #counts = { branches: 0, leaves: 0, overflows: 0, entries: 0 };
  #problems = 0;

  constructor(pages: PageReader, meta: LmdbMeta, use: PageUse, sink: WalkSink) {
    this.#pages = pages;
    this.#meta = meta;
    this.#use = use;
    this.#sink = sink;
  }

  /** Walks one tree and holds what it found against what its meta page says. */
  async tree(tree: TreeMeta, kind: TreeKind): Promise<void> {
    this.#counts = { branches: 0, leaves: 0, overflows: 0, entries: 0 };
    this.#problems = 0;
    const from = this.#meta.offset;
    if (tree.root !== undefined) {
      await this.#visit({ page: tree.root, from, level: tree.depth, span: { from: undefined, to: undefined } }, kind);
    }
    // With a page passed over the counts cannot be right.
    if (this.#problems > 0) return;
    for (const field of ['branches', 'leaves', 'overflows', 'entries'] as const) {
      const [found, expected] = [this.#counts[field], tree[field]];
      if (found !== expected) {
        this.#problem(from, `the tree of ${kind.name} has ${found} ${field}, its meta page says ${expected}`);
      }
    }
  }

  async #visit({ page, from, level, span }: Visit, kind: TreeKind): Promise<void> {
    if (level < 1 || level > depthMax) return this.#problem(from, 'a tree is not as deep as its meta page says');
    const isLeaf = level === 1;
    const bytes = await this.#take(page, from, isLeaf ? PageKind.leaf : PageKind.branch);
    if (bytes === undefined) return;
    const base = page * this.#meta.pageSize;
    const fault = findFault(bytes, isLeaf, span, kind.compare);
    if (fault !== undefined) return this.#problem(base + fault.at, fault.reason);
    const count = nodeCount(bytes);
    if (isLeaf) {
      this.#counts.leaves++;
      this.#counts.entries += count;
      for (let i = 0; i < count; i++) {
        const node = nodePlace(bytes, i);
        if (isLarge(bytes, node)) await this.#large(bytes, node, base, kind);
        else if (kind.onNode !== undefined) kind.onNode(nodeOf(bytes, node, base));
      }
      return;
    }
    this.#counts.branches++;
    for (let i = 0; i < count; i++) {
      const node = nodePlace(bytes, i);
      const low = i === 0 ? span.from : keyAt(bytes, node);
      const high = i + 1 < count ? keyAt(bytes, nodePlace(bytes, i + 1)) : span.to;
      const child = { page: childAt(bytes, node), from: base + node, level: level - 1, span: { from: low, to: high } };
      await this.#visit(child, kind);
    }
  }

  /** The page, if it can be one of this kind and is used once. */
  async #take(page: number, from: number, kind: number): Promise<Buffer | undefined> {
    if (page < 2 || page > this.#meta.lastPage) return this.#problem(from, `names page ${page}, which there is not`);
    const base = page * this.#meta.pageSize;
    if (!this.#use.use(page)) return this.#problem(from, `names page ${page}, which is in use elsewhere`);
    const bytes = this.#pages.held(page) ?? (await this.#pages.page(page));
    if (bytes.length < this.#meta.pageSize) return this.#problem(base, 'the page is cut off');
    if (bytes.readUIntLE(0, 6) !== page || bytes.readUInt16LE(6) !== 0) {
      return this.#problem(base, 'the page does not bear its own number');
    }
    if (bytes.readBigUInt64LE(8) > this.#meta.transaction)
      return this.#problem(base, 'the page is of a later transaction');
    const found = bytes.readUInt16LE(18);
    return found === kind ? bytes : this.#problem(base, `a page of kind ${found} where one of kind ${kind} belongs`);
  }

  /** A node whose value lies in overflow pages. */
  async #large(bytes: Buffer, node: number, base: number, { onNode }: TreeKind): Promise<void> {
    const offset = base + node;
    const { pageSize, lastPage } = this.#meta;
    const key = keyAt(bytes, node);
    const valueBytes = bytes.readUInt32LE(node);
    const first = bytes.readUIntLE(key.end, 6);
    const count = bytes.readUIntLE(key.end + largeValueBytes - 8, 6);
    const needed = Math.ceil((headerBytes + valueBytes) / pageSize);
    if (count < needed || first + count - 1 > lastPage) {
      return this.#problem(
        offset,
        `a large value does not lie in its pages: key ${bytes.toString('hex', key.at, key.end)}`,
      );
    }
    const head = await this.#take(first, offset, PageKind.overflow);
    if (head === undefined) return;
    if (head.readUInt32LE(20) !== count)
      return this.#problem(first * pageSize, 'a large value has other pages than its key says');
    for (let page = first + 1; page < first + count; page++) {
      if (!this.#use.use(page)) return this.#problem(offset, `names page ${page}, which is in use elsewhere`);
    }
    this.#counts.overflows += count;
    if (onNode === undefined) return;
    const value = await this.#pages.read(first * pageSize + headerBytes, valueBytes);
    if (value.length < valueBytes) return this.#problem(first * pageSize, 'a large value is cut off');
    onNode({ offset, key, value: { bytes: value, at: 0, end: valueBytes } });
  }

  #problem(offset: number, reason: string): undefined {
    this.#problems++;
    this.#sink.onProblem(offset, reason);
    return undefined;
  }
}

/** A node with its value in the page. */
function nodeOf(bytes: Buffer, node: number, base: number): LeafNode {
  const key = keyAt(bytes, node);
  const at = key.end;
  return { offset: base + node, key, value: { bytes, at, end: at + bytes.readUInt32LE(node) } };
}

function bytesOf({ bytes, at, end }: Place): Buffer {
  return bytes.subarray(at, end);
}
