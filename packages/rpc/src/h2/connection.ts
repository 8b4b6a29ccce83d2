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
import { TLSSocket } from 'node:tls';
import { IdTable, type Timer } from '@quorate/base';
import { commonNameOf } from '@quorate/tls';
import type { ServeOptions } from '../transport.ts';
import type { Call } from './call.ts';
import { ControlFrames } from './control.ts';
import type { DeadlineWheel } from './deadline-wheel.ts';
import type { Decompressor } from './decompressor.ts';
import { FrameHandler, type FrameHost } from './frame-handler.ts';
import { FrameReader } from './frame-reader.ts';
import { ErrorCode, frameBytesDefault, streamIdLimit } from './frames.ts';
import { greetClient, PrefaceReader } from './greeting.ts';
import { ConnectionError } from './h2-errors.ts';
import { Keepalive } from './keepalive.ts';
import type { H2Limits } from './limits.ts';
import type { Linger } from './linger.ts';
import { type ChunkPool, Output } from './output.ts';
import { readSocket } from './read-socket.ts';
import type { Routes } from './request-head.ts';
import { Sender } from './sender.ts';
import { SocketWriter } from './socket-writer.ts';

/** What the connections of a transport share. */
export interface ConnectionContext {
  readonly options: ServeOptions;
  readonly limits: H2Limits;
  readonly routes: Routes;
  readonly wheel: DeadlineWheel;
  readonly pool: ChunkPool;
  readonly decompressor: Decompressor;
  readonly linger: Linger;
  /** Calls `connection.flush()` when the microtasks of this turn are done. */
  flushSoon(connection: Connection): void;
  /** The socket is closed. */
  gone(connection: Connection): void;
}

/** How long the client has to read our last words before the socket is destroyed; and to answer the ping of a drain. */
const lastWordsMs = 1_000;
const drainPing = Buffer.from('draining');
const keepalivePing = Buffer.from('is there');

export class Connection implements FrameHost {
  readonly options: ServeOptions;
  readonly limits: H2Limits;
  readonly routes: Routes;
  readonly wheel: DeadlineWheel;
  readonly decompressor: Decompressor;
  readonly peer: string;
  readonly commonName: string | undefined;
  readonly isSecure: boolean;
  readonly streams: IdTable<Call> = new IdTable<Call>();
  readonly sender: Sender;
  readonly control: ControlFrames;
  readonly keepalive: Keepalive;
  heldBytes = 0;
  nowMs = 0;
  /** No frame counts any more. */
  closed = false;
  refusing = false;
  private readonly context: ConnectionContext;
  private readonly socket: Socket;
  private readonly writer: SocketWriter;
  private readonly reader = new FrameReader(frameBytesDefault);
  private readonly frames: FrameHandler;
  private readonly handshake: Timer;
  private readonly preface = new PrefaceReader();
  private reading = false;
  private flushScheduled = false;
  /** Calls that were answered before their request was complete; see {@link resetEarlyAnswers}. */
  private answeredEarly: Call[] = [];
  private draining = false;
  private endTimer: Timer | undefined = undefined;

  constructor(socket: Socket, context: ConnectionContext) {
    const { options, limits } = context;
    this.context = context;
    this.socket = socket;
    this.peer = peerOf(socket);
    this.commonName = commonNameOf(socket);
    this.isSecure = socket instanceof TLSSocket;
    this.options = options;
    this.limits = limits;
    this.routes = context.routes;
    this.wheel = context.wheel;
    this.decompressor = context.decompressor;
    const output = new Output(context.pool);
    this.sender = new Sender(output, limits.socketBytesMax);
    this.control = new ControlFrames(output);
    const flush = (): void => this.flush();
    this.writer = new SocketWriter({ socket, output, sender: this.sender, limits, clock: options.clock, flush });
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
    readSocket(socket, (chunk) => this.onData(chunk));
    // The client will send nothing more: its requests will not be completed, and it could not say that it is still there.
    socket.on('end', () => this.end());
    socket.on('error', (error) => this.options.logger.debug('connection failed', { error: error.message }));
    socket.on('close', () => this.destroy());
    greetClient(this.control, this.limits, this.options.maxConcurrentStreams);
    this.onData(head);
    socket.resume();
  }

  /** Ends every call and the connection, now. */
  destroy(): void {
    this.socket.destroy();
    this.cease();
    this.endTimer?.cancel();
    this.context.gone(this);
  }

  /**
   * Tells the client to open no more streams, and ends the connection with the last one. The client may have opened some before
   * it hears of it, so the number of the last one that counts is told only after it answered a ping (RFC 9113, 6.8).
   */
  drain(): void {
    if (this.closed || this.draining) return;
    this.draining = true;
    if (!this.preface.isDone) {
      this.destroy();
      return;
    }
    this.control.goAway(streamIdLimit, ErrorCode.noError);
    this.ping(drainPing);
    this.endTimer = this.options.clock.after(lastWordsMs, () => this.refuseNew());
  }

  /** Writes what has been gathered. */
  flush(): void {
    this.flushScheduled = false;
    if (this.answeredEarly.length > 0) this.resetEarlyAnswers();
    if (this.writer.write()) this.context.linger.answered();
  }

  // ---- what calls and frames ask for

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
  }

  // ---- from the first byte to the last

  private onData(chunk: Buffer): void {
    if (this.closed) return;
    this.reading = true;
    this.nowMs = this.options.clock.nowMs();
    this.keepalive.onRead(this.nowMs);
    this.context.linger.read();
    try {
      const from = this.preface.isDone ? 0 : this.preface.read(chunk);
      this.reader.read(from === 0 ? chunk : chunk.subarray(from), this.frames);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.goAway(error);
    }
    this.reading = false;
    this.flush();
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
      if (!call.remoteClosed) this.frames.reset(call.id, ErrorCode.noError);
    }
    this.endIfDrained();
  }

  /** The stream is over on both sides. */
  private forget(call: Call): void {
    this.streams.delete(call.id);
    this.endIfDrained();
  }

  private refuseNew(): void {
    if (this.closed || this.refusing) return;
    this.refusing = true;
    this.control.goAway(this.frames.opener.lastStreamId, ErrorCode.noError);
    this.endIfDrained();
    this.flushLater();
  }

  private endIfDrained(): void {
    if (this.refusing && this.streams.count === 0) this.end();
  }

  /** The other side broke the rules: says so and ends. */
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

  /** Writes what is left and closes; a client that does not read it in time, or close its side, is cut off. */
  private end(): void {
    if (this.closed) return;
    this.writer.end();
    this.cease();
    this.endTimer?.cancel();
    this.endTimer = this.options.clock.after(lastWordsMs, () => this.socket.destroy());
  }

  /** Ends every call; no frame counts any more. */
  private cease(): void {
    this.closed = true;
    this.writer.close();
    this.handshake.cancel();
    this.keepalive.stop();
    for (const call of this.streams.all()) {
      this.streams.delete(call.id);
      call.abort();
    }
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return remoteAddress?.includes(':') ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`;
}
