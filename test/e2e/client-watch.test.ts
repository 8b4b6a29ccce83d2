/**
 * The client's watches and leases against real members: three of ours, each of which is stopped or killed and started again while a client writes
 * and others watch; and an etcd, which must give the same.
 */
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Client, CompactedError, LeaseLostError, op, type Watcher, type WatchOptions } from '@quorate/client';
import { KvError } from '@quorate/proto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EtcdProcess, installedEtcds } from '../support/etcd-process.ts';
import { KvdCluster, waitFor } from '../support/kvd-process.ts';

const oracle = installedEtcds().at(-1);
const clients: Client[] = [];

function connect(endpoints: readonly string[]): Client {
  const client = new Client({ endpoints });
  clients.push(client);
  return client;
}

afterAll(() => {
  for (const client of clients) client.close();
});

/**
 * Reads until the watch ends; events as `key@revision`, with a minus for deletions, those of one update together. A watch that
 * asks for a leader ends where there is none for a while: with `again` it is opened behind the last revision it gave.
 */
class Log {
  readonly batches: string[][] = [];
  error: unknown;
  #revision = 0;

  constructor(watcher: Watcher, again?: (startRevision: number) => Watcher) {
    const onError = (error: unknown): void => {
      const lostLeader = error instanceof KvError && error.code === 'noLeader';
      if (lostLeader && again !== undefined) this.#read(again(this.#revision + 1)).catch(onError);
      else this.error = error;
    };
    this.#read(watcher).catch(onError);
  }

  get events(): string[] {
    return this.batches.flat();
  }

  async #read(watcher: Watcher): Promise<void> {
    for await (const update of watcher) {
      if (update.kind !== 'events') continue;
      this.#revision = update.events.at(-1)!.kv!.modRevision;
      this.batches.push(
        update.events.map(({ type, kv }) => `${type === 1 ? '-' : ''}${kv!.key.toString()}@${kv!.modRevision}`),
      );
    }
  }
}

describe('three members, one of them killed under load', () => {
  let cluster: KvdCluster;
  beforeAll(async () => {
    cluster = await KvdCluster.start(3);
  });
  afterAll(async () => {
    await cluster?.close();
  });

  test('watches give every revision once, in order and whole, and leases stay alive', async () => {
    const writer = connect(cluster.endpoints);
    const watching = Array.from({ length: 4 }, () => connect(cluster.endpoints));
    const { header } = await writer.kv.put('w/start', '');
    const startRevision = header!.revision;
    const logs = watching.flatMap((client, i) =>
      Array.from({ length: 5 }, () => {
        const options: WatchOptions = { prefix: true, startRevision, requireLeader: i % 2 === 1 };
        const again = (startRevision: number): Watcher => client.watch('w/', { ...options, startRevision });
        // Who did not ask for a leader is to be served without one.
        return new Log(client.watch('w/', options), options.requireLeader ? again : undefined);
      }),
    );
    const { id } = await writer.lease.grant(15);
    const alive = watching[0]!.lease.keepAlive(id);
    const known = new Map<number, string[]>();
    const write = async (i: number): Promise<void> => {
      const names = [`w/${i % 7}`, `w/x${i}`, 'other'];
      try {
        const { header } = await writer.kv.txn(
          { success: names.map((name) => op.put(name, String(i))) },
          { timeoutMs: 5_000 },
        );
        known.set(
          header!.revision,
          names.filter((name) => name !== 'other').map((name) => `${name}@${header!.revision}`),
        );
      } catch {
        // Its outcome is unknown; the watches agree on it all the same.
      }
    };
    for (const [round, member] of cluster.members.entries()) {
      for (let i = 0; i < 60; i += 1) await write(round * 180 + i);
      await member.kill(round === 1 ? 'SIGTERM' : 'SIGKILL');
      for (let i = 60; i < 120; i += 1) await write(round * 180 + i);
      member.start();
      await member.healthy();
      for (let i = 120; i < 180; i += 1) await write(round * 180 + i);
    }
    const { header: last } = await writer.kv.put('w/end', '', {}, { retry: 'always' });
    const end = `w/end@${last!.revision}`;
    await waitFor('the end in every log', 30_000, async () =>
      logs.every((log) => log.events.includes(end)) ? true : undefined,
    );

    const { kvs } = await writer.kv.get('w/x', { prefix: true });
    const expected = new Set(kvs.map((kv) => `${kv.key.toString()}@${kv.modRevision}`));
    for (const log of logs) {
      expect(log.error).toBeUndefined();
      expect(log.events).toEqual(logs[0]!.events);
      const revisions = log.batches.flatMap((batch) => [...new Set(batch.map((event) => Number(event.split('@')[1])))]);
      // One revision in two batches would stand twice; one out of order would not be sorted.
      expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
    }
    const given = new Set(logs[0]!.events);
    for (const names of known.values()) for (const name of names) expect(given).toContain(name);
    for (const name of expected) expect(given).toContain(name);
    expect(known.size).toBeGreaterThan(300);
    expect(alive.isAlive).toBe(true);
    expect((await writer.lease.timeToLive(id)).ttl).toBeGreaterThan(0);
    alive.stop();
    // Ten seconds on a quiet machine.
  }, 300_000);

  test('a lease that is revoked elsewhere is lost', async () => {
    const client = connect(cluster.endpoints);
    const { id } = await client.lease.grant(3);
    const alive = client.lease.keepAlive(id);
    await waitFor('an answer', 30_000, async () => (alive.isAlive ? true : undefined));
    await connect(cluster.endpoints).lease.revoke(id);
    await waitFor('the loss', 30_000, async () => (alive.lost.aborted ? true : undefined));
    expect(alive.lost.reason).toEqual(new LeaseLostError(id, 'gone'));
  });
});

