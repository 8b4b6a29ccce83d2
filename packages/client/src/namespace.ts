/**
 * A part of the keys as if it were all of them, as clientv3/namespace has it: a prefix is put before every key on its way to the
 * members and taken off on the way back. What recipes build on a namespace stays in it.
 */
import type { Clock } from '@quorate/base';
import type { MethodInfo } from '@quorate/proto';
import { type Bytes, toBuffer } from './bytes.ts';
import type { BidiCall, Caller, CallOptions } from './call.ts';
import { Kv } from './kv.ts';
import { Lease } from './lease.ts';
import { Prefix, translationOf } from './prefixing.ts';
import type { Space } from './space.ts';
import type { Watcher, WatchOptions } from './watch.ts';
import { WatchHub } from './watch-hub.ts';

/** The keys that begin with a prefix, without it. Leases are not divided: their ids are those of the cluster. */
export class Namespace implements Space {
  readonly kv: Kv;
  readonly lease: Lease;
  readonly clock: Clock;
  readonly #caller: Caller;
  readonly #watches: WatchHub;

  /** Of a client, or of what {@link Namespace.namespace} is a part of. */
  constructor(caller: Caller, prefix: Bytes) {
    this.#caller = new PrefixingCaller(caller, new Prefix(toBuffer(prefix)));
    this.#watches = new WatchHub(this.#caller);
    this.clock = caller.clock;
    this.kv = new Kv(this.#caller);
    this.lease = new Lease(this.#caller);
  }

  /** As {@link Space.watch}. Watches of a namespace share streams with one another, not with those outside. */
  watch(key: Bytes, options?: WatchOptions): Watcher {
    return this.#watches.watch(key, options);
  }

  /** A part of this part. */
  namespace(prefix: Bytes): Namespace {
    return new Namespace(this.#caller, prefix);
  }
}

class PrefixingCaller implements Caller {
  readonly #caller: Caller;
  readonly #prefix: Prefix;

  constructor(caller: Caller, prefix: Prefix) {
    this.#caller = caller;
    this.#prefix = prefix;
  }

  get clock(): Clock {
    return this.#caller.clock;
  }

  get endpoints(): readonly string[] {
    return this.#caller.endpoints;
  }

  async unary<Request, Response>(
    method: MethodInfo<Request, Response, false, false>,
    request: Partial<Request>,
    options?: CallOptions,
  ): Promise<Response> {
    const { asked, answered } = this.#translation(method);
    return answered(await this.#caller.unary(method, asked(request), options));
  }

  async *serverStream<Request, Response>(
    method: MethodInfo<Request, Response, false, true>,
    request: Partial<Request>,
    options?: CallOptions,
  ): AsyncGenerator<Response, void, undefined> {
    const { asked, answered } = this.#translation(method);
    for await (const response of this.#caller.serverStream(method, asked(request), options)) yield answered(response);
  }

  async bidiStream<Request, Response>(
    method: MethodInfo<Request, Response, true, true>,
    options?: CallOptions,
  ): Promise<BidiCall<Request, Response>> {
    const { asked, answered } = this.#translation(method);
    const call = await this.#caller.bidiStream(method, options);
    async function* responses(): AsyncGenerator<Response, void, undefined> {
      for await (const response of call.responses) yield answered(response);
    }
    return {
      endpoint: call.endpoint,
      responses: responses(),
      send: (request) => call.send(asked(request)),
      cancel: (blame) => call.cancel(blame),
    };
  }

  #translation<Request, Response>(
    method: MethodInfo<Request, Response, boolean, boolean>,
  ): { asked: (request: Partial<Request>) => Request; answered: (response: Response) => Response } {
    const translation = translationOf(method);
    return {
      asked: (request) => translation.request(this.#prefix, method.request.create(request)) as Request,
      answered: (response) => translation.response(this.#prefix, response) as Response,
    };
  }
}
