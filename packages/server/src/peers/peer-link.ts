/**
 * The sending side towards one peer: a gRPC channel, one long stream of raft batches, and a stream of its own per snapshot. A
 * broken stream is opened again after a pause; what was on it is lost, which raft expects.
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
import type { Clock, Counter, Logger, MemberId, Meter, Timer } from '@quorate/base';
import { formatId } from '@quorate/base';
import { Batch, type Hello, LeaseAnswer, LeaseAsk, type Message, SnapshotChunk, SnapshotReceipt } from '@quorate/proto';
import type { LeaseQuestion, SnapshotChunks } from '../peer-transport.ts';

export interface PeerLinkOptions {
  readonly peer: MemberId;
  readonly urls: readonly string[];
  readonly hello: () => Hello;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly meter: Meter;
  readonly unreachable: () => void;
  /** The peer was connected and its port refuses connections now. */
  readonly gone: () => void;
}

/** Bytes queued on a stream beyond which messages are dropped: the peer does not read as fast as we write. */
const queuedBytesMax = 64 * 1024 * 1024;
/** Pauses between two attempts to connect, in milliseconds. */
const reconnectMs = { first: 50, max: 1_000 };

/** Peer streams are few and long: no limit on message sizes, quick detection of a dead connection. */
const channelOptions = {
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  'grpc.keepalive_time_ms': 5_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.use_local_subchannel_pool': 1,
};

export const raftPath = '/peerpb.Peer/Raft';
export const snapshotPath = '/peerpb.Peer/Snapshot';
export const leasePath = '/peerpb.Peer/Lease';

type Stream =
  | { readonly at: 'closed' }
  | { readonly at: 'waiting'; readonly timer: Timer }
  | { readonly at: 'open'; readonly call: ClientDuplexStream<Buffer, Batch>; sinceMs: number | undefined };

export class PeerLink {
  readonly #options: PeerLinkOptions;
  readonly #client: Client;
  readonly #sentBytes: Counter;
  readonly #sendFailures: Counter;
  #stream: Stream = { at: 'closed' };
  #pauseMs = reconnectMs.first;
  /** Since the peer was last reported gone. */
  #wasConnected = false;
  #stopped = false;

  constructor(options: PeerLinkOptions) {
    this.#options = options;
    this.#client = new Client(targetOf(options.urls[0]!), credentials.createInsecure(), channelOptions);
    const labels = { To: formatId(options.peer) };
    this.#sentBytes = options.meter.counter({
      name: 'etcd_network_peer_sent_bytes_total',
      help: 'The total number of bytes sent to peers.',
      labels,
    });
    this.#sendFailures = options.meter.counter({
      name: 'etcd_network_peer_sent_failures_total',
      help: 'The total number of send failures from peers.',
      labels,
    });
  }

  get urls(): readonly string[] {
    return this.#options.urls;
  }

  /** Since when the peer accepted our stream without a break; undefined while it has not. */
  get connectedSinceMs(): number | undefined {
    return this.#stream.at === 'open' ? this.#stream.sinceMs : undefined;
  }

  start(): void {
    this.#open();
  }

  /** Drops the messages, and says so, when there is no stream or it is too far behind. */
  send(messages: Message[]): void {
    const stream = this.#stream;
    if (stream.at !== 'open' || stream.call.writableLength > queuedBytesMax) {
      this.#sendFailures.add(messages.length);
      this.#options.unreachable();
      return;
    }
    const bytes = Batch.encode({ hello: undefined, messages });
    this.#sentBytes.add(bytes.length);
    stream.call.write(bytes);
  }

  askLease(ask: LeaseQuestion, timeoutMs: number): Promise<LeaseAnswer> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        leasePath,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => LeaseAnswer.decode(bytes),
        LeaseAsk.encode(LeaseAsk.create({ ...ask, hello: this.#options.hello() })),
        new Metadata(),
        { deadline: new Date(this.#options.clock.wallMs() + timeoutMs) },
        (error: ServiceError | null, answer?: LeaseAnswer) => (error === null ? resolve(answer!) : reject(error)),
      );
    });
  }

  async sendSnapshot(message: Message, chunks: SnapshotChunks): Promise<void> {
    let fail!: (error: unknown) => void;
    const receipt = new Promise<SnapshotReceipt>((resolve, reject) => {
      fail = reject;
      this.#snapshotCall = this.#client.makeClientStreamRequest(
        snapshotPath,
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
        this.#sentBytes.add(bytes.length);
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
    this.#snapshotCall?.cancel();
    this.#stream = { at: 'closed' };
    this.#client.close();
  }

  #open(): void {
    if (this.#stopped) return;
    const call = this.#client.makeBidiStreamRequest(
      raftPath,
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => Batch.decode(bytes),
      new Metadata(),
    );
    const stream: Stream = { at: 'open', call, sinceMs: undefined };
    this.#stream = stream;
    // The peer's only message on this stream is its hello: it accepted us.
    call.on('data', () => {
      stream.sinceMs ??= this.#options.clock.nowMs();
      this.#pauseMs = reconnectMs.first;
    });
    call.on('error', (error: ServiceError) => this.#broken(stream, error));
    call.on('end', () => this.#broken(stream, undefined));
    call.write(Batch.encode({ hello: this.#options.hello(), messages: [] }));
  }

  #broken(stream: Stream, error: ServiceError | undefined): void {
    if (this.#stream !== stream || this.#stopped) return;
    const wasConnected = stream.at === 'open' && stream.sinceMs !== undefined;
    const facts = { peer: formatId(this.#options.peer), reason: error?.details ?? 'closed by peer' };
    if (wasConnected) this.#options.logger.warn('lost the stream to a peer', facts);
    else this.#options.logger.debug('cannot reach a peer', facts);
    const timer = this.#options.clock.after(this.#pauseMs, () => this.#open());
    this.#pauseMs = Math.min(this.#pauseMs * 2, reconnectMs.max);
    this.#stream = { at: 'waiting', timer };
    this.#options.unreachable();
    if (wasConnected) this.#wasConnected = true;
    if (!this.#wasConnected || !isRefused(error)) return;
    this.#wasConnected = false;
    this.#options.gone();
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
