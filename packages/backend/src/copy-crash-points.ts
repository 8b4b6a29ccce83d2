/** Crash points of a store that is a copy first and the live store later: its commits count from then on. */
import type { CrashPointName, CrashPoints } from '@quorate/base';

export class CopyCrashPoints implements CrashPoints {
  readonly #crash: CrashPoints;
  #isLive = false;

  constructor(crash: CrashPoints) {
    this.#crash = crash;
  }

  hit(name: CrashPointName): void {
    if (this.#isLive) this.#crash.hit(name);
  }

  /** The copy took the place of the live store. */
  goLive(): void {
    this.#isLive = true;
  }
}
