/**
 * The sending side towards one peer: a connection with one long stream of raft batches, and another one per snapshot. A
 * broken stream is opened again after a pause, at the peer's next URL if it has several; what was on it is lost, which raft
 * expects. Nothing of raft's goes out before the peer answered with its own hello: another data directory under the peer's id
 * must not be told what the former one was to be told.
 */

import type { Clock, Histogram, Logger, MemberId, Timer } from '@quorate/base';
import { formatId } from '@quorate/base';
import {
  Batch,
  HashAnswer,
  HashAsk,
  type Hello,
  InfoRequest,
  LeaseAnswer,
  LeaseAsk,
  type Message,
  PromoteAnswer,
  PromoteAsk,
  SnapshotChunk,
  Status,
  services,
} from '@quorate/proto';
import type { RpcCall, RpcConnection, RpcStatus } from '@quorate/rpc';
import type { TlsDialer } from '@quorate/tls';
import type { HashQuestion, LeaseQuestion, SnapshotChunks } from '../peer-transport.ts';
import type { Refusal, Speaker } from '../standing.ts';
import { OutgoingSnapshot } from './outgoing-snapshot.ts';
import type { PeerHandles } from './peer-metrics.ts';
import { connectPeer, refusalIn } from './peer-wire.ts';

export interface PeerLinkOptions {
  readonly peer: MemberId;
  /** At least one. */
  readonly urls: readonly string[];
  readonly hello: () => Hello;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly tls?: TlsDialer | undefined;
  readonly metrics: PeerHandles;
  readonly unreachable: () => void;
  /** The peer was connected and its port refuses connections now. */
  readonly gone: () => void;
  /** Why the peer is not to be spoken to; undefined when it is. */
  readonly refusalOf: (speaker: Speaker) => Refusal | undefined;
  /** The peer does not listen to us any more. */
  readonly refused: (refusal: Refusal) => void;
}

/** Bytes queued on a stream beyond which messages are dropped: the peer does not read as fast as we write. */
const queuedBytesMax = 64 * 1024 * 1024;
/** Messages kept for the moment in which the peer answers our hello; more are dropped. */
const heldMessagesMax = 1_024;
/** Pauses between two attempts to connect, in milliseconds. */
const reconnectMs = { first: 50, max: 1_000 };

type OpenStream = {
  readonly at: 'open';
  readonly call: RpcCall;
  /** Since when the peer has accepted us. */
  sinceMs: number | undefined;
  /** What waits for that. */
  held: Message[];
};
type Stream = { readonly at: 'closed' } | { readonly at: 'waiting'; readonly timer: Timer } | OpenStream;

export class PeerLink {
  readonly #options: PeerLinkOptions;
  /** Made when it is needed, and again once it is broken. */
  #connection: RpcConnection | undefined;
  #snapshot: OutgoingSnapshot | undefined;
  #urlAt = 0;
  #stream: Stream = { at: 'closed' };
  #pauseMs = reconnectMs.first;
  /** Since the peer was last reported gone. */
  #wasConnected = false;
  #stopped = false;
  #incarnation = 0n;
  #version: string | undefined;

  constructor(options: PeerLinkOptions) {
    this.#options = options;
  }

  get urls(): readonly string[] {
    return this.#options.urls;
  }

  /** Of the peer's data directory, as its last hello said; 0n before. */
  get incarnation(): bigint {
    return this.#incarnation;
  }

  /** Of the peer's server, as its last hello said; undefined before. */
  get version(): string | undefined {
    return this.#version;
  }

  /** Since when the peer accepted our stream without a break; undefined while it has not. */
  get connectedSinceMs(): number | undefined {
    return this.#stream.at === 'open' ? this.#stream.sinceMs : undefined;
  }

  get roundTrip(): Histogram {
    return this.#options.metrics.roundTrip;
  }

  start(): void {
    this.#open();
  }

  /** Drops the messages, and says so, when there is no stream or it is too far behind. */
  send(messages: Message[]): void {
    const stream = this.#stream;
    if (stream.at === 'open' && stream.sinceMs === undefined && stream.held.length < heldMessagesMax) {
      stream.held.push(...messages);
      return;
    }
    if (stream.at !== 'open' || stream.sinceMs === undefined || stream.call.queuedBytes > queuedBytesMax) {
      this.#drop(messages.length);
      return;
    }
    this.#write(stream, { hello: undefined, messages });
  }

  /** Writes what was sent; without it that happens at the end of the turn. */
  flush(): void {
    this.#connection?.flush();
  }

