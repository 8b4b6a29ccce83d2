/** The beat of progress notifications on one stream. */
import type { Clock, Random, Timer } from '@quorate/base';

export interface ProgressTickerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly intervalMs: number;
  readonly tick: () => void;
}

/** Ticks per interval are told apart by up to a tenth of it, so that the streams of a reconnected crowd drift apart. */
const jitterDivisor = 10;

export class ProgressTicker {
  readonly #options: ProgressTickerOptions;
  #timer: Timer | undefined;

  constructor(options: ProgressTickerOptions) {
    this.#options = options;
  }

  /** Ticks from now on; fine when it does already. */
  start(): void {
    if (this.#timer !== undefined) return;
    const { clock, random, intervalMs, tick } = this.#options;
    const jitterMs = random.below(Math.max(1, Math.floor(intervalMs / jitterDivisor)));
    this.#timer = clock.after(intervalMs + jitterMs, () => {
      this.#timer = undefined;
      this.start();
      tick();
    });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
