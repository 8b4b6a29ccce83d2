/**
 * What happens around every call, whatever transport serves it: guards that may refuse it, keepers that may end it, counters.
 * Each method is replaced by one that does this and then calls the original handler.
 */
import type { Clock, Meter } from '@quorate/base';
import { type KvError, Status, type StatusCode } from '@quorate/proto';
import { MethodStats } from './method-stats.ts';
import { statusCodeOf } from './respond.ts';
import type {
  BidiHandler,
  ClientStream,
  ClientStreamHandler,
  Metadata,
  Reply,
  ServerCall,
  ServerStream,
  ServerStreamHandler,
  ServiceMethod,
  UnaryHandler,
} from './service.ts';

/** Looks at a call before its handler does; an error refuses it. `request` is undefined when the client streams. */
export type CallGuard = (call: ServerCall, method: ServiceMethod, request: unknown) => KvError | undefined;

/** May end streaming calls that were let in, from outside their handlers. */
export interface StreamKeeper {
  /** Returns what to call when the stream is over; undefined when it does not care for this one. */
  keep(call: ServerCall, end: (error: KvError) => void): (() => void) | undefined;
}

export interface InstrumentOptions {
  readonly meter: Meter;
  /** Asked in order; the first error wins. */
  readonly guards: readonly CallGuard[];
  readonly keepers: readonly StreamKeeper[];
  /** Given for `--metrics=extensive`: the time of every call goes into `grpc_server_handling_seconds`. */
  readonly handlingClock?: Clock;
}

/** `methods` with guards, keepers and counters around their handlers. */
export function instrument(methods: readonly ServiceMethod[], options: InstrumentOptions): ServiceMethod[] {
  return methods.map((method) => {
    const stats = new MethodStats(method, options.meter, options.handlingClock);
    return method.kind === 'unary'
      ? { ...method, handler: unary(method, stats, options.guards) }
      : streaming(method, stats, options);
  });
}

function unary(
  method: ServiceMethod,
  stats: MethodStats,
  guards: readonly CallGuard[],
): UnaryHandler<unknown, unknown> {
  const handler = method.handler as UnaryHandler<unknown, unknown>;
  return (request, call, reply) => {
    const observed = new ObservedReply(stats, reply);
    const refused = firstRefusal(guards, call, method, request);
    if (refused !== undefined) {
      observed.fail(refused);
      return;
    }
    try {
      handler(request, call, observed);
    } catch (error) {
      observed.fail(error);
    }
  };
}

function streaming(method: ServiceMethod, stats: MethodStats, options: InstrumentOptions): ServiceMethod {
  const around = { stats, method, options };
  switch (method.kind) {
    case 'unary':
      return method;
    case 'serverStream': {
      const inner = method.handler as ServerStreamHandler<unknown, unknown>;
      const handler: ServerStreamHandler<unknown, unknown> = (request, call, stream) => {
        stats.received.add();
        new ObservedStream(around, call, stream, undefined).run(request, (self) => inner(request, self, self));
      };
      return { ...method, handler };
    }
    case 'clientStream': {
      const inner = method.handler as ClientStreamHandler<unknown, unknown>;
      const handler: ClientStreamHandler<unknown, unknown> = (requests, call, reply) =>
        new ObservedStream(around, call, reply, requests).run(undefined, (self) => inner(self, self, self));
      return { ...method, handler };
    }
    case 'bidi': {
      const inner = method.handler as BidiHandler<unknown, unknown>;
      const handler: BidiHandler<unknown, unknown> = (requests, call, stream) =>
        new ObservedStream(around, call, stream, requests).run(undefined, (self) => inner(self, self, self));
      return { ...method, handler };
    }
  }
}

function firstRefusal(
  guards: readonly CallGuard[],
  call: ServerCall,
  method: ServiceMethod,
  request: unknown,
): KvError | undefined {
  for (const guard of guards) {
    const refused = guard(call, method, request);
    if (refused !== undefined) return refused;
  }
  return undefined;
}

/** A transport gives a Reply or a ServerStream, as the kind of the call asks; its handler uses only that half. */
type Out = Reply<unknown> & ServerStream<unknown>;

/** Private by keyword and not by #, as Writer is: one is made per call. */
class ObservedReply implements Reply<unknown> {
  private readonly stats: MethodStats;
  private readonly reply: Reply<unknown>;
  private readonly beganMs: number;

  constructor(stats: MethodStats, reply: Reply<unknown>) {
    this.stats = stats;
    this.reply = reply;
    this.beganMs = stats.begin();
    stats.received.add();
  }

  get takesMessages(): boolean {
    return this.reply.takesMessages === true;
  }

  ok(response: unknown): void {
    this.stats.sent.add();
    this.stats.end(Status.OK, this.beganMs);
    this.reply.ok(response);
  }

