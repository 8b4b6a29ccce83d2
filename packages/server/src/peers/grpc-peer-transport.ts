/**
 * The production peer transport, on grpc-js: a server for the streams of others and one link per peer. One message carries all
 * that left in a turn, so the cost per call of grpc-js does not matter here.
 */

import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import type { Clock, Logger, MemberId, Meter } from '@quorate/base';
import { formatId } from '@quorate/base';
import {
  Batch,
  Hello,
  InfoRequest,
  InfoResponse,
  LeaseAnswer,
  LeaseAsk,
  type Message,
  PeerMember,
  SnapshotChunk,
  SnapshotReceipt,
} from '@quorate/proto';
import { StartError } from '../bootstrap.ts';
import type {
  LeaseQuestion,
  PeerAddress,
  PeerHandler,
  PeerIdentity,
  PeerTransport,
  SnapshotChunks,
} from '../peer-transport.ts';
import { leasePath, PeerLink, raftPath, snapshotPath, targetOf } from './peer-link.ts';

export interface GrpcPeerTransportOptions {
  /** `--listen-peer-urls` */
  readonly listenUrls: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
  readonly meter: Meter;
  /** Version told to peers. */
  readonly version: string;
}

const infoPath = '/peerpb.Peer/Info';

export class GrpcPeerTransport implements PeerTransport {
  readonly #options: GrpcPeerTransportOptions;
  readonly #server: Server;
  readonly #links = new Map<MemberId, PeerLink>();
  #identity: PeerIdentity | undefined;
  #handler: PeerHandler | undefined;

