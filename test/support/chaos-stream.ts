/**
 * A client's Watch stream with its watches, over and over: on any member, until that dies or the client has enough of it, then on
 * another one, each watch where it was. Everything that comes is noted in the logs of the watches.
 */
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js';
import type { Random } from '@quorate/base';
import {
  type Event,
  EventEventType,
  services,
  WatchCreateRequest,
  WatchCreateRequestFilterType,
  WatchRequest,
  type WatchResponse,
  WatchResponse as WatchResponseCodec,
} from '@quorate/proto';
import { pause } from './storm.ts';
import type { Seen, WatchLog } from './watch-judge.ts';

export interface ChaosStreamOptions {
  readonly endpoints: readonly string[];
  readonly logs: readonly WatchLog[];
  readonly random: Random;
  readonly fragment: boolean;
}

/** A stream is left for another one after at most so long, a reader stops for at most so long. */
const stayMs = 8_000;
const awayMs = 1_500;
const deafMs = 2_000;
const progressMs = 500;
const { path } = services.watch.methods.watch;

export class ChaosStream {
  readonly #options: ChaosStreamOptions;
  readonly #running: Promise<void>;
  #isEnding = false;
  #isCalm = false;
  #leave: () => void = () => {};
  /** Streams it was on. */
  streamCount = 0;
  /** Responses that came in pieces. */
  fragmentedCount = 0;

  constructor(options: ChaosStreamOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** Stays where it is from now on. */
  calm(): void {
    this.#isCalm = true;
  }

  async end(): Promise<void> {
    this.#isEnding = true;
    this.#leave();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { endpoints, random } = this.#options;
    let at = random.below(endpoints.length);
    while (!this.#isEnding) {
      await this.#visit(endpoints[at]!);
      at = (at + 1 + random.below(endpoints.length - 1)) % endpoints.length;
      if (!this.#isCalm && random.below(3) === 0) await pause(random.below(awayMs));
      else await pause(20);
    }
  }

  /** One stream, from its first request to its end. */
  async #visit(endpoint: string): Promise<void> {
    this.streamCount++;
    const { random } = this.#options;
    const client = new Client(endpoint, credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      'grpc.use_local_subchannel_pool': 1,
    });
    const encode = (request: WatchRequest): Buffer => WatchRequest.encode(request);
    const call = client.makeBidiStreamRequest(path, encode, WatchResponseCodec.decode, new Metadata());
    const visit = new Visit(call, this.#options, () => this.fragmentedCount++);
    const beat = setInterval(() => call.write(WatchRequest.create({ progressRequest: {} })), progressMs);
    const restless = setTimeout(() => this.#isCalm || call.cancel(), random.below(stayMs));
    const deaf = setTimeout(() => this.#isCalm || call.pause(), random.below(2 * stayMs));
    const hearing = setInterval(() => call.isPaused() && call.resume(), deafMs);
    this.#leave = () => call.cancel();
    await visit.over;
    clearInterval(beat);
    clearInterval(hearing);
    clearTimeout(restless);
    clearTimeout(deaf);
    client.close();
  }
}

/** The watches on one stream. */
class Visit {
  /** Resolves when the stream has ended, whoever ended it. */
  readonly over: Promise<void>;
  readonly #call: ClientDuplexStream<WatchRequest, WatchResponse>;
  readonly #options: ChaosStreamOptions;
  readonly #onFragmented: () => void;
  readonly #created = new Set<WatchLog>();
  /** Fragments of a response that is not complete. */
  readonly #partial = new Map<WatchLog, Event[]>();

  constructor(
    call: ClientDuplexStream<WatchRequest, WatchResponse>,
    options: ChaosStreamOptions,
    onFragmented: () => void,
  ) {
    this.#call = call;
    this.#options = options;
    this.#onFragmented = onFragmented;
    this.over = new Promise((resolve) => {
      call.on('data', (response: WatchResponse) => this.#receive(response));
      // Which error does not matter: whoever is left goes elsewhere.
      call.on('error', () => resolve());
      call.on('end', () => resolve());
    });
    for (const log of options.logs) this.#create(log);
  }

  #create(log: WatchLog): void {
    const { key, end, noPut, noDelete, prevKv } = log.shape;
    const filters: number[] = [];
    if (noPut) filters.push(WatchCreateRequestFilterType.NOPUT);
    if (noDelete) filters.push(WatchCreateRequestFilterType.NODELETE);
    const createRequest = WatchCreateRequest.create({
      key: Buffer.from(key, 'latin1'),
      rangeEnd: Buffer.from(end ?? '', 'latin1'),
      startRevision: log.next,
      watchId: BigInt(this.#options.logs.indexOf(log) + 1),
      filters,
      prevKv,
      fragment: this.#options.fragment,
      progressNotify: true,
    });
    this.#call.write(WatchRequest.create({ createRequest }));
  }

  #receive(response: WatchResponse): void {
    const revision = response.header!.revision;
    if (response.watchId === -1n) {
      if (response.canceled) this.#options.logs[0]!.problems.push(`refused: ${response.cancelReason}`);
      for (const log of this.#created) log.progress(revision);
      return;
    }
    const log = this.#options.logs[Number(response.watchId) - 1]!;
    if (response.created) {
      this.#created.add(log);
      log.created(revision);
    } else if (!this.#created.has(log)) log.problems.push('told something before it was created');
    else if (response.canceled) this.#ended(log, response);
    else if (response.events.length === 0) log.progress(revision);
    else this.#given(log, response);
  }

  #ended(log: WatchLog, { compactRevision, cancelReason }: WatchResponse): void {
    this.#created.delete(log);
    if (this.#partial.delete(log)) log.problems.push('ended between two fragments');
    if (compactRevision === 0) log.problems.push(`ended: ${cancelReason}`);
    else log.compacted(compactRevision);
    this.#create(log);
  }

  #given(log: WatchLog, { events, fragment, header }: WatchResponse): void {
    const all = [...(this.#partial.get(log) ?? []), ...events];
    if (fragment) {
      this.#partial.set(log, all);
      return;
    }
    if (this.#partial.delete(log)) this.#onFragmented();
    log.given(
      all.map((event) => [event.kv!.modRevision, seenOf(event)] as const),
      header!.revision,
    );
  }
}

function seenOf({ type, kv, prevKv }: Event): Seen {
  const { key, value, createRevision, version } = kv!;
  return {
    key: key.toString('latin1'),
    value: type === EventEventType.DELETE ? undefined : tagOf(value),
    createRevision,
    version,
    previous: prevKv === undefined ? undefined : { value: tagOf(prevKv.value), modRevision: prevKv.modRevision },
  };
}

/** A value of `sizeBytes` that {@link tagOf} knows again. */
export function padded(tag: string, sizeBytes: number): { readonly value: string; readonly tag: string } {
  const value = `${tag} `.padEnd(sizeBytes, '.');
  return { value, tag: `${tag}:${value.length}` };
}

/** What tells values apart, and their length: the padding need not be kept. */
function tagOf(value: Buffer): string {
  return `${value.toString('latin1', 0, value.indexOf(' '))}:${value.length}`;
}
