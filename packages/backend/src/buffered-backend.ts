/**
 * A Backend on an Engine: staged changes in front of committed rows, commits one after another. Calls of commit() that come while
 * one runs share the next one.
 *
 * After a failed commit nothing is written any more: what the store holds then is the state after the last good commit, and every
 * later commit is refused with the first error. The process is expected to end.
 */
import { type Clock, type CrashPoints, Deferred, FatalError, type Histogram, invariant, type Key } from '@quorate/base';
import type { Backend, BackendView, Commit, Defragmentation, Row, RowRange, RowVisit } from './backend.ts';
import type { Bucket } from './buckets.ts';
import { type Copies, Defragmenter } from './defragmenter.ts';
import type { Engine } from './engine.ts';
import { type RowCursor, takeRows, visitRows } from './row-cursor.ts';
import { type ChangeSet, WriteBuffer } from './write-buffer.ts';

/**
 * Longest key. lmdb takes 1978 bytes with pages of 4 KiB, one of which names the bucket. The keys of users are longer; they are
 * inside the rows of the key bucket, whose keys are revisions.
 */
export const keyLengthMax = 1977;

export interface BufferedBackendOptions {
  readonly engine: Engine;
  readonly copies: Copies;
  readonly clock: Clock;
  readonly crash: CrashPoints;
  /** etcd_disk_backend_commit_duration_seconds. */
  readonly commitSeconds: Histogram;
  /** Called once, when the backend is closed and its name is free again. */
  readonly onClosed: () => void;
}

class PendingCommit {
  readonly done = new Deferred<void>();
  readonly durable = new Deferred<void>();

  fail(error: unknown): void {
    this.done.reject(error);
    this.durable.reject(error);
  }

  promises(): Commit {
    return { done: this.done.promise, durable: this.durable.promise };
  }
}

export class BufferedBackend implements Backend {
  readonly #options: BufferedBackendOptions;
  /** Another after every defragmentation. */
  #engine: Engine;
  readonly #buffer = new WriteBuffer();
  readonly #views = new Set<OwnedView>();
  readonly #defragmenter: Defragmenter;
  /** Former engines that views read still. */
  readonly #retired = new Set<RetiredEngine>();
  /** A commit that the engine is writing. */
  #running = false;
  /** Whether commits wait for the end of a defragmentation, and who is told that none is under way. */
  #held = false;
  #onIdle: (() => void) | undefined;
  /** The commit that starts after the running one. */
  #next: PendingCommit | undefined;
  /** Durability of everything committed so far. */
  #allDurable: Promise<void> = Promise.resolve();
  #failure: unknown;
  #closing: Promise<void> | undefined;

