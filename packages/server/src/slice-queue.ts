/**
 * Turns for long work: one slice in a turn of the event loop, whoever it is of, first come, first served. Ten ranges at a time would
 * otherwise hold the loop ten times as long as one. After each slice comes a turn without one: what arrived during the slice is read
 * and handled then, where it would otherwise be read, and wait for the next slice to be handled.
 */
import type { Clock } from '@quorate/base';

export class SliceQueue {
  readonly #clock: Clock;
  #waiting: (() => void)[] = [];
  readonly #next = (): void => this.#runOne();
  readonly #turnWithout = (): void => this.#clock.soon(this.#next);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `slice` on a later turn that has no other slice. Its length is bounded by the calls under way. */
  add(slice: () => void): void {
    this.#waiting.push(slice);
    if (this.#waiting.length === 1) this.#clock.soon(this.#turnWithout);
  }

  #runOne(): void {
    const slice = this.#waiting.shift();
    if (this.#waiting.length > 0) this.#clock.soon(this.#turnWithout);
    slice?.();
  }
}
