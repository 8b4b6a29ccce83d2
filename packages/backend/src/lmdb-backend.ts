/**
 * The store on disk: one lmdb database in one file, opened so that a commit returns when it is on the disk. The only file that
 * knows lmdb.
 *
 * How lmdb is used, and why:
 *   - Plain synchronous commits (`overlappingSync` off): data pages are synced, then the meta page is written through. A crash at
 *     any moment leaves the state after the last commit or the one before it. Overlapping mode was measured to be no faster in
 *     batches, never resolves `flushed` after a failed sync, and syncs again while the process exits.
 *   - Writes go through lmdb's own thread: the event loop only describes the batch. The whole batch is one transaction.
 *   - Reads copy out of lmdb's shared buffer at once: lmdb reuses it at the next read, and its `byteLength` lies.
 *   - Rows that have no checksum of their own get one (row-checksum.ts).
 *   - Keys are latin1 strings behind one byte that names the bucket, so one transaction covers all buckets.
 *
 * After a rejected commit the process must end. `process.exit` is safe as far as this file is concerned (in plain mode nothing is
 * synced on the way out), but it waits for a write that hangs; SIGKILL or abort does not.
 */
import { CorruptionError, type CrashPoints, type Key, StorageError } from '@quorate/base';
import { open, type RootDatabase } from 'lmdb';
import type { BackendView, Commit, Row, RowRange } from './backend.ts';
import { type Bucket, buckets } from './buckets.ts';
import { keyLengthMax } from './buffered-backend.ts';
import type { Engine } from './engine.ts';
import { openValue, sealValue } from './row-checksum.ts';
import { type RowCursor, takeRows } from './row-cursor.ts';
import type { ChangeSet } from './write-buffer.ts';

export interface LmdbOptions {
  /** The data file; its lock file is beside it, with `-lock` appended. */
  readonly path: string;
  /** Address space reserved for the file. It grows beyond when it must, at the price of mapping it again. */
  readonly mapSizeBytes: number;
  readonly crash: CrashPoints;
}

/** In use besides the trees: the two meta pages. */
const metaPages = 2;

/** lmdb options that its type declarations miss. */
interface UntypedOptions {
  readonly permissionsMode: number;
  readonly batchStartThreshold: number;
}

/**
 * A value as lmdb hands it out: mostly the one buffer it reads into again and again, its `length` overwritten with the size of the
 * value; else a buffer for this value alone.
 */
interface SharedValue extends Buffer {
  readonly isGlobal?: boolean;
  /** Size of the whole buffer, when it is the shared one. */
  readonly maxLength?: number;
}

interface TreeStats {
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
}

interface LmdbStats extends TreeStats {
  /** Rows. */
  readonly entryCount: number;
  readonly pageSize: number;
  readonly lastPageNumber: number;
  /** The tree of free pages. */
  readonly free: TreeStats;
}

type Database = Omit<RootDatabase<Buffer, Key | Buffer>, 'getStats'> & { getStats(): LmdbStats };
type ReadTransaction = ReturnType<Database['useReadTransaction']>;

export class LmdbEngine implements Engine {
  readonly #database: Database;
  readonly #codec = new KeyCodec();
  readonly #values = new ValueReader();
  readonly #crash: CrashPoints;
  #sizeBytes = 0;
  #sizeInUseBytes = 0;
  #viewCount = 0;

  /** Opens or creates. Throws StorageError. */
  constructor(options: LmdbOptions) {
    this.#crash = options.crash;
    this.#database = openDatabase(options, this.#codec, this.#values);
    this.#measure();
  }

  get(bucket: Bucket, key: Key): Buffer | undefined {
    if (key.length > keyLengthMax) return undefined;
    this.#codec.bucketId = bucket.id;
    let stored: Buffer;
    try {
      const shared = this.#database.getBinaryFast(key);
      if (shared === undefined) return undefined;
      stored = this.#values.read(shared);
    } catch (error) {
      throw readError(error);
    }
    return openValue(bucket.id, key, stored);
  }

