/**
 * One call on HTTP/2, all its roles in one object: the stream, the call, the reply and the requests a handler sees. Objects are
 * not used again for later calls: a handler that answers late or twice must hit its own call, never somebody else's.
 */
import { Status } from '@quorate/proto';
import {
  messageBytesLimit,
  messageTooLong,
  okStatus,
  type RpcStatus,
  StatusError,
  toStatus,
  totalBytes,
} from '../respond.ts';
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
} from '../service.ts';
import type { ServeOptions } from '../transport.ts';
import type { Deadline, DeadlineWheel, Expiring } from './deadline-wheel.ts';
import { type FieldText, withField } from './hpack-encoder.ts';
import type { RequestHead } from './request-head.ts';
import { type ReceivingHost, RequestStream } from './request-stream.ts';
import { headBlock, trailersBlock, trailersOnlyBlock } from './responses.ts';
import type { Sender } from './sender.ts';

/** More unsent bytes than this on a streaming call make `send` answer false; sending may go on at half of it. */
export const streamQueueBytesMax: number = 256 * 1024;

/** What a call needs of its connection. */
export interface CallHost extends ReceivingHost {
  readonly options: ServeOptions;
  readonly peer: string;
  readonly commonName: string | undefined;
  readonly sender: Sender;
  readonly wheel: DeadlineWheel;
  /** Something was given to the sender. */
  flushLater(): void;
  /** The call sent its last frame. */
  callEnded(call: Call): void;
}

const ignore = (): void => {};

