/**
 * What a service implementation sees of a call, and what a transport must give it. Two transports stand behind this: grpc-js
 * and a direct HTTP/2 one. Unary handlers answer through a Reply instead of returning a promise, so that a put costs no promise
 * chain; a handler must call exactly one of the reply's methods, once, now or later.
 */
import type { Codec } from '@quorate/proto';

/** Request metadata; names are lower case, the first value wins. Binary (`-bin`) values are base64 text. */
export interface Metadata {
  get(name: string): string | undefined;
}

/** One call in progress. */
export interface ServerCall {
  /** `/etcdserverpb.KV/Put` */
  readonly path: string;
  readonly metadata: Metadata;
  /** Remote address as `host:port`, for logs. */
  readonly peer: string;
  /** Common name in the caller's certificate, which was verified; undefined when it had to show none. */
  readonly commonName: string | undefined;
  /** Milliseconds the caller still waits (from grpc-timeout) at the start of the call; undefined when it set no deadline. */
  readonly timeoutMs: number | undefined;
  /** True once the caller went away or the deadline passed; answers are then dropped. */
  readonly cancelled: boolean;
  /**
   * Calls `fn` once if the call is cancelled before the handler ended it, at once when it already is. A call whose handler
   * threw, or whose client sent what is no message, ends with that error and counts as cancelled too: whatever the handler
   * holds for the call is to be let go here.
   */
  onCancel(fn: () => void): void;
  /** Response metadata that leaves before the first message; too late afterwards, then ignored. Names in lower case. */
  setHeader(name: string, value: string): void;
  /** Response metadata that leaves with the status. */
  setTrailer(name: string, value: string): void;
}

/** Where a unary (or client-streaming) handler answers. */
export interface Reply<Res> {
  /** There is no wire behind it: a message that is not encoded yet is best given to {@link ok}. Default false. */
  readonly takesMessages?: boolean;
  ok(response: Res): void;
  /** An answer that is encoded already. */
  encoded(bytes: Buffer): void;
  /** The same in pieces that are one message together, for answers too long to be put into one buffer in one turn. */
  pieces(pieces: readonly Buffer[]): void;
  /**
   * KvError and StatusError keep their status and text; anything else becomes UNKNOWN with its message and is logged. A
   * FatalError is thrown on: it is no answer, it ends the process.
   */
  fail(error: unknown): void;
}

/** The sending half of a streaming answer. */
export interface ServerStream<Res> {
  /** False means: wait for onDrain before sending more. What was given is sent in any case, unless the call is cancelled. */
  send(response: Res): boolean;
  sendEncoded(bytes: Buffer): boolean;
  /** `fn` is called each time sending may go on after a send returned false. Never called once the call is cancelled. */
  onDrain(fn: () => void): void;
  /** Bytes accepted and not yet taken by the network. */
  readonly queuedBytes: number;
  /** Sends the response headers now; otherwise they leave with the first message. */
  sendHeaders(): void;
  /** Status OK after everything sent so far. */
  end(): void;
  /** Another status, see {@link Reply.fail}, after everything sent so far. */
  fail(error: unknown): void;
}

/** The receiving half of a streaming request. Set the callbacks synchronously in the handler. */
export interface ClientStream<Req> {
  onMessage(fn: (request: Req) => void): void;
  /** The client closed its side; no more messages. */
  onEnd(fn: () => void): void;
  /** Stops and resumes reading from the network; no message is delivered in between. */
  pause(): void;
  resume(): void;
}

export type UnaryHandler<Req, Res> = (request: Req, call: ServerCall, reply: Reply<Res>) => void;
export type ServerStreamHandler<Req, Res> = (request: Req, call: ServerCall, stream: ServerStream<Res>) => void;
export type ClientStreamHandler<Req, Res> = (requests: ClientStream<Req>, call: ServerCall, reply: Reply<Res>) => void;
export type BidiHandler<Req, Res> = (requests: ClientStream<Req>, call: ServerCall, stream: ServerStream<Res>) => void;

/** One method with its codecs and its handler; which handler it is follows from the two stream flags. */
export type ServiceMethod =
  | MethodOf<'unary', UnaryHandler<never, never>>
  | MethodOf<'serverStream', ServerStreamHandler<never, never>>
  | MethodOf<'clientStream', ClientStreamHandler<never, never>>
  | MethodOf<'bidi', BidiHandler<never, never>>;

/** The four shapes of an RPC. */
export type MethodKind = ServiceMethod['kind'];

interface MethodOf<Kind extends string, Handler> {
  readonly kind: Kind;
  readonly path: string;
  readonly request: Codec<unknown>;
  readonly response: Codec<unknown>;
  readonly handler: Handler;
}
