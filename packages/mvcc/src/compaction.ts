/**
 * Forgetting in the background. By the time a compaction is scheduled here its revision is the store's compact
 * revision and no reader looks below it any more, so versions and rows go slice by slice, with pauses, one compaction
 * after another.
 *
 * The marks in the meta bucket say how far things are: `scheduledCompactRev` is staged with the log entry that asked
 * for the compaction, `finishedCompactRev` behind the last removal. A crash in between leaves rows that should be
 * gone; the next start finds the marks different and resumes. Rows of a key go oldest first, so that whatever prefix
 * of the removals survives, a deleted key cannot come back.
 *
 * A hash of the history needs versions that a later compaction forgets. While one is computed, compactions beyond its
 * compact revision wait.
 */
import { type Backend, buckets } from '@quorate/backend';
import { type Clock, type CrashPoints, Deferred, invariant, type Logger, type Timer } from '@quorate/base';
import { KvError } from '@quorate/proto';
import { Fifo } from './fifo.ts';
import type { StoreMetrics } from './metrics.ts';
import { encodeMark } from './revision.ts';
import type { RowStore } from './row-store.ts';
import type { TreeIndex } from './tree-index.ts';
import type { Compaction, CompactionOptions } from './types.ts';

/** Keys of the marks in the meta bucket, named as etcd names them. */
export const compactionMarks = { scheduled: 'scheduledCompactRev', finished: 'finishedCompactRev' } as const;

/** What compaction works with. */
export interface CompactorParts {
  readonly backend: Backend;
  readonly index: TreeIndex;
  readonly rows: RowStore;
  readonly clock: Clock;
  readonly crash: CrashPoints;
  readonly logger: Logger;
  readonly metrics: StoreMetrics;
  readonly options: CompactionOptions;
  readonly onFatal: (error: unknown) => void;
}

interface Job {
  readonly revision: number;
  readonly done: Deferred<void>;
  startedMs: number;
  removed: number;
}

/** Runs compactions in order. */
export class Compactor {
  readonly #parts: CompactorParts;
  readonly #waiting = new Fifo<Job>();
  #running: Job | undefined;
  #pause: Timer | undefined;
  /** Compact revisions of the hashes under way. */
  readonly #holds: number[] = [];
  #stopped = false;

  constructor(parts: CompactorParts) {
    invariant(parts.options.batchLimit >= 1, 'compaction batch limit below 1');
    this.#parts = parts;
  }

  /** Queues the removal of what compaction to `revision` forgets. */
  schedule(revision: number): Compaction {
    const job = { revision, done: new Deferred<void>(), startedMs: 0, removed: 0 };
    this.#waiting.push(job);
    this.#maybeStart();
    return { done: job.done.promise };
  }

  /** Keeps compactions beyond `compactRevision` from starting until {@link release}. */
  hold(compactRevision: number): void {
    this.#holds.push(compactRevision);
  }

  release(compactRevision: number): void {
    this.#holds.splice(this.#holds.indexOf(compactRevision), 1);
    this.#maybeStart();
  }

  /** Leaves everything as it is, for the next start to go on with. */
  stop(): void {
    this.#stopped = true;
    this.#pause?.cancel();
    this.#running?.done.reject(new KvError('stopped'));
    for (let job = this.#waiting.shift(); job !== undefined; job = this.#waiting.shift()) {
      job.done.reject(new KvError('stopped'));
    }
  }

  #maybeStart(): void {
    const job = this.#waiting.peek();
    if (this.#stopped || this.#running !== undefined || job === undefined) return;
    if (this.#holds.some((compactRevision) => compactRevision < job.revision)) return;
    this.#waiting.shift();
    this.#running = job;
    job.startedMs = this.#parts.clock.nowMs();
    this.#parts.clock.soon(() => this.#slice(job));
  }

  #slice(job: Job): void {
    if (this.#stopped) return;
    try {
      this.#removeSome(job);
    } catch (error) {
      // A timer called us: there is nobody above to throw to.
      this.#fail(job, error);
    }
  }

  #removeSome(job: Job): void {
    const { index, rows, clock, crash, metrics, options } = this.#parts;
    const { versions } = index;
    const startedMs = clock.nowMs();
    const removed = index.collect(job.revision, options.batchLimit, (id) => {
      rows.remove(versions.main(id), versions.sub(id), versions.isTombstone(id));
    });
    job.removed += removed;
    metrics.compactedKeys.add(removed);
    metrics.compactionPauseMs.observe(clock.nowMs() - startedMs);
    if (removed < options.batchLimit) {
      this.#finish(job);
      return;
    }
    crash.hit('compactBetweenBatches');
    this.#pause = clock.after(options.sleepMs, () => this.#slice(job));
  }

  #finish(job: Job): void {
    const { backend, clock, crash, logger, metrics } = this.#parts;
    crash.hit('compactBeforeFinish');
    backend.put(buckets.meta, compactionMarks.finished, encodeMark(job.revision));
    crash.hit('compactAfterFinish');
    backend.commit().done.then(
      () => job.done.resolve(),
      (error: unknown) => this.#fail(job, error),
    );
    const durationMs = clock.nowMs() - job.startedMs;
    metrics.compactionTotalMs.observe(durationMs);
    metrics.compactionLast.set(Math.floor(clock.wallMs() / 1000));
    logger.info('finished compaction', { revision: job.revision, removed: job.removed, durationMs });
    this.#running = undefined;
    this.#maybeStart();
  }

  #fail(job: Job, error: unknown): void {
    this.#stopped = true;
    job.done.reject(error);
    this.#parts.onFatal(error);
  }
}
