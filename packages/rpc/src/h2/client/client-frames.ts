/**
 * What each frame of a server means to a client: RFC 9113, sections 5 and 6. Every violation throws: a ConnectionError when the
 * connection cannot go on, a StreamError when only one stream cannot. A server cannot open streams, since we do not let it push.
 */
import { Status } from '@quorate/proto';
import { ClosedStreams } from '../closed-streams.ts';
import { ConnectionFrames, type ConnectionHost } from '../connection-frames.ts';
import type { FrameSink } from '../frame-reader.ts';
import { ErrorCode, Flag, FrameType, readUint31, readUint32, windowLimit } from '../frames.ts';
import { ConnectionError, protocolError, StreamError } from '../h2-errors.ts';
import { HeaderBlock } from '../header-block.ts';
import { HpackDecoder } from '../hpack-decoder.ts';
import { FloodGuard, idleFlood } from '../limits.ts';
import { paddingOf } from '../padding.ts';
import type { StreamTable } from '../stream-table.ts';
import type { ClientCall, ClientCallHost } from './client-call.ts';

/** A stream dependency and a weight, both without a meaning since RFC 9113. */
const priorityBytes = 5;

/** The connection, as the frames of a server see it. */
export interface ClientFrameHost extends ClientCallHost, Omit<ConnectionHost, 'options' | 'streams' | 'keepalive'> {
  readonly options: ConnectionHost['options'] & ClientCallHost['options'];
  readonly streams: StreamTable<ClientCall>;
  readonly closed: boolean;
  /** The last stream we opened; 0 before. */
  readonly lastStreamId: number;
  /** The server takes no streams above `lastStreamId`. */
  goingAway(lastStreamId: number): void;
}

export class ClientFrames implements FrameSink {
  readonly connectionFrames: ConnectionFrames;
  private readonly host: ClientFrameHost;
  private readonly closedStreams = new ClosedStreams();
  private readonly decoder: HpackDecoder;
  private readonly idleFrames: FloodGuard;
  /** A header block that is not complete; nothing may come between its frames. */
  private block: HeaderBlock | undefined = undefined;
  /** Bytes of DATA since the connection's window was last replenished. */
  private receivedBytes = 0;
  /** Whole messages and answers that came: what cheap frames may come with. */
  private usefulFrames = 0;

  constructor(host: ClientFrameHost) {
    this.host = host;
    this.decoder = new HpackDecoder(host.limits.headerListBytesMax);
    this.idleFrames = new FloodGuard(
      'idle_frames',
      idleFlood,
      host.options.clock,
      () => this.usefulFrames + host.sender.callFramesSent,
    );
    const { options, sender, streams, control } = host;
    const keepalive = { onPing: () => this.idleFrames.count() };
    const connection: ConnectionHost = {
      options,
      sender,
      streams,
      control,
      keepalive,
      handshakeDone: () => host.handshakeDone(),
      pingAnswered: (payload, start) => host.pingAnswered(payload, start),
    };
    this.connectionFrames = new ConnectionFrames(connection, this.idleFrames, 'server');
  }

  get closed(): boolean {
    return this.host.closed;
  }

  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    try {
      this.handle(type, flags, streamId, bytes, start, end);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      this.idleFrames.count();
      this.reset(error.streamId, error.code);
      this.host.streams.get(error.streamId)?.abort({ code: Status.INTERNAL, message: error.message });
    }
  }

  /** Tells the server that nothing more is wanted of a stream. */
  reset(streamId: number, code: ErrorCode): void {
    this.closedStreams.add(streamId, 'byClient');
    this.host.control.rstStream(streamId, code);
    this.host.flushLater();
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
        throw protocolError('PUSH_PROMISE although push is off');
      case FrameType.ping:
        this.connectionFrames.onPing(flags, streamId, bytes, start, end);
        break;
      case FrameType.goAway:
        this.connectionFrames.onGoAway(streamId, end - start);
        this.host.goingAway(readUint31(bytes, start));
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
    if (call === undefined) {
      this.onClosedStream(streamId);
      return;
    }
    if (to === from && !isLast) this.idleFrames.count();
    else this.usefulFrames++;
    if (call.remoteClosed) throw new StreamError(streamId, ErrorCode.streamClosed, 'DATA after the end');
    call.mustHaveHead();
    call.onData(bytes, from, to, flowBytes);
    if (isLast) call.onRemoteEnd();
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
    if (this.isIdle(streamId)) throw protocolError('HEADERS on an idle stream');
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

  /** Decoded whatever it is for, since the tables of both sides must stay the same. */
  private onBlock(streamId: number, isLast: boolean, bytes: Buffer, start: number, end: number): void {
    const block = this.decoder.decode(bytes, start, end);
    const call = this.host.streams.get(streamId);
    if (call === undefined) {
      this.onClosedStream(streamId);
      return;
    }
    this.usefulFrames++;
    if (call.remoteClosed) throw new StreamError(streamId, ErrorCode.streamClosed, 'HEADERS after the end');
    call.onBlock(block, isLast);
    if (isLast) call.onRemoteEnd();
  }

  private onPriority(streamId: number, length: number): void {
    if (streamId === 0) throw protocolError('PRIORITY on stream 0');
    this.idleFrames.count();
    if (length !== priorityBytes) throw new ConnectionError(ErrorCode.frameSizeError, 'PRIORITY of wrong length');
  }

  private onRstStream(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4) throw new ConnectionError(ErrorCode.frameSizeError, 'RST_STREAM of wrong length');
    if (this.isIdle(streamId)) throw protocolError('RST_STREAM on an idle stream');
    const call = this.host.streams.get(streamId);
    if (call === undefined) {
      this.idleFrames.count();
      return;
    }
    this.closedStreams.add(streamId, 'byServer');
    call.onReset(readUint32(bytes, start));
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

  /** As on the server: long before the window is used up, so that a call that is not read does not hold up the others. */
  private replenish(flowBytes: number): void {
    this.receivedBytes += flowBytes;
    if (this.receivedBytes < this.host.limits.connectionWindowBytes / 2) return;
    this.host.sendWindowUpdate(0, this.receivedBytes);
    this.receivedBytes = 0;
  }

  /** DATA or HEADERS came for a stream that is not open (RFC 9113, 5.1). */
  private onClosedStream(streamId: number): void {
    if (this.isIdle(streamId)) throw protocolError('frame on an idle stream');
    switch (this.closedStreams.reason(streamId)) {
      case 'normally':
        throw new ConnectionError(ErrorCode.streamClosed, 'frame after the end of its stream');
      case 'byServer':
        throw new StreamError(streamId, ErrorCode.streamClosed, 'frame after RST_STREAM');
      default:
        // Sent before the server knew.
        this.idleFrames.count();
    }
  }

  /** Streams we did not open: all even ones among them, and stream 0, which is not a stream. */
  private isIdle(streamId: number): boolean {
    return streamId > this.host.lastStreamId || (streamId & 1) === 0;
  }
}
