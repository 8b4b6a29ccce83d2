/**
 * Streams in both directions as the client offers them: messages instead of bytes, errors as callers see them, what the
 * endpoint did reported to the pool. Closing the client ends them all, which is how everything built on them learns of it.
 */
import { type MethodInfo, Status } from '@quorate/proto';
import type { BidiCall } from './call.ts';
import type { BidiStream } from './channel.ts';
import { publicError, RpcError } from './errors.ts';
import { closedError, type EndpointPool, type Slot } from './pool.ts';

type Bidi<Request, Response> = MethodInfo<Request, Response, true, true>;

/** The streams of one client. */
export class BidiStreams {
  readonly #pool: EndpointPool;
  readonly #open = new Set<BidiStream>();
  #closed = false;

  constructor(pool: EndpointPool) {
    this.#pool = pool;
  }

  /** Takes over a stream that was just begun on `slot`. */
  adopt<Request, Response>(
    method: Bidi<Request, Response>,
    slot: Slot,
    stream: BidiStream,
  ): BidiCall<Request, Response> {
    this.#open.add(stream);
    return {
      endpoint: slot.endpoint.text,
      responses: this.#responses(method, slot, stream),
      send: (request) => stream.send(method.request.encode(method.request.create(request))),
      cancel: (blame) => {
        this.#open.delete(stream);
        stream.cancel();
        if (blame !== undefined) this.#pool.failed(slot, blame);
      },
    };
  }

  /** Ends all streams; their readers are told that the client is closed. */
  close(): void {
    this.#closed = true;
    for (const stream of [...this.#open]) stream.cancel();
  }

  async *#responses<Request, Response>(
    method: Bidi<Request, Response>,
    slot: Slot,
    stream: BidiStream,
  ): AsyncGenerator<Response, void, undefined> {
    try {
      for await (const bytes of stream.responses) {
        this.#pool.worked(slot);
        yield method.response.decode(bytes);
      }
    } catch (failure) {
      if (isConnectionLost(failure)) this.#pool.failed(slot, failure);
      throw publicError(failure);
    } finally {
      this.#open.delete(stream);
    }
    if (this.#closed) throw closedError();
  }
}

/** True when another member, or the same one later, may do better. */
export function isConnectionLost(failure: unknown): boolean {
  return failure instanceof RpcError && (failure.status === Status.UNAVAILABLE || failure.status === Status.INTERNAL);
}
