/**
 * How a process dies when its member can no longer be trusted. Not by process.exit: that runs exit handlers, lmdb's among them,
 * which sync the store once more. A second sync after a failed one may succeed although the data is lost, and would then stamp
 * the store as whole.
 *
 *   corruption found     nothing on disk was changed, nothing is to be synced: exit code 3, so that scripts can tell
 *   anything else        log, then SIGKILL to self (status 137)
 */
import { closeSync, fsyncSync, openSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { CorruptionError, type Facts, FatalError, type Logger } from '@quorate/base';

/** Exit code of a process that found its files damaged. */
export const corruptionExitCode = 3;

/** What dying needs from the process; an argument for tests. */
export interface Deathbed {
  kill(): void;
  exit(code: number): void;
}

const realDeathbed: Deathbed = { kill: killSelf, exit: (code) => process.exit(code) };

/** Logs why, then ends the process at once. The logger must write synchronously. */
export function die(error: unknown, logger: Logger, deathbed: Deathbed = realDeathbed): void {
  logger.error('fatal error, stopping at once', factsOf(error));
  if (error instanceof CorruptionError) deathbed.exit(corruptionExitCode);
  else deathbed.kill();
}

/**
 * Writes `text` to a new file at `path`, durably; an older note stays as it is. A disk that refuses it only leaves the matter
 * unsaid, to be found again: the process is ending anyway.
 */
export function leaveNote(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: 'wx', mode: 0o600, flush: true });
    const directory = openSync(dirname(path), 'r');
    fsyncSync(directory);
    closeSync(directory);
  } catch {
    // There is one, or there cannot be one: see above.
  }
}

/** Ends this process as a crash would: no handler runs, nothing is flushed. Does not return. */
export function killSelf(): void {
  process.kill(process.pid, 'SIGKILL');
  // The signal is delivered before kill returns; should another thread be first, wait here for the end.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

function factsOf(error: unknown): Facts {
  if (!(error instanceof Error)) return { error: String(error) };
  const facts = error instanceof FatalError ? error.facts : {};
  const cause = error.cause instanceof Error ? error.cause.message : undefined;
  return { ...facts, error: error.message, cause, stack: error.stack };
}
