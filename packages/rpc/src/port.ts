/**
 * One TCP port for gRPC and for plain HTTP: whoever connects is told apart by the first bytes. An HTTP/2 connection begins with
 * the fixed preface "PRI * HTTP/2.0", which no HTTP/1.1 request can begin with; the first byte that differs decides. What was
 * read to find out is handed over to the byte. With TLS, both sides agree on it in the handshake (ALPN) and nothing is guessed.
 *
 * An http.Server owns the listening socket and serves HTTP/1.1 itself, so that its own time-outs for slow headers hold; this
 * file stands between it and its connections.
 */
import { lookup } from 'node:dns/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Clock, Logger } from '@quorate/base';
import { Deferred } from '@quorate/base';
import { TlsAcceptor, type TlsSettings } from '@quorate/tls';
import type { RpcTransport } from './transport.ts';

const preface = Buffer.from('PRI * HTTP/2.0', 'latin1');

/** Connections that may wait for {@link Port.serve}; more are closed. */
const waitingMax = 1_024;

export interface PortOptions {
  /** Name or address to listen on; a name listens on its IPv4 address if it has one, as Go does. */
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A connection that has not shown what it speaks by then is closed; so is one whose HTTP/1.1 headers take longer. */
  readonly firstBytesTimeoutMs?: number;
  /** Certificates and rules; without them the port is not secure. */
  readonly tls?: TlsSettings | undefined;
}

/** Who serves a port. */
export interface PortServices {
  /** Takes the connections that speak HTTP/2; without it they are closed. */
  readonly rpc?: RpcTransport;
  /** Answers HTTP/1.1 requests. */
  readonly http: RequestListener;
}

/** The port could not be opened; the message names the address and the reason. */
export class ListenError extends Error {
  constructor(address: string, reason: string, cause: unknown) {
    super(`listen tcp ${address}: ${reason}`, { cause });
    this.name = 'ListenError';
  }
}

/** An open port. */
export class Port {
  readonly #options: PortOptions;
  readonly #server: Server;
  readonly #serveHttp1: (socket: Socket) => void;
  readonly #sniffing = new Set<Socket>();
  /** Connections accepted before somebody serves them. */
  #waiting: Socket[] = [];
  #services: PortServices | undefined;
  readonly #firstBytesTimeoutMs: number;
  readonly #tls: TlsAcceptor | undefined;
  readonly #closed = new Deferred<void>();

  /**
   * Opens a port. Connections are accepted from now on, and wait until {@link serve}. Rejects with ListenError, and with TlsError
   * when the certificates cannot be used.
   */
  static async listen(options: PortOptions): Promise<Port> {
    const port = new Port(options);
    await port.#listen();
    return port;
  }

