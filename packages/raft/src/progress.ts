/**
 * What a leader knows about one member: how far its log matches (`match`), what to send next (`next`), and in which of three
 * states replication to it is.
 *
 *   probe      match unknown: one append per heartbeat interval, until an answer shows where the logs agree
 *   replicate  appends are sent ahead optimistically, bounded by the in-flight window
 *   snapshot   the member needs entries that were compacted away; nothing is sent until the snapshot is reported or outrun
 *
 * Invariant: match < next. In replicate, entries in [match + 1, next) are in flight. In snapshot, next = pendingSnapshot + 1.
 */
import { invariant } from '@quorate/base';
import type { Inflights } from './inflights.ts';

/** States of replication to one member. */
export const ProgressState = { probe: 0, replicate: 1, snapshot: 2 } as const;
export type ProgressState = (typeof ProgressState)[keyof typeof ProgressState];

/** A read-only look at a member's progress, for status and membership decisions. */
export interface ProgressView {
  /** Highest index known to be on the member's disk. */
  readonly match: number;
  /** Next index to send. */
  readonly next: number;
  readonly state: ProgressState;
  /** Whether sending waits for an answer. */
  readonly paused: boolean;
  /** Index of the snapshot being sent; 0 when none is. */
  readonly pendingSnapshot: number;
  /** Whether the member was heard from since the last quorum check. */
  readonly recentActive: boolean;
  readonly learner: boolean;
  /** Appends sent and not answered. */
  readonly inflight: number;
  /** Bytes of those appends. */
  readonly inflightBytes: number;
  /** Whether the in-flight window is used up. */
  readonly inflightFull: boolean;
}

export interface ProgressInit {
  readonly match: number;
  readonly next: number;
  readonly learner: boolean;
  readonly recentActive: boolean;
  readonly inflights: Inflights;
}

export class Progress {
  match: number;
  next: number;
  state: ProgressState = ProgressState.probe;
  pendingSnapshot = 0;
  recentActive: boolean;
  /** A probe is under way, or the window is used up: wait for an answer or the next heartbeat's. */
  flowPaused = false;
  learner: boolean;
  readonly inflights: Inflights;
  /** Highest commit index sent; lowered when it was probably lost. Tells whether an idle member still has to hear of a commit. */
  #sentCommit = 0;

  constructor(init: ProgressInit) {
    this.match = init.match;
    this.next = init.next;
    this.learner = init.learner;
    this.recentActive = init.recentActive;
    this.inflights = init.inflights;
  }

  /** A copy to try configuration changes on; shares the in-flight window. */
  clone(): Progress {
    const copy = new Progress(this);
    copy.state = this.state;
    copy.pendingSnapshot = this.pendingSnapshot;
    copy.flowPaused = this.flowPaused;
    copy.#sentCommit = this.#sentCommit;
    return copy;
  }

  /** Whether appends must wait. */
  get paused(): boolean {
    return this.state === ProgressState.snapshot || this.flowPaused;
  }

  becomeProbe(): void {
    // Coming from a snapshot that arrived, probe right behind it.
    const next = Math.max(this.match, this.pendingSnapshot) + 1;
    this.#reset(ProgressState.probe);
    this.next = next;
    this.#sentCommit = Math.min(this.#sentCommit, next - 1);
  }

  becomeReplicate(): void {
    this.#reset(ProgressState.replicate);
    this.next = this.match + 1;
  }

  /** A snapshot at `index` is on its way. */
  becomeSnapshot(index: number): void {
    this.#reset(ProgressState.snapshot);
    this.pendingSnapshot = index;
    this.next = index + 1;
    this.#sentCommit = index;
  }

  /** Notes an append with `count` entries of `bytes` bytes, sent from `next` on. */
  sentEntries(count: number, bytes: number): void {
    switch (this.state) {
      case ProgressState.replicate:
        if (count > 0) {
          this.next += count;
          this.inflights.add(this.next - 1, bytes);
        }
        // The message that uses the window up, and an empty one sent when it already is, act as a probe.
        this.flowPaused = this.inflights.full;
        return;
      case ProgressState.probe:
        // An empty append in probe only carries the commit index; it does not count as the probe.
        if (count > 0) this.flowPaused = true;
        return;
      case ProgressState.snapshot:
        invariant(false, 'append sent to a member that waits for a snapshot');
    }
  }

  /** Notes the commit index just sent. */
  sentCommit(index: number): void {
    this.#sentCommit = index;
  }

  /** Whether telling the member of commit index `index` could move its own, given what was sent before. */
  canBumpCommit(index: number): boolean {
    return index > this.#sentCommit && this.#sentCommit < this.next - 1;
  }

  /** The member acknowledged everything up to `index`. False when that is old news. */
  maybeUpdate(index: number): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    this.flowPaused = false;
    return true;
  }

  /**
   * The member refused the append after `rejected`, and suggests that the logs may agree at `hint`. Moves `next` down; false when
   * the refusal is out of date.
   */
  maybeDecreaseTo(rejected: number, hint: number): boolean {
    if (this.state === ProgressState.snapshot) return false;
    if (this.state === ProgressState.replicate) {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
    } else {
      // Probes go one at a time: an answer to anything else than the last one is late.
      if (rejected !== this.next - 1) return false;
      this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
      this.flowPaused = false;
    }
    this.#sentCommit = Math.min(this.#sentCommit, this.next - 1);
    return true;
  }

  view(): ProgressView {
    return {
      match: this.match,
      next: this.next,
      state: this.state,
      paused: this.paused,
      pendingSnapshot: this.pendingSnapshot,
      recentActive: this.recentActive,
      learner: this.learner,
      inflight: this.inflights.count,
      inflightBytes: this.inflights.bytes,
      inflightFull: this.inflights.full,
    };
  }

  #reset(state: ProgressState): void {
    this.state = state;
    this.flowPaused = false;
    this.pendingSnapshot = 0;
    this.inflights.reset();
  }
}
