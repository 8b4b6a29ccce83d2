/**
 * The production peer transport, gRPC on the wire: a server for the streams of others (peer-server.ts) and one link per peer
 * (peer-link.ts). One message carries all that left in a turn, and leaves before the turn goes on to its disk.
 *
 * Whom it is connected to follows the list of members. A member that speaks to us and is not on our list, because we have not
 * applied yet that it was added, is answered all the same, at the address that its hello names: a new member has no list at all,
 * and one that was away for long may have one that nobody is on any more. A member that is on the list is looked for at both: it
 * may have moved while we were away, or not know yet that it is listed elsewhere.
 */
import type { Clock, Logger, MemberId, Meter } from '@quorate/base';
import { formatId } from '@quorate/base';
import { type HashAnswer, Hello, type LeaseAnswer, type Message, type PromoteAnswer } from '@quorate/proto';
import { TlsDialer, type TlsSettings } from '@quorate/tls';
import type {
  HashQuestion,
  LeaseQuestion,
  PeerAddress,
  PeerHandler,
  PeerIdentity,
  PeerTransport,
  RemoteInfo,
  SnapshotChunks,
  StateStream,
} from '../peer-transport.ts';
import { fetchInfo } from './fetch-info.ts';
import { PeerLink } from './peer-link.ts';
import { PeerMetrics } from './peer-metrics.ts';
import { PeerServer } from './peer-server.ts';
import { RoundTrips } from './round-trips.ts';
import { fetchState } from './state-stream.ts';

export interface GrpcPeerTransportOptions {
  /** `--listen-peer-urls` */
  readonly listenUrls: readonly string[];
  readonly clock: Clock;
  /** Certificates for URLs that are https, our own and the others'. */
  readonly tls?: TlsSettings | undefined;
  readonly logger: Logger;
  readonly meter: Meter;
  /** Version told to peers. */
  readonly version: string;
}

/** Strangers that are answered at a time. */
const strangersMax = 16;

export class GrpcPeerTransport implements PeerTransport {
  readonly #options: GrpcPeerTransportOptions;
  readonly #server: PeerServer;
  readonly #tls: TlsDialer | undefined;
  readonly #links = new Map<MemberId, PeerLink>();
  readonly #roundTrips: RoundTrips;
  /** URLs of the members on the list. */
  #listed: ReadonlyMap<MemberId, readonly string[]> = new Map();
  /** What members said last of where they are reached. */
  readonly #announced = new Map<MemberId, readonly string[]>();
  #isListening = false;
  #identity: PeerIdentity | undefined;
  #handler: PeerHandler | undefined;
  #metrics: PeerMetrics | undefined;

  constructor(options: GrpcPeerTransportOptions) {
    this.#options = options;
    this.#server = new PeerServer(options);
    this.#tls = options.tls === undefined ? undefined : new TlsDialer(options.tls, options.logger);
    this.#roundTrips = new RoundTrips(options.clock, () => this.#links.values());
  }

