/**
 * One HTTP/2 connection that does nothing but gRPC calls, as cheaply as Node allows: requests are written with prebuilt
 * headers, answers are recognised by their frames. It exists so that the load generator costs less than what it measures; it is
 * used for every server alike.
 *
 * An answer with a DATA frame is a success; one that ends without is a failure (gRPC sends those as headers only).
 */
import { connect, type Socket } from 'node:net';
import { CallTable, type OnAnswer } from './call-table.ts';
import { Flag, FrameType, frame, frameHeaderBytes, framePayloadMax, windowMax, writeFrameHeader } from './h2-frames.ts';

/** Bytes consumed after which the connection's window is topped up. */
const windowRefill = 1 << 28;
/** Requests gather in a piece of memory of this size, which is used again when the kernel has taken it. */
const chunkBytes = 1 << 16;
/** Flag and length before a gRPC message. */
const prefixBytes = 5;
const nothing: Buffer = Buffer.alloc(0);

/** A call with more than one answer, or one of any size. */
interface LongCall {
  onBytes(payload: Buffer): void;
  onEnd(): void;
}

export class H2Connection {
  readonly #socket: Socket;
  readonly #headers = new Map<string, Buffer>();
  readonly #authority: string;
  readonly #calls = new CallTable();
  readonly #longCalls = new Map<number, LongCall>();
  #nextStream = 1;
  #pending: Buffer = nothing;
  #chunk: Buffer = Buffer.allocUnsafeSlow(chunkBytes);
  #filled = 0;
  #reading = false;
  #flushScheduled = false;
  #sendWindow = 65_535;
  /** What the window has no room for, and the bytes of it that count. */
  #blocked: { readonly send: () => void; readonly cost: number }[] = [];
  #received = 0;

