/** One member on data of its own, which can be stopped, killed and started again, and is looked at from outside. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { join } from 'node:path';
import { type Kind, programOf } from './servers.ts';

/** Memory of a process as Linux counts it, in bytes. */
export interface Memory {
  readonly resident: number;
  /** Of it, what no file backs: heaps. The rest are pages of the store and of programs, which the system can take back. */
  readonly anonymous: number;
  /** The most that was ever resident. */
  readonly peak: number;
}

/** Files of a member, as the file system counts them. */
export interface Disk {
  /** The store: lmdb's file here, bbolt's there. */
  readonly storeBytes: number;
  readonly totalBytes: number;
}

export interface LoneMemberOptions {
  readonly kind: Kind;
  readonly directory: string;
  readonly port: number;
  /** Flags for Node.js; none for etcd. */
  readonly nodeFlags?: readonly string[];
}

const healthyWithinMs = 300_000;
const pollMs = 5;
const statBlockBytes = 512;
/** Clock ticks per second of /proc/<pid>/stat. */
const ticksPerSecond = 100;

/** A member and its process, if one runs. */
export class LoneMember {
  readonly endpoint: string;
  readonly #options: LoneMemberOptions;
  readonly #agent = new Agent({ keepAlive: true });
  #child: ChildProcess | undefined;

  constructor(options: LoneMemberOptions) {
    this.#options = options;
    this.endpoint = `127.0.0.1:${options.port}`;
    mkdirSync(options.directory, { recursive: true });
  }

  /** Starts a process and resolves when /health says yes, with the milliseconds since the start. */
  async start(): Promise<number> {
    const { kind, directory, port, nodeFlags = [] } = this.#options;
    const { command, args } = programOf(kind);
    const peer = `http://127.0.0.1:${port + 1}`;
    const log = openSync(join(directory, 'log'), 'a');
    const flags = [
      ...['--name', 'm1', '--data-dir', join(directory, 'data'), '--log-level', 'error'],
      ...['--listen-client-urls', `http://${this.endpoint}`, '--advertise-client-urls', `http://${this.endpoint}`],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `m1=${peer}`],
      ...['--quota-backend-bytes', String(16 * 1024 ** 3)],
    ];
    const startedMs = performance.now();
    const child = spawn(command, [...(kind === 'kvd' ? nodeFlags : []), ...args, ...flags], {
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#child = child;
    while (!(await this.#isHealthy())) {
      if (child.exitCode !== null) throw new Error(`${kind} ended with ${child.exitCode}, see ${directory}/log`);
      if (performance.now() - startedMs > healthyWithinMs) throw new Error(`${kind} does not become healthy`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
    return performance.now() - startedMs;
  }

  /** Ends the process, by SIGTERM or SIGKILL, and waits until it is gone. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  }

  memory(): Memory {
    const status = readFileSync(`/proc/${this.#child!.pid}/status`, 'utf8');
    const bytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)![1]) * 1024;
    return { resident: bytes('VmRSS'), anonymous: bytes('RssAnon'), peak: bytes('VmHWM') };
  }

  /** CPU seconds of the process so far, all threads. */
  cpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.#child!.pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  }

  disk(): Disk {
    const disk = { storeBytes: 0, totalBytes: 0 };
    addFiles(this.#options.directory, disk);
    return disk;
  }

  #isHealthy(): Promise<boolean> {
    return new Promise((resolve) => {
      const request = get(`http://${this.endpoint}/health`, { agent: this.#agent }, (response) => {
        response.resume();
        response.once('end', () => resolve(response.statusCode === 200));
        response.once('error', () => resolve(false));
      });
      request.once('error', () => resolve(false));
    });
  }
}

function addFiles(directory: string, disk: { storeBytes: number; totalBytes: number }): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      addFiles(path, disk);
      continue;
    }
    const bytes = (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * statBlockBytes;
    disk.totalBytes += bytes;
    if (entry.name === 'db') disk.storeBytes += bytes;
  }
}
