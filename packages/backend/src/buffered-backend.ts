/**
 * A Backend on an Engine: staged changes in front of committed rows, commits one after another. Calls of commit() that come while
 * one runs share the next one.
 *
 * After a failed commit nothing is written any more: what the store holds then is the state after the last good commit, and every
 * later commit is refused with the first error. The process is expected to end.
 */
import { type Clock, type CrashPoints, Deferred, FatalError, type Histogram, invariant, type Key } from '@quorate/base';
import type { Backend, BackendView, Commit, Row, RowRange } from './backend.ts';
import type { Bucket } from './buckets.ts';
import type { Engine } from './engine.ts';
import { WriteBuffer } from './write-buffer.ts';

/**
 * Longest key. lmdb takes 1978 bytes with pages of 4 KiB, one of which names the bucket. The keys of users are longer; they are
 * inside the rows of the key bucket, whose keys are revisions.
 */
export const keyLengthMax = 1977;

export interface BufferedBackendOptions {
  readonly engine: Engine;
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
  readonly #engine: Engine;
  readonly #buffer = new WriteBuffer();
  readonly #views = new Set<OwnedView>();
  /** A commit that the engine is writing. */
  #running = false;
  /** The commit that starts after the running one. */
  #next: PendingCommit | undefined;
  /** Durability of everything committed so far. */
  #allDurable: Promise<void> = Promise.resolve();
  #failure: unknown;
  #closing: Promise<void> | undefined;

  constructor(options: BufferedBackendOptions) {
    this.#options = options;
    this.#engine = options.engine;
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
    return this.#buffer.range(bucket, range, () => this.#engine.cursor(bucket, range));
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

  async openView(): Promise<BackendView> {
    await this.commit().done;
    this.#mustBeOpen();
    const view = new OwnedView(this.#engine.openView(), (closed) => this.#views.delete(closed));
    this.#views.add(view);
    return view;
  }

  close(): Promise<void> {
    this.#mustBeOpen();
    this.#closing = this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#commit().durable;
    for (const view of [...this.#views]) view.close();
    await this.#engine.close();
    this.#options.onClosed();
  }

  #commit(): Commit {
    if (this.#running) {
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
      const written = this.#engine.write(this.#buffer.take());
      this.#allDurable = written.durable;
      written.done.then(
        () => this.#done(commit),
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

  #done(commit: PendingCommit): void {
    this.#running = false;
    this.#buffer.settle();
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
    const next = this.#next;
    if (next === undefined || this.#running) return;
    this.#next = undefined;
    this.#start(next);
  }

  #mustBeOpen(): void {
    if (this.#closing !== undefined) throw new FatalError('the backend is closed');
  }
}

/** A view that its backend closes at the latest when it closes itself. */
class OwnedView implements BackendView {
  readonly #onClose: (view: OwnedView) => void;
  #view: BackendView | undefined;

  constructor(view: BackendView, onClose: (view: OwnedView) => void) {
    this.#view = view;
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
