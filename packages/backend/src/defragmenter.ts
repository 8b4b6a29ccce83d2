/**
 * Gives back the space that a store does not need: copies it beside itself while it is read and written, and puts the copy in its
 * place. Commits wait for the last step only, and nobody waits for commits: the write-ahead log holds the truth, and what is staged
 * can be read.
 *
 *   1. a new store beside the live one                                 crash: junk, removed at the next start
 *   2. rows, and what is committed meanwhile, durably, batch by batch  crash: the same
 *   3. commits wait; the rest is copied; both hold as many rows        crash: the same
 *   4. the copy takes the name of the live one, durably                crash: old or new, which are equal
 *   5. reads and commits go to the copy; the old one closes when the last view of it does
 *
 * An error before step 4 costs the copy and nothing else (a full disk, say). From there on it is an error of the live store.
 */
import { type Clock, CorruptionError, type CrashPoints, StorageError } from '@quorate/base';
import type { Defragmentation } from './backend.ts';
import type { Engine } from './engine.ts';
import { StoreCopy } from './store-copy.ts';
import type { ChangeSet } from './write-buffer.ts';

/** The copy could not be made; the store is as before. */
export class DefragmentError extends Error {
  constructor(cause: StorageError) {
    super(cause.message, { cause });
    this.name = 'DefragmentError';
  }
}

/** Copies of a store beside it, as a kind of store makes them. */
export interface Copies {
  /** A new, empty one that needs room for `bytes`. Throws StorageError when there is no room. */
  create(bytes: number): Promise<Engine>;
  /**
   * Durably gives `copy` the name of the store, which stays open. Resolves with what to call once the store that lost its name is
   * closed, to give its space back.
   */
  install(copy: Engine): Promise<() => Promise<void>>;
  /** Closes and removes a copy that is not needed. */
  discard(copy: Engine): Promise<void>;
}

/** The backend whose store is copied. */
export interface DefragmentHost {
  readonly copies: Copies;
  readonly crash: CrashPoints;
  engine(): Engine;
  /** Lets no commit begin; resolves when none is under way. */
  holdCommits(): Promise<void>;
  releaseCommits(): void;
  /** From here on `copy` is the store; `afterClose` is called when the one before it is closed. */
  swap(copy: Engine, afterClose: () => Promise<void>): void;
  /** The store cannot be trusted any more. */
  fail(error: unknown): void;
}

export class Defragmenter {
  readonly #host: DefragmentHost;
  #running: Promise<Defragmentation | undefined> | undefined;
  #copying: StoreCopy | undefined;
  #cancelled = false;

  constructor(host: DefragmentHost) {
    this.#host = host;
  }

  /** Whoever calls while one runs shares it. Resolves undefined when cancelled. */
  run(clock: Clock): Promise<Defragmentation | undefined> {
    this.#running ??= this.#run(clock).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** The store committed `changes`. */
  committed(changes: ChangeSet): void {
    this.#copying?.committed(changes);
  }

  /** Gives the copy up, unless it is being put in place; resolves when nothing is under way. For good. */
  async cancel(): Promise<void> {
    this.#cancelled = true;
    this.#copying?.cancel();
    await this.#running?.catch(() => {});
  }

  async #run(clock: Clock): Promise<Defragmentation | undefined> {
    const { copies, crash, engine } = this.#host;
    if (this.#cancelled) return undefined;
    const source = engine();
    const sizeBytesBefore = source.sizeBytes();
    const copy = await copies.create(source.sizeInUseBytes()).catch(costCopyOnly);
    let isWhole = false;
    try {
      crash.hit('defragBeforeCopy');
      isWhole = await this.#copyTo(copy, source, clock).catch(costCopyOnly);
      if (isWhole) await this.#install(copy);
    } finally {
      this.#copying = undefined;
      if (!isWhole) await copies.discard(copy);
      this.#host.releaseCommits();
    }
    return isWhole ? { sizeBytesBefore, sizeBytes: copy.sizeBytes(), rows: copy.rowCount() } : undefined;
  }

  /** Resolves true when `copy` holds what `source` does and commits wait. */
  async #copyTo(copy: Engine, source: Engine, clock: Clock): Promise<boolean> {
    const { crash, holdCommits } = this.#host;
    const copying = new StoreCopy({ source, copy, clock });
    this.#copying = copying;
    if (this.#cancelled || !(await copying.follow())) return false;
    crash.hit('defragAfterCopy');
    await holdCommits();
    await copying.finish();
    const expected = source.rowCount();
    const found = copy.rowCount();
    if (found !== expected)
      throw new StorageError('backend', 'write', 'the copy differs from the store', { expected, found });
    return true;
  }

  async #install(copy: Engine): Promise<void> {
    const { copies, crash, swap, fail } = this.#host;
    try {
      crash.hit('defragBeforeRename');
      swap(copy, await copies.install(copy));
      crash.hit('defragAfterRename');
    } catch (error) {
      fail(error);
      throw error;
    }
  }
}

/** What failed was the copy, unless rows of the store could not be read. */
function costCopyOnly(error: unknown): never {
  if (error instanceof CorruptionError || !(error instanceof StorageError)) throw error;
  throw new DefragmentError(error);
}
