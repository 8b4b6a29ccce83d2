/** Streaming calls of a member's services without a network between. */
import { type CallOptions, Mailbox } from '@quorate/client';
import type { Codec } from '@quorate/proto';
import type { ClientStream, ServerStream } from '@quorate/rpc';
import { answerable, LocalCall, type LocalMethod, type OpenCalls } from './local-call.ts';

/** Bytes of answers that may lie unread before the service is asked to wait. */
const unreadBytesMax = 1024 * 1024;

interface Answer<Res> {
  readonly value: Res;
  readonly bytes: number;
}

/** A call with a stream of answers, and for some a stream of requests. */
export class LocalStream<Req, Res> extends LocalCall implements ServerStream<Res>, ClientStream<Req> {
  readonly #response: Codec<Res>;
  readonly #answers = new Mailbox<Answer<Res>>({
    onTake: ({ bytes }) => this.#taken(bytes),
    onLeave: () => this.leave(),
  });
  #unreadBytes = 0;
  #isFull = false;
  #onDrain: (() => void) | undefined;
  #deliver: ((request: Req) => void) | undefined;
  #onEnd: (() => void) | undefined;
  /** Requests that wait: for a service that paused, or that is just being told of an earlier one. */
  readonly #waiting: Req[] = [];
  #isPaused = false;
  #isDelivering = false;

  constructor(calls: OpenCalls, method: LocalMethod<Res>, options: CallOptions) {
    super(calls, method.path, options);
    this.#response = method.response;
  }

  /** What the caller reads; leaving it early ends the call. */
  async *responses(): AsyncGenerator<Res, void, undefined> {
    for await (const { value } of this.#answers) yield value;
  }

  /** The caller's next request; ignored when the call is over. */
  request(request: Req): void {
    if (this.cancelled || this.#answers.hasEnded) return;
    this.#waiting.push(request);
    this.#deliverWaiting();
  }

  /** The caller leaves: what it has not read is dropped, and its reading ends. */
  leave(): void {
    this.settle();
    this.#answers.drop();
    this.cancel();
  }

  /** Ends the call for both sides: the reader is told why. */
  abort(error: unknown): void {
    this.settle();
    this.#answers.abort(error);
    this.cancel();
  }

  get queuedBytes(): number {
    return this.#unreadBytes;
  }

  send(response: Res): boolean {
    return this.sendEncoded(this.#response.encode(response));
  }

  sendEncoded(bytes: Buffer): boolean {
    this.#unreadBytes += bytes.length;
    this.#isFull = this.#unreadBytes >= unreadBytesMax;
    this.#answers.push({ value: this.#response.decode(bytes), bytes: bytes.length });
    return !this.#isFull;
  }

  onDrain(fn: () => void): void {
    this.#onDrain = fn;
  }

  sendHeaders(): void {}

  end(): void {
    this.settle();
    this.#answers.end();
  }

  fail(error: unknown): void {
    this.settle();
    this.#answers.fail(answerable(error));
  }

  onMessage(fn: (request: Req) => void): void {
    this.#deliver = fn;
    this.#deliverWaiting();
  }

  onEnd(fn: () => void): void {
    this.#onEnd = fn;
  }

  /** The caller will not ask for more. */
  noMoreRequests(): void {
    if (!this.cancelled) this.#onEnd?.();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#deliverWaiting();
  }

  #taken(bytes: number): void {
    this.#unreadBytes -= bytes;
    if (!this.#isFull || this.#unreadBytes > unreadBytesMax / 2) return;
    this.#isFull = false;
    if (!this.cancelled) this.#onDrain?.();
  }

  #deliverWaiting(): void {
    if (this.#isDelivering || this.#deliver === undefined) return;
    this.#isDelivering = true;
    try {
      while (this.#waiting.length > 0 && !this.#isPaused && !this.cancelled) this.#deliver(this.#waiting.shift()!);
    } finally {
      this.#isDelivering = false;
    }
  }
}
