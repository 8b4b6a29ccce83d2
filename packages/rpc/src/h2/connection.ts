/**
 * One HTTP/2 connection from its preface to its end: reads from the socket, lets the frame handler act, writes what came of it.
 *
 *   socket ── chunk ──► FrameReader ── frames ──► FrameHandler ──► Call ──► handler
 *   socket ◄── one write per turn ── Output ◄── Sender, ControlFrames ◄── reply
 *
 * All frames of one read are handled in one go and what they lead to leaves in one write after it. Answers that come later, from
 * another turn, are written together at the end of the microtasks of that turn.
 */
import type { Socket } from 'node:net';
import type { Timer } from '@quorate/base';
import type { ServeOptions } from '../transport.ts';
import type { Call } from './call.ts';
import { ControlFrames } from './control.ts';
import type { DeadlineWheel } from './deadline-wheel.ts';
import { FrameHandler, type FrameHost } from './frame-handler.ts';
import { FrameReader } from './frame-reader.ts';
import { ErrorCode, frameBytesDefault, prefaceText, Setting, streamIdLimit, windowDefault } from './frames.ts';
import { ConnectionError } from './h2-errors.ts';
import { Keepalive } from './keepalive.ts';
import type { H2Limits } from './limits.ts';
import { type ChunkPool, Output } from './output.ts';
import type { Routes } from './request-head.ts';
import { Sender } from './sender.ts';
import { StreamTable } from './stream-table.ts';

/** What the connections of a transport share. */
export interface ConnectionContext {
  readonly options: ServeOptions;
  readonly limits: H2Limits;
  readonly routes: Routes;
  readonly wheel: DeadlineWheel;
  readonly pool: ChunkPool;
  /** Calls `connection.flush()` when the microtasks of this turn are done. */
  flushSoon(connection: Connection): void;
  /** The socket is closed. */
  gone(connection: Connection): void;
}

const preface = Buffer.from(prefaceText, 'latin1');
/** How long the client has to read our last words before the socket is destroyed; and to answer the ping of a drain. */
const lastWordsMs = 1_000;
const drainPing = Buffer.from('draining');
const keepalivePing = Buffer.from('is there');

export class Connection implements FrameHost {
  readonly options: ServeOptions;
  readonly limits: H2Limits;
  readonly routes: Routes;
  readonly wheel: DeadlineWheel;
  readonly streams: StreamTable<Call> = new StreamTable<Call>();
  readonly sender: Sender;
  readonly control: ControlFrames;
  readonly keepalive: Keepalive;
  readonly receiveBytesMax: number;
  readonly streamWindowBytes: number;
  readonly heldBytesMax: number;
  heldBytes = 0;
  nowMs = 0;
  /** No frame counts any more. */
  closed = false;
  refusing = false;
  private readonly context: ConnectionContext;
  private readonly socket: Socket;
  private readonly output: Output;
  private readonly reader = new FrameReader(frameBytesDefault);
  private readonly frames: FrameHandler;
  private readonly handshake: Timer;
  private prefaceSeen = 0;
  private reading = false;
  private flushScheduled = false;
  private readingStopped = false;
  private resumeScheduled = false;
  /** Calls that were answered before their request was complete; see {@link resetEarlyAnswers}. */
  private answeredEarly: Call[] = [];
  private draining = false;
  private endTimer: Timer | undefined = undefined;
  private peerText: string | undefined = undefined;

  constructor(socket: Socket, context: ConnectionContext) {
    const { options, limits } = context;
    this.context = context;
    this.socket = socket;
    this.options = options;
    this.limits = limits;
    this.routes = context.routes;
    this.wheel = context.wheel;
    this.receiveBytesMax = options.receiveBytesMax;
    this.streamWindowBytes = limits.streamWindowBytes;
    this.heldBytesMax = limits.heldBytesMax;
    this.output = new Output(context.pool);
    this.sender = new Sender(this.output, limits.socketBytesMax);
    this.control = new ControlFrames(this.output);
    this.keepalive = new Keepalive(options, {
      sendPing: () => this.ping(keepalivePing),
      keepaliveFailed: () => this.fail('client does not answer pings'),
    });
    this.frames = new FrameHandler(this);
    this.handshake = options.clock.after(options.handshakeTimeoutMs, () => this.fail('http2 handshake timed out'));
  }