  private constructor(options: PortOptions) {
    this.#options = options;
    this.#firstBytesTimeoutMs = options.firstBytesTimeoutMs ?? 10_000;
    this.#server = createServer({
      noDelay: true,
      headersTimeout: this.#firstBytesTimeoutMs,
      requestTimeout: 60_000,
      connectionsCheckingInterval: Math.min(5_000, this.#firstBytesTimeoutMs),
    });
    this.#tls =
      options.tls === undefined
        ? undefined
        : new TlsAcceptor({
            settings: options.tls,
            logger: options.logger,
            handshakeTimeoutMs: this.#firstBytesTimeoutMs,
            onSecure: (socket) =>
              this.#handOver(socket, socket.alpnProtocol === 'h2' ? 'http2' : 'http1', Buffer.alloc(0)),
          });
    const [serveHttp1] = this.#server.listeners('connection') as ((socket: Socket) => void)[];
    this.#serveHttp1 = (socket) => serveHttp1?.call(this.#server, socket);
    this.#server.removeAllListeners('connection');
    this.#server.on('connection', (socket) => this.#accept(socket));
    this.#server.on('close', () => this.#closed.resolve());
  }

  /** The port's number, also when 0 was asked for. */
  get number(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Serves the connections that wait and all that come. Call it once. */
  serve(services: PortServices): void {
    this.#services = services;
    this.#server.on('request', services.http);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const socket of waiting) this.#begin(socket);
  }

  /**
   * Stops to listen at once, lets HTTP/1.1 requests in progress end for `limitMs`, then cuts them off. Connections that went to
   * the transport are the transport's: drain or close it too, or this does not resolve.
   */
  async close(limitMs: number): Promise<void> {
    this.#server.close();
    for (const socket of [...this.#sniffing, ...this.#waiting]) socket.destroy();
    this.#tls?.close();
    this.#server.closeIdleConnections();
    const limit = this.#options.clock.after(limitMs, () => this.#server.closeAllConnections());
    await this.#closed.promise;
    limit.cancel();
  }

  async #listen(): Promise<void> {
    const { host, port } = this.#options;
    const name = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    const address = await resolveHost(host, name);
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error: NodeJS.ErrnoException) => {
        reject(new ListenError(name, `bind: ${reasonOf(error)}`, error));
      });
      this.#server.listen({ host: address, port }, resolve);
    });
    this.#server.removeAllListeners('error');
    // EMFILE and its like: the connection is lost, the port stays.
    this.#server.on('error', (error) => {
      this.#options.logger.error('accepting a connection failed', { address: name, error: error.message });
    });
  }

  #accept(socket: Socket): void {
    socket.on('error', () => {
      // A reset connection; 'close' follows.
    });
    if (this.#services !== undefined) this.#begin(socket);
    else if (this.#waiting.length < waitingMax) this.#waiting.push(socket);
    else socket.destroy();
  }

  #begin(socket: Socket): void {
    if (socket.destroyed) return;
    if (this.#tls === undefined) this.#sniff(socket);
    else this.#tls.accept(socket);
  }

  #sniff(socket: Socket): void {
    this.#sniffing.add(socket);
    let head: Buffer = Buffer.alloc(0);
    const timer = this.#options.clock.after(this.#firstBytesTimeoutMs, () => socket.destroy());
    const stop = (): void => {
      timer.cancel();
      this.#sniffing.delete(socket);
      socket.off('data', onData);
      socket.off('close', stop);
      socket.off('end', onEnd);
    };
    const onEnd = (): void => {
      stop();
      socket.destroy();
    };
    const onData = (data: Buffer): void => {
      head = head.length === 0 ? data : Buffer.concat([head, data]);
      const protocol = protocolOf(head);
      if (protocol === undefined) return;
      stop();
      socket.pause();
      this.#handOver(socket, protocol, head);
    };
    socket.on('close', stop);
    socket.on('end', onEnd);
    socket.on('data', onData);
  }

  #handOver(socket: Socket, protocol: 'http1' | 'http2', head: Buffer): void {
    if (protocol === 'http2') {
      const rpc = this.#services?.rpc;
      if (rpc === undefined) socket.destroy();
      else rpc.attach(socket, head);
      return;
    }
    if (head.length > 0) socket.unshift(head);
    this.#serveHttp1(socket);
    socket.resume();
  }
}

/** What a connection speaks, as far as its first bytes tell; undefined when they do not yet. */
export function protocolOf(head: Buffer): 'http1' | 'http2' | undefined {
  const count = Math.min(head.length, preface.length);
  if (head.compare(preface, 0, count, 0, count) !== 0) return 'http1';
  return count === preface.length ? 'http2' : undefined;
}

async function resolveHost(host: string, name: string): Promise<string> {
  try {
    const addresses = await lookup(host, { all: true });
    const address = addresses.find((candidate) => candidate.family === 4) ?? addresses[0];
    return address?.address ?? host;
  } catch (error) {
    throw new ListenError(name, `lookup ${host}: no such host`, error);
  }
}

function reasonOf(error: NodeJS.ErrnoException): string {
  if (error.code === 'EADDRINUSE') return 'address already in use';
  if (error.code === 'EACCES') return 'permission denied';
  if (error.code === 'EADDRNOTAVAIL') return 'cannot assign requested address';
  return error.message;
}
