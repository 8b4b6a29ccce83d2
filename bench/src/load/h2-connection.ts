/**
 * One HTTP/2 connection that does nothing but gRPC calls, as cheaply as Node allows: requests are written with prebuilt
 * headers, answers are recognised by their frames. It exists so that the load generator costs less than what it measures; it is
 * used for every server alike.
 *
 * An answer with a DATA frame is a success; one that ends without is a failure (gRPC sends those as headers only).
 */
import { connect, type Socket } from 'node:net';
import { Flag, FrameType, frame, frameHeaderBytes, framePayloadMax, windowMax, writeFrameHeader } from './h2-frames.ts';

/** Bytes consumed after which the connection's window is topped up. */
const windowRefill = 1 << 28;

/** Called with the answer's message bytes (a view), or undefined for a failure. */
export type OnAnswer = (message: Buffer | undefined) => void;

export class H2Connection {
  readonly #socket: Socket;
  readonly #headers = new Map<string, Buffer>();
  readonly #authority: string;
  readonly #calls = new Map<number, OnAnswer>();
  readonly #answered = new Set<number>();
  readonly #streams = new Map<number, { readonly onMessage: (message: Buffer) => void; partial: Buffer }>();
  readonly #drains = new Map<number, { readonly onEnd: (bytes: number) => void; bytes: number }>();
  #nextStream = 1;
  #pending: Buffer = Buffer.alloc(0);
  #outgoing: Buffer[] = [];
  #flushScheduled = false;
  #sendWindow = 65_535;
  /** What the window has no room for: frames, and the bytes of them that count. */
  #blocked: { readonly bytes: Buffer; readonly cost: number }[] = [];
  #received = 0;

  private constructor(socket: Socket, authority: string) {
    this.#socket = socket;
    this.#authority = authority;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#onData(chunk));
    const settings = frame(FrameType.settings, 0, 0, Buffer.from([0, 2, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff]));
    const window = Buffer.alloc(4);
    window.writeUInt32BE(windowMax - 65_535);
    socket.write(
      Buffer.concat([
        Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1'),
        settings,
        frame(FrameType.windowUpdate, 0, 0, window),
      ]),
    );
  }

