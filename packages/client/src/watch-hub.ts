/**
 * The streams that watches share. All watches of a client are on one stream, or on two if some want a leader: the metadata that
 * asks for it is the stream's. When a stream breaks, all its watches are created anew on the next one, each where it is.
 *
 * Members answer create requests in their order, so answers are matched with requests by order; a refusal carries no id that
 * could be used. A watch that lets its reader catch up is cancelled at the member and created again later, so the ids of a
 * stream come and go; what arrives for an id that is not known any more is dropped.
 */
import {
  KvError,
  kvErrorCodeOf,
  Status,
  type WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
  watchService,
} from '@quorate/proto';
import { isConnectionLost } from './bidi.ts';
import type { Bytes } from './bytes.ts';
import type { BidiCall, Caller } from './call.ts';
import { CompactedError, RpcError, WatchCanceledError } from './errors.ts';
import type { Watcher, WatchOptions } from './watch.ts';
import { type WatchHost, WatchState } from './watch-state.ts';

type Call = BidiCall<WatchRequest, WatchResponse>;

const { watch: watchMethod } = watchService.methods;

/** Addresses the whole stream, or no watch at all. */
const noWatch = -1n;

/** The watches of one client. */
export class WatchHub {
  readonly #plain: WatchStream;
  readonly #led: WatchStream;

  constructor(caller: Caller) {
    this.#plain = new WatchStream(caller, false);
    this.#led = new WatchStream(caller, true);
  }

  watch(key: Bytes, options: WatchOptions = {}): Watcher {
    const stream = options.requireLeader === true ? this.#led : this.#plain;
    options.signal?.throwIfAborted();
    const watch = new WatchState(key, options, stream);
    stream.add(watch);
    return watch;
  }
}

class WatchStream implements WatchHost {
  readonly #caller: Caller;
  readonly #requireLeader: boolean;
  readonly #watches = new Set<WatchState>();
  /** Those that a member was asked to create and did not answer yet, in order; undefined when they were given up meanwhile. */
  readonly #pending: (WatchState | undefined)[] = [];
  readonly #byId = new Map<bigint, WatchState>();
  readonly #ids = new Map<WatchState, bigint>();
  /** Endpoints that saw no leader since a watch last worked. */
  readonly #leaderless = new Set<string>();
  /** All endpoints had their turn, and saw no leader or could not be reached. */
  #isLeaderless = false;
  #call: Call | undefined;
  #isRunning = false;
  /** Ends the attempt to get a stream when nobody needs it any more. */
  #attempt = new AbortController();

  constructor(caller: Caller, requireLeader: boolean) {
    this.#caller = caller;
    this.#requireLeader = requireLeader;
  }

