/**
 * What the core reads back of what it handed out: the durable log, hard state and snapshot, behind the Storage interface; and
 * MemoryStorage, which keeps the recent log in memory for it. Whoever owns the disk appends to MemoryStorage after (never before)
 * the same entries are durable, and before it acknowledges them to the core.
 */
import { invariant } from '@quorate/base';
import type { ConfState, Entry, HardState, Snapshot } from '@quorate/proto';
import { emptyBytes, limitSize } from './types.ts';

/** The durable part of the log, as the core sees it. Everything is synchronous: the recent log lives in memory. */
export interface Storage {
  /** Where to start from: hard state, and the configuration as of the applied index the core is started with. */
  initialState(): { readonly hardState: HardState; readonly confState: ConfState };
  /** Entries [lo, hi), cut to `maxBytes` but never to nothing. The range must lie within the log. The result is the caller's. */
  entries(lo: number, hi: number, maxBytes: number): Entry[];
  /** Term of the entry at `index`, or of the last one compacted away; undefined outside of these. */
  term(index: number): number | undefined;
  /** First index that entries() can return. */
  firstIndex(): number;
  /** Last index; firstIndex() - 1 when the log is empty. */
  lastIndex(): number;
  /** The newest snapshot; undefined when it cannot be had just now: the core asks again later. */
  snapshot(): Snapshot | undefined;
}

/** No voters, no learners. */
export function emptyConfState(): ConfState {
  return { voters: [], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
}

/** A snapshot of nothing, at index 0. */
export function emptySnapshot(): Snapshot {
  return { data: emptyBytes, metadata: { confState: emptyConfState(), index: 0, term: 0 } };
}

/** Index of a snapshot; 0 when it is absent or empty. */
export function snapshotIndex(snapshot: Snapshot | undefined): number {
  return snapshot?.metadata?.index ?? 0;
}

/** The recent log in memory, compacted by its owner. */
export class MemoryStorage implements Storage {
  #hardState: HardState = { term: 0, vote: 0n, commit: 0 };
  #confState: ConfState | undefined;
  #snapshot: Snapshot = emptySnapshot();
  /** Index and term of the last entry compacted away; (0, 0) at the very beginning. */
  #compactedIndex = 0;
  #compactedTerm = 0;
  #entries: Entry[] = [];

  initialState(): { readonly hardState: HardState; readonly confState: ConfState } {
    const confState = this.#confState ?? this.#snapshot.metadata?.confState ?? emptyConfState();
    return { hardState: this.#hardState, confState };
  }

  entries(lo: number, hi: number, maxBytes: number): Entry[] {
    const first = this.firstIndex();
    invariant(lo >= first, 'entries before the first index', { lo, first });
    invariant(hi <= this.lastIndex() + 1, 'entries beyond the last index', { hi, last: this.lastIndex() });
    const from = lo - first;
    return this.#entries.slice(from, limitSize(this.#entries, { lo: from, hi: hi - first }, maxBytes));
  }

  term(index: number): number | undefined {
    if (index === this.#compactedIndex) return this.#compactedTerm;
    return this.#entries[index - this.#compactedIndex - 1]?.term;
  }

  firstIndex(): number {
    return this.#compactedIndex + 1;
  }

  lastIndex(): number {
    return this.#compactedIndex + this.#entries.length;
  }

  snapshot(): Snapshot {
    return this.#snapshot;
  }

  setHardState(hardState: HardState): void {
    this.#hardState = hardState;
  }

  /**
   * The configuration to start from, when the state was applied beyond the snapshot: it then comes with that state. Without this
   * call it is the snapshot's.
   */
  setConfState(confState: ConfState): void {
    this.#confState = confState;
  }

  /**
   * Adds entries that are durable, replacing what they overlap. What was compacted away in the meantime is skipped. A gap is a
   * programming error.
   */
  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    const last = this.lastIndex();
    invariant(first.index <= last + 1, 'gap in the appended log', { index: first.index, last });
    const skip = Math.max(0, this.firstIndex() - first.index);
    if (skip >= entries.length) return;
    const keep = entries[skip]!.index - this.firstIndex();
    if (keep < this.#entries.length) this.#entries.length = keep;
    for (let i = skip; i < entries.length; i++) this.#entries.push(entries[i]!);
  }

  /** Replaces the log by a snapshot received from the leader. False, and nothing changes, when it is not newer than ours. */
  applySnapshot(snapshot: Snapshot): boolean {
    const { metadata } = snapshot;
    invariant(metadata !== undefined, 'snapshot without metadata');
    if (metadata.index <= snapshotIndex(this.#snapshot)) return false;
    this.#snapshot = snapshot;
    this.#confState = undefined;
    this.#compactedIndex = metadata.index;
    this.#compactedTerm = metadata.term;
    this.#entries = [];
    return true;
  }

  /**
   * Makes the snapshot at `index` that later followers are sent. The log stays until compact(). False when there is one at or
   * after `index` already.
   */
  createSnapshot(index: number, confState: ConfState, data: Buffer): boolean {
    if (index <= snapshotIndex(this.#snapshot)) return false;
    const term = this.term(index);
    invariant(term !== undefined, 'snapshot outside the log', { index, last: this.lastIndex() });
    this.#snapshot = { data, metadata: { confState, index, term } };
    return true;
  }

  /** Drops the entries up to and including `index`. False when they are gone already. */
  compact(index: number): boolean {
    if (index <= this.#compactedIndex) return false;
    const term = this.term(index);
    invariant(term !== undefined, 'compaction beyond the last index', { index, last: this.lastIndex() });
    this.#entries.splice(0, index - this.#compactedIndex);
    this.#compactedIndex = index;
    this.#compactedTerm = term;
    return true;
  }
}
