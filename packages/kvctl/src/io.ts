/** Everything kvctl needs from its process, as an argument: `main.ts` gives the real one, tests their own. */
import { type Clock, sleep } from '@quorate/base';
import type { OpenChannel, TlsOptions } from '@quorate/client';
import { type ByteString, fromBytes, toBytes } from './text/bytes.ts';

/** A program that was started, with kvctl's own output and no input. */
export interface Child {
  /** Resolves when it is gone, or could not be started. */
  readonly ended: Promise<ChildEnd>;
  /** Does nothing when it is gone. */
  signal(name: Interrupt): void;
}

/** How a program ended; `reason` is the code of node's error. */
export type ChildEnd =
  | { readonly at: 'exit'; readonly code: number }
  | { readonly at: 'signal'; readonly signal: string }
  | { readonly at: 'start'; readonly reason: string };

/** The signals that ask kvctl to come to an end. */
export type Interrupt = 'SIGINT' | 'SIGTERM';

/** The world of one run. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly stdout: { write(bytes: Uint8Array): unknown };
  readonly stderr: { write(bytes: Uint8Array): unknown };
  readonly clock: Clock;
  /** Throws what node:fs throws. */
  readonly readFile: (path: string) => Buffer;
  /** Starts a program with kvctl's environment and `env`; `words` are its name and arguments, at least one. */
  readonly spawn: (words: readonly string[], env: Readonly<Record<string, string>>) => Child;
  /** From now on these signals do not end the process but call `fn`, until the returned function is called. */
  readonly onInterrupt: (fn: (signal: Interrupt) => void) => () => void;
  /** The body of an HTTP answer with status 200; rejects otherwise. */
  readonly fetchText: (url: string, tls: TlsOptions | undefined) => Promise<string>;
  /** Width for help texts. */
  readonly columns: number;
  /** Of kvctl itself. */
  readonly version: string;
  /** Instead of the network. */
  readonly transport?: OpenChannel;
}

/** Output and input in byte strings. */
export class Terminal {
  readonly io: Io;
  #input: AsyncIterator<Uint8Array> | undefined;
  #buffered = '';
  #ended = false;

  constructor(io: Io) {
    this.io = io;
  }

  out(text: ByteString): void {
    if (text !== '') this.io.stdout.write(toBytes(text));
  }

  err(text: ByteString): void {
    if (text !== '') this.io.stderr.write(toBytes(text));
  }

  /** The next line of stdin with its newline; undefined at the end, also when the last line has none. */
  async readLine(): Promise<ByteString | undefined> {
    for (;;) {
      const end = this.#buffered.indexOf('\n');
      if (end >= 0) {
        const line = this.#buffered.slice(0, end + 1);
        this.#buffered = this.#buffered.slice(end + 1);
        return line;
      }
      if (!(await this.#fill())) return undefined;
    }
  }

  /** Everything left on stdin. */
  async readAll(): Promise<ByteString> {
    while (await this.#fill());
    const rest = this.#buffered;
    this.#buffered = '';
    return rest;
  }

  async pause(ms: number): Promise<void> {
    await sleep(this.io.clock, ms);
  }

  async #fill(): Promise<boolean> {
    if (this.#ended) return false;
    this.#input ??= this.io.stdin[Symbol.asyncIterator]();
    const { value, done } = await this.#input.next();
    if (done === true) this.#ended = true;
    else this.#buffered += fromBytes(value);
    return done !== true;
  }
}
