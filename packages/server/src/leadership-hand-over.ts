/**
 * When leadership should be with another member, and how it gets there: before this member stops, before the leader is removed from
 * the cluster, and after this leader stood still. A transfer takes no time that clients would notice; without one they would wait
 * for an election time-out.
 */
import { type Clock, formatId, type Logger, type MemberId, noMember } from '@quorate/base';
import type { Leadership } from './leadership.ts';

export interface LeadershipHandOverOptions {
  readonly memberId: MemberId;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly leadership: Pick<Leadership, 'leader' | 'isLeader' | 'waitFor'>;
  readonly electionMs: number;
  readonly voters: () => readonly MemberId[];
  /** Since when a peer is connected without a break; undefined while it is not. */
  readonly connectedSinceMs: (peer: MemberId) => number | undefined;
  /** Asks the leader, which may be this member, to hand leadership to `to`. */
  readonly transferLeader: (to: MemberId) => void;
  /** Gives leadership up without a successor. */
  readonly stepDown: () => void;
}

export class LeadershipHandOver {
  readonly #options: LeadershipHandOverOptions;

  constructor(options: LeadershipHandOverOptions) {
    this.#options = options;
  }

  /** Gives leadership to the voter connected longest, if this member leads; resolves when that is done, or did not work. */
  async toAnyone(): Promise<void> {
    const { leadership, memberId, transferLeader, electionMs } = this.#options;
    const heir = leadership.isLeader ? this.#heir() : undefined;
    if (heir === undefined) return;
    transferLeader(heir);
    await leadership.waitFor((leader) => leader !== memberId && leader !== noMember, 2 * electionMs);
  }

  /** Has another voter than `id` lead: the best one when this member leads, else this member itself. Resolves as above. */
  async awayFrom(id: MemberId): Promise<void> {
    const { leadership, memberId, transferLeader, voters, electionMs } = this.#options;
    if (leadership.leader !== id) return;
    if (id === memberId) {
      await this.toAnyone();
    } else if (voters().includes(memberId)) {
      transferLeader(memberId);
      await leadership.waitFor((leader) => leader !== id && leader !== noMember, 2 * electionMs);
    }
  }

  /**
   * This leader's disk or processor stood still for longer than an election time-out. A disk may go on to hang: leadership goes to
   * another, and is given up when that does not work. After the event loop stood still the others have given this member up
   * already. A member without companions stays what it is.
   */
  afterStandstill(what: 'disk' | 'event loop', forMs: number): void {
    const { logger, voters, electionMs, clock, leadership, transferLeader, stepDown } = this.#options;
    if (voters().length <= 1) return;
    logger.warn('stepping down: this leader stood still for longer than an election time-out', {
      what,
      forMs: Math.round(forMs),
    });
    const heir = what === 'disk' ? this.#heir() : undefined;
    if (heir === undefined) {
      stepDown();
      return;
    }
    logger.info('handing leadership over', { to: formatId(heir) });
    transferLeader(heir);
    clock.after(electionMs, () => {
      if (leadership.isLeader) stepDown();
    });
  }

  /** The other voter that is connected longest. */
  #heir(): MemberId | undefined {
    const { memberId, voters, connectedSinceMs } = this.#options;
    let best: { readonly id: MemberId; readonly sinceMs: number } | undefined;
    for (const id of voters()) {
      const sinceMs = id === memberId ? undefined : connectedSinceMs(id);
      if (sinceMs !== undefined && (best === undefined || sinceMs < best.sinceMs)) best = { id, sinceMs };
    }
    return best?.id;
  }
}
