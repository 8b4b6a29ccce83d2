/**
 * One lease that is kept alive: when it was renewed and when it has to be again, until when it lives for sure, and who wants to
 * know. Two callers that keep the same lease share one renewal.
 */
import type { Clock, Timer } from '@quorate/base';
import type { LeaseKeepAliveResponse } from '@quorate/proto';
import { LeaseLostError } from './errors.ts';
import { Mailbox } from './mailbox.ts';

/** How to keep a lease alive. */
export interface KeepAliveOptions {
  /**
   * Until when the lease lives for sure, in milliseconds of the client's clock: when its grant was sent plus its TTL. Not known by
   * default, and then the lease is not called alive before the first renewal was answered.
   */
  readonly validUntilMs?: number;
  /** Aborting stops the renewals; who reads the answers gets the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * A lease that is kept alive. May be read: gives the answers to renewals (the newest 16 that were not read), ends when
 * stopped, and fails with LeaseLostError when the lease is lost.
 */
export interface KeepAlive extends AsyncIterable<LeaseKeepAliveResponse> {
  readonly id: bigint;
  /**
   * True when the lease lives for sure, now. Asks the clock of the wall too: the other one stands still while a machine sleeps, its
   * leases do not. A wall clock put forward makes this false until the next renewal.
   */
  readonly isAlive: boolean;
  /** Until when, in milliseconds of the client's clock; undefined before anything is known. */
  readonly validUntilMs: number | undefined;
  /**
   * Aborted as soon as the lease is lost, or can be kept no more: the reason is LeaseLostError, what a member refused with, or
   * RpcError when the client was closed. Not aborted by {@link stop}.
   */
  readonly lost: AbortSignal;
  /** Stops renewing; the lease ends with its TTL. */
  stop(): void;
}

/** Answers kept for a reader that is late. */
const answersMax = 16;
/** How long a renewal may stay unanswered, however long the lease: longer than a member looks for a leader. */
const answerMaxMs = 10_000;

/** What a renewal asks of the stream that all share. */
export interface RenewalHost {
  /** False when there is no stream now; then the next stream renews. */
  send(): boolean;
  stalled(): void;
  over(): void;
}

/** One lease: when it was renewed, when it has to be again. */
export class LeaseRenewal {
  readonly id: bigint;
  readonly clock: Clock;
  readonly holders: Set<Holder> = new Set();
  readonly #host: RenewalHost;
  validUntilMs: number | undefined;
  /** The same moment on the clock of the wall. */
  #validUntilWallMs = 0;
  /** A third of the TTL, or as much as is known of it. */
  #pauseMs = answerMaxMs;
  /** When the renewal under way was sent; undefined when none is. */
  #sentMs: number | undefined;
  #next: Timer | undefined;
  #end: Timer | undefined;

  constructor(id: bigint, clock: Clock, host: RenewalHost) {
    this.id = id;
    this.clock = clock;
    this.#host = host;
  }

  /** True when it lives for sure, by both clocks. */
  get isAlive(): boolean {
    const { clock, validUntilMs } = this;
    return validUntilMs !== undefined && clock.nowMs() < validUntilMs && clock.wallMs() < this.#validUntilWallMs;
  }

  /** True when it was renewed and will be again. */
  get isWaiting(): boolean {
    return this.#next !== undefined;
  }

