/** kvd as a process: what it refuses and how, whom it lets in, how it ends. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, credentials } from '@grpc/grpc-js';
import { HealthCheckRequest, services } from '@quorate/proto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type CommandResult, runCommand } from '../support/kvctl.ts';
import { KvdCluster, type KvdProcess, waitFor } from '../support/kvd-process.ts';
import { freePorts } from '../support/ports.ts';
import { RawClient } from '../support/raw-client.ts';

const kvdProgram = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'packages', 'kvd', 'bin', 'kvd.js');

const clusters: KvdCluster[] = [];
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kvd-daemon-'));
});
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.close();
  rmSync(directory, { recursive: true, force: true });
});

/** A single member, not started. */
async function single(...flags: string[]): Promise<KvdProcess> {
  const cluster = await KvdCluster.create(1, flags);
  clusters.push(cluster);
  return cluster.members[0]!;
}

async function running(...flags: string[]): Promise<KvdProcess> {
  const member = await single(...flags);
  member.start();
  await member.healthy();
  return member;
}

/** Runs kvd until it ends by itself. */
function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CommandResult> {
  return runCommand(process.execPath, [kvdProgram, ...args], { env, limitMs: 20_000 });
}

function urls(clientPort: number, peerPort: number): string[] {
  const client = `http://127.0.0.1:${clientPort}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  return [
    ...['--listen-client-urls', client, '--advertise-client-urls', client],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
  ];
}

async function get(port: number, path: string): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}${path}`)).text();
}