  private constructor(socket: Socket, authority: string) {
    this.#socket = socket;
    this.#authority = authority;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#onData(chunk));
    this.#write(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1'));
    this.#write(frame(FrameType.settings, 0, 0, Buffer.from([0, 2, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff])));
    this.#topUp(windowMax - 65_535);
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
    const cost = prefixBytes + message.length;
    const headers = this.#headersOf(path);
    // Not by #whenRoom: a function for each request would be made, and hardly one has to wait.
    if (this.#takeRoom(cost)) this.#send(headers, message, onAnswer);
    else this.#blocked.push({ send: () => this.#send(headers, message, onAnswer), cost });
  }

  /** Sends one request and reads its answers to the end, of whatever size; resolves with their bytes, which are 0 for a failure. */
  drain(path: string, message: Buffer): Promise<number> {
    return new Promise((resolve) => {
      let bytes = 0;
      const onBytes = (payload: Buffer): void => {
        bytes += payload.length;
      };
      this.#whenRoom(prefixBytes + message.length, () => {
        this.#longCalls.set(this.#nextStream, { onBytes, onEnd: () => resolve(bytes) });
        this.#send(this.#headersOf(path), message, () => {});
      });
    });
  }

  /** Opens a call that goes on: `onMessage` is given each answer, the function returned sends a message. */
  open(path: string, onMessage: (message: Buffer) => void): (message: Buffer) => void {
    const stream = this.#nextStream;
    this.#nextStream += 2;
    let partial: Buffer = nothing;
    const onBytes = (payload: Buffer): void => {
      partial = takeMessages(partial.length === 0 ? payload : Buffer.concat([partial, payload]), onMessage);
    };
    this.#longCalls.set(stream, { onBytes, onEnd: () => {} });
    this.#write(frame(FrameType.headers, Flag.endHeaders, stream, this.#headersOf(path)));
    return (message) => {
      this.#whenRoom(prefixBytes + message.length, () => this.#writeMessage(stream, message, 0));
    };
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Sends, or keeps for later what the window has no room for. Streams are numbered when they are sent, so in order. */
  #whenRoom(cost: number, send: () => void): void {
    if (this.#takeRoom(cost)) send();
    else this.#blocked.push({ send, cost });
  }

  #takeRoom(cost: number): boolean {
    if (this.#blocked.length > 0 || this.#sendWindow < cost) return false;
    this.#sendWindow -= cost;
    return true;
  }

  #send(headers: Buffer, message: Buffer, onAnswer: OnAnswer): void {
    const stream = this.#nextStream;
    this.#nextStream += 2;
    this.#calls.add(stream, onAnswer);
    const at = this.#reserve(frameHeaderBytes + headers.length);
    writeFrameHeader(this.#chunk, at, {
      length: headers.length,
      type: FrameType.headers,
      flags: Flag.endHeaders,
      stream,
    });
    this.#chunk.set(headers, at + frameHeaderBytes);
    this.#writeMessage(stream, message, Flag.endStream);
  }

  /** DATA frames of one message, the last with `lastFlags`. */
  #writeMessage(stream: number, message: Buffer, lastFlags: number): void {
    const length = prefixBytes + message.length;
    for (let from = 0; from < length; from += framePayloadMax) {
      const share = Math.min(framePayloadMax, length - from);
      const flags = from + share === length ? lastFlags : 0;
      let at = this.#reserve(frameHeaderBytes + share);
      writeFrameHeader(this.#chunk, at, { length: share, type: FrameType.data, flags, stream });
      at += frameHeaderBytes;
      if (from === 0) {
        this.#chunk[at] = 0;
        this.#chunk.writeUInt32BE(message.length, at + 1);
        at += prefixBytes;
      }
      const end = from + share - prefixBytes;
      this.#chunk.set(share === length ? message : message.subarray(Math.max(0, from - prefixBytes), end), at);
    }
  }

  #write(bytes: Buffer): void {
    const at = this.#reserve(bytes.length);
    this.#chunk.set(bytes, at);
  }

  /** Room for `count` bytes, less than a chunk, that leave at the end of the turn. */
  #reserve(count: number): number {
    if (this.#filled + count > this.#chunk.length) this.#flush();
    if (!this.#reading && !this.#flushScheduled) {
      this.#flushScheduled = true;
      queueMicrotask(() => {
        this.#flushScheduled = false;
        this.#flush();
      });
    }
    const at = this.#filled;
    this.#filled += count;
    return at;
  }

  #flush(): void {
    if (this.#filled === 0) return;
    this.#socket.write(this.#filled === this.#chunk.length ? this.#chunk : this.#chunk.subarray(0, this.#filled));
    // What the kernel has not taken yet stays where it is.
    if (this.#socket.writableLength > 0) this.#chunk = Buffer.allocUnsafeSlow(chunkBytes);
    this.#filled = 0;
  }

  #topUp(bytes: number): void {
    const update = Buffer.alloc(4);
    update.writeUInt32BE(bytes);
    this.#write(frame(FrameType.windowUpdate, 0, 0, update));
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
    const bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    this.#reading = true;
    let at = 0;
    while (bytes.length - at >= frameHeaderBytes) {
      const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
      const end = at + frameHeaderBytes + length;
      if (end > bytes.length) break;
      this.#onFrame(bytes, at, end);
      at = end;
    }
    this.#reading = false;
    this.#pending = at === bytes.length ? nothing : Buffer.from(bytes.subarray(at));
    this.#flush();
  }

  /** The frame in `bytes` from `at` to `end`. */
  #onFrame(bytes: Buffer, at: number, end: number): void {
    const flags = bytes[at + 4]!;
    const stream = bytes.readUInt32BE(at + 5) & windowMax;
    const start = at + frameHeaderBytes;
    switch (bytes[at + 3]!) {
      case FrameType.data:
        this.#onAnswer(stream, bytes, start, end);
        if ((flags & Flag.endStream) !== 0) this.#onEnd(stream);
        break;
      case FrameType.headers:
        if ((flags & Flag.endStream) !== 0) this.#onEnd(stream);
        break;
      case FrameType.rstStream:
        this.#onEnd(stream);
        break;
      case FrameType.settings:
        if ((flags & Flag.ack) === 0) this.#write(frame(FrameType.settings, Flag.ack, 0, nothing));
        break;
      case FrameType.ping:
        if ((flags & Flag.ack) === 0) this.#write(frame(FrameType.ping, Flag.ack, 0, bytes.subarray(start, end)));
        break;
      case FrameType.windowUpdate:
        if (stream === 0) this.#onWindow(bytes.readUInt32BE(start) & windowMax);
        break;
      case FrameType.goAway:
        throw new Error(`server ended the connection: ${bytes.toString('latin1', start + 8, end)}`);
      default:
        break;
    }
  }

  #onAnswer(stream: number, bytes: Buffer, start: number, end: number): void {
    this.#received += end - start;
    if (this.#received > windowRefill) {
      this.#topUp(this.#received);
      this.#received = 0;
    }
    if (this.#longCalls.size > 0) this.#longCalls.get(stream)?.onBytes(bytes.subarray(start, end));
    if (end - start >= prefixBytes) this.#calls.take(stream)?.(true);
  }

  #onEnd(stream: number): void {
    if (this.#longCalls.size > 0) {
      this.#longCalls.get(stream)?.onEnd();
      this.#longCalls.delete(stream);
    }
    this.#calls.take(stream)?.(false);
  }

  #onWindow(increment: number): void {
    this.#sendWindow += increment;
    while (this.#blocked.length > 0 && this.#sendWindow >= this.#blocked[0]!.cost) {
      const { send, cost } = this.#blocked.shift()!;
      this.#sendWindow -= cost;
      send();
    }
  }
}

/** Gives each whole message in `bytes` and returns a copy of what is left. */
function takeMessages(bytes: Buffer, onMessage: (message: Buffer) => void): Buffer {
  let at = 0;
  while (bytes.length - at >= prefixBytes) {
    const end = at + prefixBytes + bytes.readUInt32BE(at + 1);
    if (end > bytes.length) break;
    onMessage(bytes.subarray(at + prefixBytes, end));
    at = end;
  }
  return Buffer.from(bytes.subarray(at));
}