  /** Nothing when one is under way or there is no stream. */
  renew(): void {
    if (this.#sentMs !== undefined || !this.#host.send()) return;
    this.#sentMs = this.clock.nowMs();
    this.#after(Math.min(this.#pauseMs, answerMaxMs), () => this.#host.stalled());
  }

  answered(response: LeaseKeepAliveResponse): void {
    const sentMs = this.#sentMs;
    if (sentMs === undefined) return;
    this.#sentMs = undefined;
    if (response.ttl <= 0) {
      this.fail(new LeaseLostError(this.id, 'gone'));
      return;
    }
    const ttlMs = response.ttl * 1_000;
    this.#pauseMs = ttlMs / 3;
    this.#lives(sentMs + ttlMs);
    // An answer may come so late that the lease is lost already.
    if (this.holders.size === 0) return;
    for (const holder of this.holders) holder.answered(response);
    this.#after(Math.max(sentMs + this.#pauseMs - this.clock.nowMs(), 0), () => this.renew());
  }

  /** It lives until then, as its grant told. */
  granted(untilMs: number): void {
    const leftMs = untilMs - this.clock.nowMs();
    if (this.validUntilMs === undefined) this.#pauseMs = Math.min(this.#pauseMs, Math.max(leftMs, 0) / 3);
    this.#lives(untilMs);
  }

  disconnected(): void {
    this.#sentMs = undefined;
    this.#next?.cancel();
    this.#next = undefined;
  }

  fail(error: unknown): void {
    for (const holder of [...this.holders]) holder.fail(error);
    this.#over();
  }

  leave(holder: Holder): void {
    this.holders.delete(holder);
    if (this.holders.size === 0) this.#over();
  }

  #lives(untilMs: number): void {
    this.validUntilMs = Math.max(untilMs, this.validUntilMs ?? untilMs);
    this.#validUntilWallMs = this.clock.wallMs() + this.validUntilMs - this.clock.nowMs();
    this.#end?.cancel();
    this.#end = undefined;
    const leftMs = this.validUntilMs - this.clock.nowMs();
    const expired = (): void => this.fail(new LeaseLostError(this.id, 'expired'));
    if (leftMs > 0) this.#end = this.clock.after(leftMs, expired);
    else expired();
  }

  #over(): void {
    this.holders.clear();
    this.disconnected();
    this.#end?.cancel();
    this.#host.over();
  }

  #after(delayMs: number, fn: () => void): void {
    this.#next?.cancel();
    this.#next = this.clock.after(delayMs, () => {
      this.#next = undefined;
      fn();
    });
  }
}

/** One caller's interest in a lease. */
export class Holder implements KeepAlive {
  readonly #renewal: LeaseRenewal;
  readonly #signal: AbortSignal | undefined;
  readonly #lost = new AbortController();
  readonly #answers: Mailbox<LeaseKeepAliveResponse>;
  readonly #abort = (): void => {
    this.#answers.abort(this.#signal?.reason);
    this.stop();
  };
  #isOver = false;

  constructor(renewal: LeaseRenewal, { signal, validUntilMs }: KeepAliveOptions) {
    this.#renewal = renewal;
    this.#signal = signal;
    this.#answers = new Mailbox({ onLeave: () => this.stop() });
    renewal.holders.add(this);
    signal?.addEventListener('abort', this.#abort, { once: true });
    if (validUntilMs !== undefined) renewal.granted(validUntilMs);
  }

  get id(): bigint {
    return this.#renewal.id;
  }

  get isAlive(): boolean {
    // Asked of the clocks: a process that was stopped finds out here before its timers run.
    return !this.#lost.signal.aborted && this.#renewal.isAlive;
  }

  get validUntilMs(): number | undefined {
    return this.#renewal.validUntilMs;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  answered(response: LeaseKeepAliveResponse): void {
    if (this.#answers.length >= answersMax) this.#answers.dropOldest();
    this.#answers.push(response);
  }

  fail(error: unknown): void {
    this.#finish();
    this.#answers.fail(error);
    this.#lost.abort(error);
  }

  stop(): void {
    if (this.#isOver) return;
    this.#finish();
    this.#answers.end();
    this.#renewal.leave(this);
  }

  [Symbol.asyncIterator](): AsyncIterator<LeaseKeepAliveResponse, undefined> {
    return this.#answers;
  }

  #finish(): void {
    this.#isOver = true;
    this.#signal?.removeEventListener('abort', this.#abort);
  }
}