describe.runIf(oracle !== undefined)('kvd and etcd', () => {
  let cluster: KvdCluster;
  let etcd: EtcdProcess;
  beforeAll(async () => {
    // Small enough for the first events of a story to come in several fragments.
    const flags = ['--max-request-bytes', '150000'];
    [cluster, etcd] = await Promise.all([
      KvdCluster.start(1, flags),
      EtcdProcess.start({ installation: oracle!, flags }),
    ]);
  });
  afterAll(async () => {
    await cluster?.close();
    etcd?.stop();
  });

  test('give the same to watches of every kind', async () => {
    const told = await Promise.all([...cluster.endpoints, etcd.endpoint].map((endpoint) => story(connect([endpoint]))));
    expect(told[0]).toEqual(told[1]);
  });

  async function story(client: Client): Promise<unknown> {
    for (let i = 0; i < 20; i += 1) await client.kv.put(`k${i % 4}`, 'x'.repeat(100_000));
    const logs = [
      new Log(client.watch('k', { prefix: true, startRevision: 1 })),
      new Log(client.watch('k1', { startRevision: 3 })),
      new Log(client.watch('k2', { fromKey: true, startRevision: 2, noDelete: true })),
      new Log(client.watch('k', { end: 'k3', startRevision: 2, noPut: true })),
      new Log(client.watch('k', { prefix: true, startRevision: 1, bufferBytesMax: 1, fragment: false })),
      new Log(client.watch('z', { end: 'a' })),
      new Log(client.watch('k', { prefix: true, startRevision: -1 })),
    ];
    const now = client.watch('k0');
    logs.push(new Log(now));
    await now.created;
    await client.kv.delete('k', { prefix: true });
    await client.kv.put('k0', 'last');
    const { header } = await client.kv.put('k3', 'last');
    const { revision } = header!;
    const [deleted, end] = [revision - 2, `k3@${revision}`];
    // What each is given last, for they catch up one beside the other, in pieces. An empty range and a negative revision end in an error.
    const lasts = [end, `-k1@${deleted}`, end, `-k2@${deleted}`, end, undefined, undefined, `k0@${revision - 1}`];
    await waitFor('the last event of each', 30_000, async () =>
      logs.every(({ events }, i) => events.at(-1) === lasts[i]) ? true : undefined,
    );
    await client.kv.compact(revision - 1);
    const compacted = new Log(client.watch('k', { startRevision: 5, prefix: true }));
    await waitFor('the errors', 30_000, async () =>
      [logs[5]!, logs[6]!, compacted].every(({ error }) => error !== undefined) ? true : undefined,
    );
    expect(compacted.error).toBeInstanceOf(CompactedError);
    return [...logs, compacted].map(({ events, error }) => ({
      events,
      error: String(error),
      compacted: (error as { compactRevision?: number } | undefined)?.compactRevision,
    }));
  }
});

describe('a program that closes its client', () => {
  test('ends, whatever was under way', async () => {
    const cluster = await KvdCluster.start(1);
    // Takes connections and says nothing on them.
    const silent = createServer((socket) => socket.on('error', () => {}).resume());
    try {
      const silentPort = await new Promise<number>((resolve) => {
        silent.listen(0, '127.0.0.1', () => resolve((silent.address() as { port: number }).port));
      });
      const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
      const url = pathToFileURL(join(root, 'packages', 'client', 'dist', 'index.js')).href;
      const dead = '127.0.0.1:19999';
      const program = `
        import { Client } from ${JSON.stringify(url)};
        const client = new Client({ endpoints: [${JSON.stringify(cluster.endpoints[0])}, '${dead}'] });
        const lost = new Client({ endpoints: ['${dead}'] });
        const stuck = new Client({ endpoints: ['127.0.0.1:${silentPort}'], dialTimeoutMs: 60_000 });
        const { id } = await client.lease.grant(60);
        const alive = client.lease.keepAlive(id);
        const watcher = client.watch('k');
        await watcher.created;
        await client.kv.put('k', 'v');
        const { value } = await watcher.next();
        const waits = [watcher.next(), lost.watch('k').next(), lost.kv.get('k'), stuck.watch('k').next(), stuck.kv.put('k', 'v')].map((wait) => wait.catch((error) => error.message));
        lost.lease.keepAlive(1n);
        await new Promise((resolve) => setTimeout(resolve, 300));
        client.close();
        lost.close();
        stuck.close();
        const errors = await Promise.all(waits);
        console.log(JSON.stringify([value.kind, alive.isAlive, ...errors]));
      `;
      const { stdout, stderr, status } = await run(program);
      expect(stderr).toBe('');
      const closed = 'the client is closed';
      expect(JSON.parse(stdout)).toEqual(['events', false, ...Array.from({ length: 5 }, () => closed)]);
      expect(status).toBe(0);
    } finally {
      silent.close();
      await cluster.close();
    }
  });
});

/** Kills it before the longest time that something in it might wait for is over. */
function run(program: string): Promise<{ stdout: string; stderr: string; status: number | null }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { timeout: 40_000 });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += String(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += String(chunk);
    });
    child.on('close', (status) => resolve({ stdout, stderr, status }));
  });
}
