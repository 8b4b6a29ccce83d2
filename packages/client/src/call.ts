/** One call as callers see it, and the narrow view of the client that the services are built on. */
import type { MethodInfo } from '@quorate/proto';
import type { RetryMode } from './retry.ts';

/** Limits of one call. */
export interface CallOptions {
  /** Milliseconds for everything: finding a member, attempts, pauses. */
  readonly timeoutMs?: number;
  /** Aborting rejects with the signal's reason; a write under way may still happen. */
  readonly signal?: AbortSignal;
  /** Default `safe`: reads are repeated, writes only if provably not sent. */
  readonly retry?: RetryMode;
  /** Asks this endpoint and no other; it need not be one of the client's. */
  readonly endpoint?: string;
  /** Fails at once with noLeader when the member sees no leader (metadata `hasleader`). */
  readonly requireLeader?: boolean;
}

/** What makes calls: the client, or a stand-in for tests of what is built on it. */
export interface Caller {
  unary<Request, Response>(
    method: MethodInfo<Request, Response, false, false>,
    request: Partial<Request>,
    options?: CallOptions,
  ): Promise<Response>;
  serverStream<Request, Response>(
    method: MethodInfo<Request, Response, false, true>,
    request: Partial<Request>,
    options?: CallOptions,
  ): AsyncGenerator<Response, void, undefined>;
}
