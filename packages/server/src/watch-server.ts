/**
 * The Watch service without its transport: one session per stream, which turns requests into watchers of the hub and
 * what the hub gives into responses. Responses leave in the order in which things happened: "created" before the first
 * event of a watch, events in order of revisions, a progress response behind all events up to its revision.
 */
import type { Clock, Random } from '@quorate/base';
import type { WatchBatch, Watcher, WatchHub, WatchSink } from '@quorate/mvcc';
import {
  encodeWatchResponse,
  KvError,
  kvErrors,
  type WatchCreateRequest,
  WatchCreateRequestFilterType,
  type WatchParts,
  type WatchRequest,
  type WatchResponse,
  watchCancelReasons,
} from '@quorate/proto';
import type { BidiHandler, ClientStream, ServerCall, ServerStream } from '@quorate/rpc';
import type { HeaderSource } from './header.ts';
import { splitEvents } from './watch-fragments.ts';
import { ProgressTicker } from './watch-progress.ts';

export interface WatchServerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly headers: HeaderSource;
  readonly hub: WatchHub;
  /** `--max-request-bytes`; with what etcd adds to it, the size at which responses are split for those who asked. */
  readonly maxRequestBytes: number;
  /** `--watch-progress-notify-interval` in milliseconds. */
  readonly progressIntervalMs: number;
}

/** What etcd's server allows a gRPC message beyond the largest request. */
const grpcOverheadBytes = 512 * 1024;

/** Addresses the whole stream, or no watch at all. */
const noWatch = -1n;

const reasons = {
  ...watchCancelReasons,
  compacted: kvErrors.compacted.message,
} as const;

const plain: Omit<WatchParts, 'revision' | 'watchId'> = {
  created: false,
  canceled: false,
  compactRevision: 0,
  cancelReason: '',
  fragment: false,
  events: [],
};

type Parts = Partial<WatchParts> & Pick<WatchParts, 'revision' | 'watchId'>;

/** Watch streams of clients. */
export class WatchServer {
  readonly #options: WatchServerOptions;
  readonly #sessions = new Set<WatchSession>();
  readonly #encoder: BatchEncoder;

  constructor(options: WatchServerOptions) {
    this.#options = options;
    this.#encoder = new BatchEncoder(options.headers);
  }

