/**
 * The conservative transport: @grpc/grpc-js does HTTP/2, framing, decompression and deadlines. Connections come from outside
 * through an injector, calls are taken over from grpc-js at its interceptor (grpc-js-call.ts), bytes are decoded by our codecs.
 */
import {
  type Http2Session,
  constants as h2,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import {
  type ConnectionInjector,
  Server,
  ServerCredentials,
  type ServerInterceptingCall,
  type ServerInterceptingCallInterface,
} from '@grpc/grpc-js';
import { Deferred } from '@quorate/base';
import { Status } from '@quorate/proto';
import { GrpcJsCall } from './grpc-js-call.ts';
import { callInternals, http2ServerOf, type StreamListener, wrapStreamListener } from './grpc-js-internals.ts';
import { MessageDecoder } from './message-decoder.ts';
import type { ServiceMethod } from './service.ts';
import { splitPath, unknownMethodText } from './service-table.ts';
import { SessionGuard } from './session-guard.ts';
import { parseTimeoutMs } from './timeout.ts';
import type { RpcTransport, ServeOptions } from './transport.ts';

/** A deadline further away than this is none to a timer; grpc-js would take it for one that has passed. */
const timeoutMsMax = 2 ** 31 - 1;
const longestTimeout = `${Math.floor(timeoutMsMax / 1000)}S`;

/** Serves `methods` on grpc-js. */
export function serveGrpcJs(methods: readonly ServiceMethod[], options: ServeOptions): RpcTransport {
  return new GrpcJsTransport(methods, options);
}

class GrpcJsTransport implements RpcTransport {
  readonly #options: ServeOptions;
  readonly #methods = new Map<string, ServiceMethod>();
  readonly #services = new Set<string>();
  readonly #injector: ConnectionInjector;
  readonly #server: Server;
  readonly #guards = new WeakMap<Http2Session, SessionGuard>();
  readonly #sockets = new Set<Socket>();
  #draining = false;
  readonly #drained = new Deferred<void>();

  constructor(methods: readonly ServiceMethod[], options: ServeOptions) {
    this.#options = options;
    this.#server = new Server({
      'grpc.max_receive_message_length': options.receiveBytesMax,
      'grpc.max_send_message_length': -1,
      'grpc.max_concurrent_streams': options.maxConcurrentStreams,
      'grpc.enable_channelz': 0,
      ...keepaliveOptions(options),
      // The interceptor is asked for an object to start; a GrpcJsCall starts itself and takes the call over.
      interceptors: [(info, call) => this.#takeOver(info.path, call) as unknown as ServerInterceptingCall],
    });
    for (const method of methods) this.#register(method);
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
    const http2Server = http2ServerOf(this.#server);
    http2Server.on('session', (session) => this.#guard(session));
    wrapStreamListener(http2Server, (inner) => this.#route(inner));
  }

  attach(socket: Socket, head: Buffer): void {
    if (this.#draining) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      if (this.#draining && this.#sockets.size === 0) this.#drained.resolve();
    });
    if (head.length > 0) socket.unshift(head);
    this.#injector.injectConnection(socket);
  }

  async drain(limitMs: number): Promise<boolean> {
    this.#draining = true;
    if (this.#sockets.size === 0) return true;
    this.#injector.drain(limitMs);
    let inTime = true;
    const limit = this.#options.clock.after(limitMs, () => {
      inTime = false;
      this.#drained.resolve();
    });
    await this.#drained.promise;
    limit.cancel();
    return inTime;
  }

  close(): void {
    this.#draining = true;
    this.#injector.destroy();
    for (const socket of this.#sockets) socket.destroy();
    this.#server.forceShutdown();
  }

  #register(method: ServiceMethod): void {
    this.#methods.set(method.path, method);
    const parts = splitPath(method.path);
    if (parts !== undefined) this.#services.add(parts.service);
    this.#server.register(method.path, () => {}, same, same, method.kind);
  }

  #guard(session: ServerHttp2Session): void {
    const { clock, logger, keepalive, handshakeTimeoutMs } = this.#options;
    const guard = new SessionGuard(session, { clock, logger, pingMinTimeMs: keepalive.minTimeMs, handshakeTimeoutMs });
    this.#guards.set(session, guard);
    session.on('error', (error) => logger.debug('http2 session failed', { error: error.message }));
  }

  #takeOver(path: string, call: ServerInterceptingCallInterface): GrpcJsCall {
    const internals = callInternals(call);
    internals.decoder = new MessageDecoder(this.#options.receiveBytesMax, internals.incomingEncoding !== 'identity');
    const session = internals.stream.session;
    const guard = session === undefined ? undefined : this.#guards.get(session);
    // Only registered paths come here.
    const method = this.#methods.get(path) as ServiceMethod;
    return new GrpcJsCall(method, call, guard, this.#options);
  }

  /** Stands before grpc-js' own handling of a stream: answers what it would answer in other words than Go. */
  #route(inner: StreamListener): StreamListener {
    return (stream, headers, flags) => {
      const path = headers[':path'] ?? '';
      if (this.#methods.has(path) || !isGrpc(headers)) {
        limitTimeout(headers);
        inner(stream, headers, flags);
      } else {
        refuse(stream, unknownMethodText(path, this.#services));
      }
    };
  }
}

function same(bytes: Buffer): Buffer {
  return bytes;
}

function keepaliveOptions({ keepalive }: ServeOptions): Record<string, number> {
  if (keepalive.intervalMs === 0) return {};
  return { 'grpc.keepalive_time_ms': keepalive.intervalMs, 'grpc.keepalive_timeout_ms': keepalive.timeoutMs };
}

function isGrpc(headers: IncomingHttpHeaders): boolean {
  return headers['content-type']?.startsWith('application/grpc') === true;
}

function limitTimeout(headers: IncomingHttpHeaders): void {
  const header = headers['grpc-timeout'];
  if (typeof header !== 'string') return;
  const timeoutMs = parseTimeoutMs(header);
  if (timeoutMs !== undefined && timeoutMs > timeoutMsMax) headers['grpc-timeout'] = longestTimeout;
}

function refuse(stream: ServerHttp2Stream, message: string): void {
  stream.on('error', () => {
    // The client is gone; there is nobody left to tell.
  });
  stream.respond(
    {
      [h2.HTTP2_HEADER_STATUS]: 200,
      [h2.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
      'grpc-status': Status.UNIMPLEMENTED,
      'grpc-message': encodeURI(message),
    },
    { endStream: true },
  );
  stream.resume();
}
