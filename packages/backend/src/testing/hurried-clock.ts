/** A clock for tests on which every look costs time and nothing has to be waited for: work in slices takes as many as it can. */
import type { Clock, Timer } from '@quorate/base';

const lookMs = 5;

export class HurriedClock implements Clock {
  #nowMs = 0;

  nowMs(): number {
    this.#nowMs += lookMs;
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  after(_delayMs: number, run: () => void): Timer {
    const due = setImmediate(run);
    return { cancel: () => clearImmediate(due) };
  }

  soon(run: () => void): void {
    setImmediate(run);
  }
}
