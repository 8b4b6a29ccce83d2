/** Real kvd processes for tests: start, kill, wait for a named condition. Only processes started here are ever signalled. */
import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts } from './ports.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const kvdProgram = join(root, 'packages', 'kvd', 'bin', 'kvd.js');
export const kvctlProgram: string = join(root, 'packages', 'kvctl', 'bin', 'kvctl.js');

/** Polls until `probe` gives something, at most `limitMs`; throws with `what` otherwise. */
export async function waitFor<T>(what: string, limitMs: number, probe: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export interface KvdOptions {
  readonly name: string;
  readonly directory: string;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly initialCluster: string;
  /** Further flags, as given on a command line. */
  readonly flags: readonly string[];
}

export class KvdProcess {
  readonly options: KvdOptions;
  readonly logPath: string;
  #child: ChildProcess | undefined;
  #exit: Promise<number | string> = Promise.resolve(0);
  #endedBy: number | string | undefined;

  constructor(options: KvdOptions) {
    this.options = options;
    this.logPath = join(options.directory, '..', `${options.name}.log`);
  }

  get endpoint(): string {
    return `127.0.0.1:${this.options.clientPort}`;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  /** Exit code or signal of the last process; undefined while it runs and before it ran. */
  get endedBy(): number | string | undefined {
    return this.#endedBy;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  start(extra: { readonly env?: Readonly<Record<string, string>>; readonly flags?: readonly string[] } = {}): void {
    if (this.#child !== undefined) throw new Error(`${this.options.name} runs already`);
    const { name, directory, clientPort, peerPort, initialCluster, flags } = this.options;
    const clientUrl = `http://127.0.0.1:${clientPort}`;
    const peerUrl = `http://127.0.0.1:${peerPort}`;
    const args = [
      kvdProgram,
      ...['--name', name, '--data-dir', directory],
      ...['--listen-client-urls', clientUrl, '--advertise-client-urls', clientUrl],
      ...['--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl],
      ...['--initial-cluster', initialCluster, '--log-level', 'warn'],
      ...flags,
      ...(extra.flags ?? []),
    ];
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...extra.env },
    });
    const log = (chunk: Buffer): void => appendFileSync(this.logPath, chunk);
    child.stdout.on('data', log);
    child.stderr.on('data', log);
    this.#child = child;
    this.#endedBy = undefined;
    this.#exit = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#child = undefined;
        this.#endedBy = code ?? signal ?? 'unknown';
        resolve(this.#endedBy);
      });
    });
  }

  /** Sends a signal and resolves with the exit code or signal name once the process is gone. */
  async kill(signal: NodeJS.Signals): Promise<number | string> {
    this.#child?.kill(signal);
    return this.#exit;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Resolves when the process is gone, with its exit code or signal. */
  exited(): Promise<number | string> {
    return this.#exit;
  }

  log(): string {
    return existsSync(this.logPath) ? readFileSync(this.logPath, 'utf8') : '';
  }

  /** Resolves once /health answers 200: the member serves and sees a leader. Rejects when it ends before. */
  async healthy(limitMs = 40_000): Promise<void> {
    try {
      await waitFor(`${this.options.name} healthy`, limitMs, () => {
        if (this.#child === undefined) throw new Error(`${this.options.name} is not running`);
        return this.#health();
      });
    } catch (error) {
      throw new Error(`${String(error)}\n--- ${this.options.name}\n${this.log().slice(-4000)}`);
    }
  }

  async #health(): Promise<true | undefined> {
    try {
      const answer = await fetch(`http://${this.endpoint}/health`, { signal: AbortSignal.timeout(2_000) });
      return answer.ok ? true : undefined;
    } catch {
      return undefined;
    }
  }
}

/** A cluster on loopback with its directories; close() ends and removes everything. */
export class KvdCluster {
  readonly directory: string;
  readonly members: readonly KvdProcess[];

  private constructor(directory: string, members: readonly KvdProcess[]) {
    this.directory = directory;
    this.members = members;
  }

  /** Reserves ports and directories; starts nothing. */
  static async create(size: number, flags: readonly string[] = []): Promise<KvdCluster> {
    const directory = mkdtempSync(join(tmpdir(), 'kvd-test-'));
    const ports = await freePorts(2 * size);
    const names = Array.from({ length: size }, (_, i) => `m${i + 1}`);
    const initialCluster = names.map((name, i) => `${name}=http://127.0.0.1:${ports[2 * i + 1]}`).join(',');
    const members = names.map(
      (name, i) =>
        new KvdProcess({
          name,
          directory: join(directory, name),
          clientPort: ports[2 * i]!,
          peerPort: ports[2 * i + 1]!,
          initialCluster,
          flags,
        }),
    );
    return new KvdCluster(directory, members);
  }

  /** Creates, starts and waits until every member is healthy. */
  static async start(size: number, flags: readonly string[] = []): Promise<KvdCluster> {
    const cluster = await KvdCluster.create(size, flags);
    for (const member of cluster.members) member.start();
    await cluster.healthy();
    return cluster;
  }

  get endpoints(): string[] {
    return this.members.map((member) => member.endpoint);
  }

  async healthy(limitMs?: number): Promise<void> {
    await Promise.all(this.members.map((member) => member.healthy(limitMs)));
  }

  async close(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill('SIGKILL')));
    rmSync(this.directory, { recursive: true, force: true });
  }
}
