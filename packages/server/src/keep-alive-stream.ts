/**
 * One stream of renewals. Clients put all their leases on one stream, so the renewals run side by side; their answers leave in the
 * order of the questions. A client that asks faster than it is answered, or does not read, is read from no further.
 */
import type { LeaseKeepAliveRequest, LeaseKeepAliveResponse } from '@quorate/proto';
import type { ClientStream, ServerStream } from '@quorate/rpc';

/** Renewals of one stream under way at once. */
const renewalsMax = 1_000;

interface Slot {
  response: LeaseKeepAliveResponse | undefined;
}

export class KeepAliveStream {
  readonly #renew: (request: LeaseKeepAliveRequest) => Promise<LeaseKeepAliveResponse>;
  readonly #requests: ClientStream<LeaseKeepAliveRequest>;
  readonly #stream: ServerStream<LeaseKeepAliveResponse>;
  readonly #slots: Slot[] = [];
  #isPaused = false;
  #isFull = false;
  #hasEnded = false;
  #isDone = false;

  constructor(
    renew: (request: LeaseKeepAliveRequest) => Promise<LeaseKeepAliveResponse>,
    requests: ClientStream<LeaseKeepAliveRequest>,
    stream: ServerStream<LeaseKeepAliveResponse>,
  ) {
    this.#renew = renew;
    this.#requests = requests;
    this.#stream = stream;
  }

  /** Set up within the handler's call. */
  start(): void {
    this.#requests.onMessage((request) => this.#take(request));
    this.#requests.onEnd(() => {
      this.#hasEnded = true;
      this.#flush();
    });
    this.#stream.onDrain(() => {
      this.#isFull = false;
      this.#balance();
    });
  }

  #take(request: LeaseKeepAliveRequest): void {
    if (this.#isDone) return;
    const slot: Slot = { response: undefined };
    this.#slots.push(slot);
    this.#balance();
    this.#renew(request).then(
      (response) => {
        slot.response = response;
        this.#flush();
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #flush(): void {
    if (this.#isDone) return;
    while (this.#slots[0]?.response !== undefined) {
      if (!this.#stream.send(this.#slots.shift()!.response!)) this.#isFull = true;
    }
    if (this.#hasEnded && this.#slots.length === 0) {
      this.#isDone = true;
      this.#stream.end();
      return;
    }
    this.#balance();
  }

  #fail(error: unknown): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#stream.fail(error);
  }

  #balance(): void {
    const shouldPause = this.#isFull || this.#slots.length >= renewalsMax;
    if (shouldPause === this.#isPaused || this.#isDone) return;
    this.#isPaused = shouldPause;
    if (shouldPause) this.#requests.pause();
    else this.#requests.resume();
  }
}
