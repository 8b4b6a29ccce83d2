/**
 * Stores of lmdb in one directory. A store is one file, so that another can take its place in one rename; the lock file beside it
 * can be made anew whenever nobody has the store open.
 *
 * | file | content |
 * |---|---|
 * | `NAME` | the store |
 * | `NAME-lock` | lmdb's table of readers and its mutexes |
 * | `NAME.creating`, `NAME.creating-lock` | a store that is not whole yet; junk after a crash, removed at the next open |
 * | `NAME.defrag`, `NAME.defrag-lock` | a copy of the store, to take its place (defragmenter.ts); junk after a crash, too |
 */
import { join, resolve } from 'node:path';
import {
  type Clock,
  type CrashPoints,
  exponentialBuckets,
  type Histogram,
  type Logger,
  type Meter,
  noCrashPoints,
  StorageError,
} from '@quorate/base';
import type { Backend, BackendFactory, RowSight } from './backend.ts';
import type { Bucket } from './buckets.ts';
import { BufferedBackend } from './buffered-backend.ts';
import type { LmdbEngine } from './lmdb-backend.ts';
import { LmdbCopies } from './lmdb-copies.ts';
import { checkDataFile, prepareDataFile } from './lmdb-header.ts';
import { attempt, fileExists, makeDirectory, removeStore, renameStore, syncPath } from './store-files.ts';
import { ChangeSet } from './write-buffer.ts';

export interface LmdbFactoryOptions {
  /** Where the stores are; created with mode 0700 when absent. */
  readonly directory: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly meter: Meter;
  readonly crash: CrashPoints;
  /** Address space reserved for each store, in bytes. Default 16 GiB; a bigger store is mapped again, at a price. */
  readonly mapSizeBytes?: number;
  /** The store whose sizes the metrics tell. Default `db`. */
  readonly meteredName?: string;
}

const mapSizeBytesDefault = 16 * 1024 ** 3;
const creatingSuffix = '.creating';
const copySuffix = '.defrag';
const junkSuffixes = [creatingSuffix, copySuffix];

/** The row that names the format; before all buckets. */
const formatBucket: Bucket = { name: 'format', id: 0 };
const formatKey = 'format';
const format = 'quorate 1';

/** A factory of stores in `directory`. One factory per directory: it knows which stores are open. */
export function lmdbBackendFactory(options: LmdbFactoryOptions): BackendFactory {
  return new LmdbBackendFactory(options);
}

class LmdbBackendFactory implements BackendFactory {
  readonly #options: LmdbFactoryOptions;
  readonly #commitSeconds: Histogram;
  /** Names of stores that are open, or being opened. */
  readonly #open = new Set<string>();
  /** Names of stores whose pages were looked at, or made, by this factory. Whoever reads them goes on from there. */
  readonly #checked = new Set<string>();
  /** The metered store as it was opened last; its sizes stay readable when it is closed. */
  #metered: LmdbEngine | undefined;

