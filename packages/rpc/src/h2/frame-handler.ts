/**
 * What each frame of a client means: RFC 9113, sections 5 and 6, as far as they concern a server. Every violation throws: a
 * ConnectionError when the connection cannot go on, a StreamError when only one stream cannot. Frames that are about streams
 * are handled here, those about the connection in connection-frames.ts.
 */
import type { Call } from './call.ts';
import { ClosedStreams } from './closed-streams.ts';
import { ConnectionFrames, type ConnectionHost } from './connection-frames.ts';
import type { FrameSink } from './frame-reader.ts';
import { ErrorCode, Flag, FrameType, readUint31, windowLimit } from './frames.ts';
import { ConnectionError, protocolError, StreamError } from './h2-errors.ts';
import { HeaderBlock } from './header-block.ts';
import { FloodGuard, idleFlood, resetFlood } from './limits.ts';
import { paddingOf } from './padding.ts';
import { type OpenerHost, RequestOpener } from './request-opener.ts';

/** The connection, as the frames of a client see it. */
export interface FrameHost extends OpenerHost, Omit<ConnectionHost, 'options' | 'streams'> {
  readonly closed: boolean;
  readonly sender: OpenerHost['sender'];
}

/** A stream dependency and a weight, both without a meaning since RFC 9113. */
const priorityBytes = 5;

export class FrameHandler implements FrameSink {
  readonly opener: RequestOpener;
  readonly closedStreams: ClosedStreams = new ClosedStreams();
  private readonly host: FrameHost;
  private readonly connectionFrames: ConnectionFrames;
  private readonly resets: FloodGuard;
  private readonly idleFrames: FloodGuard;
  /** A header block that is not complete; nothing may come between its frames. */
  private block: HeaderBlock | undefined = undefined;
  /** Bytes of DATA since the connection's window was last replenished. */
  private receivedBytes = 0;

  constructor(host: FrameHost) {
    this.host = host;
    this.opener = new RequestOpener(host);
    const { clock } = host.options;
    this.resets = new FloodGuard('resets', resetFlood, clock);
    this.idleFrames = new FloodGuard('idle_frames', idleFlood, clock, () => this.usefulFrames());
    this.connectionFrames = new ConnectionFrames(host, this.idleFrames);
  }

