/** Real etcd servers and clients as oracles for tests: where they are installed, how they are started. Only our own children are signalled. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from './kvd-process.ts';
import { freePorts } from './ports.ts';

/** One installed etcd. */
export interface EtcdInstallation {
  /** `3.4.23` */
  readonly version: string;
  /** `3.4` */
  readonly minor: string;
  readonly etcd: string;
  readonly etcdctl: string;
}

/** The distribution's etcd, and a newer one beside it; those that are not there are missing from the list. */
export function installedEtcds(): EtcdInstallation[] {
  const found = ['', '/opt/etcd/bin/'].flatMap((directory) => installation(directory));
  return found.filter((one, i) => found.findIndex((other) => other.version === one.version) === i);
}

function installation(directory: string): EtcdInstallation[] {
  const etcd = `${directory}etcd`;
  const etcdctl = `${directory}etcdctl`;
  try {
    const version = /etcd Version: (\d+\.\d+)(\.\S+)/.exec(String(execFileSync(etcd, ['--version'])));
    execFileSync(etcdctl, ['version']);
    return version === null ? [] : [{ version: version[1]! + version[2]!, minor: version[1]!, etcd, etcdctl }];
  } catch {
    // Not installed: the tests that need it say that they are skipped.
    return [];
  }
}

export interface EtcdOptions {
  readonly installation: EtcdInstallation;
  readonly flags?: readonly string[];
  /** Advertised to peers. Member and cluster ids are made from it, so equal addresses give equal ids. */
  readonly peerUrl?: string;
  /** Listens with TLS on a port of its own as well, {@link EtcdProcess.secureEndpoint}; `flags` name the certificates. */
  readonly secure?: boolean;
}

/** One member's place in a cluster. */
interface Place {
  readonly name: string;
  readonly clientPort: number;
  readonly securePort?: number;
  readonly peerPort: number;
  readonly peerUrl: string;
  readonly initialCluster: string;
}

/** One etcd with a directory of its own. */
export class EtcdProcess {
  /** `127.0.0.1:<port>` */
  readonly endpoint: string;
  /** `127.0.0.1:<port>`, with TLS, where it was asked for. */
  readonly secureEndpoint: string;
  readonly #options: EtcdOptions;
  readonly #place: Place;
  readonly #directory: string = mkdtempSync(join(tmpdir(), 'etcd-oracle-'));
  #child: ChildProcess | undefined;

  private constructor(options: EtcdOptions, place: Place) {
    this.#options = options;
    this.#place = place;
    this.endpoint = `127.0.0.1:${place.clientPort}`;
    this.secureEndpoint = `127.0.0.1:${place.securePort}`;
  }

  /** A cluster of one that is ready. */
  static async start(options: EtcdOptions): Promise<EtcdProcess> {
    const [clientPort, peerPort, securePort] = (await freePorts(3)) as [number, number, number];
    const peerUrl = options.peerUrl ?? `http://127.0.0.1:${peerPort}`;
    const initialCluster = `oracle=${peerUrl}`;
    const ports = { clientPort, peerPort, ...(options.secure === true ? { securePort } : {}) };
    const etcd = new EtcdProcess(options, { name: 'oracle', ...ports, peerUrl, initialCluster });
    await etcd.up();
    return etcd;
  }

  /** A cluster of `count` members m1, m2, … that is ready; each is started with `flags`. */
  static async startCluster(
    count: number,
    installation: EtcdInstallation,
    flags: readonly string[] = [],
  ): Promise<EtcdProcess[]> {
    const ports = await freePorts(2 * count);
    const members = Array.from({ length: count }, (_, i) => ({
      name: `m${i + 1}`,
      clientPort: ports[2 * i]!,
      peerPort: ports[2 * i + 1]!,
      peerUrl: `http://127.0.0.1:${ports[2 * i + 1]}`,
    }));
    const initialCluster = members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(',');
    const processes = members.map((member) => new EtcdProcess({ installation, flags }, { ...member, initialCluster }));
    await Promise.all(processes.map((process) => process.up()));
    return processes;
  }

  /** Starts it, again if need be, and waits until it has a leader. */
  async up(): Promise<void> {
    const { installation, flags = [] } = this.#options;
    const { name, clientPort, securePort, peerPort, peerUrl, initialCluster } = this.#place;
    const secureUrl = securePort === undefined ? '' : `,https://127.0.0.1:${securePort}`;
    this.#child = spawnEtcd(installation.etcd, this.#directory, [
      ...['--name', name, '--data-dir', join(this.#directory, 'data'), '--log-level', 'error'],
      ...['--listen-client-urls', `http://127.0.0.1:${clientPort}${secureUrl}`],
      ...['--advertise-client-urls', `http://127.0.0.1:${clientPort}`],
      ...['--listen-peer-urls', `http://127.0.0.1:${peerPort}`, '--initial-advertise-peer-urls', peerUrl],
      ...['--initial-cluster', initialCluster, ...flags],
    ]);
    try {
      await this.#ready(clientPort);
    } catch (error) {
      const log = readFileSync(join(this.#directory, 'log'), 'utf8').slice(-2_000);
      this.stop();
      throw new Error(`etcd did not start: ${log}`, { cause: error });
    }
  }

  /** Kills it without a warning, and waits until it is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** Kills it and removes its directory. */
  stop(): void {
    this.#child?.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 5 });
  }

  async #ready(clientPort: number): Promise<void> {
    await waitFor('an etcd with a leader', 30_000, async () => {
      if (this.#child?.exitCode !== null) throw new Error(`exit ${this.#child?.exitCode}`);
      return (await isListening(clientPort)) && (await isHealthy(clientPort)) ? true : undefined;
    });
  }
}

/** Its output goes to `<directory>/log`. */
function spawnEtcd(etcd: string, directory: string, flags: string[]): ChildProcess {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('ETCD')));
  return spawn('/bin/sh', ['-c', 'exec "$0" "$@" >"$LOG" 2>&1', etcd, ...flags], {
    env: { ...env, LOG: join(directory, 'log') },
    stdio: 'ignore',
  });
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: '127.0.0.1' }, () => done(true));
    const done = (listening: boolean): void => {
      socket.destroy();
      resolve(listening);
    };
    socket.on('error', () => done(false));
  });
}

async function isHealthy(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(2_000) });
    return response.ok && (await response.text()).includes('true');
  } catch {
    return false;
  }
}
