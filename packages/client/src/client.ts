/**
 * The client: endpoints, and the calls every part of the API is built from. `unary` and `serverStream` take any method of
 * proto's service tables; `kv`, `lease`, `watch`, `cluster` and `maintenance` are convenient forms on top, `rpc` offers every
 * unary method by name.
 */
import type { Clock, Logger, Random } from '@quorate/base';
import { type MethodInfo, Status } from '@quorate/proto';
import { BidiStreams } from './bidi.ts';
import type { Bytes } from './bytes.ts';
import type { BidiCall, Caller, CallOptions } from './call.ts';
import type { Attempt, OpenChannel } from './channel.ts';
import { Cluster } from './cluster.ts';
import { parseEndpoint } from './endpoint.ts';
import { publicError, RpcError } from './errors.ts';
import { type GrpcOptions, grpcTransport } from './grpc-channel.ts';
import { Kv } from './kv.ts';
import { Lease } from './lease.ts';
import { Maintenance } from './maintenance.ts';
import { Namespace } from './namespace.ts';
import { EndpointPool, type Patience, type Slot } from './pool.ts';
import { isRead, mayRepeat, type RetryMode } from './retry.ts';
import type { Space } from './space.ts';
import { type Stubs, stubsOf } from './stubs.ts';
import { systemClock, systemRandom } from './system.ts';
import type { Watcher, WatchOptions } from './watch.ts';
import { WatchHub } from './watch-hub.ts';

/** How to reach the cluster. */
export interface ClientOptions extends GrpcOptions {
  /** `host:port`, `http(s)://host:port` or `unix:///path`; at least one. */
  readonly endpoints: readonly string[];
  /** Milliseconds one connection attempt may take before the next endpoint is tried (etcdctl --dial-timeout); default 2 s. */
  readonly dialTimeoutMs?: number;
  /** Milliseconds for calls that set no timeout of their own; default: none. */
  readonly timeoutMs?: number;
  /** Largest request in bytes (etcdctl --max-request-bytes); default 2 MiB. */
  readonly requestBytesMax?: number;
  /** Told about failed connections and repeated calls. */
  readonly logger?: Logger;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Instead of grpc-js. */
  readonly transport?: OpenChannel;
}

type Unary<Request, Response> = MethodInfo<Request, Response, false, false>;
type ServerStream<Request, Response> = MethodInfo<Request, Response, false, true>;
type BidiStream<Request, Response> = MethodInfo<Request, Response, true, true>;

const attemptsMax = 100;
const noMetadata: Readonly<Record<string, string>> = {};
const requireLeader: Readonly<Record<string, string>> = { hasleader: 'true' };

/** A call on its way: what all its attempts share. */
interface Call {
  readonly path: string;
  readonly bytes: Buffer;
  readonly options: CallOptions;
  readonly patience: Patience;
  readonly only: Slot | undefined;
  readonly mode: RetryMode;
  readonly isRead: boolean;
}

/** A client of one cluster. Connects at the first call. */
export class Client implements Caller, Space {
  readonly kv: Kv;
  readonly lease: Lease;
  readonly cluster: Cluster;
  readonly maintenance: Maintenance;
  /** Every unary method of every service: `client.rpc.lease.leaseGrant({ ttl: 10 })`. */
  readonly rpc: Stubs;
  readonly clock: Clock;
  readonly #pool: EndpointPool;
  readonly #streams: BidiStreams;
  readonly #watches: WatchHub;
  readonly #logger: Logger | undefined;
  readonly #timeoutMs: number | undefined;
  readonly #requestBytesMax: number;

