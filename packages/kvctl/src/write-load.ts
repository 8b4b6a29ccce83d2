/**
 * A load of writes for `check`: so many connections with one write each under way, at a steady rate for a time or as fast as
 * they go up to a number, and what became of them. Knows nothing of keys and clients.
 */
import { type Clock, Notifier } from '@quorate/base';

/** When a load is over, and how fast it goes until then. */
export type LoadPlan = { readonly perSecond: number; readonly durationMs: number } | { readonly writes: number };

export interface WriteLoad {
  readonly clock: Clock;
  readonly connections: number;
  readonly plan: LoadPlan;
  /** One write on the connection of this index. */
  readonly write: (connection: number) => Promise<unknown>;
  /** No new writes once it is aborted. */
  readonly signal: AbortSignal;
  /** Told after every write how many are done. */
  readonly onWrite?: (done: number) => void;
}

/** How the writes went. Times in seconds, of those that succeeded. */
export interface LoadReport {
  readonly writesPerSecond: number;
  readonly slowest: number;
  /** Standard deviation. */
  readonly stddev: number;
  /** What failed, how often. */
  readonly errors: ReadonlyMap<string, number>;
}

/** Writes that fell due while no connection was free are sent later if they are not older than this, and else never. */
const catchUpMaxMs = 20;

/** Runs to the end of the plan and of the writes under way. Failures of writes are counted by `nameOf` their errors. */
export async function runLoad(load: WriteLoad, nameOf: (error: unknown) => string): Promise<LoadReport> {
  const { clock, plan, signal } = load;
  const startMs = clock.nowMs();
  const run = new Run(load, nameOf);
  if ('writes' in plan) {
    for (let left = plan.writes; left > 0 && !signal.aborted; left -= 1) await run.write();
  } else {
    let baseMs = startMs;
    for (let n = 0; !signal.aborted; n += 1) {
      const dueMs = baseMs + (n * 1_000) / plan.perSecond;
      if (dueMs >= startMs + plan.durationMs) break;
      await pauseUntil(clock, dueMs);
      await run.write();
      baseMs += Math.max(clock.nowMs() - catchUpMaxMs - dueMs, 0);
    }
  }
  await run.idle();
  return run.report((clock.nowMs() - startMs) / 1_000);
}

class Run {
  readonly #load: WriteLoad;
  readonly #nameOf: (error: unknown) => string;
  readonly #free: number[];
  readonly #freed = new Notifier();
  readonly #seconds: number[] = [];
  readonly #errors = new Map<string, number>();
  #done = 0;

  constructor(load: WriteLoad, nameOf: (error: unknown) => string) {
    this.#load = load;
    this.#nameOf = nameOf;
    this.#free = Array.from({ length: load.connections }, (_, i) => i);
  }

  /** Begins a write as soon as a connection is free. */
  async write(): Promise<void> {
    while (this.#free.length === 0) await this.#freed.wait();
    // Its failures are counted inside.
    void this.#writeOn(this.#free.pop()!);
  }

  /** Resolves when no write is under way. */
  async idle(): Promise<void> {
    while (this.#free.length < this.#load.connections) await this.#freed.wait();
  }

  report(tookSeconds: number): LoadReport {
    const count = this.#seconds.length;
    const mean = this.#seconds.reduce((sum, one) => sum + one, 0) / Math.max(count, 1);
    const variance = this.#seconds.reduce((sum, one) => sum + (one - mean) ** 2, 0) / Math.max(count, 1);
    return {
      writesPerSecond: tookSeconds > 0 ? count / tookSeconds : 0,
      slowest: this.#seconds.reduce((slowest, one) => Math.max(slowest, one), 0),
      stddev: Math.sqrt(variance),
      errors: this.#errors,
    };
  }

  async #writeOn(connection: number): Promise<void> {
    const { clock, write, onWrite } = this.#load;
    const startMs = clock.nowMs();
    try {
      await write(connection);
      this.#seconds.push((clock.nowMs() - startMs) / 1_000);
    } catch (error) {
      const name = this.#nameOf(error);
      this.#errors.set(name, (this.#errors.get(name) ?? 0) + 1);
    }
    this.#done += 1;
    onWrite?.(this.#done);
    this.#free.push(connection);
    this.#freed.notify();
  }
}

function pauseUntil(clock: Clock, atMs: number): Promise<void> | undefined {
  const delayMs = atMs - clock.nowMs();
  if (delayMs <= 0) return undefined;
  return new Promise((resolve) => {
    clock.after(delayMs, resolve);
  });
}
