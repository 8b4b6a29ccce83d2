/**
 * How long a word to each peer and back takes, measured all the time and by every member, not only between a leader and its
 * followers: a slow path is to be seen before the member on it has to lead. The word is a question that costs its receiver
 * nothing; its answer waits for the event loop there, as raft's messages do.
 */
import type { Clock, Histogram, Timer } from '@quorate/base';

/** A peer as it is asked. */
export interface Asked {
  /** Undefined while it is not connected. */
  readonly connectedSinceMs: number | undefined;
  readonly roundTrip: Histogram;
  /** Resolves when the peer answered; rejects when it did not within `timeoutMs`. */
  ping(timeoutMs: number): Promise<void>;
}

/** Milliseconds between two questions to a peer, and at most for an answer: etcd probes as often. */
export const roundTripEveryMs = 5_000;

export class RoundTrips {
  readonly #clock: Clock;
  readonly #peers: () => Iterable<Asked>;
  #timer: Timer | undefined;

  /** `peers`: all there are now. */
  constructor(clock: Clock, peers: () => Iterable<Asked>) {
    this.#clock = clock;
    this.#peers = peers;
  }

  start(): void {
    this.#timer = this.#clock.after(roundTripEveryMs, () => {
      this.start();
      for (const peer of this.#peers()) if (peer.connectedSinceMs !== undefined) this.#ask(peer);
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #ask(peer: Asked): void {
    const startedMs = this.#clock.nowMs();
    peer.ping(roundTripEveryMs).then(
      () => peer.roundTrip.observe((this.#clock.nowMs() - startedMs) / 1_000),
      // Whether the peer can be reached is told by its stream.
      () => {},
    );
  }
}
