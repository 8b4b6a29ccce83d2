/**
 * Remembers why streams are gone that did not end in the ordinary way, since what still comes for them is judged by it
 * (RFC 9113, 5.1): after our reset, or our answer to half a request, the rest of the stream is on its way and is ignored; after
 * the other side's own reset it may send nothing more; numbers that a client skipped are closed without ever having been open
 * (5.1.1).
 * The memory is bounded; what fell out of it is judged mildly.
 */
export type Closed = 'byUs' | 'byPeer' | 'normally' | 'skipped' | 'forgotten';

const rememberedMax = 1_024;
/** Gaps between numbers that are remembered. No known client leaves any; streams in further ones count as ended. */
const gapsMax = 16;

export class ClosedStreams {
  private readonly reasons = new Map<number, 'byUs' | 'byPeer'>();
  /** Streams up to this number may have fallen out of the memory. */
  private forgottenTo = 0;
  private readonly gaps: { readonly after: number; readonly before: number }[] = [];

  add(id: number, reason: 'byUs' | 'byPeer'): void {
    this.reasons.set(id, reason);
    if (this.reasons.size <= rememberedMax) return;
    // A Map keeps the order of insertion: this is the one remembered longest.
    for (const oldest of this.reasons.keys()) {
      this.reasons.delete(oldest);
      this.forgottenTo = Math.max(this.forgottenTo, oldest);
      return;
    }
  }

  /** Stream `before` was opened next after stream `after`. */
  skip(after: number, before: number): void {
    if (this.gaps.length < gapsMax) this.gaps.push({ after, before });
  }

  /** Why stream `id`, which is not beyond the last that was opened, is gone. */
  reason(id: number): Closed {
    const reason = this.reasons.get(id);
    if (reason !== undefined) return reason;
    if (this.gaps.some(({ after, before }) => id > after && id < before)) return 'skipped';
    return id <= this.forgottenTo ? 'forgotten' : 'normally';
  }
}
