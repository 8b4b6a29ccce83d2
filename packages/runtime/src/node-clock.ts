/**
 * The machine's clock. Node's own timers have two traps this file knows: a delay beyond 2^31-1 ms fires at once, and a timer may
 * fire a fraction of a millisecond before its delay has passed on the monotonic clock.
 */
import type { Clock, Timer } from '@quorate/base';

/** The longest delay setTimeout takes; longer ones are slept in pieces. */
export const timeoutMsMax: number = 2 ** 31 - 1;

/** Time of this machine. Timers keep the process alive until they fired or were cancelled. */
export const nodeClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, fn) => new NodeTimer(performance.now() + Math.max(0, delayMs), fn),
  soon: (fn) => {
    setImmediate(fn);
  },
};

class NodeTimer implements Timer {
  readonly #dueMs: number;
  readonly #fn: () => void;
  readonly #onTimeout = (): void => this.#wake();
  #timeout: NodeJS.Timeout;

  constructor(dueMs: number, fn: () => void) {
    this.#dueMs = dueMs;
    this.#fn = fn;
    this.#timeout = this.#sleep();
  }

  cancel(): void {
    clearTimeout(this.#timeout);
  }

  #sleep(): NodeJS.Timeout {
    const leftMs = Math.ceil(this.#dueMs - performance.now());
    return setTimeout(this.#onTimeout, Math.min(leftMs, timeoutMsMax));
  }

  #wake(): void {
    if (performance.now() < this.#dueMs) this.#timeout = this.#sleep();
    else this.#fn();
  }
}
