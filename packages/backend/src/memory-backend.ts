/**
 * The store in memory, for simulations: the same contract, and a crash that leaves what lmdb may leave. What a factory stores
 * survives the processes that use it; what a process staged does not, and commits that were not durable yet are kept or lost as
 * the crash says, later ones first.
 *
 * Everything happens in an order that only depends on the calls and on `schedule`.
 */
import {
  type Clock,
  type CrashPoints,
  Deferred,
  type Histogram,
  type Key,
  noCrashPoints,
  StorageError,
  silentMeter,
} from '@quorate/base';
import type { Backend, BackendFactory, BackendView, Commit, Place, Row, RowRange, RowSight } from './backend.ts';
import { type Bucket, bucketIdMax, buckets } from './buckets.ts';
import { BufferedBackend } from './buffered-backend.ts';
import { CopyCrashPoints } from './copy-crash-points.ts';
import type { Copies } from './defragmenter.ts';
import type { Engine } from './engine.ts';
import { MapRowCursor, type RowCursor, takeRows, visitRows } from './row-cursor.ts';
import { SortedMap } from './sorted-map.ts';
import type { ChangeSet } from './write-buffer.ts';

/** A step of a commit that takes time: showing the batch to readers, or making it durable. */
export type CommitStep = 'commit' | 'flush';

type Schedule = (step: CommitStep, run: () => void) => void;

export interface MemoryProcessOptions {
  readonly crash?: CrashPoints;
  /** Calls `run` when the step is through. Default: a microtask later. */
  readonly schedule?: Schedule;
}

/** Name of a store's copy, behind its own. */
const copySuffix = '.defrag';

/** Pages of the size lmdb has, for sizes that move like its. */
const pageSizeBytes = 4096;
/** What a row costs besides its bytes. */
const rowOverheadBytes = 10;

/** All time is virtual and nobody measures it. */
const noClock: Clock = {
  nowMs: () => 0,
  wallMs: () => 0,
  after: () => ({ cancel: () => {} }),
  soon: () => {},
};

const noHistogram: Histogram = silentMeter.histogram({ name: '', help: '' }, []);

/** Stores that outlive processes. */
export class MemoryBackendFactory implements BackendFactory {
  readonly #stores = new Map<string, Store>();
  readonly #open = new Map<string, MemoryEngine>();
  readonly #defaultProcess: BackendFactory;

  /** `options` are those of the process that uses the factory itself, without {@link forProcess}. */
  constructor(options: MemoryProcessOptions = {}) {
    this.#defaultProcess = this.forProcess(options);
  }

  /** The factory as one process sees it: with its crash points and its time. */
  forProcess(options: MemoryProcessOptions): BackendFactory {
    return {
      open: async (name, sight) => this.#openStore(name, options, sight),
      exists: async (name) => this.#stores.has(name),
      replace: async (from, to) => this.#replace(from, to),
      remove: async (name) => this.#remove(name),
    };
  }

  open(name: string, sight?: RowSight): Promise<Backend> {
    return this.#defaultProcess.open(name, sight);
  }

  exists(name: string): Promise<boolean> {
    return this.#defaultProcess.exists(name);
  }

  replace(from: string, to: string): Promise<void> {
    return this.#defaultProcess.replace(from, to);
  }

  remove(name: string): Promise<void> {
    return this.#defaultProcess.remove(name);
  }

