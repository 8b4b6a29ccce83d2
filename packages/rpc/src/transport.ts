/**
 * What a transport promises, so that grpc-js and a direct HTTP/2 implementation can be exchanged by a flag. A transport never
 * listens: a port (port.ts) accepts connections and hands over those that speak HTTP/2.
 */
import type { Socket } from 'node:net';
import type { Clock, Counter, Logger } from '@quorate/base';
import type { ServiceMethod } from './service.ts';

/** Bytes a request message may be larger than the largest request: what gRPC and the message around it need. etcd: 512 KiB. */
export const requestOverheadBytes: number = 512 * 1024;

/** How the server treats silent and impatient connections. Defaults are etcd's. */
export interface KeepaliveOptions {
  /** `--grpc-keepalive-min-time`: clients that ping more often are disconnected with too_many_pings. */
  readonly minTimeMs: number;
  /** `--grpc-keepalive-interval`: a connection is pinged that often; 0 never. */
  readonly intervalMs: number;
  /** `--grpc-keepalive-timeout`: a connection that does not answer a ping that long is closed. */
  readonly timeoutMs: number;
}

export interface ServeOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Largest request message, as sent and after decompression; etcd: `--max-request-bytes` + {@link requestOverheadBytes}. */
  readonly receiveBytesMax: number;
  /** `--max-concurrent-streams`, per connection. */
  readonly maxConcurrentStreams: number;
  readonly keepalive: KeepaliveOptions;
  /** A connection that has not finished its HTTP/2 handshake (preface and SETTINGS) by then is closed. */
  readonly handshakeTimeoutMs: number;
  /**
   * Whether to stay awake for a moment after a lone caller's answer, to find its next request at once; asked each time. Default
   * never: it takes a processor that others on the machine may need to go on. The grpc-js transport never does.
   */
  readonly lingers?: () => boolean;
  /** Counts request and response messages in bytes: `etcd_network_client_grpc_received_bytes_total` and `…_sent_…`. */
  readonly bytesReceived?: Counter;
  readonly bytesSent?: Counter;
}

/** etcd's settings for a client port. */
export const serveDefaults: Omit<ServeOptions, 'clock' | 'logger'> = {
  receiveBytesMax: 1_572_864 + requestOverheadBytes,
  maxConcurrentStreams: 0xffff_ffff,
  keepalive: { minTimeMs: 5_000, intervalMs: 7_200_000, timeoutMs: 20_000 },
  handshakeTimeoutMs: 10_000,
};

export interface RpcTransport {
  /** Serves a connection that speaks HTTP/2. `head` is what was read from it already, to the byte. */
  attach(socket: Socket, head: Buffer): void;
  /**
   * Takes no new calls and waits until the running ones ended and the connections are gone, at most `limitMs`. Resolves with
   * whether all ended by themselves.
   */
  drain(limitMs: number): Promise<boolean>;
  /** Ends every connection now. */
  close(): void;
}

/** Makes a transport that serves `methods`. */
export type ServeRpc = (methods: readonly ServiceMethod[], options: ServeOptions) => RpcTransport;
