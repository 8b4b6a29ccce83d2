/**
 * Reads the whole store again and again in the background, so that damage is found where nobody reads, and before the sound copies
 * on other members are few. A pass goes slice by slice with pauses that keep to a rate; a pass over a small store is over in no
 * time, one over a large store takes minutes and is hardly felt. What it finds ends the process (damage.ts).
 */
import type { Clock, Counter, Logger, Meter, Timer } from '@quorate/base';
import type { ScrubSlice } from '@quorate/mvcc';
import type { MemberCore } from './core.ts';
import type { StateMachine } from './state-machine.ts';

/** What reading a row costs besides its bytes, as bytes: a store of tiny rows is not to be read faster than one of large ones. */
const rowCostBytes = 512;

export interface ScrubberOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly meter: Meter;
  /** The live state; undefined while there is none. */
  readonly state: () => StateMachine | undefined;
  /** `--scrub-interval`: between the end of a pass and the begin of the next, in milliseconds; 0 switches it off. */
  readonly intervalMs: number;
  /** `--scrub-rate-bytes`: bytes read in a second. */
  readonly bytesPerSecond: number;
  readonly onFatal: (error: unknown) => void;
}

export class Scrubber {
  readonly #options: ScrubberOptions;
  readonly #rows: Counter;
  readonly #bytes: Counter;
  readonly #passes: Counter;
  #timer: Timer | undefined;
  #stopped = false;
  #pass:
    | { readonly state: StateMachine; readonly slices: Iterator<ScrubSlice>; readonly startedMs: number }
    | undefined;
  #finishedWallMs = 0;

  constructor(options: ScrubberOptions) {
    const { meter } = options;
    this.#options = options;
    this.#rows = meter.counter({ name: 'quorate_scrub_rows_total', help: 'Rows read in search of damage.' });
    this.#bytes = meter.counter({ name: 'quorate_scrub_bytes_total', help: 'Bytes read in search of damage.' });
    this.#passes = meter.counter({
      name: 'quorate_scrub_passes_total',
      help: 'Times the whole store was found sound.',
    });
    meter.observedGauge(
      { name: 'quorate_scrub_last_finished_seconds', help: 'When the whole store was last found sound, since 1970.' },
      () => this.#finishedWallMs / 1000,
    );
  }

  /** Begins to take passes. */
  start(): void {
    if (this.#options.intervalMs > 0) this.#later(this.#options.intervalMs);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #later(delayMs: number): void {
    if (!this.#stopped) this.#timer = this.#options.clock.after(delayMs, () => this.#step());
  }

  /** One slice, then a pause as long as its bytes are worth. */
  #step(): void {
    const { intervalMs, bytesPerSecond, onFatal } = this.#options;
    try {
      const read = this.#nextSlice();
      if (read === undefined) {
        this.#later(intervalMs);
        return;
      }
      this.#rows.add(read.rows);
      this.#bytes.add(read.sizeBytes);
      this.#later(((read.sizeBytes + read.rows * rowCostBytes) * 1000) / bytesPerSecond);
    } catch (error) {
      onFatal(error);
    }
  }

  /** Undefined at the end of a pass, also when another state took the place of the one it read. */
  #nextSlice(): ScrubSlice | undefined {
    const { clock, logger, state } = this.#options;
    const live = state();
    if (live === undefined) {
      this.#pass = undefined;
      return undefined;
    }
    this.#pass ??= { state: live, slices: live.store.scrub(), startedMs: clock.nowMs() };
    const pass = this.#pass;
    const next = pass.state === live ? pass.slices.next() : undefined;
    if (next?.done === false) return next.value;
    this.#pass = undefined;
    if (next === undefined) return undefined;
    this.#passes.add();
    this.#finishedWallMs = clock.wallMs();
    logger.debug('found the store sound', { tookMs: clock.nowMs() - pass.startedMs });
    return undefined;
  }
}

/** The one of a member; damage ends the process. */
export function scrubberOf(core: MemberCore): Scrubber {
  const { config, runtime } = core;
  return new Scrubber({
    clock: runtime.clock,
    logger: runtime.logger,
    meter: runtime.meter,
    state: () => (core.isServing ? core.state : undefined),
    intervalMs: config.scrubIntervalMs,
    bytesPerSecond: config.scrubBytesPerSecond,
    onFatal: (error) => core.fatal(error),
  });
}
