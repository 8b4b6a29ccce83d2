/** What the tests of this package share: a served port, a raw client, clocks, a log that remembers. Not exported. */
import { type CallOptions, Client, credentials, type Metadata, type ServiceError } from '@grpc/grpc-js';
import type { Clock, Facts, Logger, Timer } from '@quorate/base';
import type { TlsSettings } from '@quorate/tls';
import { serveGrpcJs } from '../grpc-js-transport.ts';
import { serveH2 } from '../h2/h2-transport.ts';
import { Port } from '../port.ts';
import type { ServiceMethod } from '../service.ts';
import { type RpcTransport, type ServeOptions, type ServeRpc, serveDefaults } from '../transport.ts';

export const realClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, fn) => {
    const timer = setTimeout(fn, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  soon: (fn) => void setImmediate(fn),
};

/** A clock that stands still until told; `soon` is real. */
export class ManualClock implements Clock {
  #nowMs = 1_000;
  readonly #timers = new Set<{ readonly atMs: number; readonly fn: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return Date.now();
  }

  after(delayMs: number, fn: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, fn };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  soon(fn: () => void): void {
    setImmediate(fn);
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    for (const timer of [...this.#timers]) {
      if (timer.atMs > this.#nowMs || !this.#timers.delete(timer)) continue;
      timer.fn();
    }
  }
}

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly facts: Facts | undefined;
}

export class MemoryLogger implements Logger {
  readonly lines: LogLine[] = [];
  debug(message: string, facts?: Facts): void {
    this.lines.push({ level: 'debug', message, facts });
  }
  info(message: string, facts?: Facts): void {
    this.lines.push({ level: 'info', message, facts });
  }
  warn(message: string, facts?: Facts): void {
    this.lines.push({ level: 'warn', message, facts });
  }
  error(message: string, facts?: Facts): void {
    this.lines.push({ level: 'error', message, facts });
  }
  with(): Logger {
    return this;
  }
}

/** A port serving `methods`, over grpc-js and without TLS unless told otherwise, and 'plain <url>' over HTTP/1.1. */
export class Served {
  readonly transport: RpcTransport;
  readonly logger: MemoryLogger;
  readonly #port: Port;
  readonly #clients: Client[] = [];

  static async open(
    methods: readonly ServiceMethod[],
    options: Partial<ServeOptions> = {},
    serve: ServeRpc = serveGrpcJs,
    tls?: TlsSettings,
  ): Promise<Served> {
    const logger = new MemoryLogger();
    const transport = serve(methods, { ...serveDefaults, clock: realClock, logger, ...options });
    const port = await Port.listen({
      host: '127.0.0.1',
      port: 0,
      clock: realClock,
      logger,
      firstBytesTimeoutMs: options.handshakeTimeoutMs ?? serveDefaults.handshakeTimeoutMs,
      tls,
    });
    port.serve({ rpc: transport, http: (request, response) => response.end(`plain ${request.url}`) });
    return new Served(transport, port, logger);
  }

  private constructor(transport: RpcTransport, port: Port, logger: MemoryLogger) {
    this.transport = transport;
    this.#port = port;
    this.logger = logger;
  }

  get port(): number {
    return this.#port.number;
  }

  client(options: Record<string, unknown> = {}): Client {
    const client = new Client(`127.0.0.1:${this.port}`, credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      'grpc.use_local_subchannel_pool': 1,
      ...options,
    });
    this.#clients.push(client);
    return client;
  }

  stopListening(): Promise<void> {
    return this.#port.close(1_000);
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close();
    this.transport.close();
    await this.#port.close(100);
  }
}

const same = (bytes: Buffer): Buffer => bytes;

/** One unary call with raw bytes. */
export function callUnary(
  client: Client,
  path: string,
  request: Buffer,
  metadata?: Metadata,
  options: CallOptions = {},
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const done = (error: ServiceError | null, response?: Buffer): void => {
      if (error !== null) reject(error);
      else resolve(response as Buffer);
    };
    if (metadata === undefined) client.makeUnaryRequest(path, same, same, request, options, done);
    else client.makeUnaryRequest(path, same, same, request, metadata, options, done);
  });
}

/** Both transports, by name: what one promises the other must hold. */
export const transports: readonly (readonly [name: string, serve: ServeRpc])[] = [
  ['grpc-js', serveGrpcJs],
  ['direct HTTP/2', serveH2],
];
