/**
 * What the frames of a server mean to a client alone; what they mean to either end is in stream-frames.ts. A server cannot open
 * streams, since we do not let it push.
 */
import { Status } from '@quorate/proto';
import { ConnectionFrames } from '../connection-frames.ts';
import { ErrorCode } from '../frames.ts';
import { ConnectionError, protocolError, StreamError } from '../h2-errors.ts';
import { HpackDecoder } from '../hpack-decoder.ts';
import { StreamFrames, type StreamHost } from '../stream-frames.ts';
import type { ClientCall, ClientCallHost } from './client-call.ts';

/** The connection, as the frames of a server see it. */
export interface ClientFrameHost extends ClientCallHost, Omit<StreamHost<ClientCall>, 'options'> {
  readonly options: StreamHost<ClientCall>['options'] & ClientCallHost['options'];
  /** The last stream we opened; 0 before. */
  readonly lastStreamId: number;
  /** The server takes no streams above `lastStreamId`. */
  goingAway(lastStreamId: number): void;
}

export class ClientFrames extends StreamFrames<ClientCall, ClientFrameHost> {
  readonly connectionFrames: ConnectionFrames;
  private readonly decoder: HpackDecoder;
  /** Whole messages and answers that came: what cheap frames may come with. */
  private usefulReceived = 0;

  constructor(host: ClientFrameHost) {
    super(host);
    this.decoder = new HpackDecoder(host.limits.headerListBytesMax);
    const pings = { onPing: () => this.idleFrames.count() };
    this.connectionFrames = new ConnectionFrames(host, this.idleFrames, pings, 'server');
  }

  /** Tells the server that nothing more is wanted of a stream. */
  reset(streamId: number, code: ErrorCode): void {
    this.closedStreams.add(streamId, 'byUs');
    this.host.control.rstStream(streamId, code);
    this.host.flushLater();
  }

  protected get lastStreamId(): number {
    return this.host.lastStreamId;
  }

  protected usefulFrames(): number {
    return this.usefulReceived + this.host.sender.callFramesSent;
  }

  protected onStreamError(error: StreamError): void {
    this.idleFrames.count();
    this.reset(error.streamId, error.code);
    this.host.streams.get(error.streamId)?.abort({ code: Status.INTERNAL, message: error.message });
  }

  protected countData(isUseful: boolean, isOpen: boolean): void {
    // What comes for a stream that is gone is counted as that.
    if (!isOpen) return;
    if (isUseful) this.usefulReceived++;
    else this.idleFrames.count();
  }

  protected mustTakeHeaders(streamId: number): void {
    if (this.isIdle(streamId)) throw protocolError('HEADERS on an idle stream');
  }

  protected onBlock(streamId: number, isLast: boolean, bytes: Buffer, start: number, end: number): void {
    const block = this.decoder.decode(bytes, start, end);
    const call = this.host.streams.get(streamId);
    if (call === undefined) {
      this.onClosedStream(streamId);
      return;
    }
    this.usefulReceived++;
    if (call.remoteClosed) throw new StreamError(streamId, ErrorCode.streamClosed, 'HEADERS after the end');
    call.onBlock(block, isLast);
    if (isLast) this.end(call);
  }

  protected end(call: ClientCall): void {
    call.onRemoteEnd();
  }

  protected onReset(call: ClientCall, code: number): void {
    this.closedStreams.add(call.id, 'byPeer');
    call.onReset(code);
  }

  protected onGoAway(lastStreamId: number): void {
    this.host.goingAway(lastStreamId);
  }

  protected refusedPush(): ConnectionError {
    return protocolError('PUSH_PROMISE although push is off');
  }

  protected wrongPriority(): ConnectionError {
    return new ConnectionError(ErrorCode.frameSizeError, 'PRIORITY of wrong length');
  }
}
