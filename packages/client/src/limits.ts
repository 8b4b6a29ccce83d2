/** Limits of things that take several calls: one deadline and several signals become one signal. */
import type { Clock } from '@quorate/base';
import { deadlineError } from './errors.ts';

/** How long something that takes several calls may take. */
export interface Limits {
  /** Milliseconds for everything. */
  readonly timeoutMs?: number;
  /** Aborting rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * Runs `body` with a signal that is aborted by the signal or the time of `limits`, or by `others`. What `body` makes of it is its
 * business; timers and listeners are gone when it has settled.
 */
export async function within<T>(
  { clock, others = [] }: { readonly clock: Clock; readonly others?: readonly AbortSignal[] },
  { timeoutMs, signal }: Limits,
  body: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const sources = signal === undefined ? others : [signal, ...others];
  for (const source of sources) source.throwIfAborted();
  const all = new AbortController();
  const listeners = sources.map((source) => {
    const abort = (): void => all.abort(source.reason);
    source.addEventListener('abort', abort, { once: true });
    return () => source.removeEventListener('abort', abort);
  });
  const expire = (): void => all.abort(deadlineError({ endpoint: '', sent: true }));
  const timer = timeoutMs === undefined ? undefined : clock.after(timeoutMs, expire);
  try {
    return await body(all.signal);
  } finally {
    timer?.cancel();
    for (const remove of listeners) remove();
  }
}
