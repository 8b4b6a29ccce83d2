/** The rivals: kvd and etcd clusters on loopback, on the same disk, with the same settings. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LoopReport } from './loop-probe.ts';

/** The checkout this runs in. */
export const root: string = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));

export type Kind = 'kvd' | 'etcd';

/** CPU seconds and resident bytes of all members together. */
export interface Usage {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

export interface Server {
  readonly kind: Kind;
  readonly version: string;
  /** Client endpoints, the leader's first. */
  readonly endpoints: readonly string[];
  usage(): Usage;
  /** Bytes of all data directories together, as the file system counts them. */
  diskBytes(): number;
  /** How late each member's event loop was since it was asked before, if it was started with `probe`; none of etcd's. */
  loops(): Promise<LoopReport[]>;
  stop(): Promise<void>;
}

/** The newest etcd there is: one installed under /opt, else the system's. Undefined when there is none. */
export function findEtcd(): string | undefined {
  for (const path of ['/opt/etcd/bin/etcd', '/usr/bin/etcd']) if (existsSync(path)) return path;
  return undefined;
}

/** What starts a server of a kind. */
export function programOf(kind: Kind): { command: string; args: string[]; version: string } {
  if (kind === 'kvd') {
    const program = join(root, 'packages', 'kvd', 'bin', 'kvd.js');
    return { command: process.execPath, args: [program], version: firstLine(process.execPath, [program, '--version']) };
  }
  const etcd = findEtcd();
  if (etcd === undefined) throw new Error('no etcd on this machine');
  return { command: etcd, args: [], version: firstLine(etcd, ['--version']) };
}

function firstLine(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8' }).split('\n')[0]!.trim();
}

/** How the measured event loop of kvd tells of itself: see loop-probe.ts. */
const probeFile = join(dirname(fileURLToPath(import.meta.url)), 'loop-probe.js');

/**
 * Starts `size` members with data under `directory` (emptied first) and waits until all serve. With `probe` the event loops of kvd
 * are measured, a millisecond exactly, which costs them a little.
 */
export async function startServer(
  kind: Kind,
  size: number,
  directory: string,
  basePort: number,
  { probe = false }: { readonly probe?: boolean } = {},
): Promise<Server> {
  const isProbed = probe && kind === 'kvd';
  const { command, args, version } = programOf(kind);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const members = Array.from({ length: size }, (_, i) => ({
    name: `m${i + 1}`,
    client: `127.0.0.1:${basePort + 2 * i}`,
    peer: `127.0.0.1:${basePort + 2 * i + 1}`,
  }));
  const cluster = members.map((member) => `${member.name}=http://${member.peer}`).join(',');
  const children = members.map((member) => {
    const log = openSync(join(directory, `${member.name}.log`), 'a');
    const flags = [
      ...['--name', member.name, '--data-dir', join(directory, member.name), '--log-level', 'error'],
      ...['--listen-client-urls', `http://${member.client}`, '--advertise-client-urls', `http://${member.client}`],
      ...['--listen-peer-urls', `http://${member.peer}`, '--initial-advertise-peer-urls', `http://${member.peer}`],
      ...['--initial-cluster', cluster, '--quota-backend-bytes', String(8 * 1024 ** 3)],
    ];
    const preload = isProbed ? ['--import', probeFile] : [];
    const stdio = isProbed ? (['ignore', log, log, 'ipc'] as const) : (['ignore', log, log] as const);
    const child = spawn(command, [...preload, ...args, ...flags], { stdio: [...stdio] });
    closeSync(log);
    return child;
  });
  await Promise.all(members.map((member) => serving(member.client)));
  // Whoever else has these ports would answer for them.
  if (children.some(({ exitCode }) => exitCode !== null)) {
    await stopAll(children);
    throw new Error(`a member of ${kind} ended at once: see the logs in ${directory}`);
  }
  const endpoints = await leaderFirst(members.map((member) => member.client));
  return {
    kind,
    version,
    endpoints,
    usage: () => usageOf(children),
    diskBytes: () => diskBytesOf(directory),
    loops: () => Promise.all(isProbed ? children.map(askLoop) : []),
    stop: () => stopAll(children),
  };
}

async function askLoop(child: ChildProcess): Promise<LoopReport> {
  child.send('report');
  return (await once(child, 'message'))[0] as LoopReport;
}

/** Bytes of one block in what stat tells. */
const statBlockBytes = 512;

function diskBytesOf(directory: string): number {
  let bytes = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) bytes += diskBytesOf(path);
    // A file may be gone again: a segment of a log, a temporary name.
    else bytes += (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * statBlockBytes;
  }
  return bytes;
}

async function serving(endpoint: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const answer = await fetch(`http://${endpoint}/health`).catch(() => undefined);
    if (answer?.ok === true) return;
    if (Date.now() > deadline) throw new Error(`${endpoint} does not serve`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function leaderFirst(endpoints: readonly string[]): Promise<string[]> {
  const leading = await Promise.all(
    endpoints.map(async (endpoint) => {
      const metrics = await (await fetch(`http://${endpoint}/metrics`)).text();
      return /^etcd_server_is_leader 1$/m.test(metrics);
    }),
  );
  return [...endpoints].sort((a, b) => Number(leading[endpoints.indexOf(b)]) - Number(leading[endpoints.indexOf(a)]));
}

/** Clock ticks per second of /proc/<pid>/stat. */
const ticksPerSecond = 100;
const pageBytes = 4096;

function usageOf(children: readonly ChildProcess[]): Usage {
  let ticks = 0;
  let pages = 0;
  for (const child of children) {
    const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
    pages += Number(fields[21]);
  }
  return { cpuSeconds: ticks / ticksPerSecond, residentBytes: pages * pageBytes };
}

async function stopAll(children: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    children.map(
      (child) =>
        new Promise<void>((resolve) => {
          if (child.exitCode !== null || child.signalCode !== null) {
            resolve();
            return;
          }
          child.once('exit', () => resolve());
          child.kill('SIGKILL');
        }),
    ),
  );
}
