/** What both ends of a connection between members agree on, and the words in which a member refuses another. */
import type { Clock, Logger } from '@quorate/base';
import { Status } from '@quorate/proto';
import { connectH2, type RpcConnection, type RpcStatus, StatusError } from '@quorate/rpc';
import type { TlsDialer } from '@quorate/tls';
import { Refusal } from '../standing.ts';

/** Largest message taken from a peer: far more than a link lets wait for one, so that it is a peer's error to send it. */
export const peerMessageBytesMax: number = 1024 * 1024 * 1024;

/** A connection between members on which nothing is read is asked that often, and given up that long after. */
export const peerKeepalive = { intervalMs: 5_000, timeoutMs: 5_000 } as const;

/** A member that does not greet us within that time is tried again, elsewhere if it has several URLs. */
const connectTimeoutMs = 5_000;

/** What a connection to a member needs. */
export interface PeerParts {
  readonly clock: Clock;
  readonly logger: Logger;
  /** For members whose URL is https. */
  readonly tls?: TlsDialer | undefined;
}

/** A new connection to the member at `url`. Connects by itself. Throws when the URL is https and there are no certificates. */
export function connectPeer(url: string, { tls, ...parts }: PeerParts): RpcConnection {
  const isSecure = url.startsWith('https:');
  if (isSecure && tls === undefined) throw new Error(`no certificates for ${url}: --peer-cert-file is not given`);
  return connectH2({
    ...parts,
    ...addressOf(url),
    tls: isSecure ? tls : undefined,
    receiveBytesMax: peerMessageBytesMax,
    keepalive: peerKeepalive,
    connectTimeoutMs,
  });
}

/** Host and port of a peer URL. */
export function addressOf(url: string): { readonly host: string; readonly port: number } {
  const { protocol, hostname, port } = new URL(url);
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
  };
}

const refusalTexts: Readonly<Record<Refusal, string>> = {
  [Refusal.removed]: 'the member has been permanently removed from the cluster',
  [Refusal.otherIncarnation]: 'the member came back with another data directory',
};

/** A refusal as the error that ends a stream. */
export function refusalError(refusal: Refusal): StatusError {
  return new StatusError(Status.FAILED_PRECONDITION, refusalTexts[refusal]);
}

/** The refusal that the end of a call says; undefined when it says something else. */
export function refusalIn({ code, message }: RpcStatus): Refusal | undefined {
  if (code !== Status.FAILED_PRECONDITION) return undefined;
  return Object.values(Refusal).find((refusal) => refusalTexts[refusal] === message);
}
