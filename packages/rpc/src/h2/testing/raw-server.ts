/**
 * A server made of nothing but a socket, for everything a decent server would not send: writes any frame, shows every frame that
 * comes. Not exported.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { CallListener, ConnectOptions, RpcCall, RpcConnection } from '../../client.ts';
import type { RpcStatus } from '../../respond.ts';
import { MemoryLogger, realClock } from '../../testing/served.ts';
import { connectH2 } from '../client/client-connection.ts';
import { Flag, FrameType, frameHeaderBytes, readUint32 } from '../frames.ts';
import type { FieldText } from '../hpack-encoder.ts';
import { headersFrame, preface, type RawFrame, settingsFrame } from './raw-client.ts';

/** Headers that come before the first message. */
export const headFields: readonly FieldText[] = [
  [':status', '200'],
  ['content-type', 'application/grpc'],
];
/** A call's end, status OK. */
export const okTrailers: readonly FieldText[] = [['grpc-status', '0']];
export const lastFlags: number = Flag.endHeaders | Flag.endStream;

/** What came on a call. */
export class Heard implements CallListener {
  readonly messages: string[] = [];
  drains = 0;
  readonly ended: Promise<RpcStatus>;
  status: RpcStatus | undefined = undefined;
  #end!: (status: RpcStatus) => void;

  constructor() {
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  onMessage(message: Buffer): void {
    this.messages.push(message.toString('latin1'));
  }

  onDrain(): void {
    this.drains++;
  }

  onEnd(status: RpcStatus): void {
    if (this.status !== undefined) throw new Error('a call ended twice');
    this.status = status;
    this.#end(status);
  }
}

export class RawServer {
  /** Everything the client said after its preface. */
  readonly frames: RawFrame[] = [];
  readonly logger: MemoryLogger = new MemoryLogger();
  isClosed = false;
  connection!: RpcConnection;
  #server!: Server;
  #socket: Socket | undefined;
  #pending: Buffer = Buffer.alloc(0);
  #greeted = false;
  #waiters: (() => void)[] = [];

  /** A server and a client that connects to it; the server says nothing by itself. */
  static async open(options: Partial<ConnectOptions> = {}): Promise<RawServer> {
    const made = new RawServer();
    made.#server = createServer((socket) => made.#accept(socket));
    await new Promise<void>((resolve) => made.#server.listen(0, '127.0.0.1', resolve));
    made.connection = connectH2({
      host: '127.0.0.1',
      port: (made.#server.address() as AddressInfo).port,
      clock: realClock,
      logger: made.logger,
      receiveBytesMax: 1 << 20,
      keepalive: { intervalMs: 60_000, timeoutMs: 60_000 },
      connectTimeoutMs: 60_000,
      ...options,
    });
    await made.#until(() => made.#socket !== undefined);
    return made;
  }

  /** The same, greeted, with one call opened. */
  static async calling(
    options: Partial<ConnectOptions> = {},
  ): Promise<{ server: RawServer; heard: Heard; call: RpcCall }> {
    const server = await RawServer.open(options);
    const heard = new Heard();
    const call = server.connection.open('/a/b', heard);
    server.send(settingsFrame());
    await server.next(({ type, streamId }) => type === FrameType.headers && streamId === 1);
    return { server, heard, call };
  }

  send(...frames: readonly Buffer[]): void {
    this.#socket!.write(Buffer.concat(frames));
  }

  /** The first frame, come or to come, that is wanted; rejects when the connection closes before. */
  async next(isWanted: (frame: RawFrame) => boolean): Promise<RawFrame> {
    await this.#until(() => this.frames.some(isWanted) || this.isClosed);
    const found = this.frames.find(isWanted);
    if (found === undefined) throw new Error('connection closed');
    return found;
  }

  /** The code with which the client went away, once the connection is closed. */
  async goAwayCode(): Promise<number | undefined> {
    await this.#until(() => this.isClosed);
    const goAway = this.frames.findLast((frame) => frame.type === FrameType.goAway);
    return goAway === undefined ? undefined : readUint32(goAway.payload, 4);
  }

  /** The code of the RST_STREAM of a stream. */
  async resetCode(streamId: number): Promise<number> {
    const reset = await this.next((frame) => frame.type === FrameType.rstStream && frame.streamId === streamId);
    return readUint32(reset.payload, 0);
  }

  /** Bytes of DATA that came on a stream. */
  dataBytes(streamId: number): number {
    const data = this.frames.filter((frame) => frame.type === FrameType.data && frame.streamId === streamId);
    return data.reduce((sum, { payload }) => sum + payload.length, 0);
  }

  /** Makes sure that the client has handled everything sent so far. */
  async settle(): Promise<void> {
    const acks = (): number =>
      this.frames.filter(({ type, flags }) => type === FrameType.settings && (flags & Flag.ack) !== 0).length;
    const before = acks();
    this.send(settingsFrame());
    await this.#until(() => acks() > before || this.isClosed);
  }

  /** A call on the same connection that must succeed. */
  async mustWork(): Promise<void> {
    const heard = new Heard();
    const before = this.frames.length;
    this.connection.open('/still/there', heard).end();
    const isNew = (frame: RawFrame): boolean =>
      frame.type === FrameType.headers && this.frames.indexOf(frame) >= before;
    const last = await this.next(isNew);
    this.send(headersFrame(last.streamId, [...headFields, ...okTrailers], lastFlags));
    const { code } = await heard.ended;
    if (code !== 0) throw new Error(`the connection does not work any more: ${code}`);
  }

  /** Ends the connection once everything sent is on its way. */
  hangUpSoon(): void {
    this.#socket?.end();
  }

  /** Breaks the connection. */
  hangUp(): void {
    this.#socket?.destroy();
  }

  async close(): Promise<void> {
    this.connection.close();
    this.#socket?.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(socket: Socket): void {
    this.#socket = socket;
    socket.on('error', () => {
      // What the client thinks of us comes as a frame or as the end.
    });
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('close', () => {
      this.isClosed = true;
      this.#wake();
    });
    this.#wake();
  }

  #onData(chunk: Buffer): void {
    let bytes = Buffer.concat([this.#pending, chunk]);
    if (!this.#greeted && bytes.length >= preface.length) {
      if (!bytes.subarray(0, preface.length).equals(preface)) throw new Error('not the preface');
      this.#greeted = true;
      bytes = bytes.subarray(preface.length);
    }
    while (this.#greeted && bytes.length >= frameHeaderBytes) {
      const end = frameHeaderBytes + bytes.readUIntBE(0, 3);
      if (bytes.length < end) break;
      const payload = bytes.subarray(frameHeaderBytes, end);
      this.frames.push({ type: bytes[3]!, flags: bytes[4]!, streamId: readUint32(bytes, 5), payload });
      bytes = bytes.subarray(end);
    }
    this.#pending = bytes;
    this.#wake();
  }

  async #until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }
}
