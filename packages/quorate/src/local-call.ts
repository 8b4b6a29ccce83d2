/**
 * Calls of a member's services without a network between. Requests go in as they are, nothing is encoded on the way in. An
 * answer that the member puts together from stored bytes comes encoded and is decoded into views of those; that of a put comes as it is.
 */
import { FatalError } from '@quorate/base';
import { type CallOptions, Mailbox } from '@quorate/client';
import type { Codec } from '@quorate/proto';
import type { ClientStream, Metadata, Reply, ServerCall, ServerStream } from '@quorate/rpc';

const noMetadata: Metadata = { get: () => undefined };
const requireLeader: Metadata = { get: (name) => (name === 'hasleader' ? 'true' : undefined) };

/** What the one endpoint of an embedded member is called. */
export const endpoint = 'embedded';

/** Bytes of answers that may lie unread before the service is asked to wait. */
const unreadBytesMax = 1024 * 1024;

/**
 * Calls under way, each linked to its neighbours: a table of them would be old memory that refers to young, one more thing for the
 * collector to go through for each call.
 */
export class OpenCalls {
  #last: LocalCall | undefined;

  add(call: LocalCall): void {
    const last = this.#last;
    call.before = last;
    if (last !== undefined) last.behind = call;
    this.#last = call;
  }

  /** Of a call that was added, once or more often. */
  delete(call: LocalCall): void {
    const { before, behind } = call;
    if (before !== undefined) before.behind = behind;
    if (behind !== undefined) behind.before = before;
    else if (this.#last === call) this.#last = before;
    call.before = undefined;
    call.behind = undefined;
  }

  /** Ends all there are. */
  abort(error: unknown): void {
    for (let call = this.#last; call !== undefined; call = this.#last) call.abort(error);
  }
}

/** What a call needs to know of its method. */
interface LocalMethod<Res> {
  readonly path: string;
  readonly response: Codec<Res>;
}

/** The side of a call that a service sees. Private by keyword and not by #: private names cost 25 ns per object made. */
export abstract class LocalCall implements ServerCall {
  readonly path: string;
  readonly metadata: Metadata;
  readonly timeoutMs: number | undefined;
  cancelled = false;
  /** Neighbours among the calls under way. */
  before: LocalCall | undefined;
  behind: LocalCall | undefined;
  private listeners: (() => void)[] | undefined;

  constructor(path: string, options: CallOptions | undefined) {
    this.path = path;
    this.timeoutMs = options?.timeoutMs;
    this.metadata = options?.requireLeader === true ? requireLeader : noMetadata;
  }

  /** Ends it from outside: tells the caller why, and the service that nobody waits any more. */
  abstract abort(error: unknown): void;

  get peer(): string {
    return endpoint;
  }

  get commonName(): undefined {
    return undefined;
  }

  onCancel(fn: () => void): void {
    if (this.cancelled) {
      fn();
    } else {
      this.listeners ??= [];
      this.listeners.push(fn);
    }
  }

  setHeader(): void {}

  setTrailer(): void {}

  /** Tells the service that nobody waits any more. */
  cancel(): void {
    if (this.cancelled) return;
    this.cancelled = true;
    const listeners = this.listeners ?? [];
    this.listeners = undefined;
    for (const listener of listeners) listener();
  }
}

/** Of the promise made last. One function for all promises: one for each would be 120 bytes of garbage a call. */
const settlers: { resolve: (value: unknown) => void; reject: (reason: unknown) => void } = {
  resolve: () => {},
  reject: () => {},
};
const keepSettlers = (resolve: (value: unknown) => void, reject: (reason: unknown) => void): void => {
  settlers.resolve = resolve;
  settlers.reject = reject;
};

/** A call with one answer; it is among the open ones until that is there. */
export class LocalUnary<Res> extends LocalCall implements Reply<Res> {
  /** Lets go of a deadline or a signal, for calls that have one. */
  release: (() => void) | undefined;
  readonly promise: Promise<Res>;
  private readonly resolve: (response: Res) => void;
  private readonly reject: (error: unknown) => void;
  private readonly calls: OpenCalls;
  private readonly response: Codec<Res>;

  constructor(calls: OpenCalls, method: LocalMethod<Res>, options: CallOptions | undefined) {
    super(method.path, options);
    this.promise = new Promise<unknown>(keepSettlers) as Promise<Res>;
    this.resolve = settlers.resolve;
    this.reject = settlers.reject;
    this.calls = calls;
    this.response = method.response;
    calls.add(this);
  }

  get takesMessages(): boolean {
    return true;
  }

  ok(response: Res): void {
    this.settle();
    this.resolve(response);
  }

  encoded(bytes: Buffer): void {
    this.ok(this.response.decode(bytes));
  }

  pieces(pieces: readonly Buffer[]): void {
    this.encoded(Buffer.concat(pieces));
  }

  fail(error: unknown): void {
    this.settle();
    this.reject(answerable(error));
  }

  abort(error: unknown): void {
    this.settle();
    this.reject(error);
    this.cancel();
  }

  private settle(): void {
    this.calls.delete(this);
    this.release?.();
  }
}

interface Answer<Res> {
  readonly value: Res;
  readonly bytes: number;
}

/** A call with a stream of answers, and for some a stream of requests. */
export class LocalStream<Req, Res> extends LocalCall implements ServerStream<Res>, ClientStream<Req> {
  /** Lets go of a deadline or a signal, for calls that have one. */
  release: (() => void) | undefined;
  readonly #response: Codec<Res>;
  readonly #calls: OpenCalls;
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
    super(method.path, options);
    this.#response = method.response;
    this.#calls = calls;
    calls.add(this);
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
    this.#calls.delete(this);
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
