/**
 * The client's end of one HTTP/2 connection, made of the same parts as the server's: all frames of a socket read are handled in
 * one go, all that was sent in a turn leaves in one write.
 */
import type { Socket } from 'node:net';
import { IdTable, type Timer } from '@quorate/base';
import { Status } from '@quorate/proto';
import type { CallListener, ConnectOptions, RpcCall, RpcConnection } from '../../client.ts';
import type { RpcStatus } from '../../respond.ts';
import { ControlFrames } from '../control.ts';
import { Decompressor } from '../decompressor.ts';
import { FrameReader } from '../frame-reader.ts';
import { ErrorCode, frameBytesDefault, streamIdLimit } from '../frames.ts';
import { greetServer } from '../greeting.ts';
import { ConnectionError } from '../h2-errors.ts';
import { Keepalive } from '../keepalive.ts';
import { type H2Limits, h2Limits } from '../limits.ts';
import { ChunkPool, Output } from '../output.ts';
import { readSocket } from '../read-socket.ts';
import { Sender } from '../sender.ts';
import { SocketWriter } from '../socket-writer.ts';
import { ClientCall } from './client-call.ts';
import { type ClientFrameHost, ClientFrames } from './client-frames.ts';
import { dial, failureOf } from './dial.ts';
import { RequestHeaders } from './request-headers.ts';
import { UnaryAnswer } from './unary-answer.ts';

/** How long the server has to read our last words before the socket is destroyed. */
const lastWordsMs = 1_000;
const keepalivePing = Buffer.from('is there');

/** Connects to a server that speaks HTTP/2 from the first byte. Returns at once. */
export function connectH2(options: ConnectOptions, limits: H2Limits = h2Limits): RpcConnection {
  return new ClientConnection(options, limits);
}

class ClientConnection implements RpcConnection, ClientFrameHost {
  readonly options: ConnectOptions;
  readonly limits: H2Limits;
  readonly decompressor: Decompressor;
  readonly streams: IdTable<ClientCall> = new IdTable<ClientCall>();
  readonly sender: Sender;
  readonly control: ControlFrames;
  heldBytes = 0;
  lastStreamId = 0;
  /** No frame counts any more. */
  closed = false;
  private readonly socket: Socket;
  private readonly writer: SocketWriter;
  private readonly reader = new FrameReader(frameBytesDefault);
  private readonly frames: ClientFrames;
  private readonly headers: RequestHeaders;
  private readonly keepalive: Keepalive;
  private readonly handshake: Timer;
  private endTimer: Timer | undefined = undefined;
  private reading = false;
  private flushScheduled = false;
  /** The highest stream the server will look at, once it goes away. */
  private lastServed = streamIdLimit;
  /** Why the socket closed. */
  private failure: string | undefined = undefined;
  private readonly scheduledFlush: () => void;

