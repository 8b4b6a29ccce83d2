/**
 * The two levels at which HTTP/2 knows errors (RFC 9113, 5.4). Thrown where a frame turns out to be wrong, caught by the
 * connection, which ends itself with GOAWAY or one stream with RST_STREAM. They never reach a handler.
 */
import { ErrorCode } from './frames.ts';

/** The connection cannot go on: GOAWAY with `code`, and `message` as its debug data. */
export class ConnectionError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = 'ConnectionError';
    this.code = code;
  }
}

/** One stream cannot go on: RST_STREAM with `code`. */
export class StreamError extends Error {
  readonly code: ErrorCode;
  readonly streamId: number;

  constructor(streamId: number, code: ErrorCode, message: string) {
    super(message);
    this.name = 'StreamError';
    this.code = code;
    this.streamId = streamId;
  }
}

/** The usual ConnectionError. */
export function protocolError(message: string): ConnectionError {
  return new ConnectionError(ErrorCode.protocolError, message);
}
