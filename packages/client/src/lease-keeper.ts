/**
 * Keeping leases alive. All leases of a client are renewed over one stream, each every third of its TTL. A stream that breaks, or
 * on which a renewal stays unanswered for such a third, is replaced by one to another endpoint, where all are renewed at once.
 *
 * What is told about a lease never goes beyond what is known: it is alive until its TTL has passed since the last renewal
 * that was answered was *sent*, by the local clock. A member may count longer; then the lease is called lost although it
 * lingers, never the other way round.
 */
import { KvError, type LeaseKeepAliveRequest, type LeaseKeepAliveResponse, leaseService, Status } from '@quorate/proto';
import { isConnectionLost } from './bidi.ts';
import type { BidiCall, Caller } from './call.ts';
import { RpcError } from './errors.ts';
import { Holder, type KeepAlive, type KeepAliveOptions, LeaseRenewal } from './keep-alive.ts';

type Call = BidiCall<LeaseKeepAliveRequest, LeaseKeepAliveResponse>;

const { leaseKeepAlive } = leaseService.methods;

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

function lostStream(endpoint: string, details: string): RpcError {
  return new RpcError({ status: Status.UNAVAILABLE, details, endpoint, sent: true });
}

function mayGoOn(failure: unknown): boolean {
  if (isConnectionLost(failure)) return true;
  return failure instanceof KvError && (isConnectionLost(failure.cause) || failure.code === 'requestCanceled');
}
