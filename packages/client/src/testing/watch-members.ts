/**
 * Members that serve watches from one history, for tests of the client: they answer as etcd's do, in fragments of any size, each
 * as far behind as a test wants it, and break streams when told to.
 */
import {
  Event,
  EventEventType,
  KeyValue,
  ResponseHeader,
  Status,
  type WatchCreateRequest,
  WatchRequest,
  WatchResponse,
} from '@quorate/proto';
import type { FakeNetwork, FakeStream } from './fake-network.ts';

interface ServedWatch {
  readonly id: bigint;
  readonly request: WatchCreateRequest;
  /** The next revision to give. */
  next: number;
}

interface Served {
  readonly stream: FakeStream;
  readonly watches: Map<bigint, ServedWatch>;
  nextId: bigint;
}

export class WatchMembers {
  /** Every create request, in order. */
  readonly creates: { readonly endpoint: string; readonly request: WatchCreateRequest }[] = [];
  /** How many events a fragment has at most; asked for every response. */
  fragmentEvents: () => number = () => Number.POSITIVE_INFINITY;
  /** Called before each response with events; true breaks the stream instead. */
  breaks: () => boolean = () => false;
  /** Refuse all watches so. */
  refusal: string | undefined;
  /** Members that apply nothing new. */
  readonly stalled: Map<string, number> = new Map();
  compactRevision = 0;
  readonly #history = new Map<number, readonly Event[]>();
  readonly #served = new Set<Served>();
  #revision = 1;

  constructor(network: FakeNetwork) {
    network.serveStream = (stream) => this.serve(stream);
  }

  get revision(): number {
    return this.#revision;
  }

  get streams(): readonly FakeStream[] {
    return [...this.#served].map(({ stream }) => stream);
  }

  /** Watches that members know. */
  get watchCount(): number {
    return [...this.#served].reduce((sum, { watches }) => sum + watches.size, 0);
  }

  /** One revision: `-key` deletes. */
  commit(...changes: readonly string[]): number {
    const events = changes.map((change) => {
      const isDelete = change.startsWith('-');
      const key = Buffer.from(isDelete ? change.slice(1) : change);
      const modRevision = this.#revision + 1;
      const value = isDelete ? Buffer.alloc(0) : Buffer.from(`v${modRevision}`);
      const kv = KeyValue.create({ key, value, modRevision });
      return Event.create({ type: isDelete ? EventEventType.DELETE : EventEventType.PUT, kv });
    });
    return this.commitEvents(events);
  }

  /** One revision, made elsewhere. */
  commitEvents(events: readonly Event[]): number {
    this.#revision += 1;
    this.#history.set(this.#revision, events);
    this.deliver();
    return this.#revision;
  }

  /** Gives every watch what it has not been given. */
  deliver(): void {
    for (const served of [...this.#served]) {
      for (const watch of served.watches.values()) this.#give(served, watch);
    }
  }

  /** Has members give every watch once more what it was given since `revision`. */
  rewind(revision: number): void {
    for (const { watches } of this.#served) for (const watch of watches.values()) watch.next = revision;
  }

  /** Breaks streams, all or those of one member. */
  cut(endpoint?: string, details = 'Connection dropped'): void {
    for (const served of [...this.#served]) {
      if (endpoint !== undefined && served.stream.endpoint !== endpoint) continue;
      this.#served.delete(served);
      served.stream.fail(Status.UNAVAILABLE, details);
    }
  }

  /** Tells one watch that it has been given everything. */
  notifyProgress(): void {
    for (const { stream, watches } of this.#served) {
      const header = this.#header(stream);
      for (const { id } of watches.values()) send(stream, { header, watchId: id });
    }
  }

  #header({ endpoint }: FakeStream): ResponseHeader {
    return ResponseHeader.create({ revision: this.#revisionOf(endpoint) });
  }

  #revisionOf(endpoint: string): number {
    return Math.min(this.stalled.get(endpoint) ?? this.#revision, this.#revision);
  }

  /** Serves one Watch stream. */
  serve(stream: FakeStream): void {
    const served: Served = { stream, watches: new Map(), nextId: 0n };
    this.#served.add(served);
    stream.onCancel = () => this.#served.delete(served);
    stream.onRequest = (bytes) => {
      const { createRequest, cancelRequest, progressRequest } = WatchRequest.decode(bytes);
      const header = this.#header(stream);
      if (createRequest !== undefined) this.#create(served, createRequest);
      if (progressRequest !== undefined) send(stream, { header, watchId: -1n });
      if (cancelRequest !== undefined && served.watches.delete(cancelRequest.watchId)) {
        send(stream, { header, watchId: cancelRequest.watchId, canceled: true });
      }
    };
  }

  #create(served: Served, request: WatchCreateRequest): void {
    const { stream } = served;
    const header = this.#header(stream);
    this.creates.push({ endpoint: stream.endpoint, request });
    if (this.refusal !== undefined) {
      send(stream, { header, watchId: -1n, created: true, canceled: true, cancelReason: this.refusal });
      return;
    }
    const id = served.nextId;
    served.nextId += 1n;
    const next = request.startRevision === 0 ? header.revision + 1 : request.startRevision;
    const watch: ServedWatch = { id, request, next };
    served.watches.set(id, watch);
    send(stream, { header, watchId: id, created: true });
    if (next <= this.compactRevision) {
      served.watches.delete(id);
      send(stream, { watchId: id, canceled: true, compactRevision: this.compactRevision });
      return;
    }
    this.#give(served, watch);
  }

  #give(served: Served, watch: ServedWatch): void {
    const { stream } = served;
    const header = this.#header(stream);
    const events: Event[] = [];
    for (; watch.next <= header.revision; watch.next += 1) {
      events.push(...(this.#history.get(watch.next) ?? []).filter((event) => matches(watch.request, event)));
    }
    for (let at = 0; at < events.length; ) {
      if (!this.#served.has(served)) return;
      if (this.breaks()) {
        this.cut(stream.endpoint);
        return;
      }
      const count = watch.request.fragment ? this.fragmentEvents() : events.length;
      const piece = events.slice(at, at + count);
      at += piece.length;
      send(stream, { header, watchId: watch.id, events: piece, fragment: at < events.length });
    }
  }
}

/** Which of the keys the tests use a watch is about. */
export function matches({ key, rangeEnd }: Pick<WatchCreateRequest, 'key' | 'rangeEnd'>, event: Event): boolean {
  if (rangeEnd.length === 0) return event.kv!.key.equals(key);
  const isBelow = (rangeEnd.length === 1 && rangeEnd[0] === 0) || Buffer.compare(event.kv!.key, rangeEnd) < 0;
  return Buffer.compare(event.kv!.key, key) >= 0 && isBelow;
}

function send(stream: FakeStream, response: Partial<WatchResponse>): void {
  stream.send(WatchResponse.encode(WatchResponse.create(response)));
}
