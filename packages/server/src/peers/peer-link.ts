/**
 * The sending side towards one peer: a gRPC channel, one long stream of raft batches, and a stream of its own per snapshot. A
 * broken stream is opened again after a pause, at the peer's next URL if it has several; what was on it is lost, which raft
 * expects. Nothing of raft's goes out before the peer answered with its own hello: another data directory under the peer's id
 * must not be told what the former one was to be told.
 */

import {
  Client,
  type ClientDuplexStream,
  type ClientWritableStream,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import type { Clock, Histogram, Logger, MemberId, Timer } from '@quorate/base';
import { formatId } from '@quorate/base';
import {
  Batch,
  HashAnswer,
  HashAsk,
  type Hello,
  InfoRequest,
  InfoResponse,
  LeaseAnswer,
  LeaseAsk,
  type Message,
  PromoteAnswer,
  PromoteAsk,
  SnapshotChunk,
  SnapshotReceipt,
} from '@quorate/proto';
import type { HashQuestion, LeaseQuestion, SnapshotChunks } from '../peer-transport.ts';
import type { Refusal, Speaker } from '../standing.ts';
import { peerChannelOptions, peerPaths, refusalIn } from './peer-methods.ts';
import type { PeerHandles } from './peer-metrics.ts';

export interface PeerLinkOptions {
  readonly peer: MemberId;
  /** At least one. */
  readonly urls: readonly string[];
  readonly hello: () => Hello;
  readonly clock: Clock;
  readonly logger: Logger;
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
  readonly call: ClientDuplexStream<Buffer, Batch>;
  /** Since when the peer has accepted us. */
  sinceMs: number | undefined;
  /** What waits for that. */
  held: Message[];
};
type Stream = { readonly at: 'closed' } | { readonly at: 'waiting'; readonly timer: Timer } | OpenStream;

export class PeerLink {
  readonly #options: PeerLinkOptions;
  #client: Client;
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
    this.#client = this.#newClient();
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
    if (stream.at !== 'open' || stream.sinceMs === undefined || stream.call.writableLength > queuedBytesMax) {
      this.#drop(messages.length);
      return;
    }
    this.#write(stream, messages);
  }

  askLease(ask: LeaseQuestion, timeoutMs: number): Promise<LeaseAnswer> {
    const request = LeaseAsk.encode(LeaseAsk.create({ ...ask, hello: this.#options.hello() }));
    return this.#ask({ path: peerPaths.lease, request, decode: LeaseAnswer.decode, timeoutMs });
  }

  askPromote(id: MemberId, timeoutMs: number): Promise<PromoteAnswer> {
    const request = PromoteAsk.encode(PromoteAsk.create({ id, hello: this.#options.hello() }));
    return this.#ask({ path: peerPaths.promote, request, decode: PromoteAnswer.decode, timeoutMs });
  }

  askHash(ask: HashQuestion, timeoutMs: number): Promise<HashAnswer> {
    const request = HashAsk.encode(HashAsk.create({ ...ask, hello: this.#options.hello() }));
    return this.#ask({ path: peerPaths.hash, request, decode: HashAnswer.decode, timeoutMs });
  }

  /** Asks for what the peer says at once; rejects when there is no answer within `timeoutMs`. */
  async ping(timeoutMs: number): Promise<void> {
    const request = InfoRequest.encode({ hello: this.#options.hello() });
    await this.#ask({ path: peerPaths.info, request, decode: InfoResponse.decode, timeoutMs });
  }

  /** Only to a peer that is who we think it is; rejects otherwise, and when the receiver does not take it. */
  async sendSnapshot(message: Message, chunks: SnapshotChunks): Promise<void> {
    if (this.connectedSinceMs === undefined) throw new Error(`not connected to ${formatId(this.#options.peer)}`);
    let fail!: (error: unknown) => void;
    const receipt = new Promise<SnapshotReceipt>((resolve, reject) => {
      fail = reject;
      this.#snapshotCall = this.#client.makeClientStreamRequest(
        peerPaths.snapshot,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => SnapshotReceipt.decode(bytes),
        new Metadata(),
        (error: ServiceError | null, value?: SnapshotReceipt) => (error === null ? resolve(value!) : reject(error)),
      );
    });
    receipt.catch(() => {});
    const call = this.#snapshotCall!;
    try {
      call.write(SnapshotChunk.encode(SnapshotChunk.create({ hello: this.#options.hello(), message })));
      for await (const data of chunks) {
        const bytes = SnapshotChunk.encode(SnapshotChunk.create({ data }));
        this.#options.metrics.sentBytes.add(bytes.length);
        if (!call.write(bytes)) await Promise.race([drained(call), receipt]);
      }
      call.end();
    } catch (error) {
      call.cancel();
      fail(error);
    }
    await receipt;
  }

  #snapshotCall: ClientWritableStream<Buffer> | undefined;

  stop(): void {
    this.#stopped = true;
    if (this.#stream.at === 'waiting') this.#stream.timer.cancel();
    if (this.#stream.at === 'open') this.#stream.call.cancel();
    if (this.connectedSinceMs !== undefined) this.#options.metrics.disconnected();
    this.#snapshotCall?.cancel();
    this.#stream = { at: 'closed' };
    this.#client.close();
  }

  #newClient(): Client {
    const { urls } = this.#options;
    return new Client(targetOf(urls[this.#urlAt % urls.length]!), credentials.createInsecure(), peerChannelOptions);
  }

  #ask<T>(question: {
    readonly path: string;
    readonly request: Buffer;
    readonly decode: (bytes: Buffer) => T;
    readonly timeoutMs: number;
  }): Promise<T> {
    const deadline = new Date(this.#options.clock.wallMs() + question.timeoutMs);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        question.path,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => question.decode(bytes),
        question.request,
        new Metadata(),
        { deadline },
        (error: ServiceError | null, answer?: T) => (error === null ? resolve(answer!) : reject(error)),
      );
    });
  }

  #open(): void {
    if (this.#stopped) return;
    const call = this.#client.makeBidiStreamRequest(
      peerPaths.raft,
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => Batch.decode(bytes),
      new Metadata(),
    );
    const stream: OpenStream = { at: 'open', call, sinceMs: undefined, held: [] };
    this.#stream = stream;
    // The peer's only message on this stream is its hello: it accepted us.
    call.on('data', (batch: Batch) => this.#accepted(stream, batch.hello));
    call.on('error', (error: ServiceError) => this.#broken(stream, error));
    call.on('end', () => this.#broken(stream, undefined));
    call.write(Batch.encode({ hello: this.#options.hello(), messages: [] }));
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
    if (held.length > 0) this.#write(stream, held);
  }

  #write(stream: OpenStream, messages: Message[]): void {
    const bytes = Batch.encode({ hello: undefined, messages });
    this.#options.metrics.sentBytes.add(bytes.length);
    stream.call.write(bytes);
  }

  #drop(count: number): void {
    this.#options.metrics.sendFailures.add(count);
    this.#options.unreachable();
  }

  #broken(stream: OpenStream, error: ServiceError | undefined): void {
    if (this.#stream !== stream || this.#stopped) return;
    const { peer, urls, logger, clock, unreachable, gone, refused, metrics } = this.#options;
    const wasConnected = stream.sinceMs !== undefined;
    if (wasConnected) metrics.disconnected();
    const facts = { peer: formatId(peer), reason: error?.details ?? 'closed by peer' };
    if (wasConnected) logger.warn('lost the stream to a peer', facts);
    else logger.debug('cannot reach a peer', facts);
    const timer = clock.after(this.#pauseMs, () => this.#open());
    this.#pauseMs = Math.min(this.#pauseMs * 2, reconnectMs.max);
    this.#stream = { at: 'waiting', timer };
    if (!wasConnected && urls.length > 1) this.#tryNextUrl();
    if (stream.held.length > 0) metrics.sendFailures.add(stream.held.length);
    unreachable();
    const refusal = refusalIn(error);
    if (refusal !== undefined) refused(refusal);
    if (wasConnected) this.#wasConnected = true;
    if (!this.#wasConnected || !isRefused(error)) return;
    this.#wasConnected = false;
    gone();
  }

  /** The peer was not reached here: its other URLs may lead through another network. */
  #tryNextUrl(): void {
    this.#urlAt++;
    this.#client.close();
    this.#client = this.#newClient();
  }
}

/** A refused connection is the word of the peer's machine that the port is closed; silence would only mean a broken network. */
function isRefused(error: ServiceError | undefined): boolean {
  return error?.code === status.UNAVAILABLE && error.details.includes('ECONNREFUSED');
}

function drained(call: ClientWritableStream<Buffer>): Promise<void> {
  return new Promise((resolve) => call.once('drain', resolve));
}

/** `host:port` of a peer URL. */
export function targetOf(url: string): string {
  return new URL(url).host;
}
