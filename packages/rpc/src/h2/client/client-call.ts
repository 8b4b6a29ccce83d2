/**
 * One call of a client: the stream it is on, what its header blocks say, and how it ends. It ends once, by whoever is first: the
 * server's trailers, a reset of either side, the deadline, or the end of the connection.
 */
import type { Timer } from '@quorate/base';
import { DecodeError, Status, type StatusCode } from '@quorate/proto';
import type { CallListener, RpcCall } from '../../client.ts';
import { type RpcStatus, statusCodeOf } from '../../respond.ts';
import { streamQueueBytesMax } from '../call.ts';
import { ErrorCode } from '../frames.ts';
import { StreamError } from '../h2-errors.ts';
import type { HeaderField } from '../header-field.ts';
import type { DecodedBlock } from '../hpack-decoder.ts';
import { type ReceivingHost, RequestStream } from '../request-stream.ts';
import type { Sender } from '../sender.ts';
import { areTrailingFields, contentBytesOf, grpcStatusOf, httpStatusOf, strangerStatus } from './response-head.ts';

/** What a call needs of its connection. */
export interface ClientCallHost extends ReceivingHost {
  readonly sender: Sender;
  /** Something was given to the sender. */
  flushLater(): void;
  /** Resets the stream of a call that is over on this side only, or lets go of it when it is over on both. */
  callEnded(call: ClientCall): void;
}

/** Ends a request without trailers. */
const noTrailers: Buffer = Buffer.alloc(0);

export class ClientCall extends RequestStream implements RpcCall {
  private readonly host: ClientCallHost;
  private readonly listener: CallListener;
  private deadline: Timer | undefined = undefined;
  private headSeen = false;
  /** How the server ends the call, once everything before is handed on. */
  private lastStatus: RpcStatus | undefined = undefined;
  private ended = false;
  private blocked = false;

  constructor(id: number, host: ClientCallHost, listener: CallListener) {
    super(id, host.sender.streamWindow, host, false, -1);
    this.host = host;
    this.listener = listener;
  }

  /** `deadline` ends the call; it is cancelled with it. */
  setDeadline(deadline: Timer): void {
    this.deadline = deadline;
  }

  // ---- what the caller does

  send(message: Buffer): boolean {
    if (this.ended || this.localClosed) return false;
    this.host.sender.message(this, message);
    this.host.flushLater();
    if (this.queuedBytes <= streamQueueBytesMax) return true;
    this.blocked = true;
    return false;
  }

  end(): void {
    if (this.ended || this.localClosed) return;
    this.host.sender.end(this, noTrailers);
    this.host.flushLater();
  }

  cancel(): void {
    this.finish({ code: Status.CANCELLED, message: 'the caller cancelled' });
  }

  expire(): void {
    this.finish({ code: Status.DEADLINE_EXCEEDED, message: 'context deadline exceeded' });
  }

  // ---- what the frames say

  /** A complete header block. Throws StreamError when it is not what may come now. */
  onBlock({ fields, tooLarge }: DecodedBlock, isLast: boolean): void {
    if (tooLarge) {
      this.finish({ code: Status.INTERNAL, message: 'headers of the answer are too large' });
      return;
    }
    if (this.headSeen) this.onTrailers(fields, isLast);
    else this.onHead(fields, isLast);
  }

  /** DATA, which must not come before the head. Throws StreamError. */
  override onData(bytes: Buffer, start: number, end: number, flowBytes: number): void {
    if (!this.headSeen) throw this.malformed('DATA before HEADERS');
    super.onData(bytes, start, end, flowBytes);
  }

  /** The server reset the stream. */
  onReset(code: number): void {
    this.remoteClosed = true;
    this.localClosed = true;
    const message = `the server reset the stream with error code ${code}`;
    this.finish({ code: codeByReset.get(code) ?? Status.INTERNAL, message });
  }

  /** The stream is no more; nothing may be sent on it. */
  abort(status: RpcStatus): void {
    this.remoteClosed = true;
    this.localClosed = true;
    this.finish(status);
  }

  private onHead(fields: readonly HeaderField[], isLast: boolean): void {
    const httpStatus = httpStatusOf(fields);
    if (httpStatus === undefined) throw this.malformed('malformed headers');
    if (httpStatus < 200) {
      if (isLast) throw this.malformed('an interim answer ends the stream');
      return;
    }
    this.headSeen = true;
    const contentBytes = contentBytesOf(fields);
    if (contentBytes === undefined) throw this.malformed('malformed content-length');
    this.contentBytes = contentBytes;
    const stranger = strangerStatus(fields, httpStatus);
    if (isLast) this.lastStatus = grpcStatusOf(fields) ?? stranger;
    else if (stranger !== undefined) this.finish(stranger);
  }

  private onTrailers(fields: readonly HeaderField[], isLast: boolean): void {
    if (!areTrailingFields(fields)) throw this.malformed('malformed trailers');
    if (!isLast) throw this.malformed('trailers without END_STREAM');
    this.lastStatus = grpcStatusOf(fields);
  }

  private malformed(reason: string): StreamError {
    return new StreamError(this.id, ErrorCode.protocolError, reason);
  }

  // ---- what the stream tells

  protected receive(message: Buffer): void {
    try {
      this.listener.onMessage(message);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.receiveFailed(error);
    }
  }

  protected receiveEnd(): void {
    this.finish(this.lastStatus ?? { code: Status.INTERNAL, message: 'the server ended the stream without a status' });
  }

  protected receiveFailed(error: unknown): void {
    this.finish({ code: statusCodeOf(error), message: error instanceof Error ? error.message : String(error) });
  }

  protected get isDone(): boolean {
    return this.ended;
  }

  sendingProgressed(): void {
    if (!this.blocked || this.ended || this.queuedBytes > streamQueueBytesMax / 2) return;
    this.blocked = false;
    this.listener.onDrain?.();
  }

  sendingEnded(): void {
    this.localClosed = true;
  }

  private finish(status: RpcStatus): void {
    if (this.ended) return;
    this.ended = true;
    this.deadline?.cancel();
    this.host.sender.drop(this);
    this.dropBody();
    this.host.callEnded(this);
    this.listener.onEnd(status);
  }
}

/** PROTOCOL-HTTP2.md, "Errors"; what is not here is INTERNAL. */
const codeByReset: ReadonlyMap<number, StatusCode> = new Map<number, StatusCode>([
  [ErrorCode.refusedStream, Status.UNAVAILABLE],
  [ErrorCode.cancel, Status.CANCELLED],
  [ErrorCode.enhanceYourCalm, Status.RESOURCE_EXHAUSTED],
  [ErrorCode.inadequateSecurity, Status.PERMISSION_DENIED],
]);