  constructor(options: ConnectOptions, limits: H2Limits) {
    this.options = options;
    this.limits = limits;
    const { clock, host, port, keepalive } = options;
    this.decompressor = new Decompressor(clock, options.receiveBytesMax);
    const output = new Output(new ChunkPool());
    this.sender = new Sender(output, limits.socketBytesMax);
    this.control = new ControlFrames(output);
    greetServer(output, this.control, limits);
    this.scheduledFlush = () => {
      if (this.flushScheduled) this.flush();
    };
    const socket = dial(options);
    this.socket = socket;
    this.writer = new SocketWriter({ socket, output, sender: this.sender, limits, clock, flush: () => this.flush() });
    this.keepalive = new Keepalive(
      { clock, keepalive: { ...keepalive, minTimeMs: 0 } },
      { sendPing: () => this.ping(), keepaliveFailed: () => this.fail('the server does not answer pings') },
    );
    this.frames = new ClientFrames(this);
    this.headers = new RequestHeaders(options);
    this.handshake = clock.after(options.connectTimeoutMs, () => this.fail('connecting timed out'));
    readSocket(socket, (chunk) => this.onData(chunk));
    socket.resume();
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.failure ??= failureOf(error, `${host}:${port}`);
    });
    socket.on('end', () => this.fail('the server closed the connection'));
    socket.on('close', () => this.onClose());
    this.flushLater();
  }

  // ---- what the owner does

  get isClosed(): boolean {
    return this.isBroken || this.lastServed !== streamIdLimit || this.lastStreamId >= streamIdLimit - 1;
  }

  open(path: string, listener: CallListener, timeoutMs?: number): RpcCall {
    const { clock } = this.options;
    const refusal = this.refusal();
    if (refusal !== undefined) {
      const refused = new ClientCall(0, this, listener);
      refused.localClosed = true;
      queueMicrotask(() => refused.abort(refusal));
      return refused;
    }
    const id = this.lastStreamId === 0 ? 1 : this.lastStreamId + 2;
    const call = new ClientCall(id, this, listener);
    this.lastStreamId = id;
    this.streams.add(call);
    this.sender.headers(id, this.headers.block(path, timeoutMs), false);
    if (timeoutMs !== undefined) call.setDeadline(clock.after(timeoutMs, () => call.expire()));
    this.flushLater();
    return call;
  }

  unary(path: string, request: Buffer, timeoutMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const call = this.open(path, new UnaryAnswer(resolve, reject), timeoutMs);
      call.send(request);
      call.end();
    });
  }

  flush(): void {
    this.flushScheduled = false;
    this.writer.write();
  }

  close(): void {
    this.failure ??= 'the connection was closed';
    if (this.closed) return;
    this.control.goAway(0, ErrorCode.noError);
    this.cease({ code: Status.CANCELLED, message: this.failure });
    this.lastWords();
  }

  // ---- what calls and frames ask for

  flushLater(): void {
    if (this.reading || this.flushScheduled) return;
    this.flushScheduled = true;
    queueMicrotask(this.scheduledFlush);
  }

  sendWindowUpdate(id: number, bytes: number): void {
    this.control.windowUpdate(id, bytes);
    this.flushLater();
  }

  handshakeDone(): void {
    this.handshake.cancel();
  }

  pingAnswered(): void {
    // Whatever is read counts as an answer.
  }

  callEnded(call: ClientCall): void {
    const { id } = call;
    if (!(call.localClosed && call.remoteClosed)) {
      // The server may not have ended the call, or may wait for our end of it.
      this.frames.reset(id, call.remoteClosed ? ErrorCode.noError : ErrorCode.cancel);
    }
    call.localClosed = true;
    call.remoteClosed = true;
    this.streams.delete(id);
    if (this.lastServed !== streamIdLimit && this.streams.count === 0) this.closeSoon();
  }

  /** Throws ConnectionError when the server takes back what it said before. */
  goingAway(lastStreamId: number): void {
    if (lastStreamId > this.lastServed) throw new ConnectionError(ErrorCode.protocolError, 'GOAWAY goes up');
    this.lastServed = lastStreamId === streamIdLimit ? streamIdLimit - 1 : lastStreamId;
    for (const call of this.streams.all()) {
      if (call.id > lastStreamId) call.abort(unavailable('the server is going away'));
    }
    if (this.streams.count === 0) this.closeSoon();
  }

  // ---- from the first byte to the last

  private onData(chunk: Buffer): void {
    if (this.closed) return;
    this.reading = true;
    this.keepalive.onRead(this.options.clock.nowMs());
    try {
      this.reader.read(chunk, this.frames);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.goAway(error);
    }
    this.reading = false;
    this.flush();
  }

  private ping(): void {
    this.control.ping(keepalivePing, 0, 0);
    this.flushLater();
  }

  private get isBroken(): boolean {
    return this.closed || this.socket.destroyed;
  }

  private refusal(): RpcStatus | undefined {
    if (this.isBroken) return unavailable(this.failure ?? 'the connection is closed');
    if (this.isClosed) return unavailable('the server is going away');
    const { concurrentStreamsMax } = this.frames.connectionFrames.settings;
    return this.streams.count >= concurrentStreamsMax ? unavailable('too many calls on one connection') : undefined;
  }

  /** The server broke the rules: says so and ends. */
  private goAway(error: ConnectionError): void {
    const { host, port, logger } = this.options;
    logger.warn('closing connection: server broke the protocol', { server: `${host}:${port}`, reason: error.message });
    this.failure ??= `the server broke the protocol: ${error.message}`;
    this.cease(unavailable(this.failure));
    this.control.goAway(0, error.code, error.message);
    this.lastWords();
  }

  private fail(reason: string): void {
    this.failure ??= reason;
    this.socket.destroy();
  }

  /** Not at once: the stream that was the last may have ended in the middle of a read. */
  private closeSoon(): void {
    queueMicrotask(() => this.close());
  }

  private onClose(): void {
    this.cease(unavailable(this.failure ?? 'the connection broke'));
    this.writer.close();
    this.endTimer?.cancel();
  }

  private lastWords(): void {
    this.writer.end();
    this.endTimer = this.options.clock.after(lastWordsMs, () => this.socket.destroy());
  }

  /** Ends every call; no frame counts any more. */
  private cease(status: RpcStatus): void {
    this.closed = true;
    this.handshake.cancel();
    this.keepalive.stop();
    for (const call of this.streams.all()) call.abort(status);
  }
}

function unavailable(message: string): RpcStatus {
  return { code: Status.UNAVAILABLE, message };
}
