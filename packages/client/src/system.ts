/** The real clock and real chance: what a client uses unless it is given others. */
import type { Clock, Random } from '@quorate/base';

const timeoutMaxMs = 2 ** 31 - 1;

/** The machine's clock. Its timers keep the process alive, because somebody awaits them. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, fn) {
    let left = delayMs;
    let timer: NodeJS.Timeout;
    const arm = (): void => {
      const slice = Math.min(left, timeoutMaxMs);
      left -= slice;
      timer = setTimeout(left > 0 ? arm : fn, slice);
    };
    arm();
    return { cancel: () => clearTimeout(timer) };
  },
  soon: (fn) => {
    setImmediate(fn);
  },
};

/** Good enough for jitter; nothing here is a secret. */
export const systemRandom: Random = { below: (bound) => Math.floor(Math.random() * bound) };
