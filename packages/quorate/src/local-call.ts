/**
 * Calls of a member's services without a network between. Requests go in as they are, nothing is encoded on the way in. An
 * answer that the member puts together from stored bytes comes encoded and is decoded into views of those; that of a put comes as it is.
 */
import { FatalError } from '@quorate/base';
import type { CallOptions } from '@quorate/client';
import type { Codec } from '@quorate/proto';
import type { Metadata, Reply, ServerCall } from '@quorate/rpc';

const noMetadata: Metadata = { get: () => undefined };
const requireLeader: Metadata = { get: (name) => (name === 'hasleader' ? 'true' : undefined) };

/** What the one endpoint of an embedded member is called. */
export const endpoint = 'embedded';

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
export interface LocalMethod<Res> {
  readonly path: string;
  readonly response: Codec<Res>;
}

/** The side of a call that a service sees. Private by keyword and not by #, as Writer is: one is made per call. */
export abstract class LocalCall implements ServerCall {
  readonly path: string;
  readonly metadata: Metadata;
  readonly timeoutMs: number | undefined;
  cancelled = false;
  /** Lets go of a deadline or a signal, for calls that have one. */
  release: (() => void) | undefined;
  /** Neighbours among the calls under way. */
  before: LocalCall | undefined;
  behind: LocalCall | undefined;
  private readonly calls: OpenCalls;
  private listeners: (() => void)[] | undefined;

  /** Is among `calls` until it is settled. */
  constructor(calls: OpenCalls, path: string, options: CallOptions | undefined) {
    this.path = path;
    this.timeoutMs = options?.timeoutMs;
    this.metadata = options?.requireLeader === true ? requireLeader : noMetadata;
    this.calls = calls;
    calls.add(this);
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

  protected settle(): void {
    this.calls.delete(this);
    this.release?.();
  }
}

/** What settles the promise made last. One function for all promises: one for each would be 120 bytes of garbage a call. */
let resolveLast!: (value: unknown) => void;
let rejectLast!: (reason: unknown) => void;
function keepSettlers(resolve: typeof resolveLast, reject: typeof rejectLast): void {
  resolveLast = resolve;
  rejectLast = reject;
}

/** A call with one answer. */
export class LocalUnary<Res> extends LocalCall implements Reply<Res> {
  readonly promise: Promise<Res>;
  private readonly resolve: (response: Res) => void;
  private readonly reject: (error: unknown) => void;
  private readonly response: Codec<Res>;

  constructor(calls: OpenCalls, method: LocalMethod<Res>, options: CallOptions | undefined) {
    super(calls, method.path, options);
    this.promise = new Promise<unknown>(keepSettlers) as Promise<Res>;
    this.resolve = resolveLast;
    this.reject = rejectLast;
    this.response = method.response;
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
}

/** A FatalError is nobody's answer: it ends the member. */
export function answerable(error: unknown): unknown {
  if (error instanceof FatalError) throw error;
  return error;
}
