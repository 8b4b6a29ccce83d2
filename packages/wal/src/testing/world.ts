/** A log's surroundings for tests: a clock that never fires by itself, a seeded random, a disk in memory. */
import { type Clock, MemoryDisk, noCrashPoints, SeededRandom, silentLogger, silentMeter } from '@quorate/base';
import type { Entry } from '@quorate/proto';
import type { WalOptions } from '../wal.ts';

/** Timers fire only through {@link fire}. */
export class StillClock implements Clock {
  #timers: { readonly fn: () => void; cancelled: boolean }[] = [];

  nowMs(): number {
    return 0;
  }

  wallMs(): number {
    return 0;
  }

  after(_delayMs: number, fn: () => void): { cancel(): void } {
    const timer = { fn, cancelled: false };
    this.#timers.push(timer);
    return {
      cancel: () => {
        timer.cancelled = true;
      },
    };
  }

  soon(fn: () => void): void {
    this.after(0, fn);
  }

  /** Fires everything that waits. */
  fire(): void {
    const timers = this.#timers;
    this.#timers = [];
    for (const timer of timers) if (!timer.cancelled) timer.fn();
  }
}

export function walOptions(disk: WalOptions['disk'], overrides: Partial<WalOptions> = {}): WalOptions {
  return {
    disk,
    directory: 'wal',
    clock: new StillClock(),
    random: new SeededRandom(1),
    logger: silentLogger,
    meter: silentMeter,
    crash: noCrashPoints,
    segmentSizeBytes: 8192,
    ...overrides,
  };
}

export const metadata = { memberId: 7n, clusterId: 9n, incarnation: 0xfeedn };

export function entry(index: number, bytes = 20, term = 1): Entry {
  return { term, index, type: 0, data: Buffer.alloc(bytes, index % 251) };
}

export { MemoryDisk };
