/**
 * The transport over @grpc/grpc-js: one HTTP/2 connection per endpoint and client, raw Buffers in and out (the codecs live a
 * layer above). Turns grpc-js' errors into RpcError and decides whether a failed request was provably never sent.
 *
 * grpc-js is loaded with the first channel: its modules take 40 ms, and who embeds a member or asks a command for help has none.
 */
import { createRequire } from 'node:module';
import type * as GrpcJs from '@grpc/grpc-js';
import type { ChannelOptions, Client, CallOptions as GrpcCallOptions, Metadata, ServiceError } from '@grpc/grpc-js';
import { Status, type StatusCode } from '@quorate/proto';
import type { Attempt, BidiStream, Channel, OpenChannel } from './channel.ts';
import { type Endpoint, grpcTarget, isLoopback } from './endpoint.ts';
import { deadlineError, RpcError } from './errors.ts';
import { Mailbox } from './mailbox.ts';

/** Certificates as PEM text. Empty settings mean: TLS with the system's roots. */
export interface TlsOptions {
  /** Trusted authorities instead of the system's (etcdctl --cacert). */
  readonly ca?: Buffer;
  /** Client certificate (--cert) and its key (--key): both or none. */
  readonly cert?: Buffer;
  readonly key?: Buffer;
  /** Accepts any server certificate (--insecure-skip-tls-verify). For tests only. */
  readonly skipVerify?: boolean;
}

/** What the transport can be told; all have etcd's defaults. */
export interface GrpcOptions {
  /** Used for endpoints without a scheme, and with https. Undefined: plain, and the system's roots with https. */
  readonly tls?: TlsOptions;
  /** Milliseconds without traffic before a ping. Below 10 s is raised to 10 s, as Go's client does; servers forbid more. */
  readonly keepaliveTimeMs?: number;
  /** Milliseconds an unanswered ping may take before the connection is given up. */
  readonly keepaliveTimeoutMs?: number;
  /** Largest response; default 2^31-1 bytes. */
  readonly responseBytesMax?: number;
}

const require = createRequire(import.meta.url);

const keepaliveTimeMinMs = 10_000;

/** Answers of a stream that are read ahead of the reader. More stay with the member, by HTTP/2's flow control. */
const readAheadMax = 16;

/** Channels over grpc-js with these settings. */
export function grpcTransport(options: GrpcOptions = {}): OpenChannel {
  return (endpoint) => new GrpcChannel(require('@grpc/grpc-js') as typeof GrpcJs, endpoint, options);
}

class GrpcChannel implements Channel {
  readonly #grpc: typeof GrpcJs;
  readonly #endpoint: Endpoint;
  readonly #client: Client;
  #isClosed = false;