  /** Begins to serve; `head` was read from the socket already. */
  start(head: Buffer): void {
    const { socket } = this;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.onData(chunk));
    socket.on('drain', () => this.onDrain());
    socket.on('end', () => this.onEnd());
    socket.on('error', (error) => this.options.logger.debug('connection failed', { error: error.message }));
    socket.on('close', () => this.onClose());
    this.sendSettings();
    this.onData(head);
    socket.resume();
  }

  /** Ends every call and the connection, now. */
  destroy(): void {
    this.closed = true;
    this.output.clear();
    this.socket.destroy();
    this.onClose();
  }

  /**
   * Tells the client to open no more streams, and ends the connection with the last one. The client may have opened some before
   * it hears of it, so the number of the last one that counts is told only after it answered a ping (RFC 9113, 6.8).
   */
  drain(): void {
    if (this.closed || this.draining) return;
    this.draining = true;
    if (this.prefaceSeen < preface.length) {
      this.destroy();
      return;
    }
    this.control.goAway(streamIdLimit, ErrorCode.noError);
    this.ping(drainPing);
    this.endTimer = this.options.clock.after(lastWordsMs, () => this.refuseNew());
  }

  // ---- what calls and frames ask for

  /** Remote address as `host:port`. */
  get peer(): string {
    this.peerText ??= peerOf(this.socket);
    return this.peerText;
  }

  flushLater(): void {
    if (this.reading || this.flushScheduled) return;
    this.flushScheduled = true;
    this.context.flushSoon(this);
  }

  sendWindowUpdate(id: number, bytes: number): void {
    this.control.windowUpdate(id, bytes);
    this.flushLater();
  }

  handshakeDone(): void {
    this.handshake.cancel();
  }

  pingAnswered(payload: Buffer, start: number): void {
    if (this.draining && payload.compare(drainPing, 0, drainPing.length, start, start + drainPing.length) === 0) {
      this.refuseNew();
    }
  }

  callEnded(call: Call): void {
    if (call.remoteClosed) this.forget(call);
    else this.answeredEarly.push(call);
  }

  remoteEnded(call: Call): void {
    if (call.localClosed) this.forget(call);
  }

  answeredAtOnce(streamId: number, endStream: boolean): void {
    if (!endStream) this.frames.reset(streamId, ErrorCode.noError);
    this.endIfDrained();
  }

  /** Writes what has been gathered. */
  flush(): void {
    this.flushScheduled = false;
    if (this.closed) {
      this.output.clear();
      return;
    }
    if (this.answeredEarly.length > 0) this.resetEarlyAnswers();
    if (!this.closed) this.output.flush(this.socket);
    const pending = this.socket.writableLength;
    this.sender.congested = pending > this.limits.socketBytesMax;
    if (pending > this.limits.socketBytesStop && !this.readingStopped) {
      this.readingStopped = true;
      this.socket.pause();
    }
    if (this.sender.hasLine && !this.sender.congested && this.sender.window > 0) this.resumeSoon();
  }

  // ---- events of the socket

  private onData(chunk: Buffer): void {
    if (this.closed) return;
    this.reading = true;
    this.nowMs = this.options.clock.nowMs();
    this.keepalive.onRead(this.nowMs);
    try {
      const from = this.prefaceSeen < preface.length ? this.readPreface(chunk) : 0;
      this.reader.read(from === 0 ? chunk : chunk.subarray(from), this.frames);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.goAway(error);
    }
    this.reading = false;
    this.flush();
  }

  private onDrain(): void {
    this.sender.congested = false;
    if (this.readingStopped) {
      this.readingStopped = false;
      this.socket.resume();
    }
    if (this.sender.hasLine) this.resumeSoon();
  }

  /** The client will send nothing more, so its requests will not be completed and it will not keep the connection alive. */
  private onEnd(): void {
    this.output.clear();
    this.closed = true;
    this.socket.end();
    this.onClose();
    this.destroySoon();
  }

  private onClose(): void {
    this.closed = true;
    this.handshake.cancel();
    this.keepalive.stop();
    for (const call of this.streams.all()) {
      this.streams.delete(call.id);
      call.abort();
    }
    if (this.socket.destroyed) {
      this.endTimer?.cancel();
      this.context.gone(this);
    }
  }

  // ---- the rest

  private sendSettings(): void {
    const { limits, options } = this;
    this.control.settings([
      [Setting.maxConcurrentStreams, options.maxConcurrentStreams],
      [Setting.initialWindowSize, limits.streamWindowBytes],
      [Setting.maxHeaderListSize, limits.headerListBytesMax],
    ]);
    this.control.windowUpdate(0, limits.connectionWindowBytes - windowDefault);
  }

  /** Compares the first bytes; returns where the frames begin in `chunk`. */
  private readPreface(chunk: Buffer): number {
    const count = Math.min(preface.length - this.prefaceSeen, chunk.length);
    if (chunk.compare(preface, this.prefaceSeen, this.prefaceSeen + count, 0, count) !== 0) {
      throw new ConnectionError(ErrorCode.protocolError, 'not the preface of HTTP/2');
    }
    this.prefaceSeen += count;
    return count;
  }

  /** The other side broke the rules: says so, ends every call, and gives it a moment to read that. */
  private goAway(error: ConnectionError): void {
    const { peer } = this;
    this.options.logger.warn('closing connection: client broke the protocol', { peer, reason: error.message });
    this.control.goAway(this.frames.opener.lastStreamId, error.code, error.message);
    this.end();
  }

  private fail(reason: string): void {
    this.options.logger.warn('closing connection', { peer: this.peer, reason });
    this.destroy();
  }

  private ping(payload: Buffer): void {
    this.control.ping(payload, 0, 0);
    this.flushLater();
  }

  /**
   * A call that was answered before its request was complete is reset, which tells the client to stop (RFC 9113, 8.1). Not at
   * once: the end of the request may lie in the next frame of the same read, as with clients that send it on its own.
   */
  private resetEarlyAnswers(): void {
    const calls = this.answeredEarly;
    this.answeredEarly = [];
    for (const call of calls) {
      if (call.remoteClosed) continue;
      this.frames.reset(call.id, ErrorCode.noError);
    }
    this.endIfDrained();
  }

  /** The stream is over on both sides. */
  private forget(call: Call): void {
    this.streams.delete(call.id);
    if (this.draining) this.endIfDrained();
  }

  private refuseNew(): void {
    if (this.closed || this.refusing) return;
    this.refusing = true;
    this.endTimer?.cancel();
    this.control.goAway(this.frames.opener.lastStreamId, ErrorCode.noError);
    this.endIfDrained();
    this.flushLater();
  }

  private endIfDrained(): void {
    if (this.refusing && this.streams.count === 0 && !this.closed) this.end();
  }

  /** Writes what is left and closes; whoever does not read it is cut off. */
  private end(): void {
    this.output.flush(this.socket);
    this.closed = true;
    this.socket.end();
    // Reads on, so that the client's end is seen.
    this.socket.resume();
    this.onClose();
    this.destroySoon();
  }

  private destroySoon(): void {
    this.endTimer?.cancel();
    this.endTimer = this.options.clock.after(lastWordsMs, () => this.socket.destroy());
  }

  /**
   * Goes on with answers that had to wait, on another turn: sockets that take everything at once must not keep the rest of the
   * process waiting for the length of a large answer.
   */
  private resumeSoon(): void {
    if (this.resumeScheduled) return;
    this.resumeScheduled = true;
    this.options.clock.soon(() => {
      this.resumeScheduled = false;
      if (this.closed) return;
      this.sender.resumeAll();
      this.flush();
    });
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return remoteAddress?.includes(':') ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`;
}