  cursor(bucket: Bucket, range: RowRange, lends = false): RowCursor {
    const cursor = new LmdbCursor(this.#database, bucket, range);
    return lends ? new LendingCursor(cursor, this.#values) : cursor;
  }

  write(changes: ChangeSet): Commit {
    const database = this.#database;
    const codec = this.#codec;
    const committed = database.batch(() => {
      for (const [bucketId, changed] of changes.perBucket()) {
        codec.bucketId = bucketId;
        changed.forEach((key, value) => {
          if (value === null) database.remove(key);
          else database.put(key, sealValue(bucketId, key, value));
        });
      }
    });
    // From here until the promise settles lmdb's thread is at work: what a crash leaves is the state before or after.
    this.#crash.hit('backendAfterCommitBeforeFlush');
    const durable = committed.then(() => {
      // The read transaction of this turn is older than the commit.
      database.resetReadTxn();
      this.#measure();
      this.#crash.hit('backendAfterFlush');
    }, failCommit);
    return { done: durable, durable };
  }

  sizeBytes(): number {
    return this.#sizeBytes;
  }

  sizeInUseBytes(): number {
    return this.#sizeInUseBytes;
  }

  rowCount(): number {
    return this.#database.getStats().entryCount;
  }

  /** Views that are open. */
  get viewCount(): number {
    return this.#viewCount;
  }

  openView(): BackendView {
    const view = new LmdbView(this.#database, () => this.#viewCount--);
    this.#viewCount++;
    return view;
  }

  async close(): Promise<void> {
    await this.#database.close();
  }

  #measure(): void {
    const stats = this.#database.getStats();
    this.#sizeBytes = (stats.lastPageNumber + 1) * stats.pageSize;
    this.#sizeInUseBytes = (pagesOf(stats) + pagesOf(stats.free) + metaPages) * stats.pageSize;
  }
}

function openDatabase(options: LmdbOptions, codec: KeyCodec, values: ValueReader): Database {
  const settings = {
    path: options.path,
    noSubdir: true,
    mapSize: options.mapSizeBytes,
    permissionsMode: 0o600,
    overlappingSync: false,
    noSync: false,
    noMetaSync: false,
    useWritemap: false,
    // Off: otherwise whatever was in the heap would be written to the disk with half-filled pages.
    noMemInit: false,
    compression: false,
    cache: false,
    encoding: 'binary',
    encoder: { encode: (value: Buffer) => value, decode: (shared: Buffer) => values.read(shared) },
    keyEncoder: codec,
    // On, a failed commit would also reject a promise that nobody can reach.
    eventTurnBatching: false,
    // A batch starts when all of it is described: once it runs, lmdb blocks the event loop beyond 300,000 waiting operations.
    batchStartThreshold: Number.MAX_SAFE_INTEGER,
  } as const satisfies Parameters<typeof open>[0] & UntypedOptions;
  try {
    return open<Buffer, Key | Buffer>(settings) as Database;
  } catch (error) {
    if (isDamage(error)) throw new CorruptionError('backend', messageOf(error), { path: options.path });
    throw new StorageError('backend', 'open', messageOf(error), { path: options.path }, error);
  }
}

/** lmdb hides the reason of a failed commit in a second promise. */
async function failCommit(error: unknown): Promise<never> {
  const hidden = (error as { commitError?: Promise<unknown> }).commitError;
  let cause = error;
  await hidden?.catch((reason: unknown) => {
    cause = reason;
  });
  throw new StorageError('backend', 'write', messageOf(cause), {}, cause);
}

/** Damage is told from everything else that lmdb says to a reader. */
function readError(error: unknown): StorageError {
  const message = messageOf(error);
  if (isDamage(error)) return new CorruptionError('backend', message, {});
  return new StorageError('backend', 'read', message, {}, error);
}

/**
 * Pages that contradict each other. A transaction that met such pages is bad from then on, and sometimes that is all that lmdb says.
 */
function isDamage(error: unknown): boolean {
  return /^MDB_(CORRUPTED|PAGE_NOTFOUND|CURSOR_FULL|PAGE_FULL|INVALID|VERSION_MISMATCH|BAD_VALSIZE|BAD_TXN|PANIC)/.test(
    messageOf(error),
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function pagesOf(tree: TreeStats): number {
  return tree.treeBranchPageCount + tree.treeLeafPageCount + tree.overflowPages;
}

/**
 * Keys on their way into and out of lmdb. A key as string belongs to the bucket set last; bounds of ranges come as bytes, bucket
 * included, because the end of one bucket is the begin of the next.
 */
class KeyCodec {
  bucketId = 0;

  // lmdb calls these two as methods of something else.
  readonly writeKey = (key: Key | Buffer, target: Buffer, start: number): number => {
    if (typeof key !== 'string') {
      target.set(key, start);
      return start + key.length;
    }
    target[start] = this.bucketId;
    const from = start + 1;
    if (key.length > copyLoopMax) return from + target.write(key, from, 'latin1');
    for (let i = 0; i < key.length; i++) target[from + i] = key.charCodeAt(i);
    return from + key.length;
  };

  readonly readKey = (source: Buffer, start: number, end: number): Key => source.toString('latin1', start + 1, end);
}

/** Copies values out of the buffer they share, or lends that. */
class ValueReader {
  /** Values are views of the shared buffer, which the next one is read into. */
  lends = false;
  #shared: SharedValue | undefined;
  /** The same memory, with an honest length. */
  #whole: Buffer = Buffer.alloc(0);

  read(value: SharedValue): Buffer {
    const sizeBytes = value.length;
    if (value !== this.#shared) {
      if (value.isGlobal !== true) return Buffer.from(value);
      this.#shared = value;
      this.#whole = Buffer.from(value.buffer, value.byteOffset, value.maxLength);
    }
    if (this.lends) return this.#whole.subarray(0, sizeBytes);
    const copy = Buffer.allocUnsafe(sizeBytes);
    this.#whole.copy(copy, 0, 0, sizeBytes);
    return copy;
  }
}

/** Keys up to this length are written character by character, which is faster than a call into the runtime. */
const copyLoopMax = 40;

/** A bound of a range as lmdb takes it. `beyond`: it stands for a longer key, just behind `bytes`. */
interface Bound {
  readonly bytes: Buffer;
  readonly beyond: boolean;
}

function boundAt(bucket: Bucket, key: Key): Bound {
  const beyond = key.length > keyLengthMax;
  const bytes = Buffer.allocUnsafe(1 + Math.min(key.length, keyLengthMax));
  bytes[0] = bucket.id;
  bytes.write(key, 1, 'latin1');
  return { bytes, beyond };
}

function boundAfter(bucket: Bucket): Bound {
  return { bytes: Buffer.of(bucket.id + 1), beyond: false };
}

class LmdbCursor implements RowCursor {
  readonly #rows: Iterator<Row>;
  readonly #bucketId: number;

  constructor(database: Database, bucket: Bucket, range: RowRange, transaction?: ReadTransaction) {
    this.#bucketId = bucket.id;
    const from = boundAt(bucket, range.from);
    const to = range.to === undefined ? boundAfter(bucket) : boundAt(bucket, range.to);
    const bounds =
      range.reverse === true
        ? { start: to.bytes, exclusiveStart: !to.beyond, end: from.bytes, inclusiveEnd: !from.beyond, reverse: true }
        : { start: from.bytes, exclusiveStart: from.beyond, end: to.bytes, inclusiveEnd: to.beyond };
    try {
      const rows = database.getRange(transaction === undefined ? bounds : { ...bounds, transaction });
      this.#rows = rows[Symbol.iterator]() as Iterator<Row>;
    } catch (error) {
      throw readError(error);
    }
  }

  next(): Row | undefined {
    const row = this.#nextStored();
    if (row === undefined || this.#bucketId === buckets.key.id) return row;
    return { key: row.key, value: openValue(this.#bucketId, row.key, row.value) };
  }

  #nextStored(): Row | undefined {
    try {
      const { done, value } = this.#rows.next();
      return done === true ? undefined : value;
    } catch (error) {
      throw readError(error);
    }
  }

  close(): void {
    this.#rows.return?.();
  }
}

/** A cursor whose values are good until the next row is asked for. */
class LendingCursor implements RowCursor {
  readonly #cursor: LmdbCursor;
  readonly #values: ValueReader;

  constructor(cursor: LmdbCursor, values: ValueReader) {
    this.#cursor = cursor;
    this.#values = values;
  }

  next(): Row | undefined {
    this.#values.lends = true;
    try {
      return this.#cursor.next();
    } finally {
      this.#values.lends = false;
    }
  }

  close(): void {
    this.#cursor.close();
  }
}

class LmdbView implements BackendView {
  readonly #database: Database;
  readonly #transaction: ReadTransaction;

  readonly #closed: () => void;

  constructor(database: Database, closed: () => void) {
    this.#database = database;
    this.#transaction = database.useReadTransaction();
    this.#closed = closed;
  }

  range(bucket: Bucket, range: RowRange): Row[] {
    const cursor = new LmdbCursor(this.#database, bucket, range, this.#transaction);
    return takeRows(cursor, range.limit ?? Number.POSITIVE_INFINITY);
  }

  close(): void {
    this.#transaction.done();
    this.#closed();
  }
}
