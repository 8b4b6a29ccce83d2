/**
 * Puts at a steady rate whatever becomes of them, and how long each took: what callers feel of something that goes on beside them.
 * A put that is late because the one before it was is counted from when it was due.
 */
import type { RawClient } from './raw-client.ts';

export interface OpenLoadOptions {
  readonly client: RawClient;
  readonly perSecond: number;
  readonly valueBytes: number;
}

export class OpenLoad {
  readonly #options: OpenLoadOptions;
  readonly #value: Buffer;
  readonly #startMs = performance.now();
  readonly #running = new Set<Promise<void>>();
  readonly #timer: ReturnType<typeof setInterval>;
  #tookMs: number[] = [];
  #count = 0;
  failures = 0;

  constructor(options: OpenLoadOptions) {
    this.#options = options;
    this.#value = Buffer.alloc(options.valueBytes, 'v');
    this.#timer = setInterval(() => this.#putDue(), 1);
  }

  /** Times of the puts that ended since the last call, ascending, in milliseconds. */
  take(): number[] {
    return this.#tookMs.splice(0).sort((a, b) => a - b);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
  }

  #putDue(): void {
    const { perSecond } = this.#options;
    for (;;) {
      const dueMs = this.#startMs + (this.#count * 1_000) / perSecond;
      if (dueMs > performance.now()) return;
      const put = this.#put(this.#count++, dueMs);
      this.#running.add(put);
      void put.finally(() => this.#running.delete(put));
    }
  }

  async #put(n: number, dueMs: number): Promise<void> {
    try {
      await this.#options.client.put(`open/${n % 1_000}`, this.#value, 30_000);
    } catch {
      this.failures++;
    }
    this.#tookMs.push(performance.now() - dueMs);
  }
}

/** The value below which `share` (0 to 1) of the ascending `values` lie. */
export function quantile(values: readonly number[], share: number): number {
  return values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN;
}
