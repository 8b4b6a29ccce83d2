/**
 * The one place where an error becomes a gRPC status. KvErrors carry status and text; StatusError is for the statuses of the
 * transport itself, whose texts are Go's because clients were written against them.
 */
import { FatalError, type Logger } from '@quorate/base';
import { DecodeError, KvError, Status, type StatusCode } from '@quorate/proto';

/** How a call ends. */
export interface RpcStatus {
  readonly code: StatusCode;
  /** Any text; transports percent-encode it. */
  readonly message: string;
}

/** Success. */
export const okStatus: RpcStatus = { code: Status.OK, message: '' };

/** An answer with a status of its own, outside the table of KvErrors. */
export class StatusError extends Error {
  readonly status: StatusCode;

  constructor(status: StatusCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StatusError';
    this.status = status;
  }
}

/** The code {@link toStatus} gives an error. */
export function statusCodeOf(error: unknown): StatusCode {
  if (error instanceof KvError || error instanceof StatusError) return error.status;
  return error instanceof DecodeError ? Status.INTERNAL : Status.UNKNOWN;
}

/**
 * Status of a failed call. Errors that nobody foresaw become UNKNOWN and are logged with the call's path; a FatalError is not
 * an answer and is thrown on.
 */
export function toStatus(error: unknown, path: string, logger: Logger): RpcStatus {
  if (error instanceof FatalError) throw error;
  const code = statusCodeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof DecodeError) return { code, message: `grpc: error unmarshalling request: ${message}` };
  if (!(error instanceof KvError || error instanceof StatusError)) {
    logger.error('handler failed', { path, error: message, stack: error instanceof Error ? error.stack : undefined });
  }
  return { code, message };
}

/** Go's text for a message over the limit; the status is RESOURCE_EXHAUSTED. */
export function tooLargeText(sizeBytes: number, limitBytes: number): string {
  return `grpc: received message larger than max (${sizeBytes} vs. ${limitBytes})`;
}

/** `text` with lone surrogates replaced, so that it has a UTF-8 form: what may go into a header. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '�');
}

/** Largest message a gRPC server sends: Go's limit. */
export const messageBytesLimit: number = 0x7fff_ffff;

/** The refusal to send `sizeBytes` in one message, in Go's words. */
export function messageTooLong(sizeBytes: number): StatusError {
  const text = `grpc: trying to send message larger than max (${sizeBytes} vs. ${messageBytesLimit})`;
  return new StatusError(Status.RESOURCE_EXHAUSTED, text);
}

export function totalBytes(pieces: readonly Buffer[]): number {
  let total = 0;
  for (const piece of pieces) total += piece.length;
  return total;
}
