/**
 * What there is to count between this member and each other, under etcd's names: alerts made for etcd look at the round trip, the
 * failures and who is connected. Handles are made once per peer, and are at 0 from the moment in which the peer is known: an alert
 * on a rate needs the sample before the first failure.
 */
import {
  type Counter,
  exponentialBuckets,
  formatId,
  type Gauge,
  type Histogram,
  type MemberId,
  type Meter,
} from '@quorate/base';

/** Handles of one peer. */
export class PeerHandles {
  /** What we sent to it: bytes, and messages that were dropped. */
  readonly sentBytes: Counter;
  readonly sendFailures: Counter;
  /** What it sent to us: bytes, and what could not be read, was not for us, or broke off. */
  readonly receivedBytes: Counter;
  readonly receiveFailures: Counter;
  /** Seconds. */
  readonly roundTrip: Histogram;
  readonly #active: Gauge;
  readonly #disconnected: Counter;

  constructor(meter: Meter, local: MemberId, peer: MemberId) {
    const to = { To: formatId(peer) };
    const from = { From: formatId(peer) };
    const pair = { Local: formatId(local), Remote: formatId(peer) };
    const counter = (name: string, help: string, labels: Record<string, string>): Counter =>
      meter.counter({ name, help, labels });
    this.sentBytes = counter('etcd_network_peer_sent_bytes_total', 'Bytes sent to a peer.', to);
    this.sendFailures = counter('etcd_network_peer_sent_failures_total', 'Messages to a peer that were dropped.', to);
    this.receivedBytes = counter('etcd_network_peer_received_bytes_total', 'Bytes received from a peer.', from);
    this.receiveFailures = counter(
      'etcd_network_peer_received_failures_total',
      'Messages and snapshots of a peer that could not be taken in.',
      from,
    );
    this.roundTrip = meter.histogram(
      {
        name: 'etcd_network_peer_round_trip_time_seconds',
        help: 'Round trip to a peer and its event loop.',
        labels: to,
      },
      exponentialBuckets(0.0001, 2, 16),
    );
    this.#active = meter.gauge({
      name: 'etcd_network_active_peers',
      help: '1 while a peer accepts what we send, else 0.',
      labels: pair,
    });
    this.#disconnected = counter(
      'etcd_network_disconnected_peers_total',
      'Connections to a peer that were lost.',
      pair,
    );
  }

  connected(): void {
    this.#active.set(1);
  }

  /** Of one that was connected. */
  disconnected(): void {
    this.#active.set(0);
    this.#disconnected.add();
  }
}

export class PeerMetrics {
  readonly #meter: Meter;
  readonly #local: MemberId;
  readonly #handles = new Map<MemberId, PeerHandles>();
  readonly #known = new Map<MemberId, Gauge>();

  constructor(meter: Meter, local: MemberId) {
    this.#meter = meter;
    this.#local = local;
    this.listed([]);
  }

  /** The same handles for the same peer. */
  of(peer: MemberId): PeerHandles {
    let handles = this.#handles.get(peer);
    if (handles === undefined) {
      handles = new PeerHandles(this.#meter, this.#local, peer);
      this.#handles.set(peer, handles);
    }
    return handles;
  }

  /** The other members as of now. This one counts as known, as in etcd. */
  listed(others: readonly MemberId[]): void {
    const listed = new Set([this.#local, ...others]);
    for (const id of listed) if (!this.#known.has(id)) this.#known.set(id, this.#knownGauge(id));
    for (const [id, gauge] of this.#known) gauge.set(listed.has(id) ? 1 : 0);
  }

  #knownGauge(peer: MemberId): Gauge {
    return this.#meter.gauge({
      name: 'etcd_network_known_peers',
      help: '1 for each member on the list of members, 0 for one that was removed.',
      labels: { Local: formatId(this.#local), Remote: formatId(peer) },
    });
  }
}