  /** Binds the peer URLs, so that one in use is found before anything is written. Rejects with StartError. */
  async listen(): Promise<void> {
    if (this.#isListening) return;
    this.#isListening = true;
    for (const url of this.#options.listenUrls) await this.#server.listen(url);
  }

  async start(identity: PeerIdentity, handler: PeerHandler): Promise<void> {
    await this.listen();
    this.#identity = identity;
    this.#handler = handler;
    const hello = (to: MemberId): Hello => this.#hello(to);
    const metrics = new PeerMetrics(this.#options.meter, identity.memberId);
    this.#metrics = metrics;
    this.#server.serve({ identity, handler, metrics, hello, heardFrom: (from) => this.#heardFrom(from) });
    this.#roundTrips.start();
  }

  fetchInfo(url: string, timeoutMs: number): Promise<RemoteInfo> {
    const { clock, logger } = this.#options;
    return fetchInfo(url, { clock, logger, tls: this.#tls, timeoutMs });
  }

  fetchState(url: string, { own, peer }: { own: PeerIdentity; peer: MemberId }): Promise<StateStream> {
    const { clusterId, memberId, incarnation } = own;
    const { version, clock, logger } = this.#options;
    const hello = Hello.create({ clusterId, from: memberId, to: peer, incarnation, version });
    return fetchState(url, hello, { clock, logger, tls: this.#tls });
  }

  setPeers(peers: readonly PeerAddress[]): void {
    this.#listed = new Map(peers.map((peer) => [peer.id, peer.urls]));
    this.#metrics?.listed(peers.map((peer) => peer.id));
    // One that is listed is looked for again: its rightful data directory may come back.
    for (const [id, link] of this.#links) {
      const hasSpoken = link.incarnation !== 0n || !this.#listed.has(id);
      const speaker = { from: id, incarnation: link.incarnation };
      if (hasSpoken && this.#handler?.refusalOf(speaker) !== undefined) this.#disconnect(id);
    }
    for (const { id } of peers) this.#connect(id);
    this.#server.endRefused();
  }

  send(messages: readonly Message[]): void {
    if (messages.length === 1) {
      this.#sendTo(messages[0]!.to, [messages[0]!]);
      return;
    }
    const batches = new Map<MemberId, Message[]>();
    for (const message of messages) {
      const batch = batches.get(message.to);
      if (batch === undefined) batches.set(message.to, [message]);
      else batch.push(message);
    }
    for (const [to, batch] of batches) this.#sendTo(to, batch);
  }

  async sendSnapshot(message: Message, chunks: SnapshotChunks): Promise<void> {
    await this.#linkTo(message.to).sendSnapshot(message, chunks);
  }

  async askLease(to: MemberId, ask: LeaseQuestion, timeoutMs: number): Promise<LeaseAnswer> {
    return this.#linkTo(to).askLease(ask, timeoutMs);
  }

  async askPromote(to: MemberId, id: MemberId, timeoutMs: number): Promise<PromoteAnswer> {
    return this.#linkTo(to).askPromote(id, timeoutMs);
  }

  async askHash(to: MemberId, ask: HashQuestion, timeoutMs: number): Promise<HashAnswer> {
    return this.#linkTo(to).askHash(ask, timeoutMs);
  }

  connectedSinceMs(peer: MemberId): number | undefined {
    return this.#links.get(peer)?.connectedSinceMs;
  }

  versionOf(peer: MemberId): string | undefined {
    return this.#links.get(peer)?.version;
  }

  async stop(): Promise<void> {
    this.#roundTrips.stop();
    for (const link of this.#links.values()) link.stop();
    this.#links.clear();
    await this.#server.stop();
  }

  #linkTo(id: MemberId): PeerLink {
    const link = this.#links.get(id);
    if (link === undefined) throw new Error(`no connection to ${formatId(id)}`);
    return link;
  }

  #sendTo(to: MemberId, batch: Message[]): void {
    const link = this.#links.get(to);
    if (link === undefined) this.#options.logger.debug('dropped messages to an unknown member', { to: formatId(to) });
    else {
      link.send(batch);
      link.flush();
    }
  }

  /** A member opened its stream to us, and we may not know yet where it is. */
  #heardFrom({ from, peerUrls }: Hello): void {
    if (peerUrls.length === 0 || this.connectedSinceMs(from) !== undefined) return;
    const strangers = [...this.#links.keys()].filter((id) => !this.#listed.has(id) && id !== from);
    if (!this.#listed.has(from) && strangers.length >= strangersMax) return;
    this.#announced.set(from, peerUrls);
    this.#connect(from);
  }

  #connect(id: MemberId): void {
    const urls = [...new Set([...(this.#listed.get(id) ?? []), ...(this.#announced.get(id) ?? [])])];
    if (urls.length === 0 || this.#links.get(id)?.urls.join() === urls.join()) return;
    this.#links.get(id)?.stop();
    const { clock, logger } = this.#options;
    const link = new PeerLink({
      tls: this.#tls,
      peer: id,
      urls,
      hello: () => this.#hello(id),
      clock,
      logger,
      metrics: this.#metrics!.of(id),
      unreachable: () => this.#handler?.unreachable(id),
      gone: () => this.#handler?.gone(id),
      refusalOf: (speaker) => this.#handler?.refusalOf(speaker),
      refused: (refusal) => this.#handler?.refusedBy(id, refusal),
    });
    this.#links.set(id, link);
    link.start();
  }

  #disconnect(id: MemberId): void {
    this.#links.get(id)?.stop();
    this.#links.delete(id);
    this.#announced.delete(id);
  }

  #hello(to: MemberId): Hello {
    const { clusterId, memberId, incarnation } = this.#identity!;
    const peerUrls = [...(this.#handler?.peerUrls() ?? [])];
    return Hello.create({ clusterId, from: memberId, to, incarnation, version: this.#options.version, peerUrls });
  }
}
