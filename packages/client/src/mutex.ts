/** A lock that one session at a time holds, as clientv3/concurrency has it: made of keys, by the clients alone. */
import type { Compare } from '@quorate/proto';
import type { Bytes } from './bytes.ts';
import { type Limits, within } from './limits.ts';
import { isHeld, type Place, Queue } from './queue.ts';
import type { Session } from './session.ts';

/**
 * A lock. It is a promise among clients, not a guard of anything: its holder may be stopped for longer than its lease lives and not
 * know it. What must not happen without the lock goes into a transaction with {@link isOwner} among its comparisons.
 */
export class Mutex {
  readonly #session: Session;
  readonly #queue: Queue;
  /** What was taken and not certainly given back. */
  #place: Place | undefined;
  /** Begun to give it back: it may be somebody else's, although the answer is still to come. */
  #isLeaving = false;

  /** Mutexes of one session with one name are the same lock. */
  constructor(session: Session, name: Bytes) {
    this.#session = session;
    this.#queue = new Queue(session, name);
  }

  /** The key that stands for the lock while it is held or waited for. */
  get key(): Buffer {
    return this.#queue.key;
  }

  /** True while this object holds the lock and its session lives for sure. */
  get isHeld(): boolean {
    return this.#place !== undefined && !this.#isLeaving && this.#session.isAlive;
  }

  /**
   * Resolves when the lock is held, first come, first served. Rejects with the signal's reason, a deadline error, what ended the
   * session, or what a call failed with; by then the place in the line is given up.
   */
  async lock(limits: Limits = {}): Promise<void> {
    await this.#giveUpUnless(limits, async (signal) => {
      const place = await this.#queue.take('', signal);
      // A place of before that is not this one was lost.
      if (this.#place?.revision !== place.revision) this.#place = undefined;
      if (!place.isFirst) {
        await this.#queue.waitForTurn(place, signal);
        await this.#queue.mustStand(place, signal);
      }
      this.#hold(place);
    });
  }

  /** Takes the lock if nobody has it; false when somebody does. */
  async tryLock(limits: Limits = {}): Promise<boolean> {
    return this.#giveUpUnless(limits, async (signal) => {
      const place = await this.#queue.take('', signal);
      if (place.isFirst) this.#hold(place);
      else await this.#queue.give(place, signal);
      return place.isFirst;
    });
  }

  /**
   * Gives the lock back. Throws when it is not held; one that its session has lost is given back without a word. After a failure it
   * may be given back or not: unlock again, or let the session end.
   */
  async unlock(limits: Limits = {}): Promise<void> {
    const place = this.#mustHold();
    this.#isLeaving = true;
    await within(this.#session.space, limits, (signal) => this.#queue.give(place, signal));
    this.#place = undefined;
  }

  /** A comparison for transactions: true as long as the lock is held. Throws when it is not held as far as is known here. */
  isOwner(): Compare {
    return isHeld(this.#mustHold());
  }

  async #giveUpUnless<T>(limits: Limits, body: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { space, done } = this.#session;
    return within({ clock: space.clock, others: [done] }, limits, async (signal) => {
      try {
        return await body(signal);
      } catch (error) {
        if (this.#place === undefined) await this.#queue.withdraw();
        throw error;
      }
    });
  }

  #hold(place: Place): void {
    this.#place = place;
    this.#isLeaving = false;
  }

  #mustHold(): Place {
    if (this.#place === undefined) throw new Error('the lock is not held');
    return this.#place;
  }
}