  /** Serves one stream. */
  readonly watch: BidiHandler<WatchRequest, WatchResponse> = (requests, call, stream) => {
    const over = (): void => void this.#sessions.delete(session);
    const session = new WatchSession(this.#options, this.#encoder, { requests, call, stream, over });
    this.#sessions.add(session);
  };

  /** Ends all streams, so that their clients go on elsewhere. */
  stop(): void {
    for (const session of [...this.#sessions]) session.fail(new KvError('stopped'));
  }
}

/** The ends of one stream. */
interface Ends {
  readonly requests: ClientStream<WatchRequest>;
  readonly call: ServerCall;
  readonly stream: ServerStream<WatchResponse>;
  /** Called once, when the session is over. */
  readonly over: () => void;
}

/** What a client asked for that the hub need not know. */
interface Manner {
  readonly fragment: boolean;
  readonly progressNotify: boolean;
}

class WatchSession implements WatchSink {
  readonly #options: WatchServerOptions;
  readonly #encoder: BatchEncoder;
  readonly #ends: Ends;
  readonly #watches: ReturnType<WatchHub['open']>;
  readonly #manners = new Map<Watcher, Manner>();
  readonly #ticker: ProgressTicker;
  #over = false;

  constructor(options: WatchServerOptions, encoder: BatchEncoder, ends: Ends) {
    const { requests, call, stream } = ends;
    const { clock, random, progressIntervalMs } = options;
    this.#options = options;
    this.#encoder = encoder;
    this.#ends = ends;
    this.#watches = options.hub.open(this);
    this.#ticker = new ProgressTicker({ clock, random, intervalMs: progressIntervalMs, tick: () => this.#tick() });
    requests.onMessage((request) => this.#receive(request));
    // A client that closes its side goes on to be given events, as etcd does it: nothing is to be done on onEnd.
    call.onCancel(() => this.#close());
    stream.onDrain(() => {
      if (this.#over) return;
      requests.resume();
      this.#watches.resume();
    });
    // Clients wait for the headers before they take the stream for open.
    stream.sendHeaders();
  }

  /** Ends the stream with an error. */
  fail(error: KvError): void {
    if (this.#over) return;
    this.#close();
    this.#ends.stream.fail(error);
  }

  events(watcher: Watcher, batch: WatchBatch): boolean {
    const manner = this.#manners.get(watcher);
    if (manner?.fragment !== true) return this.#sent(this.#encoder.encode(watcher.id, batch));
    const pieces = splitEvents(batch.events, this.#options.maxRequestBytes + grpcOverheadBytes);
    let takesMore = true;
    pieces.forEach((events, i) => {
      const fragment = i < pieces.length - 1;
      takesMore = this.#send({ watchId: watcher.id, revision: batch.revision, events, fragment });
    });
    return takesMore;
  }

  compacted(watcher: Watcher, compactRevision: number): void {
    this.#manners.delete(watcher);
    // etcd leaves the revision out here, and gives no reason but the compact revision.
    this.#send({ watchId: watcher.id, revision: 0, canceled: true, compactRevision });
  }

  progress(revision: number): void {
    this.#send({ watchId: noWatch, revision });
  }

  #receive(request: WatchRequest): void {
    if (this.#over) return;
    const { createRequest, cancelRequest, progressRequest } = request;
    if (createRequest !== undefined) this.#create(createRequest);
    else if (cancelRequest !== undefined) this.#cancel(cancelRequest.watchId);
    else if (progressRequest !== undefined) this.#watches.requestProgress();
  }

  #create(request: WatchCreateRequest): void {
    const { revision } = this.#watches;
    const { filters, prevKv, fragment, progressNotify, startRevision, watchId } = request;
    const outcome = this.#watches.watch({
      id: watchId,
      // The empty key cannot be written; etcd takes it for the first one that can.
      key: request.key.length === 0 ? '\0' : request.key.toString('latin1'),
      end: request.rangeEnd.toString('latin1'),
      startRevision,
      noPut: filters.includes(WatchCreateRequestFilterType.NOPUT),
      noDelete: filters.includes(WatchCreateRequestFilterType.NODELETE),
      prevKv,
    });
    if (typeof outcome === 'string') {
      this.#send({ watchId: noWatch, revision, created: true, canceled: true, cancelReason: reasons[outcome] });
      return;
    }
    this.#manners.set(outcome, { fragment, progressNotify });
    if (progressNotify) this.#ticker.start();
    this.#send({ watchId: outcome.id, revision, created: true });
  }

  /** An id that is not there gets no answer. */
  #cancel(id: bigint): void {
    const { revision } = this.#watches;
    const watcher = this.#watches.find(id);
    if (watcher === undefined) return;
    this.#manners.delete(watcher);
    // Before any answer to a request for progress that only this watch held up.
    this.#send({ watchId: id, revision, canceled: true });
    this.#watches.remove(watcher);
  }

  /** Tells idle watches that asked for it how far they are. */
  #tick(): void {
    const { revision, blocked } = this.#watches;
    for (const [watcher, { progressNotify }] of this.#manners) {
      if (!progressNotify) continue;
      const isIdle = !watcher.wasGiven;
      watcher.wasGiven = false;
      if (isIdle && !blocked && watcher.isCurrent(revision)) this.#send({ watchId: watcher.id, revision });
    }
  }

  #send(parts: Parts): boolean {
    return this.#sent(encodeWatchResponse({ ...plain, headerPrefix: this.#options.headers.prefix(), ...parts }));
  }

  /** A stream that is full takes no requests either, since each is good for an answer. */
  #sent(bytes: Buffer): boolean {
    if (this.#over) return false;
    const takesMore = this.#ends.stream.sendEncoded(bytes);
    if (!takesMore) {
      this.#watches.block();
      this.#ends.requests.pause();
    }
    return takesMore;
  }

  #close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#ticker.stop();
    this.#watches.close();
    this.#manners.clear();
    this.#ends.over();
  }
}

/**
 * Encodes what watchers are given. Thousands of clients that watch the same key, each on a stream of its own, are given
 * the very same response: it is encoded once.
 */
class BatchEncoder {
  readonly #headers: HeaderSource;
  #events: readonly Buffer[] | undefined;
  #watchId = 0n;
  #revision = 0;
  #prefix: unknown;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(headers: HeaderSource) {
    this.#headers = headers;
  }

  encode(watchId: bigint, { revision, events }: WatchBatch): Buffer {
    const headerPrefix = this.#headers.prefix();
    const isSame = events === this.#events && watchId === this.#watchId && revision === this.#revision;
    if (!isSame || headerPrefix !== this.#prefix) {
      this.#events = events;
      this.#watchId = watchId;
      this.#revision = revision;
      this.#prefix = headerPrefix;
      this.#bytes = encodeWatchResponse({ ...plain, headerPrefix, revision, watchId, events });
    }
    return this.#bytes;
  }
}
