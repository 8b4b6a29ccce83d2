/**
 * Copies of an lmdb store beside it. The name of a store in use can be given to another file: lmdb goes on with the files it has
 * open, under no name, and their space comes back when nobody has them open any more.
 */
import { open, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type CrashPoints, invariant, StorageError } from '@quorate/base';
import { CopyCrashPoints } from './copy-crash-points.ts';
import type { Copies } from './defragmenter.ts';
import type { Engine } from './engine.ts';
import type { LmdbEngine } from './lmdb-backend.ts';
import { attempt, removeStore, renameStore } from './store-files.ts';

/** What must stay free besides the copy: other files grow meanwhile, the write-ahead log before all. */
const reserveBytes = 64 * 1024 * 1024;

export interface LmdbCopiesOptions {
  /** The live store. */
  readonly path: string;
  readonly copyPath: string;
  readonly crash: CrashPoints;
  /** Makes an empty store. */
  readonly openEngine: (path: string, crash: CrashPoints) => Promise<LmdbEngine>;
  readonly onInstalled: (copy: LmdbEngine) => void;
}

export class LmdbCopies implements Copies {
  readonly #options: LmdbCopiesOptions;
  #copy: { readonly engine: LmdbEngine; readonly points: CopyCrashPoints } | undefined;

  constructor(options: LmdbCopiesOptions) {
    this.#options = options;
  }

  async create(bytes: number): Promise<Engine> {
    const { path, copyPath, crash, openEngine } = this.#options;
    const { bavail, bsize } = await attempt('read', path, () => statfs(dirname(path)));
    const freeBytes = bavail * bsize;
    const neededBytes = bytes + reserveBytes;
    if (freeBytes < neededBytes) {
      throw new StorageError('backend', 'write', 'no room for a copy of the store', { path, freeBytes, neededBytes });
    }
    await removeStore(copyPath);
    const points = new CopyCrashPoints(crash);
    const engine = await openEngine(copyPath, points);
    this.#copy = { engine, points };
    return engine;
  }

  async install(copy: Engine): Promise<() => Promise<void>> {
    const { path, copyPath, onInstalled } = this.#options;
    const made = this.#copy;
    invariant(made !== undefined && made.engine === copy, 'not the copy that was made');
    this.#copy = undefined;
    // The last one to have the old file open gives its space back, which takes a while: the event loop must not be it.
    const old = await attempt('open', path, () => open(path, 'r'));
    await renameStore(copyPath, path);
    made.points.goLive();
    onInstalled(made.engine);
    return () => old.close();
  }

  async discard(copy: Engine): Promise<void> {
    this.#copy = undefined;
    await copy.close();
    await removeStore(this.#options.copyPath);
  }
}
