/**
 * The whole log: what storage has plus what is unstable, and three watermarks over it. `committed` is known to be on a quorum,
 * `applying` was handed out to be applied, `applied` was applied. Always applied <= applying <= committed <= lastIndex, and none of
 * them moves back. It also meters application: entries handed out and not applied are bounded in bytes.
 */
import { invariant, type Logger } from '@quorate/base';
import type { Entry, Snapshot } from '@quorate/proto';
import { LogUnstable } from './log-unstable.ts';
import type { Storage } from './storage.ts';
import { EntryType, entriesSizeBytes } from './types.ts';

/** What a follower offers a leader it disagrees with: the logs may agree at `index`; `term` is 0 when its term is not known. */
export interface ConflictHint {
  readonly index: number;
  readonly term: number;
}

export class RaftLog {
  readonly unstable: LogUnstable;
  readonly #storage: Storage;
  readonly #log: Logger;
  readonly #applyingBytesMax: number;
  #committed: number;
  #applying: number;
  #applied: number;
  #applyingBytes = 0;
  /** More is committed, but what is being applied already uses up the limit. */
  #applyingPaused = false;

  /** `applyingBytesMax`: bytes of entries handed out and not applied; one entry is always let through. */
  constructor(storage: Storage, log: Logger, applyingBytesMax: number) {
    this.#storage = storage;
    this.#log = log;
    this.#applyingBytesMax = applyingBytesMax;
    this.unstable = new LogUnstable(storage.lastIndex() + 1, log);
    this.#committed = storage.firstIndex() - 1;
    this.#applying = this.#committed;
    this.#applied = this.#committed;
  }

  /** Highest index known to be on a quorum. */
  get committed(): number {
    return this.#committed;
  }

  /** Highest index handed out to be applied. */
  get applying(): number {
    return this.#applying;
  }

  /** Highest index applied. */
  get applied(): number {
    return this.#applied;
  }

  /** Bytes handed out and not applied. */
  get applyingBytes(): number {
    return this.#applyingBytes;
  }

  firstIndex(): number {
    return this.unstable.firstIndex() ?? this.#storage.firstIndex();
  }

  lastIndex(): number {
    return this.unstable.lastIndex() ?? this.#storage.lastIndex();
  }

  lastTerm(): number {
    const index = this.lastIndex();
    const term = this.term(index);
    invariant(term !== undefined, 'the last entry has no term', { index });
    return term;
  }

  /** Term of the entry at `index`; undefined when it was compacted away or does not exist: never 0 for "don't know". */
  term(index: number): number | undefined {
    const term = this.unstable.term(index);
    if (term !== undefined) return term;
    // One before the first: the last entry compacted away still has a known term.
    if (index < this.firstIndex() - 1 || index > this.lastIndex()) return undefined;
    return this.#storage.term(index);
  }

  matchesTerm(index: number, term: number): boolean {
    return this.term(index) === term;
  }

  /** Whether a log that ends with this entry holds at least what ours does (Raft thesis 3.6.1). */
  isUpToDate(last: { readonly index: number; readonly term: number }): boolean {
    const ours = this.lastTerm();
    return last.term > ours || (last.term === ours && last.index >= this.lastIndex());
  }

  /** Adds entries behind the committed ones, cutting off what they overlap. */
  append(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    const first = entries[0]!.index;
    const last = entries[entries.length - 1]!.index;
    invariant(first > this.#committed, 'append before the commit index', { first, committed: this.#committed });
    invariant(last - first === entries.length - 1, 'entries are not contiguous', { first, last });
    this.unstable.truncateAndAppend(entries);
  }

  /**
   * A leader's append: `entries` follow the entry (prevIndex, prevTerm), `committed` is the leader's. Keeps what agrees, replaces
   * what does not. Returns the last index that now agrees with the leader; undefined when ours lacks the entry before.
   */
  maybeAppend(
    previous: { readonly index: number; readonly term: number },
    entries: readonly Entry[],
    committed: number,
  ): number | undefined {
    if (!this.matchesTerm(previous.index, previous.term)) return undefined;
    const last = previous.index + entries.length;
    const known = this.#countMatching(entries);
    if (known < entries.length) this.append(known === 0 ? entries : entries.slice(known));
    this.commitTo(Math.min(committed, last));
    return last;
  }

  /** Number of leading entries that are in our log already. */
  #countMatching(entries: readonly Entry[]): number {
    const last = this.lastIndex();
    let i = 0;
    while (i < entries.length && entries[i]!.index <= last && this.matchesTerm(entries[i]!.index, entries[i]!.term))
      i++;
    const differing = entries[i];
    if (differing !== undefined && differing.index <= last) {
      this.#log.info('found a conflicting entry', { index: differing.index, term: differing.term });
    }
    return i;
  }

