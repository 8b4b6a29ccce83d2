/**
 * One stream of renewals. Clients put all their leases on one stream, so the renewals run side by side; their answers leave in the
 * order of the questions. A client that asks faster than it is answered, or does not read, is read from no further.
 */
import type { LeaseId } from '@quorate/base';
import { KvError, type LeaseKeepAliveRequest, type LeaseKeepAliveResponse, type ResponseHeader } from '@quorate/proto';
import type { ClientStream, ServerStream } from '@quorate/rpc';
import type { Renewing } from './renewals.ts';

export interface KeepAliveStreamOptions {
  readonly requests: ClientStream<LeaseKeepAliveRequest>;
  readonly stream: ServerStream<LeaseKeepAliveResponse>;
  /** The header of an answer to what is asked now. */
  readonly header: () => ResponseHeader;
  /** Renews at once if this member leads. */
  readonly renew: (renewing: Renewing) => void;
  /** Renews wherever that must be asked, however long it takes: the seconds it runs for, 0 when it is gone. Rejects with KvError. */
  readonly renewInFull: (id: LeaseId) => Promise<number>;
}

/** Renewals of one stream under way at once. */
const renewalsMax = 1_000;

/** One renewal and its place in the order. Thousands are under way: it is its own callback. */
class Slot implements Renewing {
  readonly id: LeaseId;
  readonly header: ResponseHeader;
  /** Undefined until it is answered. */
  ttl: number | undefined = undefined;
  readonly #stream: KeepAliveStream;

  constructor(id: LeaseId, header: ResponseHeader, stream: KeepAliveStream) {
    this.id = id;
    this.header = header;
    this.#stream = stream;
  }

  renewed(ttl: number): void {
    this.ttl = ttl;
    this.#stream.flush();
  }

  failed(error: unknown): void {
    this.#stream.fail(error);
  }

  undecided(): void {
    this.#stream.renewInFull(this);
  }
}

export class KeepAliveStream {
  readonly #options: KeepAliveStreamOptions;
  readonly #slots: Slot[] = [];
  #isPaused = false;
  #isFull = false;
  #hasEnded = false;
  #isDone = false;

  constructor(options: KeepAliveStreamOptions) {
    this.#options = options;
  }

  /** Set up within the handler's call. */
  start(): void {
    const { requests, stream } = this.#options;
    requests.onMessage((request) => this.#take(request));
    requests.onEnd(() => {
      this.#hasEnded = true;
      this.flush();
    });
    stream.onDrain(() => {
      this.#isFull = false;
      this.#balance();
    });
  }

  /** Sends what has its turn. */
  flush(): void {
    if (this.#isDone) return;
    const { stream } = this.#options;
    while (this.#slots[0]?.ttl !== undefined) {
      const { header, id, ttl } = this.#slots.shift()!;
      if (!stream.send({ header, id, ttl: ttl! })) this.#isFull = true;
    }
    if (this.#hasEnded && this.#slots.length === 0) {
      this.#isDone = true;
      stream.end();
      return;
    }
    this.#balance();
  }

  fail(error: unknown): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#options.stream.fail(error);
  }

  renewInFull(slot: Slot): void {
    if (this.#isDone) return;
    this.#options.renewInFull(slot.id).then(
      (ttl) => slot.renewed(ttl),
      (error: unknown) => this.fail(error),
    );
  }

  #take({ id }: LeaseKeepAliveRequest): void {
    if (this.#isDone) return;
    try {
      const slot = new Slot(id, this.#options.header(), this);
      this.#slots.push(slot);
      this.#balance();
      this.#options.renew(slot);
    } catch (error) {
      // There is no state to renew in while a received snapshot takes its place.
      if (!(error instanceof KvError)) throw error;
      this.fail(error);
    }
  }

  #balance(): void {
    const shouldPause = this.#isFull || this.#slots.length >= renewalsMax;
    if (shouldPause === this.#isPaused || this.#isDone) return;
    this.#isPaused = shouldPause;
    if (shouldPause) this.#options.requests.pause();
    else this.#options.requests.resume();
  }
}