  add(watch: WatchState): void {
    this.#watches.add(watch);
    this.#create(watch);
    if (!this.#isRunning) void this.#run();
  }

  full(watch: WatchState): void {
    this.#withdraw(watch);
  }

  drained(watch: WatchState): void {
    this.#create(watch);
  }

  wantsProgress(): void {
    this.#call?.send({ progressRequest: {} });
  }

  left(watch: WatchState): void {
    this.#watches.delete(watch);
    this.#withdraw(watch);
    if (this.#watches.size === 0) this.#attempt.abort();
  }

  /** Streams, one after the other, as long as somebody watches. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#watches.size > 0) {
      this.#attempt = new AbortController();
      const failure = await this.#serve();
      this.#forget();
      if (failure !== undefined && !this.#mayGoOn(failure)) this.#failAll(failure);
    }
    this.#isRunning = false;
  }

  /** One stream from its first request to its end; returns why it ended, undefined if because nobody needed it. */
  async #serve(): Promise<unknown> {
    const { signal } = this.#attempt;
    let call: Call | undefined;
    try {
      call = await this.#caller.bidiStream(watchMethod, { signal, requireLeader: this.#requireLeader });
      this.#begin(call);
      for await (const response of call.responses) this.#receive(response);
    } catch (error) {
      if (signal.aborted) return undefined;
      if (call !== undefined && isNoLeader(error)) this.#noLeaderAt(call.endpoint);
      return error;
    }
    // Members have no reason to end it; one that does is left for another.
    const details = 'the member ended the watch stream';
    const failure = new RpcError({ status: Status.UNAVAILABLE, details, endpoint: call.endpoint, sent: true });
    call.cancel(failure);
    return failure;
  }

  /** Endpoints are tried in turn: when one is tried again, all others were, or could not be reached a moment ago. */
  #noLeaderAt(endpoint: string): void {
    this.#isLeaderless = this.#leaderless.has(endpoint);
    this.#leaderless.add(endpoint);
    if (this.#leaderless.size >= this.#caller.endpoints.length) this.#isLeaderless = true;
  }

  #begin(call: Call): void {
    this.#call = call;
    for (const watch of this.#watches) this.#create(watch);
    if ([...this.#watches].some((watch) => watch.isCurious)) this.wantsProgress();
  }

  /** What was on the stream that ended is on none. */
  #forget(): void {
    this.#call = undefined;
    this.#pending.length = 0;
    this.#byId.clear();
    this.#ids.clear();
    for (const watch of this.#watches) watch.detach();
  }

  #create(watch: WatchState): void {
    if (this.#call === undefined || watch.isFull) return;
    this.#pending.push(watch);
    const createRequest: WatchCreateRequest = watch.createRequest();
    this.#call.send({ createRequest });
  }

  /** Has the member forget the watch, now or as soon as its id is known. */
  #withdraw(watch: WatchState): void {
    watch.detach();
    const place = this.#pending.indexOf(watch);
    if (place >= 0) this.#pending[place] = undefined;
    const id = this.#ids.get(watch);
    if (id !== undefined) this.#cancel(id);
  }

  #cancel(id: bigint): void {
    const watch = this.#byId.get(id);
    this.#byId.delete(id);
    if (watch !== undefined) this.#ids.delete(watch);
    this.#call?.send({ cancelRequest: { watchId: id } });
  }

  #receive(response: WatchResponse): void {
    if (response.created) {
      this.#created(response);
      return;
    }
    if (response.watchId === noWatch) {
      for (const watch of this.#byId.values()) watch.streamProgress(response.header);
      return;
    }
    const watch = this.#byId.get(response.watchId);
    if (watch === undefined) return;
    if (response.canceled) this.#refuse(watch, response);
    else watch.receive(response);
  }

  #created(response: WatchResponse): void {
    this.#foundLeader();
    const watch = this.#pending.shift();
    if (response.canceled) {
      if (watch !== undefined) this.#refuse(watch, response);
      return;
    }
    if (watch === undefined) {
      this.#call?.send({ cancelRequest: { watchId: response.watchId } });
      return;
    }
    this.#byId.set(response.watchId, watch);
    this.#ids.set(watch, response.watchId);
    watch.accept(response.header);
  }

  #refuse(watch: WatchState, response: WatchResponse): void {
    const id = this.#ids.get(watch);
    if (id !== undefined) this.#byId.delete(id);
    this.#ids.delete(watch);
    this.#watches.delete(watch);
    watch.fail(refusal(response));
    if (this.#watches.size === 0) this.#attempt.abort();
  }

  #mayGoOn(failure: unknown): boolean {
    if (isNoLeader(failure)) return !this.#requireLeader || !this.#isLeaderless;
    if (isConnectionLost(failure)) return true;
    if (!(failure instanceof KvError)) return false;
    // A member that goes down cancels the watches of its clients.
    return failure.status === Status.UNAVAILABLE || failure.code === 'watchCanceled';
  }

  #foundLeader(): void {
    this.#leaderless.clear();
    this.#isLeaderless = false;
  }

  #failAll(failure: unknown): void {
    this.#foundLeader();
    const failed = [...this.#watches];
    this.#watches.clear();
    for (const watch of failed) watch.fail(failure);
  }
}

function isNoLeader(failure: unknown): boolean {
  return failure instanceof KvError && failure.code === 'noLeader';
}

/** Why a member ended or did not begin a watch. */
function refusal({ header, compactRevision, cancelReason }: WatchResponse): Error {
  if (compactRevision !== 0) return new CompactedError(compactRevision, header);
  const text = cancelReason.replace(/^rpc error: code = \w+ desc = /, '');
  const code = kvErrorCodeOf(text);
  return code === undefined ? new WatchCanceledError(text) : new KvError(code);
}
