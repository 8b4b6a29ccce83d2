/** A clock for tests that moves when it is told to. */
import type { Clock, Timer } from '@quorate/base';

interface Alarm {
  readonly timeMs: number;
  readonly run: () => void;
}

export class ManualClock implements Clock {
  #nowMs = 0;
  readonly #alarms = new Set<Alarm>();

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): Timer {
    const alarm = { timeMs: this.#nowMs + delayMs, run };
    this.#alarms.add(alarm);
    return { cancel: () => void this.#alarms.delete(alarm) };
  }

  soon(run: () => void): void {
    this.after(0, run);
  }

  /** Timers that have not fired and were not cancelled. */
  get pendingCount(): number {
    return this.#alarms.size;
  }

  /** Time passes while nothing runs, as when the process is stopped. Timers that came due fire at the next advance. */
  jump(durationMs: number): void {
    this.#nowMs += durationMs;
  }

  /** Lets time pass, timers fire in order, and promises settle after each. */
  async advance(durationMs: number): Promise<void> {
    const untilMs = this.#nowMs + durationMs;
    for (;;) {
      await settled();
      const due = [...this.#alarms].filter((alarm) => alarm.timeMs <= untilMs).sort((a, b) => a.timeMs - b.timeMs)[0];
      if (due === undefined) break;
      this.#alarms.delete(due);
      this.#nowMs = Math.max(this.#nowMs, due.timeMs);
      due.run();
    }
    this.#nowMs = untilMs;
  }
}

/** Resolves when all promises that can settle have. */
export function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
