/**
 * Heartbeats that a leader sends too late: more than two of their intervals after the one before, as etcd counts them. Followers
 * that hear nothing for long elect another leader; a disk or a processor that is too slow shows here first.
 */
import type { Clock, Counter, MemberId, Meter } from '@quorate/base';
import { type Message, MessageType } from '@quorate/proto';

export interface LateHeartbeatsOptions {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly meter: Meter;
  /** `--heartbeat-interval` */
  readonly heartbeatMs: number;
}

export class LateHeartbeats {
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #limitMs: number;
  readonly #failures: Counter;
  /** When each follower was sent one last, in this leadership. */
  readonly #sentMs = new Map<MemberId, number>();

  constructor({ clock, meter, heartbeatMs }: LateHeartbeatsOptions) {
    this.#clock = clock;
    this.#limitMs = 2 * heartbeatMs;
    this.#failures = meter.counter({
      name: 'etcd_server_heartbeat_send_failures_total',
      help: 'Heartbeats that left this member, as the leader, later than two intervals after the one before.',
    });
  }

  /** Messages that leave now. */
  sent(messages: readonly Message[]): void {
    for (const { type, to } of messages) {
      if (type !== MessageType.MSG_HEARTBEAT) continue;
      const nowMs = this.#clock.nowMs();
      const beforeMs = this.#sentMs.get(to);
      if (beforeMs !== undefined && nowMs - beforeMs > this.#limitMs) this.#failures.add();
      this.#sentMs.set(to, nowMs);
    }
  }

  /** Somebody else leads, or this member anew: silence before that is no lateness. */
  leaderChanged(): void {
    this.#sentMs.clear();
  }
}
