/** What the frames of a client mean to the server alone; what they mean to either end is in stream-frames.ts. */
import type { Call } from './call.ts';
import { ConnectionFrames, type PingJudge } from './connection-frames.ts';
import { ErrorCode } from './frames.ts';
import { ConnectionError, protocolError, StreamError } from './h2-errors.ts';
import { FloodGuard, resetFlood } from './limits.ts';
import { type OpenerHost, RequestOpener } from './request-opener.ts';
import { StreamFrames, type StreamHost } from './stream-frames.ts';

/** The connection, as the frames of a client see it. */
export interface FrameHost extends OpenerHost, Omit<StreamHost<Call>, 'options'> {
  readonly keepalive: PingJudge;
}

export class FrameHandler extends StreamFrames<Call, FrameHost> {
  readonly opener: RequestOpener;
  protected readonly connectionFrames: ConnectionFrames;
  private readonly resets: FloodGuard;

  constructor(host: FrameHost) {
    super(host);
    this.opener = new RequestOpener(host);
    this.resets = new FloodGuard('resets', resetFlood, host.options.clock);
    this.connectionFrames = new ConnectionFrames(host, this.idleFrames, host.keepalive, 'client');
  }

  /** Ends a stream with RST_STREAM. */
  reset(streamId: number, code: ErrorCode): void {
    const call = this.host.streams.get(streamId);
    this.host.streams.delete(streamId);
    this.closedStreams.add(streamId, 'byUs');
    this.host.control.rstStream(streamId, code);
    call?.abort();
  }

  protected get lastStreamId(): number {
    return this.opener.lastStreamId;
  }

  protected usefulFrames(): number {
    return this.opener.count + this.host.sender.usefulFramesSent;
  }

  protected onStreamError(error: StreamError): void {
    // Whoever makes the server reset streams is counted as if it reset them itself.
    this.resets.count();
    this.reset(error.streamId, error.code);
  }

  protected countData(isUseful: boolean): void {
    if (!isUseful) this.idleFrames.count();
  }

  protected mustTakeHeaders(streamId: number): void {
    if ((streamId & 1) === 0) throw protocolError('clients open odd streams');
  }

  /** A new request, or the trailers of one. */
  protected onBlock(streamId: number, isLast: boolean, bytes: Buffer, start: number, end: number): void {
    const { lastStreamId } = this.opener;
    if (streamId > lastStreamId) {
      if (streamId - lastStreamId > 2) this.closedStreams.skip(lastStreamId, streamId);
      this.opener.open(streamId, isLast, bytes, start, end);
      return;
    }
    const call = this.host.streams.get(streamId);
    if (call === undefined) {
      this.opener.skip(bytes, start, end);
      this.onClosedStream(streamId);
      return;
    }
    if (call.remoteClosed) {
      this.opener.skip(bytes, start, end);
      throw new StreamError(streamId, ErrorCode.streamClosed, 'HEADERS after the end');
    }
    this.opener.trailers(streamId, bytes, start, end);
    if (!isLast) throw new StreamError(streamId, ErrorCode.protocolError, 'trailers without END_STREAM');
    this.end(call);
  }

  protected end(call: Call): void {
    call.onRemoteEnd();
    this.host.remoteEnded(call);
  }

  protected onReset(call: Call): void {
    this.resets.count();
    this.host.streams.delete(call.id);
    this.closedStreams.add(call.id, 'byPeer');
    call.abort();
    this.host.remoteEnded(call);
  }

  protected onGoAway(): void {
    // It speaks of streams that the server opened, and there are none.
  }

  protected refusedPush(): ConnectionError {
    return protocolError('a client cannot push');
  }

  protected wrongPriority(streamId: number): ConnectionError | StreamError {
    const text = 'PRIORITY of wrong length';
    // There is no way to reset a stream that was never opened.
    if (this.isIdle(streamId)) return new ConnectionError(ErrorCode.frameSizeError, text);
    return new StreamError(streamId, ErrorCode.frameSizeError, text);
  }
}
