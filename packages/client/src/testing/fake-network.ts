/** Members that answer from a script, for tests of the client above its transport. */
import type { Clock } from '@quorate/base';
import { Status, type StatusCode } from '@quorate/proto';
import type { Attempt, BidiStream, Channel, OpenChannel } from '../channel.ts';
import type { Endpoint } from '../endpoint.ts';
import { RpcError } from '../errors.ts';
import { Mailbox } from '../mailbox.ts';

/** What one member does with a call; a Buffer is an answer, `serves` asks {@link FakeNetwork.serveUnary} for it. */
export type Behaviour =
  | Buffer
  | 'refused'
  | 'blackhole'
  | 'serves'
  | { readonly status: StatusCode; readonly details: string };

/** One thing a member saw, or a client found. */
export interface Seen {
  readonly endpoint: string;
  readonly path: string;
  readonly request: Buffer;
  readonly attempt: Attempt;
  readonly atMs: number;
}

/** A stream in both directions, seen from the member. Everything happens at once: there is no wire. */
export interface FakeStream {
  readonly endpoint: string;
  readonly path: string;
  readonly attempt: Attempt;
  /** Answers that the client did not read yet. */
  readonly unread: number;
  onRequest: (request: Buffer) => void;
  /** The client cancelled it. */
  onCancel: () => void;
  send(response: Buffer): void;
  end(): void;
  /** The client reads what was sent, then this. */
  fail(status: StatusCode, details: string): void;
}

export class FakeNetwork {
  /** By endpoint: what it does now. Endpoints that are not listed refuse connections. */
  readonly behaviour: Map<string, Behaviour> = new Map();
  /** Requests that reached a member. */
  readonly seen: Seen[] = [];
  /** Endpoints that were dialled, in order. */
  readonly dialled: string[] = [];
  readonly closed: string[] = [];
  /** What members that serve answer; throws RpcError. */
  serveUnary: (endpoint: string, path: string, request: Buffer) => Buffer = () => Buffer.alloc(0);
  /** What members do with streams. */
  serveStream: (stream: FakeStream) => void = () => {};
  /** Streams that neither side has ended. */
  readonly openStreams: Set<FakeStream> = new Set();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get open(): OpenChannel {
    return (endpoint) => this.#channel(endpoint);
  }

  #channel(endpoint: Endpoint): Channel {
    const behaviour = (): Behaviour => this.behaviour.get(endpoint.text) ?? 'refused';
    const fail = (status: StatusCode, details: string, sent: boolean): RpcError =>
      new RpcError({ status, details, endpoint: endpoint.text, sent });
    let connected = false;
    const unary = async (path: string, request: Buffer, attempt: Attempt): Promise<Buffer> => {
      const now = behaviour();
      if (now === 'refused' || now === 'blackhole') {
        connected = false;
        throw fail(Status.UNAVAILABLE, `connect ECONNREFUSED ${endpoint.text}`, false);
      }
      this.seen.push({ endpoint: endpoint.text, path, request, attempt, atMs: this.#clock.nowMs() });
      attempt.signal?.throwIfAborted();
      if (now === 'serves') return this.serveUnary(endpoint.text, path, request);
      if (Buffer.isBuffer(now)) return now;
      throw fail(now.status, now.details, true);
    };
    return {
      get isConnected(): boolean {
        return connected;
      },
      connect: async (timeoutMs) => {
        this.dialled.push(endpoint.text);
        if (behaviour() === 'blackhole') {
          await new Promise<void>((resolve) => {
            this.#clock.after(timeoutMs, resolve);
          });
          throw fail(Status.UNAVAILABLE, `no connection within ${timeoutMs} ms`, false);
        }
        connected = behaviour() !== 'refused';
      },
      unary,
      async *serverStream(path, request, attempt) {
        const answer = await unary(path, request, attempt);
        for (const byte of answer) yield Buffer.from([0x10, byte]);
      },
      bidiStream: (path, attempt) => {
        if (behaviour() === 'refused') connected = false;
        return this.#bidiStream(endpoint, { path, attempt, refused: behaviour() === 'refused' });
      },
      close: () => {
        this.closed.push(endpoint.text);
      },
    };
  }

  #bidiStream(
    { text: endpoint }: Endpoint,
    { path, attempt, refused }: { path: string; attempt: Attempt; refused: boolean },
  ): BidiStream {
    const over = (): void => {
      this.openStreams.delete(stream);
      attempt.signal?.removeEventListener('abort', abort);
    };
    const cancelled = (): void => {
      if (this.openStreams.has(stream)) stream.onCancel();
      over();
    };
    const responses = new Mailbox<Buffer>({ onLeave: cancelled });
    const abort = (): void => {
      responses.abort(attempt.signal?.reason);
      cancelled();
    };
    const stream: FakeStream = {
      endpoint,
      path,
      attempt,
      get unread(): number {
        return responses.length;
      },
      onRequest: () => {},
      onCancel: () => {},
      send: (response) => responses.push(response),
      end: () => {
        over();
        responses.end();
      },
      fail: (status, details) => {
        over();
        responses.fail(new RpcError({ status, details, endpoint, sent: true }));
      },
    };
    if (refused) stream.fail(Status.UNAVAILABLE, `connect ECONNREFUSED ${endpoint}`);
    else {
      this.openStreams.add(stream);
      if (attempt.signal?.aborted === true) abort();
      attempt.signal?.addEventListener('abort', abort, { once: true });
      if (this.openStreams.has(stream)) this.serveStream(stream);
    }
    return {
      responses,
      send: (request) => {
        if (this.openStreams.has(stream)) stream.onRequest(request);
      },
      end: () => {},
      cancel: () => {
        responses.drop();
        cancelled();
      },
    };
  }
}
