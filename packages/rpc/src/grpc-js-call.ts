/**
 * One call on grpc-js, all its roles in one object: the call, the reply, the stream and the requests a handler sees. It sits
 * directly on grpc-js' innermost call and not on the Readable and Writable objects grpc-js would make, for three reasons:
 * exactly one message is read at a time, a paused stream stops at the next message, and an empty unary call costs less.
 *
 *   handler ── send() ──► sendMessage ──► HTTP/2 stream      queued until the network took it, counted in queuedBytes
 *   handler ◄─ message ── onReceiveMessage ◄── startRead     one read outstanding at most
 */
import { Metadata as GrpcMetadata, type ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { Status } from '@quorate/proto';
import { messageHeaderBytes } from './message-decoder.ts';
import {
  messageBytesLimit,
  messageTooLong,
  okStatus,
  type RpcStatus,
  StatusError,
  toStatus,
  totalBytes,
  wellFormed,
} from './respond.ts';
import type {
  BidiHandler,
  ClientStream,
  ClientStreamHandler,
  Metadata,
  Reply,
  ServerCall,
  ServerStream,
  ServerStreamHandler,
  ServiceMethod,
  UnaryHandler,
} from './service.ts';
import type { SessionGuard } from './session-guard.ts';
import type { ServeOptions } from './transport.ts';

type Listener = Parameters<ServerInterceptingCallInterface['start']>[0];

/** More unsent bytes than this on a streaming call make `send` answer false; sending may go on at half of it. */
export const streamQueueBytesMax: number = 256 * 1024;

const ignore = (): void => {};

export class GrpcJsCall implements ServerCall, Reply<unknown>, ServerStream<unknown>, ClientStream<unknown> {
  readonly path: string;
  readonly timeoutMs: number | undefined;
  metadata: Metadata = noMetadata;
  cancelled = false;
  queuedBytes = 0;
  readonly #method: ServiceMethod;
  readonly #inner: ServerInterceptingCallInterface;
  readonly #guard: SessionGuard | undefined;
  readonly #options: ServeOptions;
  #headers: GrpcMetadata | undefined;
  #trailers: GrpcMetadata | undefined;
  #headersSent = false;
  /** The handler has given its last word; nothing more may be sent. */
  #answered = false;
  #cancelListeners: (() => void)[] | undefined;
  #onMessage: (request: unknown) => void = ignore;
  #onEnd: () => void = ignore;
  #onDrain: () => void = ignore;
  /** A send answered false and onDrain was not called since. */
  #blocked = false;
  /** The handler runs or has run. */
  #started = false;
  #paused = false;
  /** A read is outstanding. */
  #reading = false;
  /** #pull is on the stack. */
  #pulling = false;
  /** The client closed its side. */
  #halfClosed = false;

  constructor(
    method: ServiceMethod,
    inner: ServerInterceptingCallInterface,
    guard: SessionGuard | undefined,
    options: ServeOptions,
  ) {
    this.path = method.path;
    this.#method = method;
    this.#inner = inner;
    this.#guard = guard;
    this.#options = options;
    const deadline = Number(inner.getDeadline());
    this.timeoutMs = deadline === Infinity ? undefined : Math.max(0, deadline - options.clock.wallMs());
  }

  /** Called by grpc-js when the call begins. Its own listener, given as an argument, is not used. */
  start(): void {
    this.#inner.start(new CallListener(this));
  }

  get peer(): string {
    return this.#inner.getPeer();
  }

  get commonName(): string | undefined {
    return this.#guard?.commonName;
  }

  onCancel(fn: () => void): void {
    if (this.cancelled) fn();
    else if (this.#cancelListeners === undefined) this.#cancelListeners = [fn];
    else this.#cancelListeners.push(fn);
  }

  setHeader(name: string, value: string): void {
    this.#headers ??= new GrpcMetadata();
    this.#headers.set(name, value);
  }

  setTrailer(name: string, value: string): void {
    this.#trailers ??= new GrpcMetadata();
    this.#trailers.set(name, value);
  }

  // ---- reply

  ok(response: unknown): void {
    const bytes = this.#encode(response);
    if (bytes !== undefined) this.encoded(bytes);
  }

  encoded(bytes: Buffer): void {
    if (!this.#mayAnswer()) return;
    this.#write(bytes, ignore);
    this.#finish(okStatus);
  }

  /** The library wants a message whole. */
  pieces(pieces: readonly Buffer[]): void {
    if (totalBytes(pieces) > messageBytesLimit) this.fail(messageTooLong(totalBytes(pieces)));
    else this.encoded(Buffer.concat(pieces));
  }

  fail(error: unknown): void {
    const status = toStatus(error, this.path, this.#options.logger);
    if (this.#mayAnswer()) this.#finish(status);
  }

  // ---- stream to the client

  send(response: unknown): boolean {
    const bytes = this.#encode(response);
    return bytes !== undefined && this.sendEncoded(bytes);
  }

  sendEncoded(bytes: Buffer): boolean {
    if (this.cancelled || this.#answered) return false;
    const queued = bytes.length + messageHeaderBytes;
    this.queuedBytes += queued;
    this.#write(bytes, () => this.#taken(queued));
    if (this.queuedBytes <= streamQueueBytesMax) return true;
    this.#blocked = true;
    return false;
  }

  onDrain(fn: () => void): void {
    this.#onDrain = fn;
  }

  sendHeaders(): void {
    if (this.#headersSent || this.cancelled || this.#answered) return;
    this.#headersSent = true;
    this.#inner.sendMetadata(this.#headers ?? noHeaders);
    this.#guard?.sent();
  }

  end(): void {
    if (this.#mayAnswer()) this.#finish(okStatus);
  }

  // ---- stream from the client

  onMessage(fn: (request: unknown) => void): void {
    this.#onMessage = fn;
  }

  onEnd(fn: () => void): void {
    this.#onEnd = fn;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (this.#started) this.#pull();
  }

  // ---- events of grpc-js

  begin(metadata: GrpcMetadata): void {
    if (this.#guard !== undefined) this.#guard.activeCalls++;
    this.metadata = new RequestMetadata(metadata);
    const { kind, handler } = this.#method;
    if (kind === 'bidi' || kind === 'clientStream') {
      this.#try(() => (handler as StreamingRequestHandler)(this, this, this));
      this.#started = true;
    }
    this.#pull();
  }

  receive(bytes: Buffer): void {
    this.#reading = false;
    this.#options.bytesReceived?.add(bytes.length);
    if (this.#answered || this.cancelled) return;
    const { kind, request: codec, handler } = this.#method;
    if (kind === 'unary' || kind === 'serverStream') {
      // The only read of such a call: a second message would never be asked for.
      this.#started = true;
      this.#try(() => (handler as SingleRequestHandler)(codec.decode(bytes), this, this));
      return;
    }
    this.#try(() => this.#onMessage(codec.decode(bytes)));
    this.#pull();
  }

  halfClose(): void {
    this.#reading = false;
    this.#halfClosed = true;
    if (this.#answered || this.cancelled) return;
    if (this.#started) this.#try(() => this.#onEnd());
    else this.fail(new StatusError(Status.INTERNAL, 'unexpected EOF'));
  }

  /** The call is over, one way or the other. */
  over(): void {
    if (this.#guard !== undefined) this.#guard.activeCalls--;
    if (!this.#answered) this.#cancel();
  }

  /** Reads until a read has to wait. A loop, because grpc-js delivers what it holds already from within startRead. */
  #pull(): void {
    if (this.#pulling) return;
    this.#pulling = true;
    while (!(this.#paused || this.#reading || this.#halfClosed || this.cancelled || this.#answered)) {
      this.#reading = true;
      this.#inner.startRead();
    }
    this.#pulling = false;
  }

  #try(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.fail(error);
      this.#cancel();
    }
  }

  #cancel(): void {
    this.cancelled = true;
    const listeners = this.#cancelListeners ?? [];
    this.#cancelListeners = undefined;
    for (const listener of listeners) listener();
  }

  #encode(response: unknown): Buffer | undefined {
    try {
      return this.#method.response.encode(response);
    } catch (error) {
      this.fail(error);
      return undefined;
    }
  }

  #mayAnswer(): boolean {
    if (this.cancelled) return false;
    if (!this.#answered) return true;
    this.#options.logger.error('call answered twice', { path: this.path });
    return false;
  }

  #write(bytes: Buffer, taken: () => void): void {
    this.sendHeaders();
    this.#options.bytesSent?.add(bytes.length);
    this.#guard?.sent();
    this.#inner.sendMessage(bytes, taken);
  }

  #taken(bytes: number): void {
    this.queuedBytes -= bytes;
    if (!this.#blocked || this.queuedBytes > streamQueueBytesMax / 2 || this.cancelled || this.#answered) return;
    this.#blocked = false;
    this.#try(this.#onDrain);
  }

  #finish(status: RpcStatus): void {
    this.#answered = true;
    this.#guard?.sent();
    this.#inner.sendStatus({
      code: status.code,
      details: wellFormed(status.message),
      metadata: this.#trailers ?? null,
    });
  }
}

type SingleRequestHandler = UnaryHandler<unknown, unknown> & ServerStreamHandler<unknown, unknown>;
type StreamingRequestHandler = ClientStreamHandler<unknown, unknown> & BidiHandler<unknown, unknown>;

/** Keeps grpc-js' events apart from the methods handlers see. */
class CallListener implements Listener {
  readonly #call: GrpcJsCall;

  constructor(call: GrpcJsCall) {
    this.#call = call;
  }

  onReceiveMetadata(metadata: GrpcMetadata): void {
    this.#call.begin(metadata);
  }

  onReceiveMessage(message: Buffer): void {
    this.#call.receive(message);
  }

  onReceiveHalfClose(): void {
    this.#call.halfClose();
  }

  /** After every end, normal or not. */
  onCancel(): void {
    this.#call.over();
  }
}

class RequestMetadata implements Metadata {
  readonly #metadata: GrpcMetadata;

  constructor(metadata: GrpcMetadata) {
    this.#metadata = metadata;
  }

  get(name: string): string | undefined {
    const value = this.#metadata.get(name)[0];
    return typeof value === 'object' ? value.toString('base64') : value;
  }
}

const noHeaders = new GrpcMetadata();
const noMetadata: Metadata = { get: () => undefined };
