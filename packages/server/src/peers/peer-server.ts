/**
 * The receiving side of the production transport: takes in the streams of other members, after their hello said that they are of
 * this cluster, mean this member, and are not refused by it.
 */
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { formatId, type Logger, type MemberId } from '@quorate/base';
import {
  Batch,
  DecodeError,
  type HashAnswer,
  type HashAsk,
  type Hello,
  type InfoRequest,
  InfoResponse,
  type LeaseAnswer,
  type LeaseAsk,
  type Message,
  PeerMember,
  type PromoteAnswer,
  type PromoteAsk,
  type SnapshotChunk,
  SnapshotReceipt,
} from '@quorate/proto';
import type { PeerHandler, PeerIdentity } from '../peer-transport.ts';
import { StartError } from '../start-error.ts';
import { targetOf } from './peer-link.ts';
import { failure, peerMethods, refusalError } from './peer-methods.ts';
import type { PeerHandles, PeerMetrics } from './peer-metrics.ts';
import { sendState } from './state-stream.ts';

/** Who listens, once the member knows who it is. */
export interface PeerServerParty {
  readonly identity: PeerIdentity;
  readonly handler: PeerHandler;
  readonly metrics: PeerMetrics;
  /** Our own hello to a member. */
  readonly hello: (to: MemberId) => Hello;
  /** A member opened a stream to us: it says where it is reached. */
  readonly heardFrom: (hello: Hello) => void;
}

/** The sender of a stream, once its hello was accepted; 0n before and after. */
interface Received {
  from: MemberId;
  metrics: PeerHandles | undefined;
}

type RaftCall = ServerDuplexStream<Buffer, Batch>;

