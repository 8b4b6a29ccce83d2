/**
 * One watch: what it has given, hence where it goes on after a break, and what waits for its reader. Knows nothing of streams.
 *
 * Where it goes on moves only with whole revisions. Of a response in fragments, all but the newest revision is whole at once;
 * that one is kept until the last fragment, and dropped when the stream breaks before, because it will come again.
 */
import { Deferred } from '@quorate/base';
import { type Event, type KeyValue, ResponseHeader, WatchCreateRequest, type WatchResponse } from '@quorate/proto';
import type { Bytes } from './bytes.ts';
import { Mailbox } from './mailbox.ts';
import { type Watcher, type WatchOptions, type WatchUpdate, watchRequest } from './watch.ts';

/** What a watch tells the stream it is on. */
export interface WatchHost {
  /** Too much waits for the reader: ask for nothing until {@link drained}. */
  full(watch: WatchState): void;
  drained(watch: WatchState): void;
  /** It wants a progress response. */
  wantsProgress(watch: WatchState): void;
  /** Its reader needs nothing more. */
  left(watch: WatchState): void;
}

const bufferBytesDefault = 8 * 1024 * 1024;
/** What an event or another update costs beside its bytes, roughly. */
const overheadBytes = 200;

export class WatchState implements Watcher {
  readonly #options: WatchOptions;
  readonly #host: WatchHost;
  readonly #request: WatchCreateRequest;
  readonly #bufferBytesMax: number;
  readonly #updates: Mailbox<WatchUpdate>;
  readonly #created = new Deferred<ResponseHeader>();
  readonly #abort = (): void => this.#end((updates) => updates.abort(this.#options.signal?.reason));
  /** Of the events that were given to the reader's queue. */
  #lastRevision = 0;
  /** Where a new stream has to start; 0: from now on. */
  #nextRevision: number;
  /** Events of the newest revision of a response whose fragments have not all come. */
  #partial: Event[] = [];
  #wasCreated = false;
  #wantsProgress = false;
  #bufferedBytes = 0;
  #isFull = false;

  constructor(key: Bytes, options: WatchOptions, host: WatchHost) {
    this.#options = options;
    this.#host = host;
    this.#request = watchRequest(key, options);
    this.#nextRevision = options.startRevision ?? 0;
    this.#bufferBytesMax = options.bufferBytesMax ?? bufferBytesDefault;
    this.#updates = new Mailbox({ onTake: (update) => this.#taken(update), onLeave: () => this.#left() });
    options.signal?.addEventListener('abort', this.#abort, { once: true });
  }

  get created(): Promise<ResponseHeader> {
    return this.#created.promise;
  }

  /** True when it wants nothing from members, because too much waits for the reader. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** True while a progress response is asked for and did not come. */
  get isCurious(): boolean {
    return this.#wantsProgress;
  }

  /** The request that makes a member go on where this watch is. */
  createRequest(): WatchCreateRequest {
    return WatchCreateRequest.create({ ...this.#request, startRevision: this.#nextRevision });
  }

  /** A member accepted it. */
  accept(header: ResponseHeader | undefined): void {
    const known = ResponseHeader.create(header);
    // "From now on" was said once: after a break it means from then on.
    if (this.#nextRevision === 0) this.#nextRevision = known.revision + 1;
    if (this.#wasCreated) return;
    this.#wasCreated = true;
    this.#created.resolve(known);
    if (this.#options.createdNotify === true) this.#give({ kind: 'created', header: known });
  }

  /** Takes events, or a progress notification of its own. */
  receive(response: WatchResponse): void {
    const header = ResponseHeader.create(response.header);
    if (response.events.length === 0 && !response.fragment && this.#partial.length === 0) {
      this.#progress(header);
      return;
    }
    this.#take(header, this.#whole(response));
  }

  /** Everything on the stream up to the header's revision was given. */
  streamProgress(header: ResponseHeader | undefined): void {
    const known = ResponseHeader.create(header);
    this.#moveTo(known.revision + 1);
    if (!this.#wantsProgress) return;
    this.#wantsProgress = false;
    this.#give({ kind: 'progress', header: known });
  }

  /** The stream it was on is no more. */
  detach(): void {
    this.#partial = [];
  }

  fail(error: unknown): void {
    this.#finish();
    this.#created.reject(error);
    this.#updates.fail(error);
  }

  requestProgress(): void {
    if (this.#updates.hasEnded) return;
    this.#wantsProgress = true;
    this.#host.wantsProgress(this);
  }

  cancel(): void {
    this.#end((updates) => updates.drop());
  }

  next(): Promise<IteratorResult<WatchUpdate, undefined>> {
    return this.#updates.next();
  }

  return(): Promise<IteratorResult<WatchUpdate, undefined>> {
    return this.#updates.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #progress(header: ResponseHeader): void {
    this.#moveTo(header.revision + 1);
    this.#give({ kind: 'progress', header });
  }

  /** The events of the response, and of fragments before it, that make up whole revisions. */
  #whole({ events, fragment }: WatchResponse): Event[] {
    const all = this.#partial.length === 0 ? events : [...this.#partial, ...events];
    const newest = revisionOf(all.at(-1));
    const isWhole = (event: Event): boolean => !fragment || revisionOf(event) < newest;
    this.#partial = fragment ? all.filter((event) => !isWhole(event)) : [];
    return all.filter((event) => isWhole(event) && revisionOf(event) > this.#lastRevision);
  }

  #take(header: ResponseHeader, events: Event[]): void {
    if (events.length === 0) return;
    this.#lastRevision = revisionOf(events.at(-1));
    this.#moveTo(this.#lastRevision + 1);
    this.#give({ kind: 'events', header, events });
  }

  /** Into the reader's queue; everything in it counts, also progress that nobody reads. */
  #give(update: WatchUpdate): void {
    this.#bufferedBytes += sizeOf(update);
    this.#updates.push(update);
    if (this.#isFull || this.#bufferedBytes <= this.#bufferBytesMax) return;
    this.#isFull = true;
    this.#host.full(this);
  }

  #moveTo(revision: number): void {
    this.#nextRevision = Math.max(this.#nextRevision, revision);
  }

  #taken(update: WatchUpdate): void {
    this.#bufferedBytes -= sizeOf(update);
    // Half empty, so that a reader that is always a little late does not come and go with every update.
    if (!this.#isFull || this.#bufferedBytes > this.#bufferBytesMax / 2) return;
    this.#isFull = false;
    if (!this.#updates.hasEnded) this.#host.drained(this);
  }

  #end(how: (updates: Mailbox<WatchUpdate>) => void): void {
    const isFirst = !this.#updates.hasEnded;
    how(this.#updates);
    if (isFirst) this.#left();
  }

  #left(): void {
    this.#finish();
    this.#created.reject(this.#options.signal?.aborted === true ? this.#options.signal.reason : new Error('cancelled'));
    this.#host.left(this);
  }

  #finish(): void {
    this.#options.signal?.removeEventListener('abort', this.#abort);
  }
}

function revisionOf(event: Event | undefined): number {
  return event?.kv?.modRevision ?? 0;
}

function sizeOf(update: WatchUpdate): number {
  if (update.kind !== 'events') return overheadBytes;
  return update.events.reduce((sum, { kv, prevKv }) => sum + overheadBytes + bytesOf(kv) + bytesOf(prevKv), 0);
}

function bytesOf(kv: KeyValue | undefined): number {
  return kv === undefined ? 0 : kv.key.length + kv.value.length;
}