  constructor(grpc: typeof GrpcJs, endpoint: Endpoint, options: GrpcOptions) {
    this.#grpc = grpc;
    this.#endpoint = endpoint;
    this.#client = new grpc.Client(
      grpcTarget(endpoint),
      credentialsFor(grpc, endpoint, options),
      channelOptions(endpoint, options),
    );
  }

  get isConnected(): boolean {
    return this.#client.getChannel().getConnectivityState(false) === this.#grpc.connectivityState.READY;
  }

  connect(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const channel = this.#client.getChannel();
    const { connectivityState } = this.#grpc;
    const deadline = Date.now() + timeoutMs;
    return new Promise((resolve, reject) => {
      const abort = (): void => reject(signal?.reason);
      const look = (error?: Error): void => {
        if (signal?.aborted === true) return;
        // Asking a closed channel to connect would have it do so.
        const state = error === undefined ? channel.getConnectivityState(!this.#isClosed) : undefined;
        if (state === connectivityState.CONNECTING || state === connectivityState.IDLE) {
          channel.watchConnectivityState(state, deadline, look);
          return;
        }
        signal?.removeEventListener('abort', abort);
        if (state === undefined) reject(this.#dialTimeout(timeoutMs));
        else resolve();
      };
      signal?.addEventListener('abort', abort, { once: true });
      look();
    });
  }

  unary(path: string, request: Buffer, attempt: Attempt): Promise<Buffer> {
    const { signal } = attempt;
    return new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, response?: Buffer): void => {
        signal?.removeEventListener('abort', abort);
        if (error === null) resolve(response!);
        else reject(this.#failure(error, attempt));
      };
      const metadata = this.#metadataOf(attempt);
      const call = this.#client.makeUnaryRequest(path, asIs, asIs, request, metadata, callOptions(attempt), done);
      const abort = (): void => call.cancel();
      onAbort(signal, abort);
    });
  }

  async *serverStream(path: string, request: Buffer, attempt: Attempt): AsyncGenerator<Buffer, void, undefined> {
    const { signal } = attempt;
    const metadata = this.#metadataOf(attempt);
    const call = this.#client.makeServerStreamRequest(path, asIs, asIs, request, metadata, callOptions(attempt));
    const abort = (): void => call.cancel();
    onAbort(signal, abort);
    try {
      for await (const message of call) yield message as Buffer;
    } catch (error) {
      throw this.#failure(error as ServiceError, attempt);
    } finally {
      signal?.removeEventListener('abort', abort);
      call.cancel();
    }
  }

  bidiStream(path: string, attempt: Attempt): BidiStream {
    const { signal } = attempt;
    const call = this.#client.makeBidiStreamRequest(path, asIs, asIs, this.#metadataOf(attempt), callOptions(attempt));
    const cancel = (): void => call.cancel();
    const over = (): void => signal?.removeEventListener('abort', cancel);
    const responses = new Mailbox<Buffer>({
      onTake: () => {
        if (responses.length < readAheadMax) call.resume();
      },
      onLeave: cancel,
    });
    call.on('data', (message: Buffer) => {
      responses.push(message);
      if (responses.length >= readAheadMax) call.pause();
    });
    call.on('end', () => {
      over();
      responses.end();
    });
    call.on('error', (error: ServiceError) => {
      over();
      responses.fail(this.#failure(error, attempt));
    });
    onAbort(signal, cancel);
    return {
      responses,
      send: (request) => {
        if (!responses.hasEnded) call.write(request);
      },
      end: () => call.end(),
      cancel: () => {
        responses.drop();
        cancel();
      },
    };
  }

  close(): void {
    this.#isClosed = true;
    this.#client.close();
  }

  #failure(error: ServiceError, attempt: Attempt): unknown {
    if (attempt.signal?.aborted === true) return attempt.signal.reason;
    const endpoint = this.#endpoint.text;
    const status = (error.code ?? Status.UNKNOWN) as StatusCode;
    const sent = !neverSent(error);
    if (status === Status.DEADLINE_EXCEEDED) return deadlineError({ endpoint, sent, cause: error });
    if (status === Status.CANCELLED && error.details === 'Call cancelled') {
      // Nobody here cancelled: the member reset the stream, as one does that goes down.
      return new RpcError(
        { status: Status.UNAVAILABLE, details: 'the member ended the call', endpoint, sent },
        { cause: error },
      );
    }
    const details = sent ? error.details : plainReason(error.details);
    return new RpcError({ status, details, endpoint, sent }, { cause: error });
  }

  #metadataOf(attempt: Attempt): Metadata {
    const metadata = new this.#grpc.Metadata();
    for (const name in attempt.metadata) metadata.set(name, attempt.metadata[name]!);
    return metadata;
  }

  #dialTimeout(timeoutMs: number): RpcError {
    const details = `no connection within ${Math.round(timeoutMs)} ms`;
    return new RpcError({ status: Status.UNAVAILABLE, details, endpoint: this.#endpoint.text, sent: false });
  }
}

/** Also when it was aborted between the decision to make a call and the call. */
function onAbort(signal: AbortSignal | undefined, cancel: () => void): void {
  if (signal?.aborted === true) cancel();
  else signal?.addEventListener('abort', cancel, { once: true });
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}

/**
 * grpc-js fails a call before it has a connection with one of these texts, and only then; a refused stream is one the server
 * promises not to have looked at (RFC 9113, 8.7).
 */
function neverSent({ code, details }: ServiceError): boolean {
  return (
    code === Status.UNAVAILABLE &&
    /^(?:No connection established|Name resolution failed|Stream refused by server)/.test(details)
  );
}

/** Drops grpc-js' framing around the reason: "No connection established. Last error: Error: X. Resolution note: ". */
function plainReason(details: string): string {
  const reason = /Last error: (?:Error: )?(.*?)\. Resolution note:/s.exec(details)?.[1] ?? details;
  // OpenSSL puts the reason between the names of its functions and files.
  return /:SSL routines:[^:]*:([^:\n]+)/.exec(reason)?.[1] ?? reason;
}

function callOptions({ timeoutMs }: Attempt): GrpcCallOptions {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}

function channelOptions(endpoint: Endpoint, options: GrpcOptions): ChannelOptions {
  return {
    'grpc.keepalive_time_ms': Math.max(options.keepaliveTimeMs ?? keepaliveTimeMinMs, keepaliveTimeMinMs),
    'grpc.keepalive_timeout_ms': options.keepaliveTimeoutMs ?? 6_000,
    'grpc.max_receive_message_length': options.responseBytesMax ?? 2 ** 31 - 1,
    // The client checks request sizes itself, before anything is sent.
    'grpc.max_send_message_length': -1,
    // A member that restarts is back within seconds; the default of up to two minutes would outlive every caller's patience.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 2_000,
    // Clients in one process must not share connections: closing one, or its keepalive, is its own business.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.service_config_disable_resolution': 1,
    'grpc.enable_channelz': 0,
    'grpc.enable_http_proxy': isLoopback(endpoint) ? 0 : 1,
  };
}

function credentialsFor(
  { credentials }: typeof GrpcJs,
  { security }: Endpoint,
  { tls }: GrpcOptions,
): GrpcJs.ChannelCredentials {
  if (security === 'plain' || (security === 'either' && tls === undefined)) return credentials.createInsecure();
  return credentials.createSsl(tls?.ca ?? null, tls?.key ?? null, tls?.cert ?? null, {
    rejectUnauthorized: tls?.skipVerify !== true,
    ...(tls?.skipVerify === true ? { checkServerIdentity: () => undefined } : {}),
  });
}
