/**
 * The receiving side of the production transport: takes in the streams of other members, after their hello said that they are of
 * this cluster, mean this member, and are not refused by it.
 */
import { type Clock, formatId, type Logger, type MemberId } from '@quorate/base';
import type { SnapshotChunk } from '@quorate/proto';
import {
  Batch,
  DecodeError,
  type Hello,
  InfoResponse,
  type Message,
  PeerMember,
  SnapshotReceipt,
  Status,
  services,
} from '@quorate/proto';
import {
  type BidiHandler,
  type ClientStreamHandler,
  ListenError,
  Port,
  type Reply,
  type RpcTransport,
  type ServerCall,
  type ServerStream,
  type ServiceMethod,
  StatusError,
  serveDefaults,
  serveH2,
  serviceHandlers,
} from '@quorate/rpc';
import { type TlsSettings, tlsDefaults } from '@quorate/tls';
import type { PeerHandler, PeerIdentity } from '../peer-transport.ts';
import { StartError } from '../start-error.ts';
import { IncomingChunks } from './incoming-chunks.ts';
import type { PeerHandles, PeerMetrics } from './peer-metrics.ts';
import { addressOf, peerKeepalive, peerMessageBytesMax, refusalError } from './peer-wire.ts';
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

export interface PeerServerOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** For URLs that are https. */
  readonly tls?: TlsSettings | undefined;
}

export class PeerServer {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #tls: TlsSettings | undefined;
  readonly #transport: RpcTransport;
  readonly #ports: Port[] = [];
  readonly #streams = new Map<ServerStream<Batch>, Hello>();
  #party: PeerServerParty | undefined;

