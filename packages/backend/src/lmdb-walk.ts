/**
 * Reads the data file of a store page by page, without lmdb: it trusts what it reads, ends the process on some kinds of damage, and
 * could not say where in the file the damage is. Nothing is written, no lock file is touched. The layout is that of the lmdb this
 * package uses (data version 2 with 24-byte page headers), numbers as this machine writes them, little endian:
 *
 * | page | bytes | content |
 * |---|---|---|
 * | all | 0–7 | its own number |
 * | | 8–15 | the transaction that wrote it |
 * | | 18–19 | kind: 1 branch, 2 leaf, 4 overflow, 8 meta |
 * | branch, leaf | 20–21, 22–23 | where free space begins and ends, counted from byte 24 |
 * | | 24– | places of the nodes, 2 bytes each, in the order of their keys, counted from byte 24 |
 * | overflow | 20–23 | how many pages it has; the value begins at byte 24 of the first |
 *
 * | node | bytes | content |
 * |---|---|---|
 * | | 0–3 | leaf: size of the value; branch: low part of the child's page number |
 * | | 4–5 | leaf: flags, 1 for a value in overflow pages; branch: high part of the number |
 * | | 6–7 | size of the key |
 * | | 8– | key, then the value, or the number (8 bytes) and count (at 16, 8 bytes) of overflow pages |
 */
import { type DiskFile, type Key, keyFromBytes } from '@quorate/base';
import { type LmdbMeta, readLmdbMeta, type TreeMeta } from './lmdb-meta.ts';
import { PageReader } from './page-reader.ts';

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
  onRow(row: WalkedRow): void;
  /** Damage. What hangs below a damaged page is passed over. */
  onProblem(offset: number, reason: string): void;
}

const headerBytes = 24;
const nodeBytes = 8;
const PageKind = { branch: 1, leaf: 2, overflow: 4 } as const;
const bigData = 1;
/** No tree is deeper: a page holds two keys at least. */
const depthMax = 32;

/** Walks every row of the store in `file`. Rejects only when the disk does. */
export async function walkLmdbFile(file: DiskFile, sink: WalkSink): Promise<void> {
  const meta = await readLmdbMeta(file, sink);
  if (meta === undefined) return;
  const size = await file.size();
  const needed = (meta.lastPage + 1) * meta.pageSize;
  const walk = new Walk(new PageReader(file, meta.pageSize), meta, sink);
  await walk.tree(meta.free, 'free pages', undefined);
  await walk.tree(meta.main, 'rows', (row) => sink.onRow(row));
  // lmdb never writes pages that are free, so a file may end before them, but not before one that is used.
  if (size < needed && walk.highestPage * meta.pageSize >= size) {
    sink.onProblem(size, `the file is cut off: its last page in use is ${walk.highestPage}`);
  }
}

/** Keys of a subtree: [from, to). */
interface Span {
  readonly from: Buffer | undefined;
  readonly to: Buffer | undefined;
}

interface Counts {
  branches: number;
  leaves: number;
  overflows: number;
  entries: number;
}

type OnRow = ((row: WalkedRow) => void) | undefined;

class Walk {
  readonly #pages: PageReader;
  readonly #meta: LmdbMeta;
  readonly #sink: WalkSink;
  /** One byte for each page that was seen in use. */
  readonly #used: Uint8Array;
  #counts: Counts = { branches: 0, leaves: 0, overflows: 0, entries: 0 };
  #problems = 0;
  /** Keys of the free tree are numbers of this machine, which sort otherwise. */
  #comparesKeys = true;
  highestPage = 0;

  constructor(pages: PageReader, meta: LmdbMeta, sink: WalkSink) {
    this.#pages = pages;
    this.#meta = meta;
    this.#sink = sink;
    this.#used = new Uint8Array(meta.lastPage + 1);
  }

