/**
 * Keeping leases alive. All leases of a client are renewed over one stream, each every third of its TTL. A stream that breaks, or
 * on which a renewal stays unanswered for such a third, is replaced by one to another endpoint, where all are renewed at once.
 *
 * What is told about a lease never goes beyond what is known: it is alive until its TTL has passed since the last renewal
 * that was answered was *sent*, by the local clock. A member may count longer; then the lease is called lost although it
 * lingers, never the other way round.
 */
import type { Clock, Timer } from '@quorate/base';
import { KvError, type LeaseKeepAliveRequest, type LeaseKeepAliveResponse, leaseService, Status } from '@quorate/proto';
import { isConnectionLost } from './bidi.ts';
import type { BidiCall, Caller } from './call.ts';
import { LeaseLostError, RpcError } from './errors.ts';
import { Mailbox } from './mailbox.ts';

type Call = BidiCall<LeaseKeepAliveRequest, LeaseKeepAliveResponse>;

const { leaseKeepAlive } = leaseService.methods;

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
  /** True when the lease lives for sure, now. */
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
/** How long a first renewal may stay unanswered, the TTL being unknown. */
const firstAnswerMs = 5_000;

/** The renewals of one client. */
export class LeaseKeeper {
  readonly #caller: Caller;
  readonly #leases = new Map<bigint, LeaseRenewal>();
  #call: Call | undefined;
  #isRunning = false;
  #attempt = new AbortController();

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  keep(id: bigint, options: KeepAliveOptions = {}): KeepAlive {
    options.signal?.throwIfAborted();
    let renewal = this.#leases.get(id);
    if (renewal === undefined) {
      renewal = new LeaseRenewal(id, this.#caller.clock, {
        send: () => this.#send(id),
        stalled: () => this.#stalled(),
        over: () => this.#over(id),
      });
      this.#leases.set(id, renewal);
    }
    const holder = new Holder(renewal, options);
    // It may have been too late for this lease when it was given to us.
    if (holder.lost.aborted) return holder;
    if (!renewal.isWaiting) renewal.renew();
    if (!this.#isRunning) void this.#run();
    return holder;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#leases.size > 0) {
      this.#attempt = new AbortController();
      const failure = await this.#serve();
      this.#call = undefined;
      for (const lease of this.#leases.values()) lease.disconnected();
      if (failure === undefined || mayGoOn(failure)) continue;
      for (const lease of [...this.#leases.values()]) lease.fail(failure);
    }
    this.#isRunning = false;
  }

  /** One stream; returns why it ended, undefined when nobody needed it any more. */
  async #serve(): Promise<unknown> {
    const { signal } = this.#attempt;
    try {
      // A member without a leader cannot renew: another may see one.
      const call = await this.#caller.bidiStream(leaseKeepAlive, { signal, requireLeader: true });
      this.#call = call;
      for (const lease of this.#leases.values()) lease.renew();
      for await (const response of call.responses) this.#leases.get(response.id)?.answered(response);
      if (signal.aborted) return undefined;
      const failure = lostStream(call.endpoint, 'the member ended the keep-alive stream');
      call.cancel(failure);
      return failure;
    } catch (error) {
      return signal.aborted ? undefined : error;
    }
  }

  #send(id: bigint): boolean {
    this.#call?.send({ id });
    return this.#call !== undefined;
  }

  /** The loop over its responses ends, and goes on with another stream. */
  #stalled(): void {
    const call = this.#call;
    if (call === undefined) return;
    this.#call = undefined;
    call.cancel(lostStream(call.endpoint, 'renewals stay unanswered'));
  }

  #over(id: bigint): void {
    this.#leases.delete(id);
    if (this.#leases.size === 0) this.#attempt.abort();
  }
}

interface RenewalHost {
  /** False when there is no stream now; then the next stream renews. */
  send(): boolean;
  stalled(): void;
  over(): void;
}

/** One lease: when it was renewed, when it has to be again. */
class LeaseRenewal {
  readonly id: bigint;
  readonly clock: Clock;
  readonly holders: Set<Holder> = new Set();
  readonly #host: RenewalHost;
  validUntilMs: number | undefined;
  /** A third of the TTL. */
  #pauseMs = firstAnswerMs;
  /** When the renewal under way was sent; undefined when none is. */
  #sentMs: number | undefined;
  #next: Timer | undefined;
  #end: Timer | undefined;

  constructor(id: bigint, clock: Clock, host: RenewalHost) {
    this.id = id;
    this.clock = clock;
    this.#host = host;
  }

  /** True when it was renewed and will be again. */
  get isWaiting(): boolean {
    return this.#next !== undefined;
  }

  /** Nothing when one is under way or there is no stream. */
  renew(): void {
    if (this.#sentMs !== undefined || !this.#host.send()) return;
    this.#sentMs = this.clock.nowMs();
    this.#after(this.#pauseMs, () => this.#host.stalled());
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
    this.lives(sentMs + ttlMs);
    // An answer may come so late that the lease is lost already.
    if (this.holders.size === 0) return;
    for (const holder of this.holders) holder.answered(response);
    this.#after(Math.max(sentMs + this.#pauseMs - this.clock.nowMs(), 0), () => this.renew());
  }

  /** It lives until then, for sure. */
  lives(untilMs: number): void {
    this.validUntilMs = Math.max(untilMs, this.validUntilMs ?? untilMs);
    this.#end?.cancel();
    this.#end = undefined;
    const leftMs = this.validUntilMs - this.clock.nowMs();
    const expired = (): void => this.fail(new LeaseLostError(this.id, 'expired'));
    if (leftMs > 0) this.#end = this.clock.after(leftMs, expired);
    else expired();
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
class Holder implements KeepAlive {
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
    if (validUntilMs !== undefined) renewal.lives(validUntilMs);
  }

  get id(): bigint {
    return this.#renewal.id;
  }

  get isAlive(): boolean {
    const { validUntilMs, clock } = this.#renewal;
    // Asked of the clock: a process that was stopped finds out here before its timers run.
    return !this.#lost.signal.aborted && validUntilMs !== undefined && clock.nowMs() < validUntilMs;
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

function lostStream(endpoint: string, details: string): RpcError {
  return new RpcError({ status: Status.UNAVAILABLE, details, endpoint, sent: true });
}

function mayGoOn(failure: unknown): boolean {
  if (isConnectionLost(failure)) return true;
  return failure instanceof KvError && (isConnectionLost(failure.cause) || failure.code === 'requestCanceled');
}