  /**
   * The process that has stores open is gone, and what it staged with it. Of the commits that were done but not durable the
   * oldest `keepUnflushed` are kept (true: all, as when only the process died; false or 0: none, the worst a loss of power does).
   * The backends that were open do nothing any more: their promises never settle.
   */
  crash({ keepUnflushed }: { readonly keepUnflushed: boolean | number }): void {
    const keep = keepUnflushed === true ? Number.POSITIVE_INFINITY : Number(keepUnflushed);
    for (const engine of this.#open.values()) engine.die();
    for (const store of this.#stores.values()) store.losePower(keep);
    this.#open.clear();
  }

  #openStore(name: string, options: MemoryProcessOptions, sight: RowSight | undefined): Backend {
    this.#mustBeClosed(name);
    this.#stores.delete(name + copySuffix);
    let store = this.#stores.get(name);
    if (store === undefined) {
      store = new Store();
      this.#stores.set(name, store);
    }
    const crash = options.crash ?? noCrashPoints;
    const schedule: Schedule = options.schedule ?? ((_step, run) => void Promise.resolve().then(run));
    const engine = new MemoryEngine(store, crash, schedule);
    this.#open.set(name, engine);
    if (sight !== undefined) showAll(engine, sight);
    const copies = new MemoryCopies({ stores: this.#stores, open: this.#open, name, engine, crash, schedule });
    return new BufferedBackend({
      engine,
      copies,
      clock: noClock,
      crash,
      commitSeconds: noHistogram,
      onClosed: () => {
        // A backend that outlived its process must not free the name for the one that has it now.
        if (this.#open.get(name) === copies.live) this.#open.delete(name);
      },
    });
  }

  #replace(from: string, to: string): void {
    this.#mustBeClosed(from);
    this.#mustBeClosed(to);
    const store = this.#stores.get(from);
    if (store === undefined) throw new StorageError('backend', 'rename', 'no such store', { from });
    this.#stores.set(to, store);
    this.#stores.delete(from);
  }

  #remove(name: string): void {
    this.#mustBeClosed(name);
    this.#stores.delete(name);
  }

  #mustBeClosed(name: string): void {
    if (this.#open.has(name)) throw new StorageError('backend', 'lock', 'the store is open already', { name });
  }
}

interface MemoryCopiesOptions {
  readonly stores: Map<string, Store>;
  readonly open: Map<string, MemoryEngine>;
  readonly name: string;
  readonly engine: MemoryEngine;
  readonly crash: CrashPoints;
  readonly schedule: Schedule;
}

/** Copies of one store, as the process makes them that has it open. A process that is gone changes nothing any more. */
class MemoryCopies implements Copies {
  readonly #options: MemoryCopiesOptions;
  readonly #copyName: string;
  #store: Store | undefined;
  #points: CopyCrashPoints | undefined;
  /** The engine that has the name of the store. */
  live: MemoryEngine;

  constructor(options: MemoryCopiesOptions) {
    this.#options = options;
    this.#copyName = options.name + copySuffix;
    this.live = options.engine;
  }

  async create(): Promise<Engine> {
    const { stores, open, crash, schedule } = this.#options;
    this.#store = new Store();
    this.#points = new CopyCrashPoints(crash);
    const copy = new MemoryEngine(this.#store, this.#points, schedule);
    if (open.get(this.#options.name) !== this.live) return copy;
    stores.set(this.#copyName, this.#store);
    open.set(this.#copyName, copy);
    return copy;
  }

  async install(copy: Engine): Promise<() => Promise<void>> {
    const { stores, open, name } = this.#options;
    const engine = open.get(this.#copyName);
    if (engine === undefined || engine !== copy || this.#store === undefined)
      throw new StorageError('backend', 'rename', 'no such store', { name });
    stores.set(name, this.#store);
    open.set(name, engine);
    this.#forget();
    this.live = engine;
    this.#points?.goLive();
    return () => Promise.resolve();
  }

  async discard(copy: Engine): Promise<void> {
    if (this.#options.open.get(this.#copyName) === copy) this.#forget();
  }

  #forget(): void {
    this.#options.stores.delete(this.#copyName);
    this.#options.open.delete(this.#copyName);
  }
}

type Rows = (SortedMap<Buffer> | undefined)[];

/** A commit that is not durable yet. */
interface Unflushed {
  /** Counts up. */
  readonly id: number;
  /** In the order of the changes. */
  readonly undo: readonly Undo[];
}

/** What a change replaced, to take it back. */
interface Undo {
  readonly bucketId: number;
  readonly key: Key;
  readonly value: Buffer | undefined;
}

/** Committed rows of one store. */
class Store {
  #rows: Rows = new Array(bucketIdMax + 1).fill(undefined);
  /** Views hold #rows: the next change is made to a copy. */
  #shared = false;
  #usedBytes = 0;
  #highestInUseBytes = 0;
  /** Oldest first. */
  #unflushed: Unflushed[] = [];
  #lastCommitId = 0;

  /** The rows as they are, for reading now. */
  rowsOf(bucketId: number): SortedMap<Buffer> | undefined {
    return this.#rows[bucketId];
  }

  /** The rows as they are, for keeping. */
  share(): Rows {
    this.#shared = true;
    return this.#rows;
  }

  /** Shows the changes; returns the id of the commit. */
  commit(changes: ChangeSet): number {
    const undo: Undo[] = [];
    this.#unshare();
    for (const [bucketId, changed] of changes.perBucket()) {
      changed.forEach((key, change) => {
        undo.push({ bucketId, key, value: this.#rows[bucketId]?.get(key) });
        this.#set(bucketId, key, change ?? undefined);
      });
    }
    this.#unflushed.push({ id: ++this.#lastCommitId, undo });
    this.#highestInUseBytes = Math.max(this.#highestInUseBytes, this.inUseBytes);
    return this.#lastCommitId;
  }

  /** The commit and all before it are durable. */
  flushThrough(id: number): void {
    this.#unflushed = this.#unflushed.filter((commit) => commit.id > id);
  }

  /** Everything committed is durable. */
  flushAll(): void {
    this.#unflushed = [];
  }

  losePower(keepCommits: number): void {
    const lost = this.#unflushed.slice(keepCommits);
    this.#unshare();
    for (const { undo } of lost.reverse()) {
      for (let i = undo.length - 1; i >= 0; i--) this.#set(undo[i]!.bucketId, undo[i]!.key, undo[i]!.value);
    }
    this.flushAll();
  }

  get rowCount(): number {
    return this.#rows.reduce((sum, rows) => sum + (rows?.size ?? 0), 0);
  }

  get inUseBytes(): number {
    return (2 + Math.ceil(this.#usedBytes / pageSizeBytes)) * pageSizeBytes;
  }

  get sizeBytes(): number {
    return Math.max(this.#highestInUseBytes, this.inUseBytes);
  }

  #set(bucketId: number, key: Key, value: Buffer | undefined): void {
    let rows = this.#rows[bucketId];
    if (rows === undefined) {
      rows = new SortedMap();
      this.#rows[bucketId] = rows;
    }
    const former = rows.get(key);
    if (former !== undefined) this.#usedBytes -= key.length + former.length + rowOverheadBytes;
    if (value === undefined) {
      rows.delete(key);
      return;
    }
    this.#usedBytes += key.length + value.length + rowOverheadBytes;
    rows.set(key, value);
  }

  #unshare(): void {
    if (!this.#shared) return;
    this.#rows = this.#rows.map((rows) => rows?.clone());
    this.#shared = false;
  }
}

/** A store as one process has it open. */
class MemoryEngine implements Engine {
  readonly #store: Store;
  readonly #crash: CrashPoints;
  readonly #schedule: Schedule;
  #alive = true;

  constructor(store: Store, crash: CrashPoints, schedule: Schedule) {
    this.#store = store;
    this.#crash = crash;
    this.#schedule = schedule;
    store.flushAll();
  }

  /** The process is gone. */
  die(): void {
    this.#alive = false;
  }

  get(bucket: Bucket, key: Key): Buffer | undefined {
    const value = this.#store.rowsOf(bucket.id)?.get(key);
    return value === undefined ? undefined : Buffer.from(value);
  }

  cursor(bucket: Bucket, range: RowRange): RowCursor {
    return cursorOver(this.#store.rowsOf(bucket.id), range);
  }

  write(changes: ChangeSet): Commit {
    const done = new Deferred<void>();
    const durable = new Deferred<void>();
    const committed = (): void => {
      const id = this.#store.commit(changes);
      this.#crash.hit('backendAfterCommitBeforeFlush');
      done.resolve();
      this.#step('flush', () => flushed(id), durable);
    };
    const flushed = (id: number): void => {
      this.#store.flushThrough(id);
      this.#crash.hit('backendAfterFlush');
      durable.resolve();
    };
    this.#step('commit', committed, done);
    return { done: done.promise, durable: durable.promise };
  }

  sizeBytes(): number {
    return this.#store.sizeBytes;
  }

  sizeInUseBytes(): number {
    return this.#store.inUseBytes;
  }

  rowCount(): number {
    return this.#store.rowCount;
  }

  openView(): BackendView {
    return new MemoryView(this.#store.share());
  }

  async close(): Promise<void> {}

  /** Runs `action` when its time has come, unless the process died before. A crash point inside may end the process. */
  #step(step: CommitStep, action: () => void, outcome: Deferred<void>): void {
    this.#schedule(step, () => {
      if (!this.#alive) return;
      try {
        action();
      } catch (error) {
        if (this.#alive) outcome.reject(error);
      }
    });
  }
}

class MemoryView implements BackendView {
  readonly #rows: Rows;

  constructor(rows: Rows) {
    this.#rows = rows;
  }

  range(bucket: Bucket, range: RowRange): Row[] {
    return takeRows(cursorOver(this.#rows[bucket.id], range), range.limit ?? Number.POSITIVE_INFINITY);
  }

  close(): void {}
}

function cursorOver(rows: SortedMap<Buffer> | undefined, range: RowRange): RowCursor {
  return rows === undefined ? noRows : new MapRowCursor(rows, range);
}

function showAll(engine: MemoryEngine, sight: RowSight): void {
  visitRows(engine.cursor(buckets.key, { from: '' }), Number.POSITIVE_INFINITY, (row) => {
    sight.row(placeOf(Buffer.from(row.key, 'latin1')), placeOf(row.value));
    return true;
  });
  sight.end();
}

function placeOf(bytes: Buffer): Place {
  return { bytes, at: 0, end: bytes.length };
}

const noRows: RowCursor = { next: () => undefined, close: () => {} };
