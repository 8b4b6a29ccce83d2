/** A clock for tests: time stands still until something waits for it. */
import type { Clock, Timer } from '@quorate/base';

interface Pending {
  readonly atMs: number;
  readonly fn: () => void;
}

export class VirtualClock implements Clock {
  #nowMs = 0;
  readonly #pending = new Set<Pending>();

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, fn: () => void): Timer {
    const pending: Pending = { atMs: this.#nowMs + delayMs, fn };
    this.#pending.add(pending);
    return { cancel: () => this.#pending.delete(pending) };
  }

  soon(fn: () => void): void {
    this.after(0, fn);
  }

  /** Moves time without running anything, as a stalled process would. */
  advance(ms: number): void {
    this.#nowMs += ms;
  }

  /** Runs timers in order of time until `promise` settles, and returns what it settled to. Real time does not pass. */
  async settle<T>(promise: Promise<T>): Promise<PromiseSettledResult<T>> {
    let result: PromiseSettledResult<T> | undefined;
    promise.then(
      (value) => {
        result = { status: 'fulfilled', value };
      },
      (reason: unknown) => {
        result = { status: 'rejected', reason };
      },
    );
    for (;;) {
      for (let i = 0; i < 50 && result === undefined; i += 1) await Promise.resolve();
      if (result !== undefined) return result;
      this.#fireNext();
    }
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Lets `ms` pass: runs what can run, fires the timers that are due in their order, and runs what follows from them. */
  async run(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      await idle();
      const next = this.#soonest();
      if (next === undefined || next.atMs > untilMs) break;
      this.#fireNext();
    }
    this.#nowMs = untilMs;
  }

  #soonest(): Pending | undefined {
    return [...this.#pending].sort((a, b) => a.atMs - b.atMs)[0];
  }

  #fireNext(): void {
    const next = this.#soonest();
    if (next === undefined) throw new Error('nothing to wait for: the promise would never settle');
    this.#pending.delete(next);
    this.#nowMs = Math.max(this.#nowMs, next.atMs);
    next.fn();
  }
}

/** Resolves when all promises that could settle have. */
function idle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
