/**
 * Errors of calls. A text etcd knows becomes its KvError, whatever status it came with; everything else is an RpcError that
 * keeps status and text. What matters most after a failed write is whether it may have happened: `sent` says when it cannot.
 */
import { formatRpcError, KvError, kvErrorCodeOf, Status, type StatusCode } from '@quorate/proto';

/** Where and how a call failed. */
export interface RpcFailure {
  readonly status: StatusCode;
  /** The server's or the transport's text. */
  readonly details: string;
  /** The endpoint as configured; empty when none was reached. */
  readonly endpoint: string;
  /** False only when the request provably never left this process. */
  readonly sent: boolean;
}

/** A call that failed with something other than one of etcd's answers. */
export class RpcError extends Error implements RpcFailure {
  readonly status: StatusCode;
  readonly details: string;
  readonly endpoint: string;
  readonly sent: boolean;

  constructor(failure: RpcFailure, options?: ErrorOptions) {
    super(failure.details, options);
    this.name = 'RpcError';
    this.status = failure.status;
    this.details = failure.details;
    this.endpoint = failure.endpoint;
    this.sent = failure.sent;
  }
}

/** The text for "time is up", the same as etcd's clients print. */
export const deadlineText = 'context deadline exceeded';

/** Time was up before an answer came; `cause` is the last thing that went wrong on the way. */
export function deadlineError(failure: { endpoint: string; sent: boolean; cause?: unknown }): RpcError {
  const { cause, ...where } = failure;
  return new RpcError(
    { status: Status.DEADLINE_EXCEEDED, details: deadlineText, ...where },
    cause === undefined ? undefined : { cause },
  );
}

/** The error a caller sees: KvError for texts of etcd, otherwise the RpcError itself. */
export function publicError(error: unknown): unknown {
  if (!(error instanceof RpcError)) return error;
  const code = kvErrorCodeOf(error.details);
  return code === undefined ? error : new KvError(code, { cause: error });
}

/** One line for people, the way etcd's tools word it. */
export function errorText(error: unknown): string {
  if (error instanceof KvError) return error.message;
  if (error instanceof RpcError) {
    return error.details === deadlineText ? deadlineText : formatRpcError(error.status, error.details);
  }
  return error instanceof Error ? error.message : String(error);
}