/** Whether nobody listens there any more. */
function isRefused(endpoint: string): Promise<boolean> {
  const [host, port] = endpoint.split(':');
  return new Promise((resolve) => {
    const socket = connect(Number(port), host!);
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
}

describe('a start that cannot be', () => {
  test('ends with 2 and the usage when flags are written wrongly', async () => {
    const { code, stderr } = await run(['--heartbeat-interval', 'abc']);
    expect(code).toBe(2);
    expect(stderr).toContain('invalid value "abc" for flag -heartbeat-interval: parse error');
    expect(stderr).toContain('Usage:');
  });

  test.each([
    [['--election-timeout', '300'], '--election-timeout[300ms] should be at least as 5 times'],
    [
      ['--initial-cluster', 'b=http://localhost:2380'],
      'couldn\'t find local name \\"default\\" in the initial cluster',
    ],
    [['--initial-cluster-state', 'existing'], 'could not retrieve cluster information from the given URLs'],
  ])('%s end with 1, etcd’s words in the log, and nothing written', async (flags, words) => {
    const [clientPort = 0, peerPort = 0] = await freePorts(2);
    const dataDir = join(directory, 'data');
    const { code, stderr } = await run(['--data-dir', dataDir, ...urls(clientPort, peerPort), ...flags]);
    expect(code).toBe(1);
    expect(stderr).toContain(words);
    expect(existsSync(dataDir) ? readdirSync(dataDir) : []).toEqual([]);
  });

  test('a variable beside its flag, and a crash point nobody knows, end with 1', async () => {
    const both = await run(['--name', 'a'], { KVD_NAME: 'b' });
    expect(both).toMatchObject({ code: 1 });
    expect(both.stderr).toContain('conflicting environment variable "KVD_NAME"');
    const crash = await run(['--data-dir', join(directory, 'data')], { KVD_CRASH_AT: 'nonsense' });
    expect(crash).toMatchObject({ code: 1 });
    expect(crash.stderr).toContain('no such point');
  });

  test('a second process on the same directory is refused soon and changes nothing', async () => {
    const first = await running();
    const { directory: dataDir } = first.options;
    const before = readdirSync(dataDir).map((name) => [name, name === 'lock' ? readFileSync(join(dataDir, name)) : '']);
    const [clientPort = 0, peerPort = 0] = await freePorts(2);
    const startMs = performance.now();
    const { code, stderr } = await run(['--data-dir', dataDir, ...urls(clientPort, peerPort)]);
    expect(performance.now() - startMs).toBeLessThan(5_000);
    expect(code).toBe(1);
    expect(stderr).toContain(`in use by process ${first.pid}`);
    const after = readdirSync(dataDir).map((name) => [name, name === 'lock' ? readFileSync(join(dataDir, name)) : '']);
    expect(after).toEqual(before);
  });

  test('a port in use is named, and the directory is left as it was', async () => {
    const first = await running();
    const [peerPort = 0] = await freePorts(1);
    const dataDir = join(directory, 'data');
    const { code, stderr } = await run(['--data-dir', dataDir, ...urls(first.options.clientPort, peerPort)]);
    expect(code).toBe(1);
    expect(stderr).toContain(`listen tcp 127.0.0.1:${first.options.clientPort}: bind: address already in use`);
    expect(readdirSync(dataDir)).toEqual([]);
  });

  test('a peer port in use is named, too', async () => {
    const first = await running();
    const [clientPort = 0] = await freePorts(1);
    const peerUrl = `http://127.0.0.1:${first.options.peerPort}`;
    const flags = ['--data-dir', join(directory, 'data'), '--initial-cluster', `default=${peerUrl}`];
    const { code, stderr } = await run([...flags, ...urls(clientPort, first.options.peerPort)]);
    expect(code).toBe(1);
    expect(stderr).toContain(`cannot listen on peer URL ${peerUrl}`);
  });

  test('a damaged log ends with 3, names the file, and is left as it is', async () => {
    const member = await running();
    const client = new RawClient(member.endpoint);
    for (let i = 0; i < 20; i++) await client.put(`key${i}`, 'x'.repeat(1_000));
    client.close();
    await member.kill('SIGKILL');
    const walDir = join(member.options.directory, 'wal');
    const segment = readdirSync(walDir)
      .filter((name) => name.endsWith('.wal'))
      .sort()[0]!;
    const bytes = readFileSync(join(walDir, segment));
    bytes.fill(0xff, 400, 500);
    writeFileSync(join(walDir, segment), bytes);
    member.start();
    expect(await member.exited()).toBe(3);
    expect(member.log()).toContain(segment);
    expect(readFileSync(join(walDir, segment)).equals(bytes)).toBe(true);
  });
});

describe('a running daemon', () => {
  test('serves its metrics and health on a port of their own, with call times when asked to', async () => {
    const [metricsPort = 0] = await freePorts(1);
    const member = await running('--listen-metrics-urls', `http://127.0.0.1:${metricsPort}`, '--metrics', 'extensive');
    const client = new RawClient(member.endpoint);
    await client.put('a', 'b');
    client.close();
    expect(await get(metricsPort, '/health')).toBe('{"health":"true","reason":""}');
    expect(await get(metricsPort, '/readyz')).toBe('ok\n');
    expect(await get(metricsPort, '/version')).toBe('404 page not found\n');
    const metrics = await get(metricsPort, '/metrics');
    const labels = 'grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put"';
    expect(metrics).toContain(`grpc_server_handled_total{${labels},grpc_code="OK"} 1`);
    expect(metrics).toContain(`grpc_server_handling_seconds_count{${labels}} 1`);
    expect(metrics).toMatch(/^process_resident_memory_bytes \d+$/m);
    expect(metrics).toMatch(/^etcd_server_id\{server_id="[0-9a-f]+"\} 1$/m);
  });

  test('keeps its log of entries where --wal-dir says, also after a restart', async () => {
    const walDir = join(directory, 'wal-elsewhere');
    const member = await running('--wal-dir', walDir);
    const client = new RawClient(member.endpoint);
    await client.put('a', 'b');
    await member.kill('SIGKILL');
    expect(readdirSync(walDir).some((name) => name.endsWith('.wal'))).toBe(true);
    expect(existsSync(join(member.options.directory, 'wal'))).toBe(false);
    member.start();
    await member.healthy();
    expect((await client.range({ key: Buffer.from('a') })).kvs[0]?.value.toString()).toBe('b');
    client.close();
  });

  test('is configured by a file alone when it has one', async () => {
    const [clientPort = 0, peerPort = 0] = await freePorts(2);
    const client = `http://127.0.0.1:${clientPort}`;
    const peer = `http://127.0.0.1:${peerPort}`;
    const logFile = join(directory, 'kvd.log');
    const settings = {
      name: 'filed',
      'data-dir': join(directory, 'data'),
      'listen-client-urls': client,
      'advertise-client-urls': client,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'log-outputs': logFile,
      'log-format': 'console',
      'heartbeat-interval': 50,
      'election-timeout': 500,
    };
    const file = join(directory, 'kvd.json');
    writeFileSync(file, JSON.stringify(settings));
    const ended = runCommand(process.execPath, [kvdProgram, '--config-file', file, '--name', 'ignored'], {
      env: { KVD_DATA_DIR: join(directory, 'ignored') },
    });
    await waitFor('health', 30_000, async () => {
      const answer = await fetch(`${client}/health`).catch(() => undefined);
      return answer?.ok === true ? true : undefined;
    });
    const { pid } = JSON.parse(readFileSync(join(directory, 'data', 'lock'), 'utf8')) as { pid: number };
    process.kill(pid, 'SIGTERM');
    expect(await ended).toMatchObject({ code: 0, stdout: '', stderr: '' });
    const log = readFileSync(logFile, 'utf8');
    expect(log).toMatch(/^\S+Z\twarn\tother command line flags are ignored with a config file\t/m);
    expect(log).toMatch(/^\S+Z\tinfo\tready to serve client requests$/m);
    expect(existsSync(join(directory, 'ignored'))).toBe(false);
  });

  test('opens no debugger on SIGUSR1', async () => {
    const member = await running();
    member.signal('SIGUSR1');
    const client = new RawClient(member.endpoint);
    await client.put('a', 'b');
    client.close();
    expect(member.log()).not.toContain('Debugger');
    expect(member.running).toBe(true);
  });
});

describe('the end', () => {
  test('comes with 0 on SIGTERM and on SIGINT, and another start finds everything', async () => {
    const member = await running();
    const client = new RawClient(member.endpoint);
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      await client.put('last', signal);
      expect(await member.kill(signal)).toBe(0);
      expect(existsSync(join(member.options.directory, 'lock'))).toBe(false);
      member.start();
      await member.healthy();
      expect((await client.range({ key: Buffer.from('last') })).kvs[0]?.value.toString()).toBe(signal);
    }
    client.close();
  });

  test('comes also while a member waits for a quorum that is not there', async () => {
    const cluster = await KvdCluster.create(3);
    clusters.push(cluster);
    const alone = cluster.members[0]!;
    alone.start();
    await waitFor('its log', 30_000, async () => (existsSync(join(alone.options.directory, 'db')) ? true : undefined));
    expect(await alone.kill('SIGTERM')).toBe(0);
  });

  test('waits a little for open streams, and a second signal ends it on the spot', async () => {
    const member = await running();
    const client = new Client(member.endpoint, credentials.createInsecure());
    const path = services.health.methods.watch.path;
    const same = (bytes: Buffer): Buffer => bytes;
    const stream = client.makeServerStreamRequest(path, same, same, HealthCheckRequest.encode({ service: '' }));
    stream.on('error', () => {});
    await new Promise((resolve) => stream.once('data', resolve));
    member.signal('SIGTERM');
    await waitFor('the port to close', 30_000, async () => ((await isRefused(member.endpoint)) ? true : undefined));
    expect(member.running).toBe(true);
    expect(await member.kill('SIGTERM')).toBe('SIGKILL');
    client.close();
  });
});

test('a data directory that is a file is refused', async () => {
  const file = join(directory, 'file');
  writeFileSync(file, '');
  const [clientPort = 0, peerPort = 0] = await freePorts(2);
  const { code, stderr } = await run(['--data-dir', file, ...urls(clientPort, peerPort)]);
  expect(code).toBe(1);
  expect(stderr).toContain('cannot open data-dir');
});
