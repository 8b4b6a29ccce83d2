/** The figures leases live by, and what a renewal may meet. */

/** Longest time to live that may be asked for, in seconds (etcd: MaxLeaseTTL). */
export const leaseTtlMax = 9_000_000_000;

/** Leases granted for longer than this many seconds have their time checkpointed (etcd: leaseCheckpointInterval). */
export const checkpointTtlMin = 300;

/**
 * Milliseconds a long lease runs, since its grant or last renewal, before its first checkpoint. It is the most that a change of
 * leaders gives such a lease beyond an election time-out: after the first checkpoint every member counts.
 */
export const checkpointAfterMs = 10_000;

/** Milliseconds between two checkpoints of a lease that nobody renews; only a restart needs the later ones. */
export const checkpointAgainMs = 300_000;

/** Leases whose end falls into one second after a change of leaders; etcd spreads to three quarters of what it revokes. */
export const promotedPerSecond = 750;

/** Seconds below which no lease is granted: one and a half election time-outs, so that a fail-over can pass in between. */
export function minimumTtl(electionMs: number): number {
  return Math.ceil((3 * electionMs) / 2 / 1000);
}

/** What comes of a renewal. */
export type Renewal =
  /** Runs anew, for `ttl` seconds. */
  | { readonly is: 'renewed'; readonly ttl: number }
  | { readonly is: 'unknown' }
  /** Its time is over and its end is being decided: ask again once it is. */
  | { readonly is: 'expired' }
  /** A checkpoint says less than a renewal would grant: it must be taken back first, or the next leader believes it. */
  | { readonly is: 'checkpointed' }
  /** This member does not count the time of leases. */
  | { readonly is: 'notPrimary' };
