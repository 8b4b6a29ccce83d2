/** What `lock` and `elect` have in common: a lease kept alive while something is held under it, and given up at the end. */
import { LeaseLostError, Session as LeaseSession } from '@quorate/client';
import { KvError } from '@quorate/proto';
import { Exit, ExitError } from './exit.ts';
import { aborted, untilInterrupted } from './interrupt.ts';
import type { Interrupt } from './io.ts';
import type { Session } from './session.ts';

/** A lease that is held, and the signal that SIGINT and SIGTERM trip. */
export interface Holding {
  readonly lease: LeaseSession;
  readonly stop: AbortSignal;
}

export interface HoldOptions {
  /** Seconds; 0 and less mean 60, as in etcd's client. */
  readonly ttl: number;
  /** What is said when the lease is lost while the thing is waited for. */
  readonly lost: string;
  readonly onInterrupt?: (name: Interrupt) => void;
}

const ttlDefault = 60;

/** Runs `body` under a lease, which is revoked in the end whatever happens. */
export function hold(
  { client, call, terminal }: Session,
  { ttl, lost, onInterrupt }: HoldOptions,
  body: (holding: Holding) => Promise<void>,
): Promise<void> {
  const run = async (stop: AbortSignal): Promise<void> => {
    const lease = await LeaseSession.open(client, { ttl: ttl > 0 ? ttl : ttlDefault, signal: stop });
    try {
      await body({ lease, stop });
    } catch (error) {
      throw isLost(error) ? new ExitError(Exit.error, lost) : error;
    } finally {
      // A lease that cannot be revoked, because it has ended or nobody answers, ends by itself.
      await lease.close(call).catch(() => {});
    }
  };
  return untilInterrupted(terminal, run, onInterrupt);
}

function isLost(error: unknown): boolean {
  return error instanceof LeaseLostError || (error instanceof KvError && error.code === 'leaseNotFound');
}

/** Resolves at a signal. Throws ExitError with `message` when the lease is lost before. */
export async function untilStopped({ lease, stop }: Holding, message: string): Promise<void> {
  await Promise.race([aborted(stop), aborted(lease.done)]);
  if (!stop.aborted) throw new ExitError(Exit.error, message);
}
