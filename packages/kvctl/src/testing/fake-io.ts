/** A world for tests of whole command lines: streams in memory, members that answer from a list, a clock that jumps. */
import type { Clock } from '@quorate/base';
import { type OpenChannel, RpcError } from '@quorate/client';
import { type AnyMethod, type MethodInfo, Status, type StatusCode } from '@quorate/proto';
import type { ChildEnd, Interrupt, Io } from '../io.ts';
import { run } from '../run.ts';
import { FakeStreams, type StreamScript } from './fake-stream.ts';

/** How members answer: by endpoint and method name, `*` for every endpoint. */
export type Answer = { readonly bytes: Buffer } | { readonly status: StatusCode; readonly details: string };

/** A request that a member got. */
export interface Asked {
  readonly endpoint: string;
  readonly path: string;
  readonly request: Buffer;
  readonly atMs: number;
}

/** A program that was run. */
export interface Spawned {
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly signals: readonly Interrupt[];
}

/** What surrounds one run. */
export interface Surroundings {
  readonly stdin?: string;
  /** The input never ends. */
  readonly endless?: boolean;
  readonly env?: Record<string, string>;
  /** How programs end; with code 0 unless told otherwise. */
  readonly child?: (spawned: Spawned) => ChildEnd | Promise<ChildEnd>;
  /** Called for every unary request, before it is answered. */
  readonly onAsk?: (asked: Asked) => void;
  /** What `/metrics` answers, one after the other. */
  readonly metrics?: readonly string[];
}

export interface Outcome {
  readonly code: number;
  /** Byte strings. */
  readonly stdout: string;
  readonly stderr: string;
  readonly asked: readonly Asked[];
  /** Programs it ran. */
  readonly spawned: readonly Spawned[];
  /** Virtual time at the end. */
  readonly tookMs: number;
}

export class FakeWorld {
  readonly #answers: Map<string, Answer> = new Map();
  readonly #streams: Map<string, Pick<FakeStreams<unknown, unknown>, 'open'>> = new Map();
  readonly #interrupts = new Set<(name: Interrupt) => void>();

  /** All members answer this method so. */
  answer<Request, Response>(
    method: MethodInfo<Request, Response, false, false>,
    response: Partial<Response>,
    endpoint = '*',
  ): this {
    this.#answers.set(`${endpoint}${method.path}`, { bytes: method.response.encode(method.response.create(response)) });
    return this;
  }

  /** All members serve streams of this method so. */
  stream<Request, Response>(
    method: MethodInfo<Request, Response, true, true>,
    script: StreamScript<Request, Response>,
  ): this {
    this.#streams.set(method.path, new FakeStreams(method, script));
    return this;
  }

  refuse(method: AnyMethod, status: StatusCode, details: string, endpoint = '*'): this {
    this.#answers.set(`${endpoint}${method.path}`, { status, details });
    return this;
  }

  /** As if the process got this signal. */
  interrupt(name: Interrupt): void {
    for (const fn of [...this.#interrupts]) fn(name);
  }

  /** Runs a command line; words separated by spaces, or a list of byte strings. */
  async run(
    line: string | readonly string[],
    {
      stdin = '',
      endless = false,
      env = {},
      child = () => ({ at: 'exit', code: 0 }),
      metrics = [],
      onAsk = () => {},
    }: Surroundings = {},
  ): Promise<Outcome> {
    const clock = new JumpingClock();
    const asked: Asked[] = [];
    const spawned: Spawned[] = [];
    const bodies = [...metrics];
    const stdout: Uint8Array[] = [];
    const stderr: Uint8Array[] = [];
    const io: Io = {
      env,
      stdin: input(stdin, endless),
      stdout: { write: (bytes) => stdout.push(bytes) },
      stderr: { write: (bytes) => stderr.push(bytes) },
      clock,
      readFile: (path) => {
        throw Object.assign(new Error(`cannot read ${path}`), { code: 'ENOENT' });
      },
      spawn: (words, childEnv) => {
        const signals: Interrupt[] = [];
        const one = { words, env: childEnv, signals };
        spawned.push(one);
        return { ended: Promise.resolve(child(one)), signal: (name) => signals.push(name) };
      },
      onInterrupt: (fn) => {
        this.#interrupts.add(fn);
        return () => this.#interrupts.delete(fn);
      },
      fetchText: async (url) => {
        const body = bodies.shift();
        if (body === undefined) throw new Error(`connect ECONNREFUSED ${url}`);
        return body;
      },
      columns: 100,
      version: '1.2.3',
      transport: this.#transport(clock, (one) => {
        asked.push(one);
        onAsk(one);
      }),
    };
    const words = typeof line === 'string' ? line.split(' ').filter((word) => word !== '') : line;
    const code = await run(words, io);
    const text = (chunks: Uint8Array[]): string => Buffer.concat(chunks).toString('latin1');
    return { code, stdout: text(stdout), stderr: text(stderr), asked, spawned, tookMs: clock.nowMs() };
  }

  #transport(clock: Clock, note: (asked: Asked) => void): OpenChannel {
    return ({ text: endpoint }) => ({
      isConnected: true,
      connect: () => Promise.resolve(),
      close: () => {},
      unary: async (path, request) => {
        note({ endpoint, path, request, atMs: clock.nowMs() });
        const answer = this.#answers.get(endpoint + path) ?? this.#answers.get(`*${path}`);
        if (answer !== undefined && 'bytes' in answer) return answer.bytes;
        const refused = { status: Status.UNAVAILABLE, details: `connect ECONNREFUSED ${endpoint}` };
        throw new RpcError({ ...(answer ?? refused), endpoint, sent: answer !== undefined });
      },
      async *serverStream() {},
      bidiStream: (path, attempt) => {
        const streams = this.#streams.get(path);
        if (streams === undefined) throw new Error(`no member of this world serves ${path}`);
        return streams.open(endpoint, attempt);
      },
    });
  }
}

interface Waiting {
  readonly atMs: number;
  readonly fn: () => void;
}

/** Time passes only when everybody waits, and then at once up to whoever is next. */
class JumpingClock implements Clock {
  #nowMs = 0;
  #isArmed = false;
  readonly #waiting = new Set<Waiting>();

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, fn: () => void): { cancel: () => void } {
    const waiting = { atMs: this.#nowMs + delayMs, fn };
    this.#waiting.add(waiting);
    this.#arm();
    return { cancel: () => this.#waiting.delete(waiting) };
  }

  soon(fn: () => void): void {
    setImmediate(fn);
  }

  #arm(): void {
    if (this.#isArmed) return;
    this.#isArmed = true;
    setImmediate(() => {
      this.#isArmed = false;
      let next: Waiting | undefined;
      for (const one of this.#waiting) if (next === undefined || one.atMs < next.atMs) next = one;
      if (next === undefined) return;
      this.#waiting.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      this.#arm();
      next.fn();
    });
  }
}

async function* input(text: string, endless: boolean): AsyncGenerator<Uint8Array> {
  if (text !== '') yield Buffer.from(text, 'latin1');
  if (endless) await new Promise(() => {});
}