  constructor(options: BufferedBackendOptions) {
    this.#options = options;
    this.#engine = options.engine;
    this.#defragmenter = new Defragmenter({
      copies: options.copies,
      crash: options.crash,
      engine: () => this.#engine,
      holdCommits: () => this.#holdCommits(),
      releaseCommits: () => this.#releaseCommits(),
      swap: (copy, afterClose) => this.#swap(copy, afterClose),
      fail: (error) => {
        this.#failure ??= error;
      },
    });
  }

  get(bucket: Bucket, key: Key): Buffer | undefined {
    this.#mustBeOpen();
    const change = this.#buffer.get(bucket, key);
    if (change !== undefined) return change ?? undefined;
    return this.#engine.get(bucket, key);
  }

  range(bucket: Bucket, range: RowRange): Row[] {
    this.#mustBeOpen();
    if (isEmpty(range)) return [];
    return takeRows(this.#cursor(bucket, range, false), range.limit ?? Number.POSITIVE_INFINITY);
  }

  visit(bucket: Bucket, range: RowRange, visit: RowVisit): void {
    this.#mustBeOpen();
    if (isEmpty(range)) return;
    visitRows(this.#cursor(bucket, range, true), range.limit ?? Number.POSITIVE_INFINITY, visit);
  }

  #cursor(bucket: Bucket, range: RowRange, lends: boolean): RowCursor {
    return this.#buffer.cursor(bucket, range, () => this.#engine.cursor(bucket, range, lends));
  }

  put(bucket: Bucket, key: Key, value: Buffer): void {
    this.#mustBeOpen();
    mustFit(key);
    this.#buffer.put(bucket, key, value);
  }

  remove(bucket: Bucket, key: Key): void {
    this.#mustBeOpen();
    mustFit(key);
    this.#buffer.remove(bucket, key);
  }

  get stagedCount(): number {
    return this.#buffer.count;
  }

  get stagedBytes(): number {
    return this.#buffer.bytes;
  }

  commit(): Commit {
    this.#mustBeOpen();
    return this.#commit();
  }

  sizeBytes(): number {
    this.#mustBeOpen();
    return this.#engine.sizeBytes();
  }

  sizeInUseBytes(): number {
    this.#mustBeOpen();
    return this.#engine.sizeInUseBytes();
  }

  async defragment(clock: Clock): Promise<Defragmentation | undefined> {
    this.#mustBeOpen();
    return this.#defragmenter.run(clock);
  }

  async openView(): Promise<BackendView> {
    await this.commit().done;
    this.#mustBeOpen();
    const engine = this.#engine;
    const view = new OwnedView(engine.openView(), engine, (closed) => {
      this.#views.delete(closed);
      this.#closeUnread();
    });
    this.#views.add(view);
    return view;
  }

  close(): Promise<void> {
    this.#mustBeOpen();
    this.#closing = this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#defragmenter.cancel();
    await this.#commit().durable;
    for (const view of [...this.#views]) view.close();
    await Promise.all([...this.#retired].map(({ closed }) => closed.promise));
    await this.#engine.close();
    this.#options.onClosed();
  }

  #commit(): Commit {
    if (this.#running || this.#held) {
      this.#next ??= new PendingCommit();
      return this.#next.promises();
    }
    const commit = new PendingCommit();
    this.#start(commit);
    return commit.promises();
  }

  #start(commit: PendingCommit): void {
    if (this.#failure !== undefined) {
      commit.fail(this.#failure);
      return;
    }
    if (this.#buffer.count === 0) {
      commit.done.resolve();
      this.#allDurable.then(commit.durable.resolve, commit.durable.reject);
      return;
    }
    const { clock, crash, commitSeconds } = this.#options;
    const startedMs = clock.nowMs();
    try {
      crash.hit('backendBeforeCommit');
      this.#running = true;
      const changes = this.#buffer.take();
      const written = this.#engine.write(changes);
      this.#allDurable = written.durable;
      written.done.then(
        () => this.#done(commit, changes),
        (error: unknown) => this.#fail(commit, error),
      );
      written.durable.then(
        () => {
          commitSeconds.observe((clock.nowMs() - startedMs) / 1000);
          commit.durable.resolve();
        },
        (error: unknown) => {
          this.#failure ??= error;
          commit.durable.reject(error);
        },
      );
    } catch (error) {
      this.#fail(commit, error);
    }
  }

  #done(commit: PendingCommit, changes: ChangeSet): void {
    this.#running = false;
    this.#buffer.settle();
    this.#defragmenter.committed(changes);
    commit.done.resolve();
    this.#startNext();
  }

  #fail(commit: PendingCommit, error: unknown): void {
    this.#failure ??= error;
    this.#running = false;
    commit.fail(error);
    this.#startNext();
  }

  #startNext(): void {
    if (this.#running) return;
    this.#onIdle?.();
    const next = this.#next;
    if (next === undefined || this.#held) return;
    this.#next = undefined;
    this.#start(next);
  }

  async #holdCommits(): Promise<void> {
    this.#held = true;
    if (this.#running) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
      this.#onIdle = undefined;
    }
    // Where commits become durable later than they are done, the copy must not be durable before them.
    await this.#allDurable;
  }

  #releaseCommits(): void {
    this.#held = false;
    this.#startNext();
  }

  #swap(copy: Engine, afterClose: () => Promise<void>): void {
    this.#retired.add(new RetiredEngine(this.#engine, afterClose));
    this.#engine = copy;
    this.#closeUnread();
  }

  /** Closes former engines that no view reads any more. */
  #closeUnread(): void {
    for (const retired of this.#retired) {
      if (retired.isClosing || [...this.#views].some((view) => view.engine === retired.engine)) continue;
      retired.close().then(
        () => this.#retired.delete(retired),
        (error: unknown) => {
          this.#failure ??= error;
        },
      );
    }
  }

  #mustBeOpen(): void {
    if (this.#closing !== undefined) throw new FatalError('the backend is closed');
  }
}

/** An engine whose copy took its place. */
class RetiredEngine {
  readonly engine: Engine;
  readonly closed = new Deferred<void>();
  isClosing = false;
  readonly #afterClose: () => Promise<void>;

  constructor(engine: Engine, afterClose: () => Promise<void>) {
    this.engine = engine;
    this.#afterClose = afterClose;
  }

  close(): Promise<void> {
    this.isClosing = true;
    this.engine.close().then(this.#afterClose).then(this.closed.resolve, this.closed.reject);
    return this.closed.promise;
  }
}

/** A view that its backend closes at the latest when it closes itself. */
class OwnedView implements BackendView {
  /** What it reads. */
  readonly engine: Engine;
  readonly #onClose: (view: OwnedView) => void;
  #view: BackendView | undefined;

  constructor(view: BackendView, engine: Engine, onClose: (view: OwnedView) => void) {
    this.#view = view;
    this.engine = engine;
    this.#onClose = onClose;
  }

  range(bucket: Bucket, range: RowRange): Row[] {
    if (this.#view === undefined) throw new FatalError('the view is closed');
    return isEmpty(range) ? [] : this.#view.range(bucket, range);
  }

  close(): void {
    this.#view?.close();
    this.#view = undefined;
    this.#onClose(this);
  }
}

/** Ranges that hold no key: the stores need not know about them. */
function isEmpty({ from, to, limit }: RowRange): boolean {
  return (to !== undefined && to <= from) || (limit !== undefined && limit <= 0);
}

function mustFit(key: Key): void {
  invariant(key.length <= keyLengthMax, 'a key is too long for the store', { length: key.length });
}
