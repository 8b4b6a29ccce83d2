/** Backups taken under load and made into new clusters: nothing is lost, nothing is added, and nothing damaged is taken. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import { maintenanceService, SnapshotResponse, StatusResponse } from '@quorate/proto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  expectState,
  History,
  kvctl,
  putLeased,
  restoreCluster,
  revisionOf,
  Writers,
} from '../support/backup-story.ts';
import { installedEtcds } from '../support/etcd-process.ts';
import { runCommand, runKvctl, runKvctlHere } from '../support/kvctl.ts';
import { KvdCluster, kvctlProgram, waitFor } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';

const writers = 4;
const callsBefore = 400;
const etcdctl = installedEtcds()[0]?.etcdctl;

const directory = mkdtempSync(join(tmpdir(), 'kvd-restore-'));
const open: (() => unknown)[] = [() => rmSync(directory, { recursive: true })];
const history = new History();
let lease = '';
/** A backup, with its revision and the hash the saved cluster has there. */
interface Saved {
  readonly file: string;
  readonly revision: number;
  readonly hash: number;
}
let byKvctl: Saved;
let byEtcdctl: Saved | undefined;

beforeAll(async () => {
  const cluster = await KvdCluster.start(3);
  open.push(() => cluster.close());
  const clients = Array.from({ length: writers }, (_, i) => new RawClient(cluster.endpoints[i % 3]!));
  open.push(() => clients.map((client) => client.close()));
  const [first] = clients as [RawClient];
  lease = /lease (\w+) granted/.exec(await kvctl(['lease', 'grant', '3600'], cluster.endpoints[0]!))![1]!;
  await putLeased(first, history, 'leased', BigInt(`0x${lease}`));
  const load = new Writers(clients, history, 'w');
  const busy = async (): Promise<void> => {
    const goal = load.calls + callsBefore;
    await waitFor('writes', 60_000, async () => (load.calls >= goal ? true : undefined));
  };
  await busy();
  const file = join(directory, 'kvctl.db');
  const said = await kvctl(['snapshot', 'save', file], cluster.endpoints[0]!);
  expect(said).toBe(`Snapshot saved at ${file}\nServer version 3.6.0\n`);
  await busy();
  const file2 = join(directory, 'etcdctl.db');
  if (etcdctl !== undefined) {
    const args = ['--endpoints', cluster.endpoints[1]!, 'snapshot', 'save', file2];
    expect(await runCommand(etcdctl, args, { env: { ETCDCTL_API: '3' } })).toMatchObject({ code: 0 });
  }
  await busy();
  await load.stop();
  const savedAs = async (path: string): Promise<Saved> => {
    const revision = await revisionOf(path);
    expect(revision).toBeGreaterThan(callsBefore / 2);
    expect(revision).toBeLessThan(history.lastRevision);
    return { file: path, revision, hash: (await first.hashKv(revision)).hash };
  };
  byKvctl = await savedAs(file);
  if (etcdctl !== undefined) byEtcdctl = await savedAs(file2);
});