export class Call
  extends RequestStream
  implements ServerCall, Reply<unknown>, ServerStream<unknown>, ClientStream<unknown>, Expiring
{
  readonly path: string;
  readonly metadata: Metadata;
  readonly timeoutMs: number | undefined;
  cancelled = false;
  private readonly host: CallHost;
  private readonly method: ServiceMethod;
  private deadline: Deadline | undefined = undefined;
  private headers: FieldText[] | undefined = undefined;
  private trailers: FieldText[] | undefined = undefined;
  private headersSent = false;
  /** The handler has given its last word; nothing more may be sent. */
  private answered = false;
  /** The handler runs or has run. */
  private started = false;
  /** A send answered false and the drain listener was not called since. */
  private blocked = false;
  private cancelListeners: (() => void)[] | undefined = undefined;
  private messageListener: (request: unknown) => void = ignore;
  private endListener: () => void = ignore;
  private drainListener: () => void = ignore;

  /** `method` is the one that `head` names. */
  constructor(id: number, head: RequestHead, method: ServiceMethod, host: CallHost) {
    super(id, host.sender.streamWindow, host, head.isGzip, head.contentBytes);
    this.path = method.path;
    this.metadata = head;
    this.timeoutMs = head.timeoutMs;
    this.host = host;
    this.method = method;
  }

  /** The request's headers have arrived, at `nowMs`. */
  begin(nowMs: number): void {
    if (this.timeoutMs !== undefined) this.deadline = this.host.wheel.set(this, nowMs, this.timeoutMs);
    const { kind, handler } = this.method;
    if (kind !== 'bidi' && kind !== 'clientStream') return;
    this.started = true;
    this.try(() => (handler as StreamingRequestHandler)(this, this, this));
  }

  /** The client went away or reset the stream; there is nobody to answer. */
  abort(): void {
    this.localClosed = true;
    this.remoteClosed = true;
    this.host.sender.drop(this);
    this.over();
    if (!this.answered) this.cancel();
  }

  expire(): void {
    if (this.answered || this.cancelled) return;
    this.host.sender.drop(this);
    this.finish({ code: Status.DEADLINE_EXCEEDED, message: 'context deadline exceeded' });
    this.cancel();
  }

  // ---- call

  get peer(): string {
    return this.host.peer;
  }

  get commonName(): string | undefined {
    return this.host.commonName;
  }

  onCancel(fn: () => void): void {
    if (this.cancelled) fn();
    else if (this.cancelListeners === undefined) this.cancelListeners = [fn];
    else this.cancelListeners.push(fn);
  }

  setHeader(name: string, value: string): void {
    this.headers = withField(this.headers, name, value);
  }

  setTrailer(name: string, value: string): void {
    this.trailers = withField(this.trailers, name, value);
  }

  // ---- reply

  ok(response: unknown): void {
    const bytes = this.encode(response);
    if (bytes !== undefined) this.encoded(bytes);
  }

  encoded(bytes: Buffer): void {
    if (!this.mayAnswer()) return;
    this.host.options.bytesSent?.add(bytes.length);
    const isPlain = !(this.headersSent || this.isGzip) && this.headers === undefined && this.trailers === undefined;
    if (isPlain && this.host.sender.answer(this, bytes)) {
      this.headersSent = true;
      this.answered = true;
      this.over();
      this.sendingEnded();
    } else {
      this.flushHeaders();
      this.host.sender.message(this, bytes);
      this.finish(okStatus);
    }
    this.host.flushLater();
  }

  pieces(pieces: readonly Buffer[]): void {
    const sizeBytes = totalBytes(pieces);
    if (sizeBytes > messageBytesLimit) {
      this.fail(messageTooLong(sizeBytes));
      return;
    }
    if (!this.mayAnswer()) return;
    this.host.options.bytesSent?.add(sizeBytes);
    this.flushHeaders();
    this.host.sender.messageInPieces(this, pieces, sizeBytes);
    this.finish(okStatus);
    this.host.flushLater();
  }

  fail(error: unknown): void {
    const status = toStatus(error, this.path, this.host.options.logger);
    if (this.mayAnswer()) this.finish(status);
  }

  // ---- stream to the client

  send(response: unknown): boolean {
    const bytes = this.encode(response);
    return bytes !== undefined && this.sendEncoded(bytes);
  }

  sendEncoded(bytes: Buffer): boolean {
    if (this.cancelled || this.answered) return false;
    this.flushHeaders();
    this.host.options.bytesSent?.add(bytes.length);
    this.host.sender.message(this, bytes);
    this.host.flushLater();
    if (this.queuedBytes <= streamQueueBytesMax) return true;
    this.blocked = true;
    return false;
  }

  onDrain(fn: () => void): void {
    this.drainListener = fn;
  }

  sendHeaders(): void {
    if (this.cancelled || this.answered) return;
    this.flushHeaders();
    this.host.flushLater();
  }

  end(): void {
    if (this.mayAnswer()) this.finish(okStatus);
  }

  // ---- stream from the client

  onMessage(fn: (request: unknown) => void): void {
    this.messageListener = fn;
  }

  onEnd(fn: () => void): void {
    this.endListener = fn;
  }

  // ---- what the stream tells

  protected receive(message: Buffer): void {
    this.host.options.bytesReceived?.add(message.length);
    const { kind, handler, request } = this.method;
    // No closure around the step, here it would be one per message.
    try {
      if (kind === 'bidi' || kind === 'clientStream') {
        this.messageListener(request.decode(message));
      } else if (!this.started) {
        // Only the first message of such a call counts.
        this.started = true;
        (handler as SingleRequestHandler)(request.decode(message), this, this);
      }
    } catch (error) {
      this.receiveFailed(error);
    }
  }

  protected receiveEnd(): void {
    if (this.started) this.try(this.endListener);
    else this.fail(new StatusError(Status.INTERNAL, 'unexpected EOF'));
  }

  protected receiveFailed(error: unknown): void {
    this.fail(error);
    this.cancel();
  }

  protected get isDone(): boolean {
    return this.answered || this.cancelled;
  }

  sendingProgressed(): void {
    if (!this.blocked || this.queuedBytes > streamQueueBytesMax / 2 || this.cancelled || this.answered) return;
    this.blocked = false;
    this.try(this.drainListener);
  }

  sendingEnded(): void {
    this.localClosed = true;
    this.host.callEnded(this);
  }

  private try(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.receiveFailed(error);
    }
  }

  private cancel(): void {
    if (this.cancelled) return;
    this.cancelled = true;
    const listeners = this.cancelListeners ?? [];
    this.cancelListeners = undefined;
    for (const listener of listeners) listener();
  }

  private encode(response: unknown): Buffer | undefined {
    try {
      return this.method.response.encode(response);
    } catch (error) {
      this.fail(error);
      return undefined;
    }
  }

  private mayAnswer(): boolean {
    if (this.cancelled) return false;
    if (!this.answered) return true;
    this.host.options.logger.error('call answered twice', { path: this.path });
    return false;
  }

  private flushHeaders(): void {
    if (this.headersSent) return;
    this.headersSent = true;
    this.host.sender.headers(this.id, headBlock(this.headers, this.isGzip), false);
  }

  private finish(status: RpcStatus): void {
    this.answered = true;
    this.over();
    if (this.headersSent || this.headers !== undefined) {
      this.flushHeaders();
      this.host.sender.end(this, trailersBlock(status, this.trailers));
    } else {
      this.headersSent = true;
      this.host.sender.end(this, trailersOnlyBlock(status, this.trailers, this.isGzip));
    }
    this.host.flushLater();
  }

  /** Lets go of everything that waits for the call's end. */
  private over(): void {
    if (this.deadline !== undefined) this.host.wheel.clear(this.deadline);
    this.dropBody();
  }
}

type SingleRequestHandler = UnaryHandler<unknown, unknown> & ServerStreamHandler<unknown, unknown>;
type StreamingRequestHandler = ClientStreamHandler<unknown, unknown> & BidiHandler<unknown, unknown>;
