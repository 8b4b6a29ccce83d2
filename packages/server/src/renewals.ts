/**
 * Renewals on the member that leads, many at a time. All that arrive in one turn share one confirmation of a majority, and are
 * answered a slice in a turn, so that thousands under way do not hold the event loop. What cannot be answered at once (its lease is
 * ending, a checkpoint of it stands in the log, the leadership was lost) is handed back, to be asked for by itself.
 */
import type { Clock, LeaseId } from '@quorate/base';
import type { Lessor } from '@quorate/lease';
import type { KvError } from '@quorate/proto';
import type { ReadIndex } from './read-index.ts';

/** One renewal; exactly one of its methods is called, once, on a later turn. */
export interface Renewing {
  readonly id: LeaseId;
  /** Runs anew for so many seconds; 0 when there is no such lease. */
  renewed(ttl: number): void;
  failed(error: KvError): void;
  /** Cannot be told by looking: ask again, and wait for it. */
  undecided(): void;
}

export interface RenewalsOptions {
  readonly clock: Clock;
  readonly reads: Pick<ReadIndex, 'confirm'>;
  /** The leases, while this member counts their time. */
  readonly primary: () => Lessor | undefined;
  readonly electionMs: number;
}

/** Renewals answered in one turn: about half a millisecond. */
const renewalsPerTurn = 200;

/** What one confirmation covers; from `at` on it is not yet answered. */
interface Batch {
  readonly renewals: readonly Renewing[];
  readonly confirmedMs: number;
  at: number;
}

export class Renewals {
  readonly #options: RenewalsOptions;
  /** What no confirmation covers yet. Callers bound it: each stream has so many under way and no more. */
  #arriving: Renewing[] = [];
  readonly #confirmed: Batch[] = [];
  readonly #answerSoon = (): void => this.#answer();
  readonly #confirmSoon = (): void => this.#confirm();

  constructor(options: RenewalsOptions) {
    this.#options = options;
  }

  add(renewing: Renewing): void {
    if (this.#arriving.push(renewing) === 1) this.#options.clock.soon(this.#confirmSoon);
  }

  /** What arrived is closed before it is asked for: a confirmation says nothing for what came after it was asked. */
  #confirm(): void {
    const batch = this.#arriving;
    this.#arriving = [];
    this.#options.reads.confirm((error) => {
      if (error === undefined) this.#take(batch);
      else for (const renewing of batch) renewing.failed(error);
    });
  }

  #take(renewals: readonly Renewing[]): void {
    const { clock } = this.#options;
    this.#confirmed.push({ renewals, confirmedMs: clock.nowMs(), at: 0 });
    if (this.#confirmed.length === 1) clock.soon(this.#answerSoon);
  }

  #answer(): void {
    const { clock, electionMs, primary } = this.#options;
    const lessor = primary();
    const startedMs = clock.nowMs();
    let left = renewalsPerTurn;
    while (left > 0 && this.#confirmed[0] !== undefined) {
      const batch = this.#confirmed[0];
      const from = batch.at;
      batch.at = Math.min(from + left, batch.renewals.length);
      left -= batch.at - from;
      if (batch.at === batch.renewals.length) this.#confirmed.shift();
      // A process that stood still may have been deposed meanwhile: what it knew before counts no more.
      const isFresh = startedMs - batch.confirmedMs <= electionMs / 2;
      for (let at = from; at < batch.at; at++) {
        if (isFresh) answer(batch.renewals[at]!, lessor);
        else this.add(batch.renewals[at]!);
      }
    }
    if (this.#confirmed.length > 0) clock.soon(this.#answerSoon);
  }
}

function answer(renewing: Renewing, lessor: Lessor | undefined): void {
  const renewal = lessor?.renew(renewing.id);
  if (renewal?.is === 'renewed') renewing.renewed(renewal.ttl);
  else if (renewal?.is === 'unknown') renewing.renewed(0);
  else renewing.undecided();
}
