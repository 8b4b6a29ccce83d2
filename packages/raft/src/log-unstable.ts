/**
 * The tail of the log that is not known to be on disk: entries from `offset` on, and at most one snapshot received from the
 * leader. A part of it may be in progress: handed out for writing, not acknowledged. An acknowledgement names index and term; if
 * the tail was rewritten meanwhile it no longer matches and is ignored, the rewritten part will be acknowledged on its own.
 *
 *   offset          offsetInProgress            offset + length
 *   |  being written   |  not handed out yet        |
 */
import { invariant, type Logger } from '@quorate/base';
import type { Entry, Snapshot } from '@quorate/proto';
import { limitSize } from './types.ts';

export class LogUnstable {
  readonly #log: Logger;
  #snapshot: Snapshot | undefined;
  #snapshotInProgress = false;
  #entries: Entry[] = [];
  #offset: number;
  #offsetInProgress: number;

  /** `offset`: the index after the last durable one. */
  constructor(offset: number, log: Logger) {
    this.#offset = offset;
    this.#offsetInProgress = offset;
    this.#log = log;
  }

  /** Index of the first entry that is not durable. */
  get offset(): number {
    return this.#offset;
  }

  /** Number of entries held. */
  get length(): number {
    return this.#entries.length;
  }

  /** The snapshot that is not durable yet, whether handed out or not. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  /** First index of the whole log, when a snapshot decides it. */
  firstIndex(): number | undefined {
    return this.#snapshot === undefined ? undefined : this.#snapshot.metadata!.index + 1;
  }

  /** Last index of the whole log, when it is held here. */
  lastIndex(): number | undefined {
    if (this.#entries.length > 0) return this.#offset + this.#entries.length - 1;
    return this.#snapshot?.metadata?.index;
  }

  /** Term of the entry at `index`, when it is held here. */
  term(index: number): number | undefined {
    if (index >= this.#offset) return this.#entries[index - this.#offset]?.term;
    const metadata = this.#snapshot?.metadata;
    return metadata?.index === index ? metadata.term : undefined;
  }

  /** Entries [lo, hi), cut to `maxBytes` but never to nothing. */
  slice(lo: number, hi: number, maxBytes: number): Entry[] {
    const end = this.#offset + this.#entries.length;
    invariant(lo >= this.#offset, 'slice before the unstable log', { lo, offset: this.#offset });
    invariant(hi <= end, 'slice beyond the unstable log', { hi, end });
    const from = lo - this.#offset;
    return this.#entries.slice(from, limitSize(this.#entries, { lo: from, hi: hi - this.#offset }, maxBytes));
  }

  hasNextEntries(): boolean {
    return this.#offsetInProgress < this.#offset + this.#entries.length;
  }

  /** Entries not handed out for writing yet. */
  nextEntries(): Entry[] {
    return this.#entries.slice(this.#offsetInProgress - this.#offset);
  }

  /** The snapshot, unless it was handed out. */
  nextSnapshot(): Snapshot | undefined {
    return this.#snapshotInProgress ? undefined : this.#snapshot;
  }

  /** Everything held was handed out for writing. */
  acceptInProgress(): void {
    this.#offsetInProgress = this.#offset + this.#entries.length;
    this.#snapshotInProgress = this.#snapshot !== undefined;
  }

  /** The log is durable up to `index`, if the entry there still is the one of `term`. */
  stableTo(index: number, term: number): void {
    const ours = this.term(index);
    if (ours === undefined || index < this.#offset) {
      this.#log.info('acknowledged entry is not in the unstable log, ignored', { index });
      return;
    }
    if (ours !== term) {
      this.#log.info('acknowledged entry was replaced meanwhile, ignored', { index, term, ours });
      return;
    }
    this.#entries.splice(0, index + 1 - this.#offset);
    this.#offset = index + 1;
    this.#offsetInProgress = Math.max(this.#offsetInProgress, this.#offset);
  }

  /** The snapshot at `index` is durable; ignored when a newer one replaced it. */
  stableSnapshotTo(index: number): void {
    if (this.#snapshot?.metadata?.index !== index) return;
    this.#snapshot = undefined;
    this.#snapshotInProgress = false;
  }

  /** Starts over from a snapshot. */
  restore(snapshot: Snapshot): void {
    this.#offset = snapshot.metadata!.index + 1;
    this.#offsetInProgress = this.#offset;
    this.#entries = [];
    this.#snapshot = snapshot;
    this.#snapshotInProgress = false;
  }

  /** Appends contiguous entries, cutting off what they overlap. They must not leave a gap. */
  truncateAndAppend(entries: readonly Entry[]): void {
    const from = entries[0]!.index;
    const end = this.#offset + this.#entries.length;
    invariant(from <= end, 'gap in the log', { from, end });
    if (from <= this.#offset) {
      if (from < end) this.#log.info('replacing the unstable entries', { from });
      this.#entries = entries.slice();
      this.#offset = from;
      this.#offsetInProgress = from;
      return;
    }
    if (from < end) {
      this.#log.info('truncating the unstable entries', { from });
      this.#entries.length = from - this.#offset;
      this.#offsetInProgress = Math.min(this.#offsetInProgress, from);
    }
    for (let i = 0; i < entries.length; i++) this.#entries.push(entries[i]!);
  }
}
