/**
 * The shape of the log without its data: where it begins and ends, and the term of every entry in between, kept as runs of equal
 * terms. The writer needs it for two questions that must not be guessed: does a snapshot mark continue this log or replace it, and
 * from which index on do later segments hold everything that is live.
 */
import { invariant } from '@quorate/base';

/** Entries of one term, from `first` on to the next run or the end. */
interface Run {
  readonly first: number;
  readonly term: number;
}

export class LogShape {
  #base: number;
  #last: number;
  #runs: Run[] = [];

  /** An empty log behind `base`: entries begin at base + 1. */
  constructor(base: number) {
    this.#base = base;
    this.#last = base;
  }

  /** Index of the newest entry, or of the snapshot mark when there is none behind it. */
  get lastIndex(): number {
    return this.#last;
  }

  /** Index of the newest snapshot mark; 0 before the first. */
  get base(): number {
    return this.#base;
  }

  /** Adds an entry; those at and behind its index are replaced. Entries at or before the mark are final. */
  append(index: number, term: number): void {
    invariant(index > this.#base, 'entry at or before the snapshot mark', { index, mark: this.#base });
    invariant(index <= this.#last + 1, 'gap in the appended entries', { index, last: this.#last });
    if (index <= this.#last) this.#runs = this.#runs.filter((run) => run.first < index);
    if (this.#runs.at(-1)?.term !== term) this.#runs.push({ first: index, term });
    this.#last = index;
  }

  /**
   * A snapshot mark: the log begins behind it now. Entries behind it stay when the mark fits the log, else they belong to another
   * history and are gone.
   */
  mark(index: number, term: number): void {
    invariant(index >= this.#base, 'snapshot mark before the former one', { index, former: this.#base });
    if (index === this.#base) return;
    if (this.#termAt(index) !== term) {
      this.#runs = [];
      this.#last = index;
    } else {
      const current = this.#runs.findLastIndex((run) => run.first <= index);
      this.#runs.splice(0, current);
    }
    this.#base = index;
  }

  #termAt(index: number): number | undefined {
    if (index > this.#last) return undefined;
    return this.#runs.findLast((run) => run.first <= index)?.term;
  }
}
