/**
 * A simulated operating-system process: what runs in it stops for ever when it dies, and all its callbacks come late while it is
 * paused. Every callback into a member passes through here.
 */
import { type CrashPointName, type CrashPoints, SimulatedCrash } from '@quorate/base';
import type { Scheduler } from './scheduler.ts';

export class SimProcess {
  readonly #scheduler: Scheduler;
  readonly #onCrash: (where: string) => void;
  readonly #deathListeners: (() => void)[] = [];
  #alive = true;
  #pausedUntilMs = 0;
  #armed: { readonly name: CrashPointName; hits: number } | undefined;
  /** How often each crash point was passed; for coverage over many seeds. */
  readonly hits: Map<CrashPointName, number> = new Map();

  constructor(scheduler: Scheduler, onCrash: (where: string) => void) {
    this.#scheduler = scheduler;
    this.#onCrash = onCrash;
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Wraps a callback: dropped once the process is dead, held back while it is paused. */
  readonly guard = (run: () => void): (() => void) => {
    const guarded = (): void => {
      if (!this.#alive) return;
      const waitMs = this.#pausedUntilMs - this.#scheduler.nowMs;
      if (waitMs > 0) this.#scheduler.after(waitMs, guarded);
      else run();
    };
    return guarded;
  };

  /** A promise that settles like `make`'s callback-style work, through {@link guard}; never when the process died. */
  later<T>(delayMs: number, make: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#scheduler.after(
        delayMs,
        this.guard(() => {
          try {
            resolve(make());
          } catch (error) {
            reject(error);
          }
        }),
      );
    });
  }

  /** Stops everything for a while, as SIGSTOP does. */
  pause(durationMs: number): void {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, this.#scheduler.nowMs + durationMs);
  }

  /** Dies at the `nth` time the code passes `name`. */
  arm(name: CrashPointName, nth: number): void {
    this.#armed = { name, hits: nth };
  }

  disarm(): void {
    this.#armed = undefined;
  }

  /** Calls `fn` when the process dies. */
  onDeath(fn: () => void): void {
    this.#deathListeners.push(fn);
  }

  /** Dies now. */
  kill(): void {
    this.#alive = false;
    for (const listener of this.#deathListeners.splice(0)) listener();
  }

  readonly crashPoints: CrashPoints = {
    hit: (name) => {
      // Code of a dead process that a pending promise still runs must not get any further.
      if (!this.#alive) throw new SimulatedCrash(name);
      this.hits.set(name, (this.hits.get(name) ?? 0) + 1);
      const armed = this.#armed;
      if (armed === undefined || armed.name !== name || --armed.hits > 0) return;
      this.#armed = undefined;
      this.#onCrash(name);
      throw new SimulatedCrash(name);
    },
  };
}
