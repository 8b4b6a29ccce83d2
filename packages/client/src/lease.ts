/** The Lease service: calls about one lease, and keeping leases alive without further ado. */
import {
  KvError,
  type LeaseGrantResponse,
  type LeaseKeepAliveResponse,
  type LeaseLeasesResponse,
  type LeaseRevokeResponse,
  type LeaseTimeToLiveResponse,
  leaseService,
  Status,
} from '@quorate/proto';
import { isConnectionLost } from './bidi.ts';
import type { Caller, CallOptions } from './call.ts';
import { deadlineError, RpcError } from './errors.ts';
import type { KeepAlive, KeepAliveOptions } from './keep-alive.ts';
import { LeaseKeeper } from './lease-keeper.ts';

const { leaseGrant, leaseRevoke, leaseTimeToLive, leaseLeases, leaseKeepAlive } = leaseService.methods;

const attemptsMax = 100;

export class Lease {
  readonly #caller: Caller;
  readonly #keeper: LeaseKeeper;

  constructor(caller: Caller) {
    this.#caller = caller;
    this.#keeper = new LeaseKeeper(caller);
  }

  /**
   * Makes a lease of `ttl` seconds; the response tells the TTL it got, which may be longer. With `id` 0n, the default, the member
   * chooses one.
   */
  grant(ttl: number, options: { readonly id?: bigint } = {}, call?: CallOptions): Promise<LeaseGrantResponse> {
    return this.#caller.unary(leaseGrant, { ...options, ttl }, call);
  }

  /** Ends a lease now; its keys are deleted. */
  revoke(id: bigint, call?: CallOptions): Promise<LeaseRevokeResponse> {
    return this.#caller.unary(leaseRevoke, { id }, call);
  }

  /** Seconds left, and with `keys` the keys it holds. `ttl` is -1 for a lease that does not exist: that is no error. */
  timeToLive(
    id: bigint,
    options: { readonly keys?: boolean } = {},
    call?: CallOptions,
  ): Promise<LeaseTimeToLiveResponse> {
    return this.#caller.unary(leaseTimeToLive, { ...options, id }, call);
  }

  /** All leases. */
  list(call?: CallOptions): Promise<LeaseLeasesResponse> {
    return this.#caller.unary(leaseLeases, {}, call);
  }

  /**
   * Renews a lease once. Rejects with leaseNotFound when it has ended. Renewing twice is renewing once, so it is repeated on
   * other endpoints after a failure unless `retry` is `never`.
   */
  async keepAliveOnce(id: bigint, call: CallOptions = {}): Promise<LeaseKeepAliveResponse> {
    const { timeoutMs } = call;
    const { clock } = this.#caller;
    const deadlineMs = timeoutMs === undefined ? undefined : clock.nowMs() + timeoutMs;
    for (let attempt = 1; ; attempt += 1) {
      const leftMs = deadlineMs === undefined ? {} : { timeoutMs: Math.max(deadlineMs - clock.nowMs(), 0) };
      try {
        return await this.#renew(id, { ...call, ...leftMs });
      } catch (error) {
        const mayRepeat = isUnavailable(error) && call.retry !== 'never' && attempt < attemptsMax;
        if (!mayRepeat) throw error;
        if (deadlineMs !== undefined && clock.nowMs() >= deadlineMs) {
          throw deadlineError({ endpoint: '', sent: true, cause: error });
        }
      }
    }
  }

  /** Renews a lease every third of its TTL until it is stopped, lost, or the client is closed. */
  keepAlive(id: bigint, options?: KeepAliveOptions): KeepAlive {
    return this.#keeper.keep(id, options);
  }

  async #renew(id: bigint, options: CallOptions): Promise<LeaseKeepAliveResponse> {
    const call = await this.#caller.bidiStream(leaseKeepAlive, options);
    call.send({ id });
    for await (const response of call.responses) {
      if (response.ttl <= 0) throw new KvError('leaseNotFound');
      return response;
    }
    const details = 'the member ended the keep-alive stream';
    throw new RpcError({ status: Status.UNAVAILABLE, details, endpoint: call.endpoint, sent: true });
  }
}

function isUnavailable(error: unknown): boolean {
  return isConnectionLost(error) || (error instanceof KvError && isConnectionLost(error.cause));
}
