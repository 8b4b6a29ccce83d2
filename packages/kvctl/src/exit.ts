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
  /** Wrong arguments. */
  badArgs: 128,
} as const;

export type ExitCode = (typeof Exit)[keyof typeof Exit];

/** Ends the command: `Error: <message>` on stderr, and the code. */
export class ExitError extends Error {
  readonly code: ExitCode;
  /** Further lines for stderr, such as where to find help. */
  readonly hint: string;

  constructor(code: ExitCode, message: ByteString, hint = '') {
    super(message);
    this.name = 'ExitError';
    this.code = code;
    this.hint = hint;
  }
}
