/** How kvctl ends: etcdctl's exit codes, and the error that carries one. */
import type { ByteString } from './text/bytes.ts';

/** Exit codes, as etcdctl's. */
export const Exit = {
  success: 0,
  /** The cluster said no, or a flag does not exist. */
  error: 1,
  /** No usable endpoint. */
  badConnection: 2,
  /** Input of txn that is not understood. */
  invalidInput: 3,
  /** A flag's value that is not supported. */
  badFeature: 4,
  /** The server ended a watch. */
  interrupted: 5,
  /** Wrong arguments. */
  badArgs: 128,
} as const;

/** Ends the command: `Error: <message>` on stderr, and the code. */
export class ExitError extends Error {
  /** One of {@link Exit}, or that of a command that was run. */
  readonly code: number;
  /** Further lines for stderr, such as where to find help. */
  readonly hint: string;

  constructor(code: number, message: ByteString, hint = '') {
    super(message);
    this.name = 'ExitError';
    this.code = code;
    this.hint = hint;
  }
}