  async askLease(ask: LeaseQuestion, timeoutMs: number): Promise<LeaseAnswer> {
    const request = LeaseAsk.encode(LeaseAsk.create({ ...ask, hello: this.#options.hello() }));
    return LeaseAnswer.decode(await this.#connect().unary(methods.lease.path, request, timeoutMs));
  }

  async askPromote(id: MemberId, timeoutMs: number): Promise<PromoteAnswer> {
    const request = PromoteAsk.encode(PromoteAsk.create({ id, hello: this.#options.hello() }));
    return PromoteAnswer.decode(await this.#connect().unary(methods.promote.path, request, timeoutMs));
  }

  async askHash(ask: HashQuestion, timeoutMs: number): Promise<HashAnswer> {
    const request = HashAsk.encode(HashAsk.create({ ...ask, hello: this.#options.hello() }));
    return HashAnswer.decode(await this.#connect().unary(methods.hash.path, request, timeoutMs));
  }

  /** Asks for what the peer says at once; rejects when there is no answer within `timeoutMs`. */
  async ping(timeoutMs: number): Promise<void> {
    const request = InfoRequest.encode({ hello: this.#options.hello() });
    await this.#connect().unary(methods.info.path, request, timeoutMs);
  }

  /** Only to a peer that is who we think it is; rejects otherwise, and when the receiver does not take it. */
  async sendSnapshot(message: Message, chunks: SnapshotChunks): Promise<void> {
    if (this.connectedSinceMs === undefined) throw new Error(`not connected to ${formatId(this.#options.peer)}`);
    const snapshot = new OutgoingSnapshot(this.#newConnection(), this.#options.clock);
    this.#snapshot = snapshot;
    const first = SnapshotChunk.create({ hello: this.#options.hello(), message });
    await snapshot.send(first, chunks, (bytes) => this.#options.metrics.sentBytes.add(bytes));
  }

  stop(): void {
    this.#stopped = true;
    if (this.#stream.at === 'waiting') this.#stream.timer.cancel();
    if (this.connectedSinceMs !== undefined) this.#options.metrics.disconnected();
    this.#stream = { at: 'closed' };
    this.#snapshot?.cancel();
    this.#connection?.close();
  }

  #connect(): RpcConnection {
    if (this.#connection === undefined || this.#connection.isClosed) this.#connection = this.#newConnection();
    return this.#connection;
  }

  #newConnection(): RpcConnection {
    const { urls, clock, logger, tls } = this.#options;
    return connectPeer(urls[this.#urlAt % urls.length]!, { clock, logger, tls });
  }

  #open(): void {
    if (this.#stopped) return;
    const call = this.#connect().open(methods.raft.path, {
      // The peer's only message on this stream is its hello: it accepted us.
      onMessage: (bytes) => this.#accepted(stream, Batch.decode(bytes).hello),
      onEnd: (status) => this.#broken(stream, status),
    });
    const stream: OpenStream = { at: 'open', call, sinceMs: undefined, held: [] };
    this.#stream = stream;
    this.#write(stream, { hello: this.#options.hello(), messages: [] });
  }

  #accepted(stream: OpenStream, hello: Hello | undefined): void {
    if (hello === undefined || this.#stream !== stream || stream.sinceMs !== undefined) return;
    const { logger, peer, clock, refusalOf, metrics } = this.#options;
    this.#incarnation = hello.incarnation;
    this.#version = hello.version;
    const refusal = refusalOf({ from: peer, incarnation: hello.incarnation });
    if (refusal !== undefined) {
      logger.warn('does not speak to a member', { peer: formatId(peer), reason: refusal });
      this.#pauseMs = reconnectMs.max;
      stream.call.cancel();
      return;
    }
    stream.sinceMs = clock.nowMs();
    metrics.connected();
    this.#pauseMs = reconnectMs.first;
    const { held } = stream;
    stream.held = [];
    if (held.length > 0) this.#write(stream, { hello: undefined, messages: held });
  }

  #write(stream: OpenStream, batch: Batch): void {
    const bytes = Batch.encode(batch);
    this.#options.metrics.sentBytes.add(bytes.length);
    stream.call.send(bytes);
  }

  #drop(count: number): void {
    this.#options.metrics.sendFailures.add(count);
    this.#options.unreachable();
  }

  #broken(stream: OpenStream, status: RpcStatus): void {
    if (this.#stream !== stream || this.#stopped) return;
    const { peer, urls, logger, clock, unreachable, gone, refused, metrics } = this.#options;
    const wasConnected = stream.sinceMs !== undefined;
    if (wasConnected) metrics.disconnected();
    const facts = { peer: formatId(peer), reason: status.message === '' ? 'closed by peer' : status.message };
    if (wasConnected) logger.warn('lost the stream to a peer', facts);
    else logger.debug('cannot reach a peer', facts);
    const timer = clock.after(this.#pauseMs, () => this.#open());
    this.#pauseMs = Math.min(this.#pauseMs * 2, reconnectMs.max);
    this.#stream = { at: 'waiting', timer };
    if (!wasConnected && urls.length > 1) this.#tryNextUrl();
    if (stream.held.length > 0) metrics.sendFailures.add(stream.held.length);
    unreachable();
    const refusal = refusalIn(status);
    if (refusal !== undefined) refused(refusal);
    if (wasConnected) this.#wasConnected = true;
    if (!this.#wasConnected || !isRefused(status)) return;
    this.#wasConnected = false;
    gone();
  }

  /** The peer was not reached here: its other URLs may lead through another network. */
  #tryNextUrl(): void {
    this.#urlAt++;
    this.#connection?.close();
    this.#connection = undefined;
  }
}

const { methods } = services.peer;

/** A refused connection is the word of the peer's machine that the port is closed; silence would only mean a broken network. */
function isRefused({ code, message }: RpcStatus): boolean {
  return code === Status.UNAVAILABLE && message.includes('ECONNREFUSED');
}
