/** Time that stands until a test moves it. */
import type { Clock, Timer } from '@quorate/base';

interface Due {
  readonly atMs: number;
  readonly fn: () => void;
}

export class ManualClock implements Clock {
  #nowMs = 0;
  #waiting: Due[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, fn: () => void): Timer {
    const due = { atMs: this.#nowMs + delayMs, fn };
    this.#waiting.push(due);
    return {
      cancel: () => {
        this.#waiting = this.#waiting.filter((other) => other !== due);
      },
    };
  }

  soon(fn: () => void): void {
    this.after(0, fn);
  }

  /** Timers that have not fired and were not cancelled. */
  get timerCount(): number {
    return this.#waiting.length;
  }

  /** Moves time, firing what becomes due in order; what is made due by that fires too. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const due = this.#waiting.filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#waiting = this.#waiting.filter((other) => other !== due);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.fn();
    }
    this.#nowMs = endMs;
  }
}
