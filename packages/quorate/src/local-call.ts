/**
 * Calls of a member's services without a network between. Requests go in as they are, nothing is encoded on the way in. An
 * answer that the member puts together from stored bytes comes encoded and is decoded into views of those; that of a put comes as it is.
 */
import { FatalError, type IdTable, type Numbered } from '@quorate/base';
import { Mailbox } from '@quorate/client';
import type { Codec } from '@quorate/proto';
import type { ClientStream, Metadata, Reply, ServerCall, ServerStream } from '@quorate/rpc';

const noMetadata: Metadata = { get: () => undefined };
const requireLeader: Metadata = { get: (name) => (name === 'hasleader' ? 'true' : undefined) };

/** What the one endpoint of an embedded member is called. */
export const endpoint = 'embedded';

/** Bytes of answers that may lie unread before the service is asked to wait. */
const unreadBytesMax = 1024 * 1024;

/** What the caller asks of a call. */
export interface LocalTerms {
  /** Of the call, no other has it. */
  readonly id: number;
  readonly path: string;
  readonly timeoutMs: number | undefined;
  readonly requireLeader: boolean;
}

/** A call that can be ended from outside. */
export interface Abortable extends Numbered {
  /** Tells the caller why, and the service that nobody waits any more. */
  abort(error: unknown): void;
}

/** The side of a call that a service sees. */
class LocalCall implements ServerCall {
  readonly id: number;
  readonly path: string;
  readonly metadata: Metadata;
  readonly timeoutMs: number | undefined;
  readonly peer: string = endpoint;
  readonly commonName: undefined;
  cancelled = false;
  #listeners: (() => void)[] | undefined;

  constructor(terms: LocalTerms) {
    this.id = terms.id;
    this.path = terms.path;
    this.timeoutMs = terms.timeoutMs;
    this.metadata = terms.requireLeader ? requireLeader : noMetadata;
  }

  onCancel(fn: () => void): void {
    if (this.cancelled) {
      fn();
    } else {
      this.#listeners ??= [];
      this.#listeners.push(fn);
    }
  }

  setHeader(): void {}

  setTrailer(): void {}

  /** Tells the service that nobody waits any more. */
  cancel(): void {
    if (this.cancelled) return;
    this.cancelled = true;
    const listeners = this.#listeners ?? [];
    this.#listeners = undefined;
    for (const listener of listeners) listener();
  }
}

/** Where a call with one answer settles. */
export interface UnaryOutcome<Res> {
  readonly resolve: (response: Res) => void;
  readonly reject: (error: unknown) => void;
}

/** A call with one answer; it is in `open` until that is there. */
export class LocalUnary<Res> extends LocalCall implements Reply<Res>, Abortable {
  /** Lets go of a deadline or a signal, for calls that have one. */
  release: (() => void) | undefined;
  readonly #response: Codec<Res>;
  readonly #outcome: UnaryOutcome<Res>;
  readonly #open: IdTable<Abortable>;

  constructor(terms: LocalTerms, response: Codec<Res>, outcome: UnaryOutcome<Res>, open: IdTable<Abortable>) {
    super(terms);
    this.#response = response;
    this.#outcome = outcome;
    this.#open = open;
    open.add(this);
  }

  get takesMessages(): boolean {
    return true;
  }

  ok(response: Res): void {
    this.#settle();
    this.#outcome.resolve(response);
  }

  encoded(bytes: Buffer): void {
    this.ok(this.#response.decode(bytes));
  }

  pieces(pieces: readonly Buffer[]): void {
    this.encoded(Buffer.concat(pieces));
  }

  fail(error: unknown): void {
    this.#settle();
    this.#outcome.reject(answerable(error));
  }

  abort(error: unknown): void {
    this.#settle();
    this.#outcome.reject(error);
    this.cancel();
  }

  #settle(): void {
    this.#open.delete(this.id);
    this.release?.();
  }
}

interface Answer<Res> {
  readonly value: Res;
  readonly bytes: number;
}

/** A call with a stream of answers, and for some a stream of requests. */
export class LocalStream<Req, Res> extends LocalCall implements ServerStream<Res>, ClientStream<Req>, Abortable {
  /** Lets go of a deadline or a signal, for calls that have one. */
  release: (() => void) | undefined;
  readonly #response: Codec<Res>;
  readonly #open: IdTable<Abortable>;
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

  constructor(terms: LocalTerms, response: Codec<Res>, open: IdTable<Abortable>) {
    super(terms);
    this.#response = response;
    this.#open = open;
    open.add(this);
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
    this.#settle();
    this.#answers.drop();
    this.cancel();
  }

  /** Ends the call for both sides: the reader is told why. */
  abort(error: unknown): void {
    this.#settle();
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
    this.#settle();
    this.#answers.end();
  }

  fail(error: unknown): void {
    this.#settle();
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

  #settle(): void {
    this.#open.delete(this.id);
    this.release?.();
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

/** A FatalError is nobody's answer: it ends the member. */
function answerable(error: unknown): unknown {
  if (error instanceof FatalError) throw error;
  return error;
}
