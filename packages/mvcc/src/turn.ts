/** Letting others run between two slices of long work. */
import type { Clock } from '@quorate/base';

/** Resolves on the next turn of the event loop. */
export function nextTurn(clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    clock.soon(resolve);
  });
}