  static open(endpoint: string): Promise<H2Connection> {
    const [host, port] = endpoint.split(':') as [string, string];
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port: Number(port) });
      socket.once('error', reject);
      socket.once('connect', () => resolve(new H2Connection(socket, endpoint)));
    });
  }

  /** Sends one request of less than 64 KiB, which fits a window of any server; calls of one turn leave in one write. */
  call(path: string, message: Buffer, onAnswer: OnAnswer): void {
    const stream = this.#nextStream;
    this.#nextStream += 2;
    this.#calls.set(stream, onAnswer);
    const headers = this.#headersOf(path);
    const length = 5 + message.length;
    const frames = Math.ceil(length / framePayloadMax);
    const bytes = Buffer.allocUnsafe(frameHeaderBytes + headers.length + frames * frameHeaderBytes + length);
    writeFrameHeader(bytes, 0, { length: headers.length, type: FrameType.headers, flags: Flag.endHeaders, stream });
    headers.copy(bytes, frameHeaderBytes);
    let at = frameHeaderBytes + headers.length;
    for (let from = 0; from < length; from += framePayloadMax) {
      const share = Math.min(framePayloadMax, length - from);
      const flags = from + share === length ? Flag.endStream : 0;
      writeFrameHeader(bytes, at, { length: share, type: FrameType.data, flags, stream });
      at += frameHeaderBytes;
      if (from === 0) {
        bytes[at] = 0;
        bytes.writeUInt32BE(message.length, at + 1);
      }
      message.copy(bytes, from === 0 ? at + 5 : at, Math.max(0, from - 5), from + share - 5);
      at += share;
    }
    this.#writeWhenRoom(bytes, length);
  }

  /** Sends one request and reads its answers to the end, of whatever size; resolves with their bytes, which are 0 for a failure. */
  drain(path: string, message: Buffer): Promise<number> {
    return new Promise((resolve) => {
      this.#drains.set(this.#nextStream, { onEnd: resolve, bytes: 0 });
      this.call(path, message, () => {});
    });
  }

  /** Opens a call that goes on: `onMessage` is given each answer, the function returned sends a message. */
  open(path: string, onMessage: (message: Buffer) => void): (message: Buffer) => void {
    const stream = this.#nextStream;
    this.#nextStream += 2;
    this.#streams.set(stream, { onMessage, partial: Buffer.alloc(0) });
    const headers = this.#headersOf(path);
    this.#write(frame(FrameType.headers, Flag.endHeaders, stream, headers));
    return (message) => {
      const payload = Buffer.allocUnsafe(5 + message.length);
      payload[0] = 0;
      payload.writeUInt32BE(message.length, 1);
      message.copy(payload, 5);
      this.#writeWhenRoom(frame(FrameType.data, 0, stream, payload), payload.length);
    };
  }

  close(): void {
    this.#socket.destroy();
  }

  #writeWhenRoom(bytes: Buffer, cost: number): void {
    if (this.#blocked.length > 0 || this.#sendWindow < cost) {
      this.#blocked.push({ bytes, cost });
      return;
    }
    this.#sendWindow -= cost;
    this.#write(bytes);
  }

  #write(bytes: Buffer): void {
    this.#outgoing.push(bytes);
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    queueMicrotask(() => {
      this.#flushScheduled = false;
      const all = this.#outgoing.length === 1 ? this.#outgoing[0]! : Buffer.concat(this.#outgoing);
      this.#outgoing = [];
      this.#socket.write(all);
    });
  }

  /** Literal headers without indexing: no state to keep, the same bytes every time. */
  #headersOf(path: string): Buffer {
    const known = this.#headers.get(path);
    if (known !== undefined) return known;
    const literal = (name: string, value: string): Buffer =>
      Buffer.concat([
        Buffer.from([0, name.length]),
        Buffer.from(name),
        Buffer.from([value.length]),
        Buffer.from(value),
      ]);
    const built = Buffer.concat([
      Buffer.from([0x83, 0x86]), // :method POST, :scheme http
      literal(':path', path),
      literal(':authority', this.#authority),
      literal('content-type', 'application/grpc'),
      literal('te', 'trailers'),
    ]);
    this.#headers.set(path, built);
    return built;
  }

  #onData(chunk: Buffer): void {
    let bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    while (bytes.length >= frameHeaderBytes) {
      const length = bytes.readUIntBE(0, 3);
      if (bytes.length < frameHeaderBytes + length) break;
      const stream = bytes.readUInt32BE(5) & windowMax;
      this.#onFrame(bytes[3]!, bytes[4]!, stream, bytes.subarray(frameHeaderBytes, frameHeaderBytes + length));
      bytes = bytes.subarray(frameHeaderBytes + length);
    }
    this.#pending = bytes.length === 0 ? bytes : Buffer.from(bytes);
  }

  #onFrame(type: number, flags: number, stream: number, payload: Buffer): void {
    switch (type) {
      case FrameType.data:
        this.#onAnswer(stream, payload);
        break;
      case FrameType.headers:
        if ((flags & Flag.endStream) !== 0) this.#onEnd(stream);
        break;
      case FrameType.rstStream:
        this.#onEnd(stream);
        break;
      case FrameType.settings:
        if ((flags & Flag.ack) === 0) this.#write(frame(FrameType.settings, Flag.ack, 0, Buffer.alloc(0)));
        break;
      case FrameType.ping:
        if ((flags & Flag.ack) === 0) this.#write(frame(FrameType.ping, Flag.ack, 0, Buffer.from(payload)));
        break;
      case FrameType.windowUpdate:
        if (stream === 0) this.#onWindow(payload.readUInt32BE(0) & windowMax);
        break;
      case FrameType.goAway:
        throw new Error(`server ended the connection: ${payload.subarray(8).toString('latin1')}`);
      default:
        break;
    }
  }

  #onAnswer(stream: number, payload: Buffer): void {
    this.#received += payload.length;
    if (this.#received > windowRefill) {
      const update = Buffer.alloc(4);
      update.writeUInt32BE(this.#received);
      this.#received = 0;
      this.#write(frame(FrameType.windowUpdate, 0, 0, update));
    }
    const drain = this.#drains.get(stream);
    if (drain !== undefined) drain.bytes += payload.length;
    const open = this.#streams.get(stream);
    if (open !== undefined) {
      open.partial = takeMessages(open.partial.length === 0 ? payload : Buffer.concat([open.partial, payload]), open);
      return;
    }
    if (payload.length < 5 || this.#answered.has(stream)) return;
    this.#answered.add(stream);
    this.#calls.get(stream)?.(payload.subarray(5));
  }

  #onEnd(stream: number): void {
    this.#drains.get(stream)?.onEnd(this.#drains.get(stream)!.bytes);
    this.#drains.delete(stream);
    const call = this.#calls.get(stream);
    this.#calls.delete(stream);
    if (!this.#answered.delete(stream)) call?.(undefined);
  }

  #onWindow(increment: number): void {
    this.#sendWindow += increment;
    while (this.#blocked.length > 0 && this.#sendWindow >= this.#blocked[0]!.cost) {
      const { bytes, cost } = this.#blocked.shift()!;
      this.#sendWindow -= cost;
      this.#write(bytes);
    }
  }
}

/** Gives each whole message in `bytes` and returns a copy of what is left. */
function takeMessages(bytes: Buffer, { onMessage }: { readonly onMessage: (message: Buffer) => void }): Buffer {
  let at = 0;
  while (bytes.length - at >= 5) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    if (end > bytes.length) break;
    onMessage(bytes.subarray(at + 5, end));
    at = end;
  }
  return Buffer.from(bytes.subarray(at));
}
