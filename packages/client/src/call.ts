/** One call as callers see it, and the narrow view of the client that the services are built on. */
import type { Clock } from '@quorate/base';
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

/** A call with a stream in both directions, to one member. */
export interface BidiCall<Request, Response> {
  /** The member it goes to. */
  readonly endpoint: string;
  /** Answers in order. Rejects with KvError, RpcError or the signal's reason; leaving the loop cancels the call. */
  readonly responses: AsyncGenerator<Response, void, undefined>;
  /** Queues a request; ignored once the call is over. */
  send(request: Partial<Request>): void;
  /** Ends the call; `responses` ends without an error. With a reason, the endpoint is left alone for a while because of it. */
  cancel(blame?: unknown): void;
}

/** What makes calls: the client, or a stand-in for tests of what is built on it. */
export interface Caller {
  /** What its timers run on. */
  readonly clock: Clock;
  /** Those that calls are spread over. */
  readonly endpoints: readonly string[];
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
  /**
   * Begins a stream on a member that can be reached, and never repeats it: only who uses it knows where to go on. Without
   * `timeoutMs` it has no deadline, and looks for a member for minutes before it rejects.
   */
  bidiStream<Request, Response>(
    method: MethodInfo<Request, Response, true, true>,
    options?: CallOptions,
  ): Promise<BidiCall<Request, Response>>;
}
