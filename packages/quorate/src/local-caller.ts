/**
 * A member as the client library's services see it: every call ends in the member's own handlers, through the guards that calls
 * from a network go through.
 */
import type { Clock } from '@quorate/base';
import { type BidiCall, type Caller, type CallOptions, deadlineError, RpcError } from '@quorate/client';
import { type MethodInfo, Status } from '@quorate/proto';
import type { BidiHandler, ServerStreamHandler, ServiceMethod, UnaryHandler } from '@quorate/rpc';
import { endpoint, type LocalCall, LocalUnary, OpenCalls } from './local-call.ts';
import { LocalStream } from './local-stream.ts';

type AnyUnary = UnaryHandler<unknown, unknown>;
type AnyServerStream = ServerStreamHandler<unknown, unknown>;
type AnyBidi = BidiHandler<unknown, unknown>;

export class LocalCaller implements Caller {
  readonly clock: Clock;
  readonly endpoints: readonly string[] = [endpoint];
  readonly #handlers: ReadonlyMap<string, ServiceMethod['handler']>;
  readonly #calls = new OpenCalls();
  #ended: { readonly error: unknown } | undefined;

  constructor(clock: Clock, methods: readonly ServiceMethod[]) {
    this.clock = clock;
    this.#handlers = new Map(methods.map(({ path, handler }) => [path, handler]));
  }

  /** Rejects with KvError, RpcError, or the signal's reason; a write that was given up may still happen. */
  unary<Request, Response>(
    method: MethodInfo<Request, Response, false, false>,
    request: Partial<Request>,
    options?: CallOptions,
  ): Promise<Response> {
    try {
      const handler = this.#begin<AnyUnary>(method.path, options);
      const call = new LocalUnary(this.#calls, method, options);
      if (options !== undefined) call.release = this.#limit(call, options);
      handler(method.request.create(request), call, call);
      return call.promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Leaving the loop ends the call. */
  async *serverStream<Request, Response>(
    method: MethodInfo<Request, Response, false, true>,
    request: Partial<Request>,
    options: CallOptions = {},
  ): AsyncGenerator<Response, void, undefined> {
    const handler = this.#begin<AnyServerStream>(method.path, options);
    const call = this.#stream<Request, Response>(method, options);
    handler(method.request.create(request), call, call);
    yield* call.responses();
  }

  async bidiStream<Request, Response>(
    method: MethodInfo<Request, Response, true, true>,
    options: CallOptions = {},
  ): Promise<BidiCall<Request, Response>> {
    const handler = this.#begin<AnyBidi>(method.path, options);
    const call = this.#stream<Request, Response>(method, options);
    handler(call, call, call);
    return {
      endpoint,
      responses: call.responses(),
      send: (request) => call.request(method.request.create(request)),
      cancel: () => call.leave(),
    };
  }

  /** Ends all calls, running ones and later ones, with `error`. */
  end(error: unknown): void {
    if (this.#ended !== undefined) return;
    this.#ended = { error };
    this.#calls.abort(error);
  }

  /** The method's handler. Throws what keeps a call from beginning. */
  #begin<Handler>(path: string, options: CallOptions | undefined): Handler {
    if (this.#ended !== undefined) throw this.#ended.error;
    options?.signal?.throwIfAborted();
    const handler = this.#handlers.get(path);
    if (handler !== undefined) return handler as Handler;
    throw new RpcError({ status: Status.UNIMPLEMENTED, details: `no method ${path}`, endpoint, sent: false });
  }

  #stream<Request, Response>(
    method: MethodInfo<Request, Response, boolean, true>,
    options: CallOptions,
  ): LocalStream<Request, Response> {
    const call = new LocalStream<Request, Response>(this.#calls, method, options);
    call.release = this.#limit(call, options);
    return call;
  }

  /** Ends the call when its time is up or the signal says so. Returns what takes that back. */
  #limit(call: LocalCall, { signal, timeoutMs }: CallOptions): () => void {
    const onAbort = (): void => call.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    const late = (): void => call.abort(deadlineError({ endpoint, sent: true }));
    const timer = timeoutMs === undefined ? undefined : this.clock.after(timeoutMs, late);
    return () => {
      signal?.removeEventListener('abort', onAbort);
      timer?.cancel();
    };
  }
}