  constructor(options: LmdbFactoryOptions) {
    this.#options = options;
    const { meter } = options;
    this.#commitSeconds = meter.histogram(
      {
        name: 'etcd_disk_backend_commit_duration_seconds',
        help: 'The latency distributions of commit called by backend.',
      },
      exponentialBuckets(0.001, 2, 14),
    );
    meter.observedGauge(
      {
        name: 'etcd_mvcc_db_total_size_in_bytes',
        help: 'Total size of the underlying database physically allocated in bytes.',
      },
      () => this.#metered?.sizeBytes() ?? 0,
    );
    meter.observedGauge(
      {
        name: 'etcd_mvcc_db_total_size_in_use_in_bytes',
        help: 'Total size of the underlying database logically in use in bytes.',
      },
      () => this.#metered?.sizeInUseBytes() ?? 0,
    );
    meter.observedGauge(
      {
        name: 'etcd_mvcc_db_open_read_transactions',
        help: 'Fixed views of the store that are open: backups, snapshots and hashes under way.',
      },
      () => this.#metered?.viewCount ?? 0,
    );
  }

  async open(name: string, sight?: RowSight): Promise<Backend> {
    const path = this.#path(name);
    this.#mustBeClosed(name);
    this.#open.add(name);
    try {
      return await this.#openAt(name, path, sight);
    } catch (error) {
      this.#open.delete(name);
      throw error;
    }
  }

  async exists(name: string): Promise<boolean> {
    return fileExists(this.#path(name));
  }

  async replace(from: string, to: string): Promise<void> {
    const fromPath = this.#path(from);
    const toPath = this.#path(to);
    this.#mustBeClosed(from);
    this.#mustBeClosed(to);
    await renameStore(fromPath, toPath);
    if (this.#checked.delete(from)) this.#checked.add(to);
    else this.#checked.delete(to);
  }

  async remove(name: string): Promise<void> {
    const path = this.#path(name);
    this.#mustBeClosed(name);
    this.#checked.delete(name);
    await removeStore(path);
    for (const suffix of junkSuffixes) await removeStore(path + suffix);
    await this.#syncDirectory();
  }

  async #openAt(name: string, path: string, sight: RowSight | undefined): Promise<Backend> {
    const { clock, logger, crash } = this.#options;
    await makeDirectory(resolve(this.#options.directory));
    await this.#removeJunk(path);
    if (await fileExists(path)) await this.#prepare(name, path, sight);
    else await this.#create(path);
    this.#checked.add(name);
    const engine = await this.#engine(path, crash);
    try {
      checkFormat(engine, path);
    } catch (error) {
      await engine.close();
      throw error;
    }
    // What a former process committed may still be on its way to the disk; from here on, what is there stays.
    await syncPath(path);
    const isMetered = name === (this.#options.meteredName ?? 'db');
    if (isMetered) this.#metered = engine;
    logger.info('opened backend', { path, sizeBytes: engine.sizeBytes(), sizeInUseBytes: engine.sizeInUseBytes() });
    const copies = new LmdbCopies({
      path,
      copyPath: path + copySuffix,
      crash,
      openEngine: (at, points) => this.#newEngine(at, points),
      onInstalled: (copy) => {
        if (isMetered) this.#metered = copy;
      },
    });
    return new BufferedBackend({
      engine,
      copies,
      clock,
      crash,
      commitSeconds: this.#commitSeconds,
      onClosed: () => this.#open.delete(name),
    });
  }

  /** Once it is in lmdb's hands, damage can end the process without a word. */
  async #prepare(name: string, path: string, sight: RowSight | undefined): Promise<void> {
    const { clock, logger } = this.#options;
    if (!this.#checked.has(name)) {
      const startedMs = clock.nowMs();
      await attempt('open', path, () => checkDataFile(path, sight));
      logger.debug('looked at all pages of a store', { path, tookMs: Math.round(clock.nowMs() - startedMs) });
    }
    await attempt('open', path, () => prepareDataFile(path));
  }

  /** Under another name until it is whole: an lmdb file cut off in its first pages could not be opened any more. */
  async #create(path: string): Promise<void> {
    const creating = path + creatingSuffix;
    const engine = await this.#newEngine(creating, noCrashPoints);
    await engine.close();
    await renameStore(creating, path);
  }

  /** An empty store. */
  async #newEngine(path: string, crash: CrashPoints): Promise<LmdbEngine> {
    const engine = await this.#engine(path, crash);
    const first = new ChangeSet();
    first.set(formatBucket, formatKey, Buffer.from(format, 'latin1'));
    await engine.write(first).durable;
    return engine;
  }

  /** Loads the native library at its first use: most packages need the contract only. */
  async #engine(path: string, crash: CrashPoints): Promise<LmdbEngine> {
    const lmdb = await import('./lmdb-backend.ts');
    return new lmdb.LmdbEngine({ path, crash, mapSizeBytes: this.#options.mapSizeBytes ?? mapSizeBytesDefault });
  }

  async #removeJunk(path: string): Promise<void> {
    for (const suffix of junkSuffixes) {
      const junk = path + suffix;
      if (await fileExists(junk)) this.#options.logger.warn('removing a store that is not whole', { path: junk });
      await removeStore(junk);
    }
  }

  #syncDirectory(): Promise<void> {
    return syncPath(this.#options.directory);
  }

  #path(name: string): string {
    if (!/^[a-z0-9][a-z0-9._-]*$/i.test(name))
      throw new StorageError('backend', 'open', 'not a name of a store', { name });
    return join(this.#options.directory, name);
  }

  #mustBeClosed(name: string): void {
    if (this.#open.has(name)) throw new StorageError('backend', 'lock', 'the store is open already', { name });
  }
}

function checkFormat(engine: LmdbEngine, path: string): void {
  const found = engine.get(formatBucket, formatKey)?.toString('latin1');
  if (found !== format) {
    throw new StorageError('backend', 'open', 'not a store of this program', { path, found, expected: format });
  }
}
