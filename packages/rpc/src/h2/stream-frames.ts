/**
 * What the frames about streams mean to either end of a connection: RFC 9113, sections 5 and 6. Every violation throws: a
 * ConnectionError when the connection cannot go on, a StreamError when only one stream cannot. What is for one end alone is in
 * frame-handler.ts (the server) and client/client-frames.ts; frames about the connection are in connection-frames.ts.
 *
 * Every frame comes through here: nothing is allocated for one, and what the ends add are methods, not functions in fields.
 */
import type { IdTable } from '@quorate/base';
import { ClosedStreams } from './closed-streams.ts';
import type { ConnectionFrames, ConnectionHost } from './connection-frames.ts';
import type { FrameSink } from './frame-reader.ts';
import { ErrorCode, Flag, FrameType, readUint31, readUint32, windowLimit } from './frames.ts';
import { ConnectionError, protocolError, StreamError } from './h2-errors.ts';
import { HeaderBlock } from './header-block.ts';
import { FloodGuard, type H2Limits, idleFlood } from './limits.ts';
import { paddingOf } from './padding.ts';
import type { RequestStream } from './request-stream.ts';

/** The connection, as the frames of its streams see it. */
export interface StreamHost<C extends RequestStream> extends Omit<ConnectionHost, 'streams'> {
  readonly limits: H2Limits;
  readonly streams: IdTable<C>;
  /** No frame counts any more. */
  readonly closed: boolean;
}

/** A stream dependency and a weight, both without a meaning since RFC 9113. */
const priorityBytes = 5;

export abstract class StreamFrames<C extends RequestStream, Host extends StreamHost<C>> implements FrameSink {
  protected readonly host: Host;
  protected readonly closedStreams: ClosedStreams = new ClosedStreams();
  protected readonly idleFrames: FloodGuard;
  protected abstract readonly connectionFrames: ConnectionFrames;
  /** A header block that is not complete; nothing may come between its frames. */
  private block: HeaderBlock | undefined = undefined;
  /** Bytes of DATA since the connection's window was last replenished. */
  private receivedBytes = 0;

  constructor(host: Host) {
    this.host = host;
    this.idleFrames = new FloodGuard('idle_frames', idleFlood, host.options.clock, () => this.usefulFrames());
  }

  /** The highest stream the client has opened; 0 before. */
  protected abstract get lastStreamId(): number;
  /** Frames so far that the other side may send cheap ones for. */
  protected abstract usefulFrames(): number;
  /** Counts a StreamError against the other side, and resets the stream. */
  protected abstract onStreamError(error: StreamError): void;
  /** A DATA frame came; `isUseful`: with content or the end, `isOpen`: for an open stream. Nothing was done about it yet. */
  protected abstract countData(isUseful: boolean, isOpen: boolean): void;
  /** Throws ConnectionError when no header block can be meant for the stream. */
  protected abstract mustTakeHeaders(streamId: number): void;
  /** A complete header block, which must be decoded whatever it is for: the tables of both sides must stay the same. */
  protected abstract onBlock(streamId: number, isLast: boolean, bytes: Buffer, start: number, end: number): void;
  /** The other side has sent all of a call. Throws StreamError. */
  protected abstract end(call: C): void;
  /** The other side has reset the stream of an open call. */
  protected abstract onReset(call: C, code: number): void;
  /** The other side takes no streams above this one. */
  protected abstract onGoAway(lastStreamId: number): void;
  /** What a PUSH_PROMISE is answered with. */
  protected abstract refusedPush(): ConnectionError;
  /** What a PRIORITY of wrong length is answered with. */
  protected abstract wrongPriority(streamId: number): ConnectionError | StreamError;

  get closed(): boolean {
    return this.host.closed;
  }

  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    try {
      this.handle(type, flags, streamId, bytes, start, end);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      this.onStreamError(error);
    }
  }

  /** DATA or HEADERS came for a stream that is not open (RFC 9113, 5.1). */
  protected onClosedStream(streamId: number): void {
    if (this.isIdle(streamId)) throw protocolError('frame on an idle stream');
    switch (this.closedStreams.reason(streamId)) {
      case 'skipped':
        throw protocolError('stream numbers go up only');
      case 'normally':
        throw new ConnectionError(ErrorCode.streamClosed, 'frame after the end of its stream');
      case 'byPeer':
        throw new StreamError(streamId, ErrorCode.streamClosed, 'frame after RST_STREAM');
      default:
        // Sent before the other side knew.
        this.idleFrames.count();
    }
  }

  /** Streams no client opened yet; servers open none, so all even ones, and stream 0, which is not a stream. */
  protected isIdle(streamId: number): boolean {
    return streamId > this.lastStreamId || (streamId & 1) === 0;
  }

  private handle(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (this.block !== undefined && (type !== FrameType.continuation || streamId !== this.block.streamId)) {
      throw protocolError('a header block was interrupted');
    }
    if (!this.connectionFrames.hasSettings && type !== FrameType.settings) {
      throw protocolError('the first frame is not SETTINGS');
    }
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
        this.onRstStream(streamId, bytes, start, end);
        break;
      case FrameType.settings:
        this.connectionFrames.onSettings(flags, streamId, bytes, start, end);
        break;
      case FrameType.pushPromise:
        throw this.refusedPush();
      case FrameType.ping:
        this.connectionFrames.onPing(flags, streamId, bytes, start, end);
        break;
      case FrameType.goAway:
        this.connectionFrames.onGoAway(streamId, end - start);
        this.onGoAway(readUint31(bytes, start));
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
      to -= paddingOf(bytes, start, end);
      from++;
    }
    const isLast = (flags & Flag.endStream) !== 0;
    const call = this.host.streams.get(streamId);
    this.countData(from < to || isLast, call !== undefined);
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
      to -= paddingOf(bytes, start, end);
      from++;
    }
    if ((flags & Flag.priority) !== 0) from += priorityBytes;
    if (from > end) throw new ConnectionError(ErrorCode.frameSizeError, 'HEADERS too short');
    if (from > to) throw protocolError('padding exceeds the frame');
    this.mustTakeHeaders(streamId);
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

  private onPriority(streamId: number, length: number): void {
    if (streamId === 0) throw protocolError('PRIORITY on stream 0');
    this.idleFrames.count();
    if (length !== priorityBytes) throw this.wrongPriority(streamId);
  }

  private onRstStream(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4) throw new ConnectionError(ErrorCode.frameSizeError, 'RST_STREAM of wrong length');
    if (this.isIdle(streamId)) throw protocolError('RST_STREAM on an idle stream');
    const call = this.host.streams.get(streamId);
    if (call === undefined) this.idleFrames.count();
    else this.onReset(call, readUint32(bytes, start));
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
    if (call.sendWindow > windowLimit) throw new StreamError(streamId, ErrorCode.flowControlError, 'window too large');
    sender.resume(call);
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
}
