/** The header block that opens a call (PROTOCOL-HTTP2.md, "Requests"). */
import type { ConnectOptions } from '../../client.ts';
import { encodeFields } from '../hpack-encoder.ts';

/** Highest number grpc-timeout may have. */
const timeoutDigitsMax = 99_999_999;

export class RequestHeaders {
  private readonly scheme: 'http' | 'https';
  private readonly authority: string;

  /** For calls on a connection made with these options. */
  constructor({ host, port, tls }: Pick<ConnectOptions, 'host' | 'port' | 'tls'>) {
    this.scheme = tls === undefined ? 'http' : 'https';
    this.authority = `${host}:${port}`;
  }

  block(path: string, timeoutMs: number | undefined): Buffer {
    return encodeFields([
      [':method', 'POST'],
      [':scheme', this.scheme],
      [':path', path],
      [':authority', this.authority],
      ['content-type', 'application/grpc'],
      ['te', 'trailers'],
      ...(timeoutMs === undefined ? [] : [['grpc-timeout', timeoutText(timeoutMs)] as const]),
    ]);
  }
}

function timeoutText(timeoutMs: number): string {
  return `${Math.min(Math.ceil(timeoutMs), timeoutDigitsMax)}m`;
}
