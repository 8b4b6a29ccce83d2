/**
 * The receiving half of one stream: DATA becomes messages, messages are handed on unless the handler paused, and the window
 * grows again by what was handed on. A message that lies whole in one frame, which is nearly every one, goes straight through;
 * everything else is gathered in a {@link RequestBody}.
 */
import { Status } from '@quorate/proto';
import { StatusError } from '../respond.ts';
import type { ServeOptions } from '../transport.ts';
import type { Decompressor } from './decompressor.ts';
import { ErrorCode } from './frames.ts';
import { StreamError } from './h2-errors.ts';
import type { H2Limits } from './limits.ts';
import { RequestBody } from './request-body.ts';
import { messagePrefixBytes } from './responses.ts';
import { Stream } from './stream.ts';

/** What the receiving half needs of its connection. */
export interface ReceivingHost {
  readonly options: Pick<ServeOptions, 'receiveBytesMax'>;
  readonly limits: H2Limits;
  readonly decompressor: Decompressor;
  /** Bytes held for all streams of the connection. */
  heldBytes: number;
  /** Grows the window of stream `id` at the client. */
  sendWindowUpdate(id: number, bytes: number): void;
}

export abstract class RequestStream extends Stream {
  private readonly receivingHost: ReceivingHost;
  protected readonly isGzip: boolean;
  /** What content-length promised; -1: nothing. */
  protected contentBytes: number;
  private body: RequestBody | undefined = undefined;
  /** Bytes of messages and their prefixes so far. */
  private bodyBytes = 0;
  /** Bytes that counted against the window, and how many of them were given back. */
  private receivedBytes = 0;
  private creditedBytes = 0;
  private paused = false;
  /** A compressed message waits for another turn. */
  private deferred = false;
  /** deliver is on the stack. */
  private delivering = false;
  private endDelivered = false;

  constructor(id: number, sendWindow: number, host: ReceivingHost, isGzip: boolean, contentBytes: number) {
    super(id, sendWindow);
    this.receivingHost = host;
    this.isGzip = isGzip;
    this.contentBytes = contentBytes;
  }

  /** One message, the buffer being a view of what was read from the socket. */
  protected abstract receive(message: Buffer): void;
  /** The client closed its side and everything before was handed on. */
  protected abstract receiveEnd(): void;
  /** What the client sent is no sequence of messages. */
  protected abstract receiveFailed(error: unknown): void;
  /** Nothing more is to be handed on. */
  protected abstract get isDone(): boolean;

  /**
   * DATA: content in `bytes` from `start` to `end`, and `flowBytes` with its padding. Throws StreamError.
   */
  onData(bytes: Buffer, start: number, end: number, flowBytes: number): void {
    this.receivedBytes += flowBytes;
    this.bodyBytes += end - start;
    if (this.receivedBytes - this.creditedBytes > this.receivingHost.limits.streamWindowBytes) {
      throw new StreamError(this.id, ErrorCode.flowControlError, 'window exceeded');
    }
    if (this.contentBytes !== -1 && this.bodyBytes > this.contentBytes) throw this.wrongContentLength();
    if (this.isDone) return;
    if (this.body === undefined && !this.paused && this.isWholeMessage(bytes, start, end)) {
      this.receive(bytes.subarray(start + messagePrefixBytes, end));
    } else if (end > start) {
      this.gather(bytes.subarray(start, end));
    }
    this.credit();
  }

  /** END_STREAM. Throws StreamError when the content is shorter than promised. */
  onRemoteEnd(): void {
    this.remoteClosed = true;
    if (this.contentBytes !== -1 && this.bodyBytes !== this.contentBytes) throw this.wrongContentLength();
    this.deliver();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.deliver();
    this.credit();
  }

  /** Lets go of what was gathered. */
  protected dropBody(): void {
    if (this.body === undefined) return;
    this.receivingHost.heldBytes -= this.body.heldBytes;
    this.body = undefined;
  }

  private isWholeMessage(bytes: Buffer, start: number, end: number): boolean {
    const length = end - start - messagePrefixBytes;
    return (
      length >= 0 &&
      bytes[start] === 0 &&
      bytes.readUInt32BE(start + 1) === length &&
      length <= this.receivingHost.options.receiveBytesMax
    );
  }

  private gather(data: Buffer): void {
    const host = this.receivingHost;
    this.body ??= new RequestBody(host.options.receiveBytesMax, this.isGzip);
    const heldBefore = this.body.heldBytes;
    this.body.add(data);
    host.heldBytes += this.body.heldBytes - heldBefore;
    this.deliver();
    if (this.body !== undefined && host.heldBytes > host.limits.heldBytesMax) {
      this.receiveFailed(new StatusError(Status.RESOURCE_EXHAUSTED, 'too many unfinished requests on one connection'));
    }
  }

  /** Hands on what there is, as far as the handler and the turn allow, and the end behind it. */
  private deliver(): void {
    if (this.delivering) return;
    this.delivering = true;
    while (!(this.paused || this.deferred || this.isDone)) {
      const message = this.nextMessage();
      if (message === undefined) break;
      this.receive(message);
    }
    this.delivering = false;
    if (this.paused || this.deferred || this.isDone || !this.remoteClosed || this.endDelivered) return;
    this.endDelivered = true;
    if (this.body === undefined) this.receiveEnd();
    else this.receiveFailed(new StatusError(Status.INTERNAL, 'unexpected EOF'));
  }

  private nextMessage(): Buffer | undefined {
    const { body, receivingHost: host } = this;
    if (body === undefined) return undefined;
    const heldBefore = body.heldBytes;
    let message: Buffer | undefined;
    let failure: unknown;
    try {
      message = this.takeMessage(body);
    } catch (error) {
      failure = error;
    }
    host.heldBytes += body.heldBytes - heldBefore;
    // An empty body means that the next message may go straight through again.
    if (body.heldBytes === 0) this.body = undefined;
    if (failure !== undefined) this.receiveFailed(failure);
    return message;
  }

  private takeMessage(body: RequestBody): Buffer | undefined {
    const frame = body.peek();
    if (frame === undefined) return undefined;
    const message = frame.subarray(messagePrefixBytes);
    const { decompressor } = this.receivingHost;
    const isCompressed = frame[0] === 1;
    if (isCompressed && !decompressor.isFree) {
      this.deferred = true;
      decompressor.whenFree(() => {
        this.deferred = false;
        this.deliver();
        this.credit();
      });
      return undefined;
    }
    body.drop(frame);
    return isCompressed ? decompressor.gunzip(message) : message;
  }

  /** Gives the window back what was handed on, in large pieces; a request that is complete needs none. */
  private credit(): void {
    if (this.remoteClosed || this.isDone) return;
    const bytes = this.receivedBytes - (this.body?.waitingBytes ?? 0) - this.creditedBytes;
    if (bytes < this.receivingHost.limits.streamWindowBytes / 2) return;
    this.creditedBytes += bytes;
    this.receivingHost.sendWindowUpdate(this.id, bytes);
  }

  private wrongContentLength(): StreamError {
    return new StreamError(this.id, ErrorCode.protocolError, 'content-length differs from content');
  }
}
