/**
 * The only place that reaches behind the public interface of grpc-js, whose version is pinned for it. Needed because the server
 * of grpc-js has no say over: the text for unknown methods and oversized messages (clients match Go's), the rate of pings,
 * deadlines beyond 2^31 ms (taken for negative ones), and connections that never finish their handshake.
 */
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Server, ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { invariant } from '@quorate/base';

/** What grpc-js' innermost call holds: the HTTP/2 stream, and the cutter of messages, which may be exchanged before data comes. */
export interface CallInternals {
  readonly stream: ServerHttp2Stream;
  readonly incomingEncoding: string;
  decoder: { write(data: Buffer): Buffer[] };
}

export type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number) => void;

export function callInternals(call: ServerInterceptingCallInterface): CallInternals {
  const internals = call as unknown as Partial<CallInternals>;
  invariant(internals.stream !== undefined && internals.decoder !== undefined, 'grpc-js call has another shape');
  return internals as CallInternals;
}

/** The HTTP/2 server that the first connection injector of `server` made. */
export function http2ServerOf(server: Server): Http2Server {
  const { http2Servers } = server as unknown as { http2Servers?: Map<Http2Server, unknown> };
  const http2Server = http2Servers?.keys().next().value;
  invariant(http2Server !== undefined, 'grpc-js server has another shape');
  return http2Server;
}

/** Puts `wrap` around grpc-js' own handling of new streams. */
export function wrapStreamListener(http2Server: Http2Server, wrap: (inner: StreamListener) => StreamListener): void {
  const listeners = http2Server.listeners('stream') as StreamListener[];
  invariant(listeners.length === 1 && listeners[0] !== undefined, 'grpc-js listens to streams in another way');
  const inner = listeners[0];
  http2Server.removeListener('stream', inner);
  http2Server.on('stream', wrap(inner.bind(http2Server)));
}
