/** A clock that moves only when told to. */
import type { Clock, Timer } from '@quorate/base';

interface Pending {
  readonly at: number;
  readonly fn: () => void;
}

export class TestClock implements Clock {
  #now = 0;
  #pending: Pending[] = [];

  nowMs(): number {
    return this.#now;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#now;
  }

  after(delayMs: number, fn: () => void): Timer {
    const pending = { at: this.#now + delayMs, fn };
    this.#pending.push(pending);
    return { cancel: () => this.#remove(pending) };
  }

  soon(fn: () => void): void {
    this.after(0, fn);
  }

  /** Calls what is due next, moving time up to it. False when nothing waits. */
  step(): boolean {
    const next = this.#pending.reduce<Pending | undefined>(
      (a, b) => (a === undefined || b.at < a.at ? b : a),
      undefined,
    );
    if (next === undefined) return false;
    this.#remove(next);
    this.#now = Math.max(this.#now, next.at);
    next.fn();
    return true;
  }

  /** Steps until nothing waits. */
  drain(): void {
    while (this.step());
  }

  /** Steps, with everything that promises do in between, until `promise` settles. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    while (!settled) {
      for (let i = 0; i < 10 && !settled; i++) await Promise.resolve();
      if (!settled) this.step();
    }
    return promise;
  }

  /** Forgets what waits: the process is gone. */
  forget(): void {
    this.#pending = [];
  }

  #remove(pending: Pending): void {
    this.#pending = this.#pending.filter((other) => other !== pending);
  }
}
