/**
 * Time, as an argument. Production passes the machine's clock, the simulator a virtual one; nothing else reads time.
 */

/** A pending call; cancel is idempotent and safe after it fired. */
export interface Timer {
  cancel(): void;
}

/** The source of time and of later turns. */
export interface Clock {
  /** Monotonic milliseconds since an arbitrary start; fractions allowed; never goes back. */
  nowMs(): number;
  /** Milliseconds since the Unix epoch; may jump. Only for people and for ids that must differ between runs. */
  wallMs(): number;
  /** Calls `fn` once after at least `delayMs`. Delays beyond 2^31-1 ms are honoured (a bare setTimeout would fire at once). */
  after(delayMs: number, fn: () => void): Timer;
  /** Calls `fn` on the next turn of the event loop, after I/O that is already waiting was handled. Cannot be cancelled. */
  soon(fn: () => void): void;
}

/** Resolves on the next turn of the event loop: lets others run between two slices of long work. */
export function nextTurn(clock: Pick<Clock, 'soon'>): Promise<void> {
  return new Promise((resolve) => {
    clock.soon(resolve);
  });
}

/** Resolves after `delayMs` on `clock`. */
export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve);
  });
}
