/**
 * What this member sees of leadership: who leads, since when, and what that says about a request that timed out.
 */
import {
  type Clock,
  type Counter,
  formatId,
  type Gauge,
  type Logger,
  type MemberId,
  type Meter,
  noMember,
} from '@quorate/base';
import { KvError } from '@quorate/proto';

export interface LeadershipOptions {
  readonly memberId: MemberId;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly meter: Meter;
  readonly electionMs: number;
  /** Since when a peer is connected without a break; undefined while it is not. */
  readonly connectedSinceMs: (peer: MemberId) => number | undefined;
}

export class Leadership {
  readonly #options: LeadershipOptions;
  readonly #changes: Counter;
  readonly #hasLeader: Gauge;
  readonly #isLeader: Gauge;
  #leader: MemberId = noMember;
  /** When the present leader became known; start of the member before that. */
  #electedMs: number;
  #lostMs: number;
  readonly #listeners: ((leader: MemberId) => void)[] = [];

  constructor(options: LeadershipOptions) {
    this.#options = options;
    const { meter, clock } = options;
    this.#electedMs = clock.nowMs();
    this.#lostMs = clock.nowMs();
    this.#changes = meter.counter({
      name: 'etcd_server_leader_changes_seen_total',
      help: 'The number of leader changes seen.',
    });
    this.#hasLeader = meter.gauge({
      name: 'etcd_server_has_leader',
      help: 'Whether or not a leader exists. 1 is existence, 0 is not.',
    });
    this.#isLeader = meter.gauge({
      name: 'etcd_server_is_leader',
      help: 'Whether or not this member is a leader. 1 if is, 0 otherwise.',
    });
  }

  /** The leader as known here; noMember while there is none. */
  get leader(): MemberId {
    return this.#leader;
  }

  get isLeader(): boolean {
    return this.#leader === this.#options.memberId;
  }

  /** Calls `listener` after every change, with the new leader or noMember. */
  onChange(listener: (leader: MemberId) => void): void {
    this.#listeners.push(listener);
  }

  /** Resolves true once `condition` holds for the leader, false after `timeoutMs`. */
  waitFor(condition: (leader: MemberId) => boolean, timeoutMs: number): Promise<boolean> {
    if (condition(this.#leader)) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(timeoutMs, () => finish(false));
      const finish = (result: boolean): void => {
        timer.cancel();
        this.#listeners.splice(this.#listeners.indexOf(check), 1);
        resolve(result);
      };
      const check = (leader: MemberId): void => {
        if (condition(leader)) finish(true);
      };
      this.#listeners.push(check);
    });
  }

  changed(leader: MemberId): void {
    if (leader === this.#leader) return;
    const { clock, logger } = this.#options;
    const now = clock.nowMs();
    if (leader === noMember) {
      this.#lostMs = now;
      logger.info('lost leader', { leader: formatId(this.#leader) });
    } else {
      logger.info('elected leader', { leader: formatId(leader) });
      this.#electedMs = now;
      this.#changes.add();
    }
    this.#leader = leader;
    this.#hasLeader.set(leader === noMember ? 0 : 1);
    this.#isLeader.set(this.isLeader ? 1 : 0);
    for (const listener of [...this.#listeners]) listener(leader);
  }

  /** The time-out answer for a request that started at `startedMs` and was not answered in time, as etcd tells them apart. */
  timeoutError(startedMs: number): KvError {
    const { electionMs, connectedSinceMs, memberId } = this.#options;
    if (startedMs > this.#electedMs - 2 * electionMs && startedMs < this.#electedMs) {
      return new KvError('timeoutLeaderFail');
    }
    if (this.#leader === noMember) {
      return new KvError(startedMs <= this.#lostMs ? 'timeoutLeaderFail' : 'timeoutConnectionLost');
    }
    if (this.#leader !== memberId) {
      const since = connectedSinceMs(this.#leader);
      if (since === undefined || since > startedMs) return new KvError('timeoutConnectionLost');
    }
    return new KvError('timeout');
  }
}