export class PeerServer {
  readonly #logger: Logger;
  readonly #server: Server;
  readonly #streams = new Map<RaftCall, Hello>();
  #party: PeerServerParty | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
    this.#server = new Server({
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      'grpc.keepalive_time_ms': 5_000,
      'grpc.keepalive_timeout_ms': 5_000,
    });
    this.#server.addService(peerMethods, {
      raft: (call: RaftCall) => this.#acceptRaft(call),
      snapshot: (call: ServerReadableStream<SnapshotChunk, SnapshotReceipt>, reply: sendUnaryData<SnapshotReceipt>) =>
        answer(reply, this.#receiveSnapshot(call)),
      lease: (call: ServerUnaryCall<LeaseAsk, LeaseAnswer>, reply: sendUnaryData<LeaseAnswer>) =>
        answer(
          reply,
          this.#ask(call.request, ({ handler }) => handler.lease(call.request)),
        ),
      promote: (call: ServerUnaryCall<PromoteAsk, PromoteAnswer>, reply: sendUnaryData<PromoteAnswer>) =>
        answer(
          reply,
          this.#ask(call.request, ({ handler }) => handler.promote(call.request.id)),
        ),
      state: (call: ServerWritableStream<InfoRequest, SnapshotChunk>) => {
        const state = this.#ask(call.request, ({ handler }) => handler.state());
        void sendState(call, state, asServiceError);
      },
      hash: (call: ServerUnaryCall<HashAsk, HashAnswer>, reply: sendUnaryData<HashAnswer>) =>
        answer(
          reply,
          this.#ask(call.request, ({ handler }) => handler.hash(call.request)),
        ),
      info: (call: ServerUnaryCall<InfoRequest, InfoResponse>, reply: sendUnaryData<InfoResponse>) =>
        answer(reply, this.#info(call.request)),
    });
  }

  /** Binds a peer URL; calls are answered UNAVAILABLE until {@link serve}. Rejects with StartError. */
  listen(url: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(targetOf(url), ServerCredentials.createInsecure(), (error) => {
        if (error === null) resolve();
        else reject(new StartError(`cannot listen on peer URL ${url}: ${error.message}`));
      });
    });
  }

  /** From now on streams are taken in. */
  serve(party: PeerServerParty): void {
    this.#party = party;
  }

  /** Ends the streams of members that are refused by now, and tells them why. */
  endRefused(): void {
    for (const [call, hello] of this.#streams) {
      const refusal = this.#refusal(hello);
      if (refusal !== undefined) call.emit('error', refusal);
    }
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  #acceptRaft(call: RaftCall): void {
    const received: Received = { from: 0n, metrics: undefined };
    call.on('data', (bytes: Buffer) => {
      const batch = decodeBatch(bytes);
      if (batch === undefined) {
        received.metrics?.receiveFailures.add();
        call.emit('error', failure(status.INTERNAL, 'not a batch'));
        return;
      }
      if (batch.hello !== undefined && !this.#greet(call, batch.hello, received)) return;
      received.metrics?.receivedBytes.add(bytes.length);
      if (received.from !== 0n && batch.messages.length > 0) this.#takeIn(batch.messages, received);
    });
    const forget = (): void => {
      this.#streams.delete(call);
      received.from = 0n;
    };
    call.on('end', () => {
      forget();
      call.end();
    });
    call.on('cancelled', forget);
    call.on('error', forget);
  }

  /** Whether the member that says this hello is listened to; it is told why not. */
  #greet(call: RaftCall, hello: Hello, received: Received): boolean {
    const party = this.#party;
    const refusal = this.#refusal(hello);
    if (refusal !== undefined || party === undefined) {
      call.emit('error', refusal ?? notReady());
      return false;
    }
    received.from = hello.from;
    received.metrics = party.metrics.of(hello.from);
    this.#streams.set(call, hello);
    call.write(Batch.create({ hello: party.hello(received.from) }));
    party.heardFrom(hello);
    return true;
  }

  #takeIn(messages: readonly Message[], { from, metrics }: Received): void {
    const { handler, identity } = this.#party!;
    const ours = messages.filter((m) => m.to === identity.memberId && m.from === from);
    if (ours.length < messages.length) metrics?.receiveFailures.add(messages.length - ours.length);
    handler.receive(ours);
  }

  async #receiveSnapshot(call: AsyncIterable<SnapshotChunk>): Promise<SnapshotReceipt> {
    const chunks = call[Symbol.asyncIterator]();
    const first = await chunks.next();
    if (first.done === true || first.value.message === undefined) {
      throw failure(status.INVALID_ARGUMENT, 'snapshot stream without a message');
    }
    const { hello, message } = first.value;
    const counted = { bytes: 0 };
    await this.#ask({ hello }, async ({ handler, metrics }) => {
      const { receivedBytes, receiveFailures } = metrics.of(hello!.from);
      try {
        await handler.receiveSnapshot(message, dataOf(chunks, counted));
      } catch (error) {
        receiveFailures.add();
        throw error;
      } finally {
        receivedBytes.add(counted.bytes);
      }
    });
    return SnapshotReceipt.create(counted);
  }

  async #ask<T>(
    request: { readonly hello: Hello | undefined },
    run: (party: PeerServerParty) => Promise<T>,
  ): Promise<T> {
    const { hello } = request;
    if (hello === undefined) throw failure(status.INVALID_ARGUMENT, 'question without a hello');
    const refusal = this.#refusal(hello);
    if (refusal !== undefined) throw refusal;
    return run(this.#party!);
  }

  async #info({ hello }: InfoRequest): Promise<InfoResponse> {
    const party = this.#party;
    if (party === undefined) throw notReady();
    const { members, leader, appliedIndex } = party.handler.info();
    return InfoResponse.create({
      hello: party.hello(hello?.from ?? 0n),
      members: members.map((member) => PeerMember.create(member)),
      leader,
      appliedIndex,
    });
  }

  /** Why a stream with this hello is not for us. */
  #refusal(hello: Hello): ServiceError | undefined {
    if (this.#party === undefined) return notReady();
    const { identity, handler } = this.#party;
    if (hello.clusterId !== identity.clusterId) {
      this.#logger.warn('rejected stream from a member of another cluster', {
        from: formatId(hello.from),
        theirs: formatId(hello.clusterId),
        ours: formatId(identity.clusterId),
      });
      return failure(status.FAILED_PRECONDITION, 'cluster ID mismatch');
    }
    if (hello.to !== identity.memberId) return failure(status.FAILED_PRECONDITION, 'not the member this stream is for');
    const refusal = handler.refusalOf(hello);
    if (refusal === undefined) return undefined;
    this.#logger.warn('rejected stream of a member', { from: formatId(hello.from), reason: refusal });
    return refusalError(refusal);
  }
}

function decodeBatch(bytes: Buffer): Batch | undefined {
  try {
    return Batch.decode(bytes);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

function notReady(): ServiceError {
  return failure(status.UNAVAILABLE, 'the member is starting');
}

function answer<T>(reply: sendUnaryData<T>, made: Promise<T>): void {
  made.then(
    (response) => reply(null, response),
    (error: unknown) => reply(asServiceError(error)),
  );
}

function asServiceError(error: unknown): Partial<ServiceError> {
  if (error instanceof Error && 'code' in error && typeof error.code === 'number') return error as ServiceError;
  return { code: status.UNAVAILABLE, details: error instanceof Error ? error.message : String(error) };
}

async function* dataOf(chunks: AsyncIterator<SnapshotChunk>, counted: { bytes: number }): AsyncGenerator<Buffer> {
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
    counted.bytes += next.value.data.length;
    yield next.value.data;
  }
}