  /** Throws EndpointError, and Error when there is no endpoint. */
  constructor(options: ClientOptions) {
    if (options.endpoints.length === 0) throw new Error('etcdclient: no available endpoints');
    this.clock = options.clock ?? systemClock;
    this.#logger = options.logger;
    this.#timeoutMs = options.timeoutMs;
    this.#requestBytesMax = options.requestBytesMax ?? 2 * 1024 * 1024;
    this.#pool = new EndpointPool({
      endpoints: options.endpoints.map(parseEndpoint),
      open: options.transport ?? grpcTransport(options),
      clock: this.clock,
      random: options.random ?? systemRandom,
      dialTimeoutMs: options.dialTimeoutMs ?? 2_000,
      onFailure: (endpoint, error) =>
        this.#logger?.debug('endpoint failed', { endpoint: endpoint.text, error: String(error) }),
    });
    this.#streams = new BidiStreams(this.#pool);
    this.#watches = new WatchHub(this);
    this.kv = new Kv(this);
    this.lease = new Lease(this);
    this.cluster = new Cluster(this);
    this.maintenance = new Maintenance(this);
    this.rpc = stubsOf(this);
  }

  /** As given to the constructor. */
  get endpoints(): readonly string[] {
    return this.#pool.endpoints.map((endpoint) => endpoint.text);
  }

  /** Watches a key or a range of keys from now on, or from a revision; see {@link Watcher}. Throws the signal's reason. */
  watch(key: Bytes, options?: WatchOptions): Watcher {
    return this.#watches.watch(key, options);
  }

  /** The keys that begin with `prefix` as if they were all there are. */
  namespace(prefix: Bytes): Namespace {
    return new Namespace(this, prefix);
  }

  /** Makes one call. Rejects with KvError, RpcError or the signal's reason; see {@link CallOptions.retry} for repeats. */
  async unary<Request, Response>(
    method: Unary<Request, Response>,
    request: Partial<Request>,
    options: CallOptions = {},
  ): Promise<Response> {
    const call = this.#start(method, request, options);
    for (let attempt = 1; ; attempt += 1) {
      const slot = this.#pool.ready(call.only) ?? (await this.#acquire(call));
      try {
        const bytes = await slot.channel!.unary(call.path, call.bytes, this.#attempt(call));
        this.#pool.worked(slot);
        return method.response.decode(bytes);
      } catch (failure) {
        this.#repeatOrThrow(call, { slot, attempt, failure });
      }
    }
  }

  /**
   * Makes a call that answers with a stream. Leaving the loop early cancels it. It is repeated like a unary call until the
   * first message has come, and never after.
   */
  async *serverStream<Request, Response>(
    method: ServerStream<Request, Response>,
    request: Partial<Request>,
    options: CallOptions = {},
  ): AsyncGenerator<Response, void, undefined> {
    const call = this.#start(method, request, options);
    for (let attempt = 1, started = false; ; attempt += 1) {
      const slot = this.#pool.ready(call.only) ?? (await this.#acquire(call));
      try {
        for await (const bytes of slot.channel!.serverStream(call.path, call.bytes, this.#attempt(call))) {
          started = true;
          yield method.response.decode(bytes);
        }
        this.#pool.worked(slot);
        return;
      } catch (failure) {
        if (started) throw publicError(failure);
        this.#repeatOrThrow(call, { slot, attempt, failure });
      }
    }
  }

  async bidiStream<Request, Response>(
    method: BidiStream<Request, Response>,
    options: CallOptions = {},
  ): Promise<BidiCall<Request, Response>> {
    options.signal?.throwIfAborted();
    const { patience, only } = this.#terms(options, options.timeoutMs);
    const slot = this.#pool.ready(only) ?? (await this.#acquire({ patience, only }));
    const stream = slot.channel!.bidiStream(method.path, this.#attempt({ options, patience }));
    return this.#streams.adopt(method, slot, stream);
  }

  /** Refuses new calls, ends watches and automatic keep-alives; other calls that run finish. Leases are not revoked. */
  close(): void {
    this.#pool.close();
    this.#streams.close();
  }

  #start<Request, Response>(
    method: MethodInfo<Request, Response, boolean, boolean>,
    request: Partial<Request>,
    options: CallOptions,
  ): Call {
    options.signal?.throwIfAborted();
    const message = method.request.create(request);
    const bytes = method.request.encode(message);
    if (bytes.length > this.#requestBytesMax) throw tooLarge(bytes.length, this.#requestBytesMax);
    return {
      path: method.path,
      bytes,
      options,
      ...this.#terms(options, options.timeoutMs ?? this.#timeoutMs),
      mode: options.retry ?? 'safe',
      isRead: isRead(method, message),
    };
  }

  #terms(options: CallOptions, timeoutMs: number | undefined): Pick<Call, 'patience' | 'only'> {
    const deadlineMs = timeoutMs === undefined ? undefined : this.clock.nowMs() + timeoutMs;
    return {
      patience: { deadlineMs, signal: options.signal },
      only: options.endpoint === undefined ? undefined : this.#pool.slotOf(parseEndpoint(options.endpoint)),
    };
  }

  async #acquire({ only, patience }: Pick<Call, 'patience' | 'only'>): Promise<Slot> {
    try {
      return await this.#pool.acquire(only, patience);
    } catch (error) {
      throw publicError(error);
    }
  }

  #attempt({ options, patience }: Pick<Call, 'options' | 'patience'>): Attempt {
    const { deadlineMs } = patience;
    return {
      timeoutMs: deadlineMs === undefined ? undefined : Math.max(deadlineMs - this.clock.nowMs(), 0),
      signal: options.signal,
      metadata: options.requireLeader === true ? requireLeader : noMetadata,
    };
  }

  #repeatOrThrow(call: Call, { slot, attempt, failure }: { slot: Slot; attempt: number; failure: unknown }): void {
    if (attempt >= attemptsMax || !mayRepeat(failure, call)) throw publicError(failure);
    this.#pool.failed(slot, failure);
    this.#logger?.debug('call repeated', { path: call.path, endpoint: slot.endpoint.text, attempt });
  }
}

function tooLarge(sizeBytes: number, maxBytes: number): RpcError {
  const details = `trying to send message larger than max (${sizeBytes} vs. ${maxBytes})`;
  return new RpcError({ status: Status.RESOURCE_EXHAUSTED, details, endpoint: '', sent: false });
}
