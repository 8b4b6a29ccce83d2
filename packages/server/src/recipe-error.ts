/**
 * How errors leave the Lock and Election services. etcd runs them on a client inside the server, and what that client reports
 * has lost its status: every refusal leaves as UNKNOWN with its text. Clients tell them apart by the text.
 */
import { KvError, Status } from '@quorate/proto';
import { type Reply, StatusError } from '@quorate/rpc';

/** The session's lease ended while its owner waited: whatever it waited for is not its own. etcd's text. */
export const sessionExpiredText = 'mutex: session is expired';

export function sessionExpired(): StatusError {
  return new StatusError(Status.UNKNOWN, sessionExpiredText);
}

/** The error as these services say it. */
export function recipeError(error: unknown): unknown {
  return error instanceof KvError ? new StatusError(Status.UNKNOWN, error.message, { cause: error }) : error;
}

/** Answers `reply` with what `made` comes to. */
export function answerRecipe<Res>(reply: Reply<Res>, made: Promise<Res>): void {
  made.then(
    (response) => reply.ok(response),
    (error: unknown) => reply.fail(recipeError(error)),
  );
}