  encoded(bytes: Buffer): void {
    this.stats.sent.add();
    this.stats.end(Status.OK, this.beganMs);
    this.reply.encoded(bytes);
  }

  pieces(pieces: readonly Buffer[]): void {
    this.stats.sent.add();
    this.stats.end(Status.OK, this.beganMs);
    this.reply.pieces(pieces);
  }

  fail(error: unknown): void {
    this.stats.end(statusCodeOf(error), this.beganMs);
    this.reply.fail(error);
  }
}

interface Around {
  readonly stats: MethodStats;
  readonly method: ServiceMethod;
  readonly options: InstrumentOptions;
}

/** A streaming call as its handler sees it. */
class ObservedStream implements ServerCall, Reply<unknown>, ServerStream<unknown>, ClientStream<unknown> {
  readonly path: string;
  cancelled = false;
  readonly #around: Around;
  readonly #call: ServerCall;
  readonly #out: Out;
  readonly #requests: ClientStream<unknown> | undefined;
  readonly #beganMs: number;
  readonly #releases: (() => void)[] = [];
  #cancelListeners: (() => void)[] = [];
  #over = false;

  constructor(
    around: Around,
    call: ServerCall,
    out: Reply<unknown> | ServerStream<unknown>,
    requests: ClientStream<unknown> | undefined,
  ) {
    this.path = call.path;
    this.#around = around;
    this.#call = call;
    this.#out = out as Out;
    this.#requests = requests;
    this.#beganMs = around.stats.begin();
  }

  run(request: unknown, step: (self: ObservedStream) => void): void {
    const { method, options } = this.#around;
    const refused = firstRefusal(options.guards, this.#call, method, request);
    if (refused !== undefined) {
      this.fail(refused);
      return;
    }
    this.#call.onCancel(() => {
      if (this.#close(Status.CANCELLED)) this.#cancel();
    });
    for (const keeper of options.keepers) {
      const release = keeper.keep(this.#call, (error) => this.#abort(error));
      if (release !== undefined) this.#releases.push(release);
    }
    this.#try(() => step(this));
  }

  get metadata(): Metadata {
    return this.#call.metadata;
  }
  get peer(): string {
    return this.#call.peer;
  }

  get commonName(): string | undefined {
    return this.#call.commonName;
  }
  get timeoutMs(): number | undefined {
    return this.#call.timeoutMs;
  }
  get queuedBytes(): number {
    return this.#out.queuedBytes;
  }

  onCancel(fn: () => void): void {
    if (this.cancelled) fn();
    else this.#cancelListeners.push(fn);
  }
  setHeader(name: string, value: string): void {
    this.#call.setHeader(name, value);
  }
  setTrailer(name: string, value: string): void {
    this.#call.setTrailer(name, value);
  }

  ok(response: unknown): void {
    this.#around.stats.sent.add();
    this.#close(Status.OK);
    this.#out.ok(response);
  }
  encoded(bytes: Buffer): void {
    this.#around.stats.sent.add();
    this.#close(Status.OK);
    this.#out.encoded(bytes);
  }
  pieces(pieces: readonly Buffer[]): void {
    this.#around.stats.sent.add();
    this.#close(Status.OK);
    this.#out.pieces(pieces);
  }
  send(response: unknown): boolean {
    if (this.#over) return false;
    this.#around.stats.sent.add();
    return this.#out.send(response);
  }
  sendEncoded(bytes: Buffer): boolean {
    if (this.#over) return false;
    this.#around.stats.sent.add();
    return this.#out.sendEncoded(bytes);
  }
  sendHeaders(): void {
    this.#out.sendHeaders();
  }
  onDrain(fn: () => void): void {
    this.#out.onDrain(() => this.#try(fn));
  }
  end(): void {
    this.#close(Status.OK);
    this.#out.end();
  }
  fail(error: unknown): void {
    this.#close(statusCodeOf(error));
    this.#out.fail(error);
  }

  onMessage(fn: (request: unknown) => void): void {
    this.#requests?.onMessage((request) => {
      if (this.#over) return;
      this.#around.stats.received.add();
      this.#try(() => fn(request));
    });
  }
  onEnd(fn: () => void): void {
    this.#requests?.onEnd(() => this.#try(fn));
  }
  pause(): void {
    this.#requests?.pause();
  }
  resume(): void {
    this.#requests?.resume();
  }

  #try(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#abort(error);
    }
  }

  /** Ends the call with an error its handler does not know of. */
  #abort(error: unknown): void {
    if (this.#over) return;
    this.fail(error);
    this.#cancel();
  }

  #cancel(): void {
    this.cancelled = true;
    const listeners = this.#cancelListeners;
    this.#cancelListeners = [];
    for (const listener of listeners) listener();
  }

  /** Counts the end and lets the keepers go; false when that was done before. */
  #close(code: StatusCode): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#around.stats.end(code, this.#beganMs);
    for (const release of this.#releases) release();
    return true;
  }
}
