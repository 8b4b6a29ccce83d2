/**
 * Errors of calls. A text etcd knows becomes its KvError, whatever status it came with; everything else is an RpcError that
 * keeps status and text. What matters most after a failed write is whether it may have happened: `sent` says when it cannot.
 */
import { formatRpcError, KvError, kvErrorCodeOf, ResponseHeader, Status, type StatusCode } from '@quorate/proto';

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

/** A watch cannot go on: what it would be given next was compacted away. */
export class CompactedError extends KvError {
  /** The oldest revision there still is; the state has to be read anew, and watched from behind what was read. */
  readonly compactRevision: number;
  /** Of the response that ended the watch: which member, in which term; its revision is 0. */
  readonly header: ResponseHeader;

  constructor(compactRevision: number, header: ResponseHeader = ResponseHeader.create()) {
    super('compacted');
    this.name = 'CompactedError';
    this.compactRevision = compactRevision;
    this.header = header;
  }
}

/** A member refused or ended a watch for a reason that is none of etcd's errors. */
export class WatchCanceledError extends Error {
  /** As the member put it; may be empty. */
  readonly reason: string;

  constructor(reason: string) {
    super(reason === '' ? 'the member cancelled the watch' : reason);
    this.name = 'WatchCanceledError';
    this.reason = reason;
  }
}

/** A lease has ended, or may have ended for all this process can know. */
export class LeaseLostError extends Error {
  readonly lease: bigint;
  /** `gone`: a member said so · `expired`: no renewal was acknowledged within its time, by the local clock. */
  readonly how: 'gone' | 'expired';

  constructor(lease: bigint, how: 'gone' | 'expired') {
    super(how === 'gone' ? 'requested lease not found' : 'lease not renewed within its TTL');
    this.name = 'LeaseLostError';
    this.lease = lease;
    this.how = how;
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
