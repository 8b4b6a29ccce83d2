/** Real etcd servers and clients as oracles for tests: where they are installed, how they are started. Only our own children are signalled. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts, waitFor } from './kvd-process.ts';

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
  /** Advertised to peers. Member and cluster ids are made from it, so equal names give equal ids. */
  readonly peerUrl?: string;
}

/** A single-member etcd in a directory of its own. */
export class EtcdProcess {
  /** `127.0.0.1:<port>` */
  readonly endpoint: string;
  readonly #directory: string;
  readonly #child: ChildProcess;

  private constructor(endpoint: string, directory: string, child: ChildProcess) {
    this.endpoint = endpoint;
    this.#directory = directory;
    this.#child = child;
  }

  static async start({ installation: { etcd }, flags = [], peerUrl }: EtcdOptions): Promise<EtcdProcess> {
    const [clientPort, peerPort] = await freePorts(2);
    const directory = mkdtempSync(join(tmpdir(), 'etcd-oracle-'));
    const listenPeer = `http://127.0.0.1:${peerPort}`;
    const advertised = peerUrl ?? listenPeer;
    const { process: child, log } = spawnEtcd(etcd, directory, [
      ...['--name', 'oracle', '--data-dir', join(directory, 'data'), '--log-level', 'error'],
      ...['--listen-client-urls', `http://127.0.0.1:${clientPort}`],
      ...['--advertise-client-urls', `http://127.0.0.1:${clientPort}`],
      ...['--listen-peer-urls', listenPeer, '--initial-advertise-peer-urls', advertised],
      ...['--initial-cluster', `oracle=${advertised}`, ...flags],
    ]);
    const started = new EtcdProcess(`127.0.0.1:${clientPort}`, directory, child);
    try {
      await started.#ready(clientPort!);
    } catch (error) {
      started.stop();
      throw new Error(`etcd did not start: ${log()}`, { cause: error });
    }
    return started;
  }

  /** Kills it and removes its directory. */
  stop(): void {
    this.#child.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 5 });
  }

  async #ready(clientPort: number): Promise<void> {
    await waitFor('an etcd with a leader', 20_000, async () => {
      if (this.#child.exitCode !== null) throw new Error(`exit ${this.#child.exitCode}`);
      return (await isListening(clientPort)) && (await isHealthy(clientPort)) ? true : undefined;
    });
  }
}

function spawnEtcd(etcd: string, directory: string, flags: string[]): { process: ChildProcess; log: () => string } {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('ETCD')));
  const log = join(directory, 'log');
  const child = spawn('/bin/sh', ['-c', 'exec "$0" "$@" >"$LOG" 2>&1', etcd, ...flags], {
    env: { ...env, LOG: log },
    stdio: 'ignore',
  });
  return { process: child, log: () => readFileSync(log, 'utf8').slice(-2_000) };
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
