/**
 * Where a member listens, in the forms etcd's tools accept: `host:port`, `http://host:port`, `https://host:port`,
 * `unix:///path`, `unixs:///path`. The scheme decides about TLS; without one the client's TLS settings do.
 */

/** `plain`: never TLS · `tls`: always · `either`: TLS if the client was given TLS settings. */
export type Security = 'plain' | 'tls' | 'either';

/** One parsed endpoint. */
export interface Endpoint {
  /** As the user wrote it; names the endpoint in results and errors. */
  readonly text: string;
  /** Host without brackets, or the path of a socket. */
  readonly host: string;
  /** 0 for a socket. */
  readonly port: number;
  readonly security: Security;
}

/** Text that is no endpoint. */
export class EndpointError extends Error {
  readonly endpoint: string;

  constructor(endpoint: string, reason: string) {
    super(`invalid endpoint ${JSON.stringify(endpoint)}: ${reason}`);
    this.name = 'EndpointError';
    this.endpoint = endpoint;
  }
}

const securityByScheme: Readonly<Record<string, Security>> = {
  http: 'plain',
  https: 'tls',
  unix: 'either',
  unixs: 'tls',
};

/** Throws EndpointError. */
export function parseEndpoint(text: string): Endpoint {
  const socket = /^(unixs?):(?:\/\/)?(.+)$/.exec(text);
  if (socket !== null) return { text, host: socket[2]!, port: 0, security: securityByScheme[socket[1]!]! };

  const schemed = /^([a-zA-Z][a-zA-Z0-9+.-]*):\/\/([^/?#]*)/.exec(text);
  if (schemed === null) return { text, ...hostAndPort(text, text), security: 'either' };
  const security = securityByScheme[schemed[1]!.toLowerCase()];
  if (security === undefined) throw new EndpointError(text, `unknown scheme ${schemed[1]}`);
  return { text, ...hostAndPort(text, schemed[2]!), security };
}

/** What grpc dials. */
export function grpcTarget(endpoint: Endpoint): string {
  if (endpoint.port === 0) return `unix:${endpoint.host}`;
  return `dns:${endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host}:${endpoint.port}`;
}

/** True when traffic to it stays on this machine, so that a proxy is never asked for it. */
export function isLoopback({ host, port }: Endpoint): boolean {
  return port === 0 || host === 'localhost' || host === '::1' || host.startsWith('127.');
}

function hostAndPort(text: string, authority: string): { host: string; port: number } {
  const parts = /^(?:\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|([^:\s[\]]+)):(\d+)$/.exec(authority);
  if (parts === null) throw new EndpointError(text, 'expected host:port');
  const port = Number(parts[3]);
  if (port < 1 || port > 65_535) throw new EndpointError(text, 'port out of range');
  return { host: parts[1] ?? parts[2]!, port };
}
