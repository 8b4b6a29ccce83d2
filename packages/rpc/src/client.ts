/**
 * What a client of this package sees: one connection, calls on it. A connection is used until it breaks and then made anew by its
 * owner, who knows where else to try and how long to wait.
 */
import type { Clock, Logger } from '@quorate/base';
import type { TlsDialer } from '@quorate/tls';
import type { RpcStatus } from './respond.ts';

export interface ConnectOptions {
  readonly host: string;
  readonly port: number;
  /** Makes the connection secure; undefined: it is not. */
  readonly tls?: TlsDialer | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Largest message taken. */
  readonly receiveBytesMax: number;
  /** A connection on which nothing was read for the interval is pinged, and closed when nothing is read for the time-out after. */
  readonly keepalive: { readonly intervalMs: number; readonly timeoutMs: number };
  /** A server that has not greeted us by then is given up. */
  readonly connectTimeoutMs: number;
}

/** Who is told of what comes on a call. */
export interface CallListener {
  /** One message, never written to again. A DecodeError ends the call; anything else thrown here ends the process. */
  onMessage(message: Buffer): void;
  /** The call is over, whoever ended it; called once, after everything else. */
  onEnd(status: RpcStatus): void;
  /** {@link RpcCall.queuedBytes} fell, after a `send` that answered false. */
  onDrain?(): void;
}

/** A call under way. */
export interface RpcCall {
  /** Sends a message, as far as windows and socket allow, the rest later. False means: wait for `onDrain` before more. */
  send(message: Buffer): boolean;
  /** Bytes sent that wait for a window or for the socket. */
  readonly queuedBytes: number;
  /** Stops and resumes reading; no message is delivered in between, and the server may send no more than a window. */
  pause(): void;
  resume(): void;
  /** Nothing more will be sent. */
  end(): void;
  /** Ends the call on both sides, with CANCELLED. */
  cancel(): void;
}

/** A connection to a server. It connects by itself; what is sent before it has waits. */
export interface RpcConnection {
  /** No call can be opened any more: it broke, was closed, or the server is going away. */
  readonly isClosed: boolean;
  /** Opens a call to `path`, of any shape; one that cannot be made ends with UNAVAILABLE, after this has returned. */
  open(path: string, listener: CallListener, timeoutMs?: number): RpcCall;
  /** One request, one answer. Rejects with StatusError. */
  unary(path: string, request: Buffer, timeoutMs: number): Promise<Buffer>;
  /** Writes what was sent, which otherwise happens when the microtasks of this turn are done. */
  flush(): void;
  /** Ends every call with CANCELLED, and the connection. */
  close(): void;
}
