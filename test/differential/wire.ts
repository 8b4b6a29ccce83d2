/**
 * gRPC over Node's HTTP/2 with nothing in between: bytes in, bytes and status out. No retries, no checks, so that a test sees what
 * the server sent and can send what no client library would.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders } from 'node:http2';
import { Status } from '@quorate/proto';

/** How a call ended. */
export interface Ending {
  readonly code: number;
  readonly message: string;
}

/** How a unary call ended; no message when it failed. */
export interface Answer extends Ending {
  readonly body: Buffer | undefined;
}

const callLimitMs = 20_000;
/** Large enough that flow control plays no part. */
const windowBytes = 64 * 1024 * 1024;
const prefixBytes = 5;

/** One connection, and another when a server has ended it. */
export class Wire {
  readonly #endpoint: string;
  #session: ClientHttp2Session;

  constructor(endpoint: string) {
    this.#endpoint = endpoint;
    this.#session = this.#connect();
  }

  /** Never rejects: a broken connection is a status too. */
  unary(path: string, message: Buffer): Promise<Answer> {
    return new Promise((resolve) => {
      let body: Buffer | undefined;
      const call = this.stream(path, {
        onMessage: (bytes) => {
          body = bytes;
        },
        onEnd: (ending) => {
          clearTimeout(limit);
          resolve({ ...ending, body: ending.code === Status.OK ? body : undefined });
        },
      });
      const limit = setTimeout(() => call.fail(`no answer within ${callLimitMs} ms`), callLimitMs);
      call.write(message);
      call.end();
    });
  }

  stream(path: string, listener: WireListener): WireStream {
    if (this.#session.closed || this.#session.destroyed) this.#session = this.#connect();
    return new WireStream(this.#session, path, listener);
  }

  close(): void {
    this.#session.destroy();
  }

  #connect(): ClientHttp2Session {
    const session = connect(`http://${this.#endpoint}`, { settings: { initialWindowSize: windowBytes } });
    session.on('connect', () => session.setLocalWindowSize(windowBytes));
    session.on('error', () => {
      // Every call on it fails by itself and says so.
    });
    return session;
  }
}

export interface WireListener {
  readonly onMessage: (message: Buffer) => void;
  /** Called once. */
  readonly onEnd: (ending: Ending) => void;
}

/** One call of any kind. */
export class WireStream {
  readonly #stream: ClientHttp2Stream;
  readonly #listener: WireListener;
  #received: Buffer = Buffer.alloc(0);
  #status: Ending | undefined;
  #ended = false;

  constructor(session: ClientHttp2Session, path: string, listener: WireListener) {
    this.#listener = listener;
    const headers = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' };
    this.#stream = session.request(headers);
    this.#stream.on('response', (fields) => this.#takeStatus(fields));
    this.#stream.on('trailers', (fields) => this.#takeStatus(fields));
    this.#stream.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#stream.on('error', (error) => this.fail(`transport: ${error.message}`));
    this.#stream.on('close', () =>
      this.#finish({ code: Status.UNKNOWN, message: 'transport: closed without a status' }),
    );
  }

  /** Sends one message. */
  write(message: Buffer): void {
    const prefix = Buffer.alloc(prefixBytes);
    prefix.writeUInt32BE(message.length, 1);
    this.writeRaw(Buffer.concat([prefix, message]));
  }

  /** Sends bytes as they are. */
  writeRaw(bytes: Buffer): void {
    if (!this.#stream.destroyed) this.#stream.write(bytes);
  }

  end(): void {
    this.#stream.end();
  }

  /** Ends the call from this side with a reason of our own. */
  fail(message: string): void {
    this.#finish({ code: Status.UNKNOWN, message });
    this.#stream.close(8);
  }

  #takeStatus(fields: IncomingHttpHeaders): void {
    const code = fields['grpc-status'];
    if (typeof code !== 'string') return;
    const message = fields['grpc-message'];
    this.#status = { code: Number(code), message: typeof message === 'string' ? decodeURIComponent(message) : '' };
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= prefixBytes) {
      const end = prefixBytes + this.#received.readUInt32BE(1);
      if (this.#received.length < end) return;
      if (!this.#ended) this.#listener.onMessage(this.#received.subarray(prefixBytes, end));
      this.#received = this.#received.subarray(end);
    }
  }

  #finish(otherwise: Ending): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#listener.onEnd(this.#status ?? otherwise);
  }
}