  /** Walks one tree and holds what it found against what its meta page says. */
  async tree(tree: TreeMeta, name: string, onRow: OnRow): Promise<void> {
    this.#counts = { branches: 0, leaves: 0, overflows: 0, entries: 0 };
    this.#problems = 0;
    this.#comparesKeys = onRow !== undefined;
    if (tree.root !== undefined) {
      await this.#visit(tree.root, this.#meta.offset, tree.depth, { from: undefined, to: undefined }, onRow);
    }
    // With a page passed over the counts cannot be right.
    if (this.#problems > 0) return;
    for (const field of ['branches', 'leaves', 'overflows', 'entries'] as const) {
      const [found, expected] = [this.#counts[field], tree[field]];
      if (found !== expected) {
        this.#problem(this.#meta.offset, `the tree of ${name} has ${found} ${field}, its meta page says ${expected}`);
      }
    }
  }

  /** `from`: where in the file this page was named. `level`: 1 for a leaf. */
  async #visit(page: number, from: number, level: number, span: Span, onRow: OnRow): Promise<void> {
    if (level < 1 || level > depthMax) return this.#problem(from, 'a tree is not as deep as its meta page says');
    const bytes = await this.#take(page, from, level === 1 ? PageKind.leaf : PageKind.branch);
    if (bytes === undefined) return;
    const nodes = this.#nodes(bytes, page, level, span);
    if (nodes === undefined) return;
    if (level === 1) {
      this.#counts.leaves++;
      for (const node of nodes) await this.#leaf(bytes, page, node, onRow);
      return;
    }
    this.#counts.branches++;
    const base = page * this.#meta.pageSize;
    for (const [i, node] of nodes.entries()) {
      const child = bytes.readUIntLE(node.at, 6);
      const low = i === 0 ? span.from : node.key;
      const high = nodes[i + 1]?.key ?? span.to;
      await this.#visit(child, base + node.at, level - 1, { from: low, to: high }, onRow);
    }
  }

  /** The page, if it can be one of this kind and is used once. */
  async #take(page: number, from: number, kind: number): Promise<Buffer | undefined> {
    if (page < 2 || page > this.#meta.lastPage) return this.#problem(from, `names page ${page}, which there is not`);
    const base = page * this.#meta.pageSize;
    if (this.#used[page] !== 0) return this.#problem(from, `names page ${page}, which is in use elsewhere`);
    this.#used[page] = 1;
    this.highestPage = Math.max(this.highestPage, page);
    const bytes = await this.#pages.page(page);
    if (bytes.length < this.#meta.pageSize) return this.#problem(base, 'the page is cut off');
    if (bytes.readUIntLE(0, 6) !== page || bytes.readUInt16LE(6) !== 0) {
      return this.#problem(base, 'the page does not bear its own number');
    }
    if (bytes.readBigUInt64LE(8) > this.#meta.transaction)
      return this.#problem(base, 'the page is of a later transaction');
    const found = bytes.readUInt16LE(18);
    return found === kind ? bytes : this.#problem(base, `a page of kind ${found} where one of kind ${kind} belongs`);
  }

  /** The nodes of a page with their keys, copied; undefined when they contradict each other. */
  #nodes(bytes: Buffer, page: number, level: number, span: Span): Node[] | undefined {
    const base = page * this.#meta.pageSize;
    const room = this.#meta.pageSize - headerBytes;
    const lower = bytes.readUInt16LE(20);
    const upper = bytes.readUInt16LE(22);
    if (lower % 2 !== 0 || lower > upper || upper > room || (level > 1 && lower < 4)) {
      return this.#problem(base, 'the bounds of free space in a page contradict each other');
    }
    const nodes: Node[] = [];
    let before = span.from;
    for (let i = 0; i < lower / 2; i++) {
      const place = bytes.readUInt16LE(headerBytes + 2 * i);
      const at = headerBytes + place;
      const keyBytes = place < upper || place + nodeBytes > room ? -1 : bytes.readUInt16LE(at + 6);
      if (keyBytes < 0 || place + nodeBytes + keyBytes > room) {
        return this.#problem(base + headerBytes + 2 * i, 'a node does not lie in its page');
      }
      const key = Buffer.from(bytes.subarray(at + nodeBytes, at + nodeBytes + keyBytes));
      // The first key of a branch is empty: everything below the second one is there.
      const isFirst = level > 1 && i === 0;
      if (!isFirst && !this.#isInOrder(key, before, i > (level > 1 ? 1 : 0), span)) {
        return this.#problem(base + at, `a key is out of order: ${key.toString('hex')}`);
      }
      if (!isFirst) before = key;
      nodes.push({ at, key });
    }
    return nodes;
  }

  /** Behind the one before (or at it, for the first of a page), and in the span of the page. */
  #isInOrder(key: Buffer, before: Buffer | undefined, isStrict: boolean, { to }: Span): boolean {
    if (!this.#comparesKeys) return true;
    const order = before === undefined ? 1 : Buffer.compare(key, before);
    return (isStrict ? order > 0 : order >= 0) && (to === undefined || Buffer.compare(key, to) < 0);
  }

  async #leaf(bytes: Buffer, page: number, { at, key }: Node, onRow: OnRow): Promise<void> {
    this.#counts.entries++;
    const offset = page * this.#meta.pageSize + at;
    const valueBytes = bytes.readUInt32LE(at);
    const flags = bytes.readUInt16LE(at + 4);
    const valueAt = at + nodeBytes + key.length;
    if (flags === bigData) {
      await this.#overflow(bytes, valueAt, { offset, key, valueBytes }, onRow);
      return;
    }
    if (flags !== 0 || valueAt + valueBytes > this.#meta.pageSize) {
      return this.#problem(offset, `a value does not lie in its page: key ${key.toString('hex')}`);
    }
    const value = Buffer.from(bytes.subarray(valueAt, valueAt + valueBytes));
    onRow?.({ bucketId: key[0] ?? 0, key: keyFromBytes(key.subarray(1)), value, offset });
  }

  async #overflow(
    bytes: Buffer,
    at: number,
    row: { readonly offset: number; readonly key: Buffer; readonly valueBytes: number },
    onRow: OnRow,
  ): Promise<void> {
    const { offset, key, valueBytes } = row;
    const { pageSize, lastPage } = this.#meta;
    const isWhole = at + 24 <= pageSize;
    const first = isWhole ? bytes.readUIntLE(at, 6) : 0;
    const count = isWhole ? bytes.readUIntLE(at + 16, 6) : 0;
    const needed = Math.ceil((headerBytes + valueBytes) / pageSize);
    if (count < needed || first + count - 1 > lastPage) {
      return this.#problem(offset, `a large value does not lie in its pages: key ${key.toString('hex')}`);
    }
    const head = await this.#take(first, offset, PageKind.overflow);
    if (head === undefined) return;
    if (head.readUInt32LE(20) !== count)
      return this.#problem(first * pageSize, 'a large value has other pages than its key says');
    for (let page = first + 1; page < first + count; page++) {
      if (this.#used[page] !== 0) return this.#problem(offset, `names page ${page}, which is in use elsewhere`);
      this.#used[page] = 1;
    }
    this.highestPage = Math.max(this.highestPage, first + count - 1);
    this.#counts.overflows += count;
    const value = await this.#pages.read(first * pageSize + headerBytes, valueBytes);
    if (value.length < valueBytes) return this.#problem(first * pageSize, 'a large value is cut off');
    onRow?.({ bucketId: key[0] ?? 0, key: keyFromBytes(key.subarray(1)), value, offset });
  }

  #problem(offset: number, reason: string): undefined {
    this.#problems++;
    this.#sink.onProblem(offset, reason);
    return undefined;
  }
}

interface Node {
  /** In the page. */
  readonly at: number;
  readonly key: Buffer;
}
