/**
 * Keeps the log short. Entries may go once the store holds their effect durably; some are kept behind that point for followers
 * that are a little late, bounded by number and by bytes. What remains in memory and in the WAL is the same range.
 */
import { type CrashPoints, invariant, type Logger } from '@quorate/base';
import { ConfState } from '@quorate/proto';
import type { MemoryStorage } from '@quorate/raft';
import type { Wal } from '@quorate/wal';
import type { MemberConfig } from './config.ts';
import type { StateMachine } from './state-machine.ts';

export interface LogCompactorOptions {
  readonly config: Pick<MemberConfig, 'snapshotCount' | 'snapshotCatchUpEntries' | 'logWindowBytesMax'>;
  readonly crash: CrashPoints;
  readonly logger: Logger;
  readonly wal: Wal;
  readonly storage: MemoryStorage;
  readonly onFatal: (error: unknown) => void;
}

export class LogCompactor {
  readonly #options: LogCompactorOptions;
  #lastCompacted: number;
  /** Since the last time, at least: what a start finds counts from the beginning, and again where it is applied again. */
  #bytesApplied: number;
  #running = false;

  constructor(options: LogCompactorOptions) {
    this.#options = options;
    this.#lastCompacted = options.storage.firstIndex() - 1;
    this.#bytesApplied = bytesHeld(options.storage);
  }

  /** Entries with this many bytes of data were applied. */
  applied(bytes: number): void {
    this.#bytesApplied += bytes;
  }

  /** Compacts when enough was applied since the last time. Cheap when there is nothing to do. */
  maybeCompact(state: StateMachine): void {
    const { config, onFatal } = this.#options;
    if (this.#running) return;
    const grown = state.applyLoop.appliedIndex - this.#lastCompacted;
    const due = grown >= config.snapshotCount + config.snapshotCatchUpEntries;
    if (!due && this.#bytesApplied < config.logWindowBytesMax / 2) return;
    this.#running = true;
    this.#bytesApplied = 0;
    this.#compact(state)
      .catch(onFatal)
      .finally(() => {
        this.#running = false;
      });
  }

  /** The log starts after `index` from now on, because a snapshot is being installed there. */
  restartsAt(index: number): void {
    this.#lastCompacted = index;
    this.#bytesApplied = 0;
  }

  async #compact(state: StateMachine): Promise<void> {
    const { storage, wal, crash, logger } = this.#options;
    const durable = await state.commits.commitDurably();
    const index = this.#lastToDrop(durable);
    if (index <= this.#lastCompacted || index < storage.firstIndex()) return;
    const term = storage.term(index);
    invariant(term !== undefined, 'the log ends before what is durable', { index });
    const confState = state.applyLoop.confState;
    // The mark first: until it is on disk, a restart still needs every segment from the former mark on.
    wal.append(undefined, [], { index, term, confState: ConfState.encode(confState) });
    await wal.sync();
    if (index <= this.#lastCompacted) return;
    crash.hit('snapshotBeforeRelease');
    storage.createSnapshot(index, confState, Buffer.alloc(0));
    storage.compact(index);
    this.#lastCompacted = index;
    await wal.release(index);
    logger.debug('compacted the log', { index });
  }

  /** Last index that may go: durable, with the catch-up entries kept as far as their bytes allow. */
  #lastToDrop(durable: number): number {
    const { config, storage } = this.#options;
    const from = Math.max(durable - config.snapshotCatchUpEntries + 1, storage.firstIndex());
    if (from > durable) return durable;
    const kept = storage.entries(from, durable + 1, Number.POSITIVE_INFINITY);
    let bytes = 0;
    for (let i = kept.length - 1; i >= 0; i--) {
      bytes += kept[i]!.data.length;
      if (bytes > config.logWindowBytesMax / 2) return kept[i]!.index;
    }
    return from - 1;
  }
}

/** Bytes of data of all entries: without those that a start finds, starts that follow each other soon would let the log grow. */
function bytesHeld(storage: MemoryStorage): number {
  const [first, last] = [storage.firstIndex(), storage.lastIndex()];
  if (first > last) return 0;
  return storage.entries(first, last + 1, Number.POSITIVE_INFINITY).reduce((sum, { data }) => sum + data.length, 0);
}
