/**
 * Backups of a cluster under load, and what must come out of them: the state that the log has at the backup's revision. Writers note
 * every answer; as each revision has one writer and no call fails, their notes are the log.
 */

import { type KeyValue, PutRequest, services } from '@quorate/proto';
import { expect } from 'vitest';
import { runKvctlHere } from './kvctl.ts';
import type { KvdCluster } from './kvd-process.ts';
import type { RawClient } from './raw-client.ts';

/** What a key is at a revision, without its name. */
type Version = Omit<KeyValue, 'key'>;

interface Change {
  readonly key: string;
  /** Undefined: a deletion. */
  readonly value: string | undefined;
  readonly lease: bigint;
}

/** All changes of a cluster by revision. */
export class History {
  readonly #changes = new Map<number, readonly Change[]>();

  get lastRevision(): number {
    return 1 + this.#changes.size;
  }

  note(revision: number, changes: readonly Change[]): void {
    expect(this.#changes.has(revision)).toBe(false);
    this.#changes.set(revision, changes);
  }

  /** The keys as they are at `revision`, in order. Throws when a revision up to there is not known. */
  replay(revision: number): KeyValue[] {
    const state = new Map<string, Version>();
    for (let at = 2; at <= revision; at++) {
      const changes = this.#changes.get(at);
      if (changes === undefined) throw new Error(`nobody was told of revision ${at}`);
      for (const { key, value, lease } of changes) {
        const before = state.get(key);
        if (value === undefined) state.delete(key);
        else {
          const createRevision = before?.createRevision ?? at;
          const version = (before?.version ?? 0) + 1;
          state.set(key, { createRevision, modRevision: at, version, value: Buffer.from(value), lease });
        }
      }
    }
    return [...state].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, kv]) => ({ key: Buffer.from(key), ...kv }));
  }
}

/** Writes with `clients.length` callers until told to stop. */
export class Writers {
  readonly history: History;
  readonly #done: Promise<unknown>;
  #running = true;
  #calls = 0;

  constructor(clients: readonly RawClient[], history: History, name: string) {
    this.history = history;
    this.#done = Promise.all(clients.map((client, i) => this.#write(client, `${name}${i}`)));
  }

  /** Calls answered so far. */
  get calls(): number {
    return this.#calls;
  }

  /** Rejects when a call failed. */
  async stop(): Promise<void> {
    this.#running = false;
    await this.#done;
  }

  async #write(client: RawClient, name: string): Promise<void> {
    for (let i = 0; this.#running; i++) {
      const key = `${name}/${i % 50}`;
      const value = `${i} `.padEnd(200, name);
      if (i % 9 === 8) {
        const { header, deleted } = await client.delete(key, 60_000);
        if (deleted > 0) this.history.note(header!.revision, [{ key, value: undefined, lease: 0n }]);
      } else if (i % 7 === 6) {
        const pair = [`${key}.a`, `${key}.b`];
        const { header } = await client.putAll(
          pair.map((one) => [one, value] as const),
          60_000,
        );
        this.history.note(
          header!.revision,
          pair.map((one) => ({ key: one, value, lease: 0n })),
        );
      } else {
        const { header } = await client.put(key, value, 60_000);
        this.history.note(header!.revision, [{ key, value, lease: 0n }]);
      }
      this.#calls++;
    }
  }
}

/** A put under a lease, noted. */
export async function putLeased(client: RawClient, history: History, key: string, lease: bigint): Promise<void> {
  const request = PutRequest.create({ key: Buffer.from(key), value: Buffer.from('leased'), lease });
  const { header } = await client.call(services.kv.methods.put, request);
  history.note(header!.revision, [{ key, value: 'leased', lease }]);
}

/** Runs kvctl in this process; rejects when it fails. Returns its standard output. */
export async function kvctl(args: readonly string[], endpoint = '127.0.0.1:1'): Promise<string> {
  const { code, stdout, stderr } = await runKvctlHere({ args }, endpoint);
  if (code !== 0) throw new Error(`kvctl ${args.join(' ')}: ${code}: ${stderr}`);
  return stdout;
}

/** The revision in a backup, which `snapshot status` has checked. */
export async function revisionOf(file: string): Promise<number> {
  const status = JSON.parse(await kvctl(['snapshot', 'status', file, '-w', 'json'])) as { revision: number };
  return status.revision;
}

/** Makes the data directories of a cluster that was created and not started, and starts it. */
export async function restoreCluster(file: string, cluster: KvdCluster, more: readonly string[] = []): Promise<void> {
  for (const { options } of cluster.members) {
    const { name, directory, peerPort, initialCluster } = options;
    const flags = ['--data-dir', directory, '--name', name, '--initial-cluster', initialCluster];
    const urls = ['--initial-advertise-peer-urls', `http://127.0.0.1:${peerPort}`];
    await kvctl(['snapshot', 'restore', file, ...flags, ...urls, ...more]);
  }
  for (const member of cluster.members) member.start();
  await cluster.healthy();
}

/** Each member of a restored cluster holds what the log had at `revision`, and hashes like the cluster that was saved. */
export async function expectState(
  clients: readonly RawClient[],
  { history, revision, hash }: { history: History; revision: number; hash: number },
): Promise<void> {
  const expected = linesOf(history.replay(revision));
  for (const client of clients) {
    expect(linesOf(await client.everything(revision))).toEqual(expected);
    expect(await client.hashKv(revision)).toMatchObject({ hash });
  }
}

/** One line for each key with everything there is of it: compared in a hundredth of the time. */
function linesOf(kvs: readonly KeyValue[]): string[] {
  return kvs.map(({ key, createRevision, modRevision, version, value, lease }) =>
    [key.toString('latin1'), createRevision, modRevision, version, value.toString('latin1'), lease].join(' '),
  );
}