  get closed(): boolean {
    return this.host.closed;
  }

  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    try {
      this.handle(type, flags, streamId, bytes, start, end);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      // Whoever makes the server reset streams is counted as if it reset them itself.
      this.resets.count();
      this.reset(error.streamId, error.code);
    }
  }

  /** Ends a stream with RST_STREAM. */
  reset(streamId: number, code: ErrorCode): void {
    const call = this.host.streams.get(streamId);
    this.host.streams.delete(streamId);
    this.closedStreams.add(streamId, 'byServer');
    this.host.control.rstStream(streamId, code);
    call?.abort();
  }

  private handle(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (this.block !== undefined && (type !== FrameType.continuation || streamId !== this.block.streamId)) {
      throw protocolError('a header block was interrupted');
    }
    if (!this.connectionFrames.hasSettings && type !== FrameType.settings)
      throw protocolError('the first frame is not SETTINGS');
    switch (type) {
      case FrameType.data:
        this.onData(flags, streamId, bytes, start, end);
        break;
      case FrameType.headers:
        this.onHeaders(flags, streamId, bytes, start, end);
        break;
      case FrameType.priority:
        this.onPriority(streamId, end - start);
        break;
      case FrameType.rstStream:
        this.onRstStream(streamId, end - start);
        break;
      case FrameType.settings:
        this.connectionFrames.onSettings(flags, streamId, bytes, start, end);
        break;
      case FrameType.pushPromise:
        throw protocolError('a client cannot push');
      case FrameType.ping:
        this.connectionFrames.onPing(flags, streamId, bytes, start, end);
        break;
      case FrameType.goAway:
        this.connectionFrames.onGoAway(streamId, end - start);
        break;
      case FrameType.windowUpdate:
        this.onWindowUpdate(streamId, bytes, start, end);
        break;
      case FrameType.continuation:
        this.onContinuation(flags, bytes, start, end);
        break;
      default:
        // Frames of unknown types are to be ignored (RFC 9113, 5.5).
        this.idleFrames.count();
    }
  }

  private onData(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    const flowBytes = end - start;
    this.replenish(flowBytes);
    let from = start;
    let to = end;
    if ((flags & Flag.padded) !== 0) {
      const paddingBytes = paddingOf(bytes, start, end);
      from++;
      to -= paddingBytes;
    }
    const isLast = (flags & Flag.endStream) !== 0;
    if (to === from && !isLast) this.idleFrames.count();
    const call = this.host.streams.get(streamId);
    if (call === undefined) {
      this.onClosedStream(streamId);
      return;
    }
    if (call.remoteClosed) throw new StreamError(streamId, ErrorCode.streamClosed, 'DATA after the end');
    call.onData(bytes, from, to, flowBytes);
    if (isLast) this.end(call);
  }

  private onHeaders(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    let from = start;
    let to = end;
    if ((flags & Flag.padded) !== 0) {
      const paddingBytes = paddingOf(bytes, start, end);
      from++;
      to -= paddingBytes;
    }
    if ((flags & Flag.priority) !== 0) from += priorityBytes;
    if (from > end) throw new ConnectionError(ErrorCode.frameSizeError, 'HEADERS too short');
    if (from > to) throw protocolError('padding exceeds the frame');
    if ((streamId & 1) === 0) throw protocolError('clients open odd streams');
    const isLast = (flags & Flag.endStream) !== 0;
    if ((flags & Flag.endHeaders) !== 0) this.onBlock(streamId, isLast, bytes, from, to);
    else this.block = new HeaderBlock(streamId, isLast, bytes.subarray(from, to), this.host.limits);
  }

  private onContinuation(flags: number, bytes: Buffer, start: number, end: number): void {
    const block = this.block;
    if (block === undefined) throw protocolError('CONTINUATION without HEADERS');
    block.add(bytes.subarray(start, end));
    if ((flags & Flag.endHeaders) === 0) return;
    this.block = undefined;
    const whole = block.bytes();
    this.onBlock(block.streamId, block.endStream, whole, 0, whole.length);
  }

  /** A complete header block: a new request, or the trailers of one. */
  private onBlock(streamId: number, isLast: boolean, bytes: Buffer, start: number, end: number): void {
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

  private onPriority(streamId: number, length: number): void {
    if (streamId === 0) throw protocolError('PRIORITY on stream 0');
    this.idleFrames.count();
    if (length === priorityBytes) return;
    // There is no way to reset a stream that was never opened.
    if (this.isIdle(streamId)) throw new ConnectionError(ErrorCode.frameSizeError, 'PRIORITY of wrong length');
    throw new StreamError(streamId, ErrorCode.frameSizeError, 'PRIORITY of wrong length');
  }

  private onRstStream(streamId: number, length: number): void {
    if (length !== 4) throw new ConnectionError(ErrorCode.frameSizeError, 'RST_STREAM of wrong length');
    if (this.isIdle(streamId)) throw protocolError('RST_STREAM on an idle stream');
    const call = this.host.streams.get(streamId);
    if (call === undefined) {
      this.idleFrames.count();
      return;
    }
    this.resets.count();
    this.host.streams.delete(streamId);
    this.closedStreams.add(streamId, 'byClient');
    call.abort();
    this.host.remoteEnded(call);
  }

  private onWindowUpdate(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4) throw new ConnectionError(ErrorCode.frameSizeError, 'WINDOW_UPDATE of wrong length');
    this.idleFrames.count();
    const increment = readUint31(bytes, start);
    const { sender, streams } = this.host;
    if (streamId === 0) {
      if (increment === 0) throw protocolError('WINDOW_UPDATE by nothing');
      if (!sender.addWindow(increment)) throw new ConnectionError(ErrorCode.flowControlError, 'window too large');
      sender.resumeAll();
      return;
    }
    if (this.isIdle(streamId)) throw protocolError('WINDOW_UPDATE on an idle stream');
    const call = streams.get(streamId);
    if (call === undefined) return;
    if (increment === 0) throw new StreamError(streamId, ErrorCode.protocolError, 'WINDOW_UPDATE by nothing');
    call.sendWindow += increment;
    if (call.sendWindow > windowLimit) {
      throw new StreamError(streamId, ErrorCode.flowControlError, 'window too large');
    }
    sender.resume(call);
  }

  private end(call: Call): void {
    call.onRemoteEnd();
    this.host.remoteEnded(call);
  }

  /**
   * The connection's window is replenished as bytes arrive, long before it is used up: a stream that is not read must not hold
   * up the others. What it is worth is the windows of the streams.
   */
  private replenish(flowBytes: number): void {
    this.receivedBytes += flowBytes;
    if (this.receivedBytes < this.host.limits.connectionWindowBytes / 2) return;
    this.host.control.windowUpdate(0, this.receivedBytes);
    this.receivedBytes = 0;
  }

  /** DATA or HEADERS came for a stream that is not open (RFC 9113, 5.1). */
  private onClosedStream(streamId: number): void {
    if (this.isIdle(streamId)) throw protocolError('frame on an idle stream');
    switch (this.closedStreams.reason(streamId)) {
      case 'skipped':
        throw protocolError('stream numbers go up only');
      case 'normally':
        throw new ConnectionError(ErrorCode.streamClosed, 'frame after the end of its stream');
      case 'byClient':
        throw new StreamError(streamId, ErrorCode.streamClosed, 'frame after RST_STREAM');
      default:
        // Sent before the client knew.
        this.idleFrames.count();
    }
  }

  /** Streams nobody opened yet; the server opens none, so all even ones, and stream 0, which is not a stream. */
  private isIdle(streamId: number): boolean {
    return streamId > this.opener.lastStreamId || (streamId & 1) === 0;
  }

  private usefulFrames(): number {
    return this.opener.count + this.host.sender.usefulFramesSent;
  }
}
