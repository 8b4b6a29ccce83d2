/** Streams in both directions for the members of a fake world: a script sees each request and answers as it likes. */
import type { Attempt, BidiStream } from '@quorate/client';
import { RpcError } from '@quorate/client';
import type { MethodInfo, StatusCode } from '@quorate/proto';

/** A member's side of a stream. */
export interface Answering<Response> {
  readonly endpoint: string;
  /** Counts the streams of this method from 1. */
  readonly stream: number;
  send(response: Partial<Response>): void;
  fail(status: StatusCode, details: string): void;
}

/** What a member does with each request of a stream. */
export type StreamScript<Request, Response> = (request: Request, answering: Answering<Response>) => void;

/** One method's streams. */
export class FakeStreams<Request, Response> {
  readonly #method: MethodInfo<Request, Response, true, true>;
  readonly #script: StreamScript<Request, Response>;
  #count = 0;

  constructor(method: MethodInfo<Request, Response, true, true>, script: StreamScript<Request, Response>) {
    this.#method = method;
    this.#script = script;
  }

  open(endpoint: string, { signal }: Attempt): BidiStream {
    const { request: requests, response: responses } = this.#method;
    const queue = new Queue();
    this.#count += 1;
    const answering: Answering<Response> = {
      endpoint,
      stream: this.#count,
      send: (response) => queue.push(responses.encode(responses.create(response))),
      fail: (status, details) => queue.end(new RpcError({ status, details, endpoint, sent: true })),
    };
    signal?.addEventListener('abort', () => queue.end(signal.reason), { once: true });
    return {
      responses: queue,
      send: (bytes) => {
        if (!queue.hasEnded) this.#script(requests.decode(bytes), answering);
      },
      end: () => {},
      cancel: () => queue.end(undefined),
    };
  }
}

class Queue implements AsyncIterableIterator<Buffer, undefined> {
  readonly #items: Buffer[] = [];
  #wake: () => void = () => {};
  #failure: unknown;
  hasEnded = false;

  push(item: Buffer): void {
    if (!this.hasEnded) this.#items.push(item);
    this.#wake();
  }

  end(failure: unknown): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.#failure = failure;
    this.#wake();
  }

  async next(): Promise<IteratorResult<Buffer, undefined>> {
    for (;;) {
      const value = this.#items.shift();
      if (value !== undefined) return { done: false, value };
      if (this.hasEnded) break;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<Buffer, undefined>> {
    this.end(undefined);
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
