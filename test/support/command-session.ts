/** A program that runs for a while: what it says is watched, it is told things, and in the end it is signalled or ends itself. */
import { type ChildProcess, spawn } from 'node:child_process';
import { neutralEnvironment } from './byte-command.ts';
import { waitFor } from './kvd-process.ts';

export interface SessionResult {
  /** The exit code, or the name of the signal that ended it. */
  readonly end: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

export class CommandSession {
  readonly #child: ChildProcess;
  readonly #closed: Promise<number | string>;
  #stdout = '';
  #stderr = '';

  /** Starts it. `env` comes on top of an environment without the variables of etcd's and our programs. */
  constructor(words: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const [program, ...args] = words;
    this.#child = spawn(program!, args, { env: { ...neutralEnvironment(), ETCDCTL_API: '3', ...env } });
    this.#child.stdout!.on('data', (chunk: Buffer) => {
      this.#stdout += chunk.toString('latin1');
    });
    this.#child.stderr!.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString('latin1');
    });
    // It may be gone before it is written.
    this.#child.stdin!.on('error', () => {});
    this.#closed = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get stdout(): string {
    return this.#stdout;
  }

  type(text: string): void {
    this.#child.stdin!.write(text);
  }

  closeInput(): void {
    this.#child.stdin!.end();
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Resolves when standard output matches. */
  says(pattern: RegExp, limitMs?: number): Promise<RegExpMatchArray> {
    return this.#until(pattern, () => this.#stdout, limitMs);
  }

  /** Resolves when standard error matches. */
  warns(pattern: RegExp, limitMs?: number): Promise<RegExpMatchArray> {
    return this.#until(pattern, () => this.#stderr, limitMs);
  }

  /** Resolves when it has ended; kills it and rejects when that takes too long. */
  async ended(limitMs = 20_000): Promise<SessionResult> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), limitMs);
    const end = await this.#closed;
    clearTimeout(timer);
    return { end, stdout: this.#stdout, stderr: this.#stderr };
  }

  /** Ends it without ceremony. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#closed;
  }

  async #until(pattern: RegExp, output: () => string, limitMs = 30_000): Promise<RegExpMatchArray> {
    try {
      return await waitFor(`output like ${pattern}`, limitMs, async () => output().match(pattern) ?? undefined);
    } catch (error) {
      throw new Error(`${String(error)}\nstdout: ${this.#stdout}\nstderr: ${this.#stderr}`);
    }
  }
}