  constructor(options: GrpcPeerTransportOptions) {
    this.#options = options;
    this.#server = new Server({
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      'grpc.keepalive_time_ms': 5_000,
      'grpc.keepalive_timeout_ms': 5_000,
    });
  }

  async start(identity: PeerIdentity, handler: PeerHandler): Promise<void> {
    this.#identity = identity;
    this.#handler = handler;
    this.#server.addService(
      {
        raft: streamMethod(raftPath, Batch, Batch, true),
        snapshot: streamMethod(snapshotPath, SnapshotChunk, SnapshotReceipt, false),
        lease: { ...streamMethod(leasePath, LeaseAsk, LeaseAnswer, false), requestStream: false },
        info: { ...streamMethod(infoPath, InfoRequest, InfoResponse, false), requestStream: false },
      },
      {
        raft: (call: ServerDuplexStream<Batch, Batch>) => this.#acceptRaft(call),
        snapshot: (call: ServerReadableStream<SnapshotChunk, SnapshotReceipt>, reply: sendUnaryData<SnapshotReceipt>) =>
          this.#acceptSnapshot(call, reply),
        lease: (call: ServerUnaryCall<LeaseAsk, LeaseAnswer>, reply: sendUnaryData<LeaseAnswer>) =>
          this.#answerLease(call, reply),
        info: (call: ServerUnaryCall<InfoRequest, InfoResponse>, reply: sendUnaryData<InfoResponse>) =>
          this.#answerInfo(call, reply),
      },
    );
    for (const url of this.#options.listenUrls) await this.#listen(url);
  }

  setPeers(peers: readonly PeerAddress[]): void {
    const wanted = new Map(peers.map((peer) => [peer.id, peer]));
    for (const [id, link] of this.#links) {
      const peer = wanted.get(id);
      if (peer !== undefined && peer.urls.join() === link.urls.join()) {
        wanted.delete(id);
        continue;
      }
      link.stop();
      this.#links.delete(id);
    }
    for (const peer of wanted.values()) this.#connect(peer);
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
    const link = this.#links.get(message.to);
    if (link === undefined) throw new Error(`no connection to ${formatId(message.to)}`);
    await link.sendSnapshot(message, chunks);
  }

  async askLease(to: MemberId, ask: LeaseQuestion, timeoutMs: number): Promise<LeaseAnswer> {
    const link = this.#links.get(to);
    if (link === undefined) throw new Error(`no connection to ${formatId(to)}`);
    return link.askLease(ask, timeoutMs);
  }

  connectedSinceMs(peer: MemberId): number | undefined {
    return this.#links.get(peer)?.connectedSinceMs;
  }

  async stop(): Promise<void> {
    for (const link of this.#links.values()) link.stop();
    this.#links.clear();
    this.#server.forceShutdown();
  }

  #sendTo(to: MemberId, batch: Message[]): void {
    const link = this.#links.get(to);
    if (link === undefined) this.#options.logger.debug('dropped messages to an unknown member', { to: formatId(to) });
    else link.send(batch);
  }

  #connect(peer: PeerAddress): void {
    const { clock, logger, meter } = this.#options;
    const link = new PeerLink({
      peer: peer.id,
      urls: peer.urls,
      hello: () => this.#hello(peer.id),
      clock,
      logger,
      meter,
      unreachable: () => this.#handler?.unreachable(peer.id),
      gone: () => this.#handler?.gone(peer.id),
    });
    this.#links.set(peer.id, link);
    link.start();
  }

  #hello(to: MemberId): Hello {
    const { clusterId, memberId, incarnation } = this.#identity!;
    return Hello.create({ clusterId, from: memberId, to, incarnation, version: this.#options.version });
  }

  #acceptRaft(call: ServerDuplexStream<Batch, Batch>): void {
    const received = { from: 0n };
    call.on('data', (batch: Batch) => {
      if (batch.hello !== undefined) {
        const refusal = this.#refusal(batch.hello);
        if (refusal !== undefined) {
          call.emit('error', refusal);
          return;
        }
        received.from = batch.hello.from;
        call.write(Batch.create({ hello: this.#hello(received.from) }));
      }
      if (received.from === 0n || batch.messages.length === 0) return;
      const ours = batch.messages.filter((m) => m.to === this.#identity!.memberId && m.from === received.from);
      this.#handler!.receive(ours);
    });
    call.on('end', () => call.end());
    call.on('error', () => {});
  }

  #acceptSnapshot(
    call: ServerReadableStream<SnapshotChunk, SnapshotReceipt>,
    reply: sendUnaryData<SnapshotReceipt>,
  ): void {
    this.#receiveSnapshot(call).then(
      (receipt) => reply(null, receipt),
      (error: unknown) => reply(asServiceError(error)),
    );
  }

  async #receiveSnapshot(call: AsyncIterable<SnapshotChunk>): Promise<SnapshotReceipt> {
    const chunks = call[Symbol.asyncIterator]();
    const first = await chunks.next();
    if (first.done === true || first.value.hello === undefined || first.value.message === undefined) {
      throw failure(status.INVALID_ARGUMENT, 'snapshot stream without a hello');
    }
    const { hello, message } = first.value;
    const refusal = this.#refusal(hello);
    if (refusal !== undefined) throw refusal;
    const counted = { bytes: 0 };
    await this.#handler!.receiveSnapshot(message, dataOf(chunks, counted));
    return SnapshotReceipt.create(counted);
  }

  #answerLease(call: ServerUnaryCall<LeaseAsk, LeaseAnswer>, reply: sendUnaryData<LeaseAnswer>): void {
    const { hello } = call.request;
    const refusal =
      hello === undefined ? failure(status.INVALID_ARGUMENT, 'question without a hello') : this.#refusal(hello);
    if (refusal !== undefined) {
      reply(refusal);
      return;
    }
    this.#handler!.lease(call.request).then(
      (answer) => reply(null, answer),
      (error: unknown) => reply(failure(status.UNAVAILABLE, error instanceof Error ? error.message : String(error))),
    );
  }

  #answerInfo(call: ServerUnaryCall<InfoRequest, InfoResponse>, reply: sendUnaryData<InfoResponse>): void {
    const info = this.#handler!.info();
    const members = info.members.map((member) => PeerMember.create(member));
    const hello = this.#hello(call.request.hello?.from ?? 0n);
    reply(null, InfoResponse.create({ hello, members, leader: info.leader, appliedIndex: info.appliedIndex }));
  }

  /** Why a stream with this hello is not for us. */
  #refusal(hello: Hello): ServiceError | undefined {
    const identity = this.#identity!;
    if (hello.clusterId !== identity.clusterId) {
      this.#options.logger.warn('rejected stream from a member of another cluster', {
        from: formatId(hello.from),
        theirs: formatId(hello.clusterId),
        ours: formatId(identity.clusterId),
      });
      return failure(status.FAILED_PRECONDITION, 'cluster ID mismatch');
    }
    if (hello.to !== identity.memberId) return failure(status.FAILED_PRECONDITION, 'not the member this stream is for');
    return undefined;
  }

  #listen(url: string): Promise<void> {
    const address = targetOf(url);
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, ServerCredentials.createInsecure(), (error) => {
        if (error === null) resolve();
        else reject(new StartError(`cannot listen on peer URL ${url}: ${error.message}`));
      });
    });
  }
}

async function* dataOf(chunks: AsyncIterator<SnapshotChunk>, counted: { bytes: number }): AsyncGenerator<Buffer> {
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
    counted.bytes += next.value.data.length;
    yield next.value.data;
  }
}

interface RawCodec {
  decode(bytes: Buffer): unknown;
  encode(message: never): Buffer;
}

function streamMethod(path: string, request: RawCodec, response: RawCodec, responseStream: boolean): StreamMethod {
  return {
    path,
    requestStream: true,
    responseStream,
    requestSerialize: (message) => request.encode(message as never),
    requestDeserialize: (bytes) => request.decode(bytes),
    responseSerialize: (message) => response.encode(message as never),
    responseDeserialize: (bytes) => response.decode(bytes),
  };
}

interface StreamMethod {
  path: string;
  requestStream: boolean;
  responseStream: boolean;
  requestSerialize: (message: unknown) => Buffer;
  requestDeserialize: (bytes: Buffer) => unknown;
  responseSerialize: (message: unknown) => Buffer;
  responseDeserialize: (bytes: Buffer) => unknown;
}

function failure(code: number, details: string): ServiceError {
  return Object.assign(new Error(details), { code, details, metadata: undefined as never });
}

function asServiceError(error: unknown): Partial<ServiceError> {
  if (error instanceof Error && 'code' in error && typeof error.code === 'number') return error as ServiceError;
  return { code: status.INTERNAL, details: error instanceof Error ? error.message : String(error) };
}
