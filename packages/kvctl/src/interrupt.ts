/** SIGINT and SIGTERM for commands that have something to put in order before they end. */
import { Exit, ExitError } from './exit.ts';
import type { Interrupt, Terminal } from './io.ts';

/** Runs `body` with a signal that is aborted at the first SIGINT or SIGTERM; its reason ends the command as etcdctl does. */
export async function untilInterrupted<T>(
  terminal: Terminal,
  body: (stop: AbortSignal) => Promise<T>,
  onSignal?: (name: Interrupt) => void,
): Promise<T> {
  const abort = new AbortController();
  const forget = terminal.io.onInterrupt((name) => {
    abort.abort(new ExitError(Exit.error, 'context canceled'));
    onSignal?.(name);
  });
  try {
    return await body(abort.signal);
  } finally {
    forget();
  }
}

/** Resolves once the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