afterAll(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

/** A cluster restored from `file`, and a client of each member. */
async function restored(
  file: string,
  size: number,
  more: readonly string[] = [],
): Promise<{ cluster: KvdCluster; clients: readonly RawClient[] }> {
  const cluster = await KvdCluster.create(size);
  open.push(() => cluster.close());
  await restoreCluster(file, cluster, more);
  const clients = cluster.endpoints.map((endpoint) => new RawClient(endpoint));
  open.push(() => clients.map((client) => client.close()));
  return { cluster, clients };
}

describe('a backup taken under load', () => {
  test('restored to one member is the state of the log at its revision, leases too, and takes writes', async () => {
    const { cluster, clients } = await restored(byKvctl.file, 1);
    await expectState(clients, { history, ...byKvctl });
    const { revision } = (await clients[0]!.range({ key: Buffer.from('leased') })).header!;
    expect(revision).toBe(byKvctl.revision);
    expect(await kvctl(['lease', 'list'], cluster.endpoints[0]!)).toBe(`found 1 leases\n${lease}\n`);
    const alive = await kvctl(['lease', 'timetolive', lease, '--keys'], cluster.endpoints[0]!);
    expect(alive).toMatch(/granted with TTL\(3600s\), remaining\(3\d\d\ds\), attached keys\(\[leased\]\)/);
    expect((await clients[0]!.put('after', 'x')).header!.revision).toBe(revision + 1);
  });

  test.skipIf(etcdctl === undefined)(
    'saved by etcdctl and restored to three members is equal on all of them',
    async () => {
      const saved = byEtcdctl!;
      const { cluster, clients } = await restored(saved.file, 3);
      await expectState(clients, { history, ...saved });
      const list = await kvctl(['member', 'list'], cluster.endpoints[0]!);
      expect(list.match(/started, m\d/g)).toHaveLength(3);
      const { header } = await clients[0]!.put('after', 'x');
      expect(header!.revision).toBe(saved.revision + 1);
      // One of them is killed and comes back: its directory is an ordinary one.
      const [, second] = cluster.members;
      await second!.kill('SIGKILL');
      // If it led, a put may have been on its way to it, and nobody knows what became of that.
      await waitFor('a put without it', 60_000, () => clients[2]!.put('after', 'y').catch(() => undefined));
      second!.start();
      await second!.healthy();
      const expected = { kvs: [{ value: Buffer.from('y') }] };
      expect(await clients[1]!.range({ key: Buffer.from('after') }, 60_000)).toMatchObject(expected);
    },
  );

  test('restored with a raised revision tells old watchers to read everything again', async () => {
    const { cluster, clients } = await restored(byKvctl.file, 1, ['--bump-revision', '1000000', '--mark-compacted']);
    const [client] = clients as [RawClient];
    const all = await client.everything();
    expect(all).toEqual(history.replay(byKvctl.revision));
    expect((await client.put('after', 'x')).header!.revision).toBe(byKvctl.revision + 1_000_001);
    const watch = ['watch', 'leased', '--rev', String(byKvctl.revision + 1)];
    const { stdout, stderr } = await runKvctlHere({ args: watch }, cluster.endpoints[0]!);
    expect(stdout + stderr).toContain('required revision has been compacted');
  });

  test('is refused when its copy is damaged, with nothing left behind', async () => {
    const whole = readFileSync(byKvctl.file);
    const flipped = Buffer.from(whole);
    flipped[whole.length >> 1]! ^= 1;
    const wrongHash = Buffer.from(whole);
    wrongHash[whole.length - 1]! ^= 1;
    const copies: Record<string, Buffer> = {
      flipped,
      wrongHash,
      cut: whole.subarray(0, whole.length - 512),
      cutAnywhere: whole.subarray(0, whole.length - 1_000),
      longer: Buffer.concat([whole, Buffer.alloc(512)]),
      empty: Buffer.alloc(0),
    };
    for (const [name, bytes] of Object.entries(copies)) {
      const file = join(directory, `${name}.damaged`);
      writeFileSync(file, bytes);
      const before = readdirSync(directory);
      for (const command of [
        ['restore', file, '--data-dir', join(directory, 'new')],
        ['status', file],
      ]) {
        const { code, stdout, stderr } = await runKvctlHere({ args: ['snapshot', ...command] }, '127.0.0.1:1');
        expect({ name, code, stdout }).toEqual({ name, code: 1, stdout: '' });
        expect(stderr).toMatch(/^Error: .*(sha256|missing hash|checksum mismatch|snapshot)/);
      }
      expect(readdirSync(directory)).toEqual(before);
    }
  });
});

describe('a restore', () => {
  test('never writes over anything: a directory that is not empty, a log, another restore', async () => {
    const own = join(directory, 'own');
    const restore = (args: readonly string[]): ReturnType<typeof runKvctlHere> =>
      runKvctlHere({ args: ['snapshot', 'restore', byKvctl.file, ...args] }, '127.0.0.1:1');
    expect(await restore(['--data-dir', own, '--wal-dir', join(own, 'log')])).toMatchObject({ code: 0 });
    expect(readdirSync(own).sort()).toEqual(['db', 'db-lock', 'log']);
    const files = readdirSync(own).map((name) => name);
    expect(await restore(['--data-dir', own])).toMatchObject({
      code: 1,
      stderr: `Error: data-dir "${own}" not empty or could not be read\n`,
    });
    expect(readdirSync(own)).toEqual(files);
    const other = join(directory, 'other');
    const log = join(own, 'log');
    expect(await restore(['--data-dir', other, '--wal-dir', log])).toMatchObject({
      code: 1,
      stderr: `Error: wal-dir "${log}" not empty or could not be read\n`,
    });
    expect(readdirSync(directory).filter((name) => name.startsWith('other'))).toEqual([]);
  });

  test('ends with etcdutl’s words and codes for flags that do not fit', async () => {
    const run = (line: string): ReturnType<typeof runKvctlHere> =>
      runKvctlHere({ args: `snapshot ${line}`.split(' ') }, '127.0.0.1:1');
    const complaint = { code: 128, stderr: 'Error: --mark-compacted required if --revision-bump > 0\n' };
    expect(await run('restore x --data-dir y --bump-revision 5')).toMatchObject(complaint);
    expect(await run('restore x --data-dir y --mark-compacted')).toMatchObject(complaint);
    expect(await run('restore x')).toMatchObject({ code: 1, stderr: 'Error: required flag(s) "data-dir" not set\n' });
    expect(await run(`restore ${byKvctl.file} --data-dir ${directory}/y --name z`)).toMatchObject({
      code: 1,
      stderr: 'Error: couldn\'t find local name "z" in the initial cluster configuration\n',
    });
    expect(await run('restore nope --data-dir y')).toMatchObject({
      code: 1,
      stderr: 'Error: open nope: no such file or directory\n',
    });
    expect(await run('status')).toMatchObject({
      code: 128,
      stderr: 'Error: snapshot status requires exactly one argument\n',
    });
    expect(await run('status x -w protobuf')).toMatchObject({
      code: 4,
      stderr: 'Error: protobuf not supported as output format\n',
    });
  });
});

describe('a save', () => {
  test('writes over nothing, and wants one endpoint', async () => {
    const copy = join(directory, 'copy.db');
    copyFileSync(byKvctl.file, copy);
    const cluster = await KvdCluster.start(1);
    open.push(() => cluster.close());
    const [endpoint] = cluster.endpoints as [string];
    expect(await runKvctlHere({ args: ['snapshot', 'save', copy] }, endpoint)).toMatchObject({
      code: 5,
      stderr: `Error: ${copy} exists already, and is not overwritten\n`,
    });
    expect(readFileSync(copy).equals(readFileSync(byKvctl.file))).toBe(true);
    expect(await runKvctlHere({ args: ['snapshot', 'save', 'x'] }, `${endpoint},127.0.0.1:1`)).toMatchObject({
      code: 5,
      stderr: `Error: snapshot must be requested to one selected node, not multiple [${endpoint} 127.0.0.1:1]\n`,
    });
    const second = join(directory, 'second.db');
    expect(await runKvctl(['--endpoints', endpoint, 'snapshot', 'save', second])).toMatchObject({ code: 0 });
    expect(await runKvctl(['snapshot', 'status', second])).toMatchObject({ code: 0, stderr: '' });
    expect(readdirSync(directory).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  test('that is interrupted leaves nothing behind', async () => {
    const endpoint = await stallingMember();
    const path = join(directory, 'stalled.db');
    const child = spawn(process.execPath, [kvctlProgram, '--endpoints', endpoint, 'snapshot', 'save', path]);
    const exited = once(child, 'exit');
    const begun = async (): Promise<true | undefined> => (existsSync(`${path}.part`) ? true : undefined);
    await waitFor('a file that is being written', 60_000, begun);
    child.kill('SIGINT');
    expect(await exited).toEqual([1, null]);
    expect(readdirSync(directory).filter((name) => name.startsWith('stalled'))).toEqual([]);
  });
});

/** Answers Status, and begins a snapshot that never ends. */
async function stallingMember(): Promise<string> {
  const asIs = (bytes: Buffer): Buffer => bytes;
  const methodOf = ({ path }: { path: string }, responseStream: boolean) => ({
    path,
    requestStream: false,
    responseStream,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  });
  const { status, snapshot } = maintenanceService.methods;
  const server = new Server();
  server.addService(
    { status: methodOf(status, false), snapshot: methodOf(snapshot, true) },
    {
      status: (_call: unknown, answer: (error: null, bytes: Buffer) => void) =>
        answer(null, StatusResponse.encode(StatusResponse.create())),
      snapshot: (call: ServerWritableStream<Buffer, Buffer>) =>
        call.write(SnapshotResponse.encode(SnapshotResponse.create({ blob: Buffer.alloc(1_024), remainingBytes: 9 }))),
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  open.push(() => server.forceShutdown());
  return `127.0.0.1:${port}`;
}
