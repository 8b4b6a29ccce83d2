/** The socket under a client's connection: plain or TLS, and what its errors say to whoever reads a log. */
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { ConnectOptions } from '../../client.ts';

/** Connects. What is written before a secure connection stands waits for it. */
export function dial({ host, port, tls }: Pick<ConnectOptions, 'host' | 'port' | 'tls'>): Socket {
  if (tls === undefined) return connect({ host, port, noDelay: true });
  return connectTls({ ...tls.connectOptions(host), port }).setNoDelay(true);
}

/** Why the connection to `address` failed, in one line. */
export function failureOf({ message, code }: NodeJS.ErrnoException, address: string): string {
  // With several addresses the error is a list without a message of its own.
  if (message === '') return `connect ${code} ${address}`;
  // OpenSSL puts the reason between the names of its functions and files.
  const reason = /:SSL routines:[^:]*:([^:\n]+)/.exec(message)?.[1];
  return reason === undefined ? message : `${address}: tls: ${reason}`;
}