  /** Highest index <= `from` whose term is at most `term`: where logs can agree at the earliest. Skips a term per round trip. */
  findConflictByTerm(from: number, term: number): ConflictHint {
    for (let index = from; index > 0; index--) {
      const ours = this.term(index);
      // Compacted away: unknown, so it may agree.
      if (ours === undefined) return { index, term: 0 };
      if (ours <= term) return { index, term: ours };
    }
    return { index: 0, term: 0 };
  }

  /** Commits `index` if it lies ahead and its entry is of `term`: a leader counts replicas of its own term only (thesis 3.6.2). */
  maybeCommit(index: number, term: number): boolean {
    if (index <= this.#committed || !this.matchesTerm(index, term)) return false;
    this.commitTo(index);
    return true;
  }

  /** Moves the commit index up. */
  commitTo(index: number): void {
    if (index <= this.#committed) return;
    // A follower that lost entries it had acknowledged ends here: its disk or its data directory is not what it was.
    invariant(index <= this.lastIndex(), 'commit beyond the last index', { index, last: this.lastIndex() });
    this.#committed = index;
  }

  /** Entries up to `index` were applied; `bytes` of them were handed out. */
  appliedTo(index: number, bytes: number): void {
    invariant(index <= this.#committed, 'applied beyond the commit index', { index, committed: this.#committed });
    invariant(index >= this.#applied, 'applied moved back', { index, applied: this.#applied });
    this.#applied = index;
    this.#applying = Math.max(this.#applying, index);
    // A snapshot overtakes entries handed out before it: then more is acknowledged than is counted.
    this.#applyingBytes = Math.max(0, this.#applyingBytes - bytes);
    this.#applyingPaused = this.#applyingBytes >= this.#applyingBytesMax;
  }

  /** Entries up to `index`, of `bytes` bytes, were handed out to be applied. */
  acceptApplying(index: number, bytes: number, allowUnstable: boolean): void {
    invariant(index <= this.#committed, 'applying beyond the commit index', { index, committed: this.#committed });
    this.#applying = index;
    this.#applyingBytes += bytes;
    // Stopping short of what may be applied means that the size limit cut the page.
    this.#applyingPaused = this.#applyingBytes >= this.#applyingBytesMax || index < this.#appliableTo(allowUnstable);
  }

  /** Whether committed entries can be handed out. `allowUnstable`: also those that are not known to be durable here. */
  hasNextCommitted(allowUnstable: boolean): boolean {
    // A pending snapshot replaces the state: entries behind it wait until it is in place.
    if (this.#applyingPaused || this.unstable.snapshot !== undefined) return false;
    return this.#applying < this.#appliableTo(allowUnstable);
  }

  /** Committed entries to hand out next, within the limit of bytes being applied. */
  nextCommitted(allowUnstable: boolean): Entry[] {
    if (!this.hasNextCommitted(allowUnstable)) return [];
    const budget = this.#applyingBytesMax - this.#applyingBytes;
    return this.slice(this.#applying + 1, this.#appliableTo(allowUnstable) + 1, budget);
  }

  #appliableTo(allowUnstable: boolean): number {
    return allowUnstable ? this.#committed : Math.min(this.#committed, this.unstable.offset - 1);
  }

  /** Whether a snapshot waits to be written or is being written. */
  hasPendingSnapshot(): boolean {
    return this.unstable.snapshot !== undefined;
  }

  /** Entries up to here need not be applied any more: they were, or a snapshot that is being put in place includes them. */
  overtakenTo(): number {
    return Math.max(this.#applied, this.unstable.snapshot?.metadata?.index ?? 0);
  }

  /** Whether entries wait to be written or are being written. */
  hasPendingEntries(): boolean {
    return this.unstable.length > 0;
  }

  /** The newest snapshot; undefined when storage cannot give it just now. */
  snapshot(): Snapshot | undefined {
    return this.unstable.snapshot ?? this.#storage.snapshot();
  }

  /** Starts over from a snapshot that is ahead of the log. */
  restore(snapshot: Snapshot): void {
    const index = snapshot.metadata!.index;
    this.#log.info('starting to restore a snapshot', { index, committed: this.#committed, last: this.lastIndex() });
    invariant(index > this.#committed, 'snapshot behind the commit index', { index, committed: this.#committed });
    this.#committed = index;
    this.unstable.restore(snapshot);
  }

  /** Entries from `lo` to the end, cut to `maxBytes`. */
  entries(lo: number, maxBytes: number): Entry[] {
    return this.slice(lo, this.lastIndex() + 1, maxBytes);
  }

  /** Entries [lo, hi), cut to `maxBytes` but never to nothing. The range must lie within the log. */
  slice(lo: number, hi: number, maxBytes: number): Entry[] {
    if (lo >= hi) return [];
    invariant(lo >= this.firstIndex(), 'slice before the first index', { lo, first: this.firstIndex() });
    invariant(hi <= this.lastIndex() + 1, 'slice beyond the last index', { hi, last: this.lastIndex() });
    const { offset } = this.unstable;
    if (lo >= offset) return this.unstable.slice(lo, hi, maxBytes);
    const stable = this.#storage.entries(lo, Math.min(hi, offset), maxBytes);
    // Cut short by the limit, in storage or right at its end: what is unstable does not fit either.
    if (hi <= offset || stable.length < offset - lo) return stable;
    return this.#joinUnstable(stable, hi, maxBytes);
  }

  #joinUnstable(stable: Entry[], hi: number, maxBytes: number): Entry[] {
    const left = maxBytes - entriesSizeBytes(stable);
    const { offset } = this.unstable;
    if (left <= 0) return stable;
    const rest = this.unstable.slice(offset, hi, left);
    // slice() lets one entry through whatever its size; here it would break the limit.
    if (rest.length === 1 && entriesSizeBytes(rest) > left) return stable;
    return stable.concat(rest);
  }

  /** Whether a configuration change is committed and not applied. */
  hasUnappliedConfChange(): boolean {
    // What was compacted away was applied, though its acknowledgement may still be on the way.
    const lo = Math.max(this.#applied + 1, this.firstIndex());
    return this.#scan(lo, this.#committed + 1, (entry) => entry.type !== EntryType.ENTRY_NORMAL);
  }

  /**
   * A commit index that the log itself proves. A leader appends a configuration change only when it has applied all earlier ones,
   * so each in the log but the last is committed, even if the stored commit index, which need not be synced, says less. A member
   * that restarts without knowing could campaign in a configuration two steps old, whose quorums need not meet the present ones.
   */
  provenByConfChanges(): number {
    let last = 0;
    let proven = 0;
    this.#scan(this.#committed + 1, this.lastIndex() + 1, (entry) => {
      if (entry.type === EntryType.ENTRY_NORMAL) return false;
      proven = last;
      last = entry.index;
      return false;
    });
    return proven;
  }

  /** Whether `test` holds for an entry of [lo, hi). Reads pages of bounded size. */
  #scan(lo: number, hi: number, test: (entry: Entry) => boolean): boolean {
    for (let from = lo; from < hi; ) {
      const page = this.slice(from, hi, this.#applyingBytesMax);
      if (page.some(test)) return true;
      from += page.length;
    }
    return false;
  }
}