  constructor({ clock, logger, tls }: PeerServerOptions) {
    this.#tls = tls;
    this.#clock = clock;
    this.#logger = logger;
    const methods = serviceHandlers(services.peer, {
      snapshot: this.#acceptSnapshot,
      lease: (request, _call, reply) => this.#ask(request, reply, ({ handler }) => handler.lease(request)),
      promote: (request, _call, reply) => this.#ask(request, reply, ({ handler }) => handler.promote(request.id)),
      hash: (request, _call, reply) => this.#ask(request, reply, ({ handler }) => handler.hash(request)),
      state: (request, call, stream) => this.#sendState(request.hello, call, stream),
      info: ({ hello }, _call, reply) => this.#info(hello, reply),
    });
    this.#transport = serveH2([raftMethod(this.#acceptRaft), ...methods], {
      ...serveDefaults,
      clock,
      logger,
      receiveBytesMax: peerMessageBytesMax,
      // Members may ask as often as they like whether we are there.
      keepalive: { minTimeMs: 0, ...peerKeepalive },
    });
  }

  /** Binds a peer URL; calls are answered UNAVAILABLE until {@link serve}. Rejects with StartError. */
  async listen(url: string): Promise<void> {
    try {
      const tls = url.startsWith('https:') ? (this.#tls ?? tlsDefaults) : undefined;
      const port = await Port.listen({ ...addressOf(url), clock: this.#clock, logger: this.#logger, tls });
      this.#ports.push(port);
      port.serve({ rpc: this.#transport, http: (_request, response) => void response.writeHead(404).end() });
    } catch (error) {
      if (!(error instanceof ListenError)) throw error;
      throw new StartError(`cannot listen on peer URL ${url}: ${error.message}`);
    }
  }

  /** From now on streams are taken in. */
  serve(party: PeerServerParty): void {
    this.#party = party;
  }

  /** Ends the streams of members that are refused by now, and tells them why. */
  endRefused(): void {
    for (const [stream, hello] of [...this.#streams]) {
      const refusal = this.#refusal(hello);
      if (refusal === undefined) continue;
      this.#streams.delete(stream);
      stream.fail(refusal);
    }
  }

  async stop(): Promise<void> {
    this.#transport.close();
    await Promise.all(this.#ports.map((port) => port.close(0)));
  }

  readonly #acceptRaft: BidiHandler<Buffer, Batch> = (requests, call, stream) => {
    let metrics: PeerHandles | undefined;
    requests.onMessage((bytes) => {
      const batch = decodeBatch(bytes, metrics);
      if (batch.hello !== undefined && !this.#greet(batch.hello, stream)) return;
      const from = this.#streams.get(stream)?.from;
      if (from === undefined) return;
      metrics ??= this.#party!.metrics.of(from);
      metrics.receivedBytes.add(bytes.length);
      if (batch.messages.length > 0) this.#takeIn(batch.messages, from, metrics);
    });
    requests.onEnd(() => {
      this.#streams.delete(stream);
      stream.end();
    });
    call.onCancel(() => this.#streams.delete(stream));
  };

  /** Whether the member that says this hello is listened to; it is told why not. */
  #greet(hello: Hello, stream: ServerStream<Batch>): boolean {
    const party = this.#party;
    const refusal = this.#refusal(hello);
    if (refusal !== undefined || party === undefined) {
      this.#streams.delete(stream);
      stream.fail(refusal ?? notReady());
      return false;
    }
    this.#streams.set(stream, hello);
    stream.send(Batch.create({ hello: party.hello(hello.from) }));
    party.heardFrom(hello);
    return true;
  }

  #takeIn(messages: readonly Message[], from: MemberId, metrics: PeerHandles): void {
    const { handler, identity } = this.#party!;
    const ours = messages.filter((m) => m.to === identity.memberId && m.from === from);
    if (ours.length < messages.length) metrics.receiveFailures.add(messages.length - ours.length);
    handler.receive(ours);
  }

  readonly #acceptSnapshot: ClientStreamHandler<SnapshotChunk, SnapshotReceipt> = (requests, call, reply) => {
    const chunks = new IncomingChunks(() => requests);
    requests.onMessage((chunk) => chunks.take(chunk));
    requests.onEnd(() => chunks.end());
    call.onCancel(() => chunks.fail(new StatusError(Status.CANCELLED, 'the snapshot stream broke')));
    this.#receiveSnapshot(chunks).then(
      (receipt) => reply.ok(receipt),
      (error: unknown) => reply.fail(asStatusError(error)),
    );
  };

  async #receiveSnapshot(chunks: IncomingChunks): Promise<SnapshotReceipt> {
    const first = await chunks.next();
    if (first?.message === undefined) {
      throw new StatusError(Status.INVALID_ARGUMENT, 'snapshot stream without a message');
    }
    const { handler, metrics } = this.#partyFor(first.hello);
    const { receivedBytes, receiveFailures } = metrics.of(first.hello!.from);
    try {
      await handler.receiveSnapshot(first.message, chunks.data());
    } catch (error) {
      receiveFailures.add();
      throw error;
    } finally {
      receivedBytes.add(chunks.bytes);
    }
    return SnapshotReceipt.create({ bytes: chunks.bytes });
  }

  #sendState(hello: Hello | undefined, call: ServerCall, stream: ServerStream<SnapshotChunk>): void {
    const { handler } = this.#partyFor(hello);
    void sendState(call, stream, handler.state(), asStatusError);
  }

  #ask<T>(
    { hello }: { readonly hello: Hello | undefined },
    reply: Reply<T>,
    run: (party: PeerServerParty) => Promise<T>,
  ): void {
    run(this.#partyFor(hello)).then(
      (answer) => reply.ok(answer),
      (error: unknown) => reply.fail(asStatusError(error)),
    );
  }

  /** Throws StatusError when a question with this hello is not for us. */
  #partyFor(hello: Hello | undefined): PeerServerParty {
    if (hello === undefined) throw new StatusError(Status.INVALID_ARGUMENT, 'question without a hello');
    const refusal = this.#refusal(hello);
    if (refusal !== undefined) throw refusal;
    return this.#party!;
  }

  #info(hello: Hello | undefined, reply: Reply<InfoResponse>): void {
    const party = this.#party;
    if (party === undefined) {
      reply.fail(notReady());
      return;
    }
    const { members, leader, appliedIndex } = party.handler.info();
    reply.ok(
      InfoResponse.create({
        hello: party.hello(hello?.from ?? 0n),
        members: members.map((member) => PeerMember.create(member)),
        leader,
        appliedIndex,
      }),
    );
  }

  /** Why a stream with this hello is not for us. */
  #refusal(hello: Hello): StatusError | undefined {
    if (this.#party === undefined) return notReady();
    const { identity, handler } = this.#party;
    if (hello.clusterId !== identity.clusterId) {
      this.#logger.warn('rejected stream from a member of another cluster', {
        from: formatId(hello.from),
        theirs: formatId(hello.clusterId),
        ours: formatId(identity.clusterId),
      });
      return new StatusError(Status.FAILED_PRECONDITION, 'cluster ID mismatch');
    }
    if (hello.to !== identity.memberId) {
      return new StatusError(Status.FAILED_PRECONDITION, 'not the member this stream is for');
    }
    const refusal = handler.refusalOf(hello);
    if (refusal === undefined) return undefined;
    this.#logger.warn('rejected stream of a member', { from: formatId(hello.from), reason: refusal });
    return refusalError(refusal);
  }
}

/** Raft's batches arrive undecoded: their bytes are counted per peer. */
const undecoded = { ...Batch, encode: (bytes: Buffer): Buffer => bytes, decode: (bytes: Buffer): Buffer => bytes };

function raftMethod(handler: BidiHandler<Buffer, Batch>): ServiceMethod {
  const { path } = services.peer.methods.raft;
  return { kind: 'bidi', path, request: undecoded, response: Batch, handler } as ServiceMethod;
}

function decodeBatch(bytes: Buffer, metrics: PeerHandles | undefined): Batch {
  try {
    return Batch.decode(bytes);
  } catch (error) {
    if (error instanceof DecodeError) metrics?.receiveFailures.add();
    throw error;
  }
}

function notReady(): StatusError {
  return new StatusError(Status.UNAVAILABLE, 'the member is starting');
}

/** What goes wrong in answering a member may go right when it asks again. */
function asStatusError(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new StatusError(Status.UNAVAILABLE, message, { cause: error });
}
