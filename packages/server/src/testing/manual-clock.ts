/** A clock that moves only when told to. */
import type { Clock, Timer } from '@quorate/base';

interface Pending {
  readonly atMs: number;
  readonly fn: () => void;
  cancelled: boolean;
}

export class ManualClock implements Clock {
  #nowMs = 1_000;
  #pending: Pending[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs;
  }

  after(delayMs: number, fn: () => void): Timer {
    const pending: Pending = { atMs: this.#nowMs + delayMs, fn, cancelled: false };
    this.#pending.push(pending);
    return {
      cancel: () => {
        pending.cancelled = true;
      },
    };
  }

  soon(fn: () => void): void {
    this.after(0, fn);
  }

  /** Moves on with nothing fired meanwhile: as for a process that stood still. What fell due fires at the next advance. */
  skip(ms: number): void {
    this.#nowMs += ms;
  }

  /** Moves on, firing what falls due in order. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const due = this.#pending.filter((p) => p.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#pending = this.#pending.filter((p) => p !== due);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      if (!due.cancelled) due.fn();
    }
    this.#nowMs = untilMs;
  }
}
