/** A lease that is kept alive, and what is held under it: locks, candidacies, keys. When it ends, all of that ends. */
import { KvError } from '@quorate/proto';
import type { KeepAlive } from './keep-alive.ts';
import type { Limits } from './limits.ts';
import type { Space } from './space.ts';

/** How to open a session; the limits are for opening it. */
export interface SessionOptions extends Limits {
  /** Seconds after the death of this process until others may take what it holds; default 60. */
  readonly ttl?: number;
  /** An existing lease instead of a new one. */
  readonly lease?: bigint;
}

/** What {@link Session.done} gives as reason when nobody but the owner ended the session. */
export class SessionClosedError extends Error {
  constructor() {
    super('the session is closed');
    this.name = 'SessionClosedError';
  }
}

const ttlDefault = 60;

export class Session {
  /** Where its keys are. */
  readonly space: Space;
  readonly lease: bigint;
  readonly #keepAlive: KeepAlive;
  readonly #done = new AbortController();

  private constructor(space: Space, lease: bigint, keepAlive: KeepAlive) {
    this.space = space;
    this.lease = lease;
    this.#keepAlive = keepAlive;
    const { lost } = keepAlive;
    if (lost.aborted) this.#done.abort(lost.reason);
    else lost.addEventListener('abort', () => this.#done.abort(lost.reason), { once: true });
  }

  /** Resolves when the lease is there and known to live; rejects as grant does, or with leaseNotFound for a given lease. */
  static async open(space: Space, options: SessionOptions = {}): Promise<Session> {
    const { ttl = ttlDefault, lease, ...call } = options;
    const sentMs = space.clock.nowMs();
    const known =
      lease === undefined ? await space.lease.grant(ttl, {}, call) : await space.lease.keepAliveOnce(lease, call);
    const keepAlive = space.lease.keepAlive(known.id, { validUntilMs: sentMs + known.ttl * 1_000 });
    return new Session(space, known.id, keepAlive);
  }

  /**
   * Aborted when the session is over: the reason is LeaseLostError, or SessionClosedError after {@link close} and {@link orphan}.
   * Whoever holds something must let go of it then, without asking anybody.
   */
  get done(): AbortSignal {
    return this.#done.signal;
  }

  /** True when the lease lives for sure, now. */
  get isAlive(): boolean {
    return !this.done.aborted && this.#keepAlive.isAlive;
  }

  /** Stops renewing: what is held is held until the lease has run out. */
  orphan(): void {
    this.#keepAlive.stop();
    this.#done.abort(new SessionClosedError());
  }

  /** Ends the lease and with it all that is held; fine when it has ended already. What fails here ends with the lease's time. */
  async close(limits: Limits = {}): Promise<void> {
    this.orphan();
    try {
      // Revoking twice is revoking once.
      await this.space.lease.revoke(this.lease, { ...limits, retry: 'always' });
    } catch (error) {
      if (!(error instanceof KvError) || error.code !== 'leaseNotFound') throw error;
    }
  }
}
