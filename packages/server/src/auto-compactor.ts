/**
 * Compaction by itself, on etcd's schedule (v3compactor), proposed by the leader alone. All members watch the revision, so that one
 * that comes to lead can go on.
 *
 *   periodic   notes the revision ten times in every period (in every hour, of longer ones); compacts first when a whole period has
 *              passed, then once a period (an hour), to the revision noted a period ago, or a look before that
 *   revision   compacts every five minutes, to the revision that leaves so many
 */
import type { Clock, Facts, Logger, Timer } from '@quorate/base';
import { CompactionRequest, type CompactionResponse, KvError } from '@quorate/proto';
import type { Reply } from '@quorate/rpc';
import type { AutoCompaction } from './config.ts';

export interface AutoCompactorOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly isLeader: () => boolean;
  /** Undefined while there is no state to ask. */
  readonly currentRevision: () => number | undefined;
  /** Proposes a compaction. */
  readonly compact: (request: CompactionRequest, reply: Reply<CompactionResponse>) => void;
}

const hourMs = 3_600_000;
/** Looks in a period, and tries after a failure. */
const looksPerPeriod = 10;
/** How often what is beyond the number of revisions to keep goes. */
const revisionModeMs = 300_000;

/** Starts to compact as `retention` says; returns what ends it. */
export function autoCompact(retention: AutoCompaction, options: AutoCompactorOptions): () => void {
  const schedule =
    retention.mode === 'periodic'
      ? new PeriodicCompaction(retention.periodMs, options)
      : new RevisionCompaction(retention.revisions, options);
  schedule.start();
  return () => schedule.stop();
}

/** What both kinds share: a look at every interval, and one compaction at a time. */
abstract class Schedule {
  protected readonly options: AutoCompactorOptions;
  readonly #intervalMs: number;
  #timer: Timer | undefined;
  #isProposing = false;

  constructor(intervalMs: number, options: AutoCompactorOptions) {
    this.#intervalMs = intervalMs;
    this.options = options;
  }

  start(): void {
    this.began();
    this.#arm();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  protected began(): void {}
  /** The revision to compact to now; undefined when it is not the time. */
  protected abstract due(): number | undefined;
  /** Looks although somebody else leads. */
  protected abstract passed(): void;
  protected abstract succeeded(revision: number): void;

  #arm(): void {
    this.#timer = this.options.clock.after(this.#intervalMs, () => {
      this.#arm();
      this.#look();
    });
  }

  #look(): void {
    if (!this.#isProposing && this.options.isLeader()) {
      const revision = this.due();
      if (revision !== undefined) this.#compact(revision);
    }
    this.passed();
  }

  #compact(revision: number): void {
    const { clock, logger, compact } = this.options;
    const startedMs = clock.nowMs();
    this.#isProposing = true;
    logger.info('starting automatic compaction', { revision });
    const done = (): void => {
      this.#isProposing = false;
      this.succeeded(revision);
      logger.info('completed automatic compaction', { revision, tookMs: Math.round(clock.nowMs() - startedMs) });
    };
    const fail = (error: unknown): void => {
      // Somebody else compacted that far already.
      if (error instanceof KvError && error.code === 'compacted') {
        done();
        return;
      }
      this.#isProposing = false;
      const facts: Facts = { revision, reason: String(error), retryMs: this.#intervalMs };
      logger.warn('automatic compaction failed', facts);
    };
    compact(CompactionRequest.create({ revision }), { ok: done, encoded: done, pieces: done, fail });
  }
}

class PeriodicCompaction extends Schedule {
  readonly #periodMs: number;
  /** Looks that a period has, and one. */
  readonly #kept: number;
  /** Revisions at the last looks, the oldest first: the one of a period ago, once a period has passed. */
  readonly #revisions: number[] = [];
  #lastRevision = 0;
  #lastSuccessMs: number;
  /** A whole period before the first, then as often as the period says, once an hour at the most. */
  #waitMs: number;

  constructor(periodMs: number, options: AutoCompactorOptions) {
    const intervalMs = Math.min(periodMs, hourMs) / looksPerPeriod;
    super(intervalMs, options);
    this.#periodMs = periodMs;
    this.#kept = Math.floor(periodMs / intervalMs) + 1;
    this.#lastSuccessMs = options.clock.nowMs();
    this.#waitMs = periodMs;
  }

  protected override began(): void {
    this.passed();
  }

  protected due(): number | undefined {
    const revision = this.#revisions[0];
    if (revision === undefined || revision === this.#lastRevision) return undefined;
    if (this.options.clock.nowMs() - this.#lastSuccessMs < this.#waitMs) return undefined;
    this.#waitMs = Math.min(this.#periodMs, hourMs);
    return revision;
  }

  protected passed(): void {
    const revision = this.options.currentRevision() ?? this.#revisions.at(-1);
    if (revision === undefined) return;
    this.#revisions.push(revision);
    if (this.#revisions.length > this.#kept) this.#revisions.shift();
  }

  protected succeeded(revision: number): void {
    this.#lastRevision = revision;
    this.#lastSuccessMs = this.options.clock.nowMs();
  }
}

class RevisionCompaction extends Schedule {
  readonly #kept: number;
  #lastRevision = 0;

  constructor(kept: number, options: AutoCompactorOptions) {
    super(revisionModeMs, options);
    this.#kept = kept;
  }

  protected due(): number | undefined {
    const revision = (this.options.currentRevision() ?? 0) - this.#kept;
    return revision <= 0 || revision === this.#lastRevision ? undefined : revision;
  }

  protected passed(): void {}

  protected succeeded(revision: number): void {
    this.#lastRevision = revision;
  }
}
