/**
 * A client made of nothing but a socket, for everything a decent client would not send: writes any frame, shows every frame that
 * comes back. Not exported.
 */
import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { PutRequest, services } from '@quorate/proto';
import { ErrorCode, Flag, FrameType, frameHeaderBytes, prefaceText, readUint32, writeFrameHeader } from '../frames.ts';
import { HpackDecoder } from '../hpack-decoder.ts';
import { encodeFields, type FieldText } from '../hpack-encoder.ts';

/** A frame as it came. */
export interface RawFrame {
  readonly type: number;
  readonly flags: number;
  /** With the reserved bit, which must be 0: what sets it is no stream of any test. */
  readonly streamId: number;
  readonly payload: Buffer;
}

export const preface: Buffer = Buffer.from(prefaceText, 'latin1');
export const putPath: string = services.kv.methods.put.path;

/** A frame with a length that may lie. */
export function rawFrame(type: number, flags: number, streamId: number, payload: Buffer, length?: number): Buffer {
  const bytes = Buffer.alloc(frameHeaderBytes + payload.length);
  writeFrameHeader(bytes, 0, length ?? payload.length, type, flags, streamId);
  payload.copy(bytes, frameHeaderBytes);
  return bytes;
}

export function settingsFrame(entries: readonly (readonly [id: number, value: number])[] = []): Buffer {
  const payload = Buffer.alloc(entries.length * 6);
  entries.forEach(([id, value], i) => {
    payload.writeUInt16BE(id, i * 6);
    payload.writeUInt32BE(value, i * 6 + 2);
  });
  return rawFrame(FrameType.settings, 0, 0, payload);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function windowUpdateFrame(streamId: number, increment: number): Buffer {
  return rawFrame(FrameType.windowUpdate, 0, streamId, uint32(increment));
}

export function rstFrame(streamId: number, code: number = ErrorCode.cancel): Buffer {
  return rawFrame(FrameType.rstStream, 0, streamId, uint32(code));
}

export function pingFrame(text = '12345678', flags = 0): Buffer {
  return rawFrame(FrameType.ping, flags, 0, Buffer.from(text, 'latin1'));
}

/** The fields of a call. */
export function grpcFields(path: string = putPath, ...more: FieldText[]): FieldText[] {
  return [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'kvd'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...more,
  ];
}

export function headersFrame(
  streamId: number,
  fields: readonly FieldText[] | Buffer,
  flags: number = Flag.endHeaders,
): Buffer {
  const block = Buffer.isBuffer(fields) ? fields : encodeFields(fields);
  return rawFrame(FrameType.headers, flags, streamId, block);
}

export function dataFrame(streamId: number, payload: Buffer, flags = 0): Buffer {
  return rawFrame(FrameType.data, flags, streamId, payload);
}

/** A message with its prefix. */
export function grpcMessage(message: Buffer, flag = 0): Buffer {
  return Buffer.concat([Buffer.from([flag]), uint32(message.length), message]);
}

export const emptyPut: Buffer = grpcMessage(PutRequest.encode(PutRequest.create({ key: Buffer.from('k') })));

/** A whole put. */
export function putFrames(streamId: number): Buffer {
  return Buffer.concat([headersFrame(streamId, grpcFields()), dataFrame(streamId, emptyPut, Flag.endStream)]);
}

export class RawClient {
  /** Everything that came, in order. */
  readonly frames: RawFrame[] = [];
  /** Resolves when the server has closed the connection. */
  readonly closed: Promise<void>;
  isClosed = false;
  readonly socket: Socket;
  readonly #decoder = new HpackDecoder(1 << 20);
  readonly #fields = new Map<RawFrame, FieldText[]>();
  #settingsSent = 0;
  #pending: Buffer = Buffer.alloc(0);
  #waiters: (() => void)[] = [];

  /** Connects without a word; over TLS with `tls`. */
  static async connect(port: number, tls?: ConnectionOptions): Promise<RawClient> {
    const address = { port, host: '127.0.0.1' };
    const socket = tls === undefined ? connect({ ...address, noDelay: true }) : connectTls({ ...address, ...tls });
    const client = new RawClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once(tls === undefined ? 'connect' : 'secureConnect', resolve);
      socket.once('error', reject);
    });
    return client;
  }

  /** Connects, says hello, and waits for the server to be ready. */
  static async open(port: number, settings: readonly (readonly [number, number])[] = []): Promise<RawClient> {
    const client = await RawClient.connect(port);
    client.send(preface, settingsFrame(settings));
    await client.next(isSettingsAck);
    return client;
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.isClosed = true;
        this.#wake();
        resolve();
      });
    });
    // What the server thinks of us comes as a frame or as the end.
    socket.on('error', () => {});
    socket.on('data', (chunk) => this.#onData(chunk));
  }

  send(...frames: readonly Buffer[]): void {
    this.#settingsSent += frames.filter((frame) => frame[3] === FrameType.settings && frame[4] === 0).length;
    this.socket.write(Buffer.concat(frames));
  }

  /** The first frame, come or to come, that is wanted; rejects when the connection closes before. */
  async next(isWanted: (frame: RawFrame) => boolean): Promise<RawFrame> {
    for (;;) {
      const found = this.frames.find(isWanted);
      if (found !== undefined) return found;
      if (this.isClosed) throw new Error(`connection closed; got ${JSON.stringify(this.frames.map(nameOf))}`);
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  /** The error code of the GOAWAY that ends the connection, once it is closed; undefined when it ended without. */
  async goAwayCode(): Promise<number | undefined> {
    await this.closed;
    const goAway = this.frames.findLast((frame) => frame.type === FrameType.goAway);
    return goAway === undefined ? undefined : readUint32(goAway.payload, 4);
  }

  /** The code of the RST_STREAM of a stream. */
  async resetCode(streamId: number): Promise<number> {
    const reset = await this.next((frame) => frame.type === FrameType.rstStream && frame.streamId === streamId);
    return readUint32(reset.payload, 0);
  }

  /** The fields of the last header block of a stream. */
  async trailers(streamId: number): Promise<Record<string, string>> {
    const isEnd = (frame: RawFrame): boolean => frame.streamId === streamId && (frame.flags & Flag.endStream) !== 0;
    return Object.fromEntries(this.fieldsOf(await this.next(isEnd)));
  }

  /** The fields of a HEADERS frame that is not continued. */
  fieldsOf(frame: RawFrame): FieldText[] {
    return this.#fields.get(frame) ?? [];
  }

  /** Messages with their prefixes, as far as they came on a stream. */
  body(streamId: number): Buffer {
    const frames = this.frames.filter((frame) => frame.type === FrameType.data && frame.streamId === streamId);
    return Buffer.concat(frames.map((frame) => frame.payload));
  }

  /** Makes sure that the server has handled everything sent so far: SETTINGS are acknowledged in turn. */
  async settle(): Promise<void> {
    this.send(settingsFrame());
    const goal = this.#settingsSent;
    await this.next(() => this.frames.filter(isSettingsAck).length >= goal);
  }

  /** A put on `streamId`, which must succeed. */
  async put(streamId: number): Promise<void> {
    this.send(putFrames(streamId));
    const trailers = await this.trailers(streamId);
    if (trailers['grpc-status'] !== '0') throw new Error(`put failed: ${JSON.stringify(trailers)}`);
  }

  close(): void {
    this.socket.destroy();
  }

  #onData(chunk: Buffer): void {
    let bytes = Buffer.concat([this.#pending, chunk]);
    while (bytes.length >= frameHeaderBytes) {
      const end = frameHeaderBytes + bytes.readUIntBE(0, 3);
      if (bytes.length < end) break;
      const payload = bytes.subarray(frameHeaderBytes, end);
      const frame = { type: bytes[3]!, flags: bytes[4]!, streamId: readUint32(bytes, 5), payload };
      if (frame.type === FrameType.headers && (frame.flags & Flag.endHeaders) !== 0) {
        const { fields } = this.#decoder.decode(payload, 0, payload.length);
        this.#fields.set(
          frame,
          fields.map(({ name, value }) => [name, value]),
        );
      }
      this.frames.push(frame);
      bytes = bytes.subarray(end);
    }
    this.#pending = bytes;
    this.#wake();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }
}

function isSettingsAck({ type, flags }: RawFrame): boolean {
  return type === FrameType.settings && flags === Flag.ack;
}

function nameOf({ type, streamId }: RawFrame): string {
  const name = Object.entries(FrameType).find(([, value]) => value === type)?.[0] ?? String(type);
  return `${name}@${streamId}`;
}
