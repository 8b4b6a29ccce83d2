/**
 * Looks for the next request for a moment before the thread goes to sleep. A caller that waits for each answer asks again as soon
 * as it has it; to fall asleep in between and to be woken takes longer than the request (one member, one caller: two thirds of the
 * time of a put without it). Looking costs a processor that others may want, so it is done only while it mostly finds something, and
 * only by who waits for nobody else: members that share a machine would keep each other from answering.
 */
import type { Clock } from '@quorate/base';

/** How long to look. */
const lookMs = 0.1;
/** What a look that found something adds to the trust in the next, up to the maximum, and what one in vain takes from it. */
const foundTrust = 1;
const vainTrust = 3;
const trustMax = 32;
/** Without trust, one answer in so many is followed by a look. */
const trialEvery = 64;

export class Linger {
  private readonly clock: Clock;
  private readonly allowed: () => boolean;
  /** Reads since the last answer. */
  private reads = 0;
  private trust = 0;
  private untilTrial = trialEvery;
  private looking = false;
  private endMs = 0;
  private readonly look: () => void;

  /** `allowed` is asked before each look. */
  constructor(clock: Clock, allowed: () => boolean) {
    this.clock = clock;
    this.allowed = allowed;
    this.look = () => this.lookOnce();
  }

  /** Something was read from a client. */
  read(): void {
    this.reads++;
  }

  /** An answer has left. */
  answered(): void {
    const lone = this.reads === 1;
    this.reads = 0;
    if (!lone || this.looking) return;
    if (this.trust <= 0 && --this.untilTrial > 0) return;
    this.untilTrial = trialEvery;
    if (!this.allowed()) return;
    this.looking = true;
    this.endMs = this.clock.nowMs() + lookMs;
    this.clock.soon(this.look);
  }

  private lookOnce(): void {
    if (this.reads > 0) {
      this.looking = false;
      this.trust = Math.min(trustMax, this.trust + foundTrust);
    } else if (this.clock.nowMs() < this.endMs) {
      this.clock.soon(this.look);
    } else {
      this.looking = false;
      this.trust = Math.max(0, this.trust - vainTrust);
    }
  }
}
