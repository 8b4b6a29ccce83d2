/**
 * What the client needs from a transport: bytes to one endpoint and back. Production uses grpc-js; a simulator can put its own
 * network here and run the client unchanged.
 */
import type { Endpoint } from './endpoint.ts';

/** Limits of one attempt. */
export interface Attempt {
  /** Milliseconds from now; undefined waits for ever. */
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal | undefined;
  /** Sent as request metadata; names in lower case. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** A call with a stream in both directions. */
export interface BidiStream {
  /**
   * Answers in order; ends with the stream, throws RpcError or the signal's reason. The transport reads ahead a bounded number.
   * Whoever leaves the loop has cancelled the call.
   */
  readonly responses: AsyncIterableIterator<Buffer, undefined>;
  /** Queues a request; ignored once the call is over. Callers bound what they send themselves. */
  send(request: Buffer): void;
  /** No more requests; answers may still come. */
  end(): void;
  /** Ends the call; `responses` ends without an error. */
  cancel(): void;
}

/** A connection to one endpoint that re-establishes itself. All calls fail with RpcError. */
export interface Channel {
  /** True when a call would be sent at once. */
  readonly isConnected: boolean;
  /**
   * Connects unless connected. Resolves when the outcome is known, whatever it is: a call made then is either sent or fails at
   * once with `sent: false`. Rejects with RpcError only when `timeoutMs` passed first, and with the signal's reason.
   */
  connect(timeoutMs: number, signal: AbortSignal | undefined): Promise<void>;
  unary(path: string, request: Buffer, attempt: Attempt): Promise<Buffer>;
  /** Ends with the stream; leaving the loop early cancels the call. */
  serverStream(path: string, request: Buffer, attempt: Attempt): AsyncIterable<Buffer>;
  /** Begins a call; how it went is told by its responses. */
  bidiStream(path: string, attempt: Attempt): BidiStream;
  /** No new calls; running ones finish, attempts to connect end. */
  close(): void;
}

/** Makes channels; must not connect yet. */
export type OpenChannel = (endpoint: Endpoint) => Channel;
