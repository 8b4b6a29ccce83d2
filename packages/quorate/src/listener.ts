/** Serves a member's methods to clients outside the process: the same transport as kvd's. */
import type { Clock, Logger } from '@quorate/base';
import {
  Port,
  type RpcTransport,
  requestOverheadBytes,
  type ServiceMethod,
  serveDefaults,
  serveH2,
} from '@quorate/rpc';

/** How long calls may take to end when the member is closed. */
const drainLimitMs = 2_000;

export interface ListenerOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly maxRequestBytes: number;
}

export class Listener {
  readonly #ports: Port[] = [];
  readonly #options: ListenerOptions;
  #transport: RpcTransport | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  /** Opens the ports; who connects waits. Rejects with ListenError, and TypeError for what is no `http://host:port`. */
  async bind(urls: readonly string[]): Promise<void> {
    const { clock, logger } = this.#options;
    try {
      for (const url of urls) this.#ports.push(await Port.listen({ ...addressOf(url), clock, logger }));
    } catch (error) {
      await this.#closePorts();
      throw error;
    }
  }

  /** Where clients are served, in the order of the URLs; with the port that was taken for 0. */
  get ports(): readonly number[] {
    return this.#ports.map(({ number }) => number);
  }

  serve(methods: readonly ServiceMethod[]): void {
    if (this.#ports.length === 0) return;
    const { clock, logger, maxRequestBytes } = this.#options;
    const receiveBytesMax = maxRequestBytes + requestOverheadBytes;
    const rpc = serveH2(methods, { ...serveDefaults, clock, logger, receiveBytesMax });
    this.#transport = rpc;
    for (const port of this.#ports) {
      port.serve({ rpc, http: (_request, response) => response.writeHead(404).end('404 page not found\n') });
    }
  }

  /** Takes no new calls and waits for the running ones, but for streams that `endStreams` is to end. */
  async drain(endStreams: () => void): Promise<void> {
    const draining = this.#transport?.drain(drainLimitMs);
    endStreams();
    await draining;
  }

  async close(): Promise<void> {
    this.#transport?.close();
    await this.#closePorts();
  }

  async #closePorts(): Promise<void> {
    await Promise.all(this.#ports.map((port) => port.close(drainLimitMs)));
  }
}

function addressOf(url: string): { readonly host: string; readonly port: number } {
  const { protocol, hostname, port } = new URL(url);
  if (protocol !== 'http:' || port === '') throw new TypeError(`cannot listen at ${url}: not http://host:port`);
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) };
}
