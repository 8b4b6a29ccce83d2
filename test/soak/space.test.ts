/**
 * A store of a gigabyte on three members, most of it history: compacted and then defragmented, one member after the other, while
 * eight callers write. What they feel of it, whether anybody else came to lead, what is left of the files, and whether anything was
 * lost. `QUORATE_SPACE_MB` sets how large the stores are before.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { KvdCluster, waitFor } from '../support/kvd-process.ts';
import { Ledger } from '../support/ledger.ts';
import { load } from '../support/load.ts';
import { quantile } from '../support/open-load.ts';
import { RawClient } from '../support/raw-client.ts';

const sizeBytes = Number(process.env['QUORATE_SPACE_MB'] ?? 1_000) * 1_000_000;
const valueBytes = 4_000;
const fillers = 64;
const writers = 8;
const usualMs = 15_000;
/** Every key is filled so many times: what compaction leaves of the file. */
const versions = 4;

const goalMs = 200;

let cluster: KvdCluster | undefined;
afterEach(async () => {
  await cluster?.close();
});

test('compaction and defragmentation of a large store are not felt by its writers', async () => {
  cluster = await KvdCluster.start(3, ['--quota-backend-bytes', String(8 * 1024 ** 3)]);
  const { members, endpoints } = cluster;
  const clients = endpoints.map((endpoint) => new RawClient(endpoint));
  const client = clients[0]!;
  await fill(client);
  const fileBytes = (): number[] => members.map((member) => statSync(join(member.options.directory, 'db')).size);
  const before = { files: fileBytes(), term: (await client.status()).raftTerm };
  const ledger = new Ledger(1_000);
  const tookMs: number[] = [];
  let ended = false;
  const until = (): boolean => ended;
  const onCall = (ms: number): void => void tookMs.push(ms);
  const limits = { callers: writers, callsMax: Number.POSITIVE_INFINITY, until, maintains: false };
  const writing = load({ client, ledger, name: 'load', onCall, ...limits });
  const phase = async (what: string, run: () => Promise<unknown>): Promise<Figures> => {
    tookMs.length = 0;
    const startMs = performance.now();
    await run();
    const figures = figuresOf(tookMs, performance.now() - startMs);
    console.log(JSON.stringify({ what, ...figures, filesMb: fileBytes().map((bytes) => Math.round(bytes / 1e6)) }));
    return figures;
  };

  await pause(2_000);
  const usual = await phase('usual', () => pause(usualMs));
  const compaction = await phase('compaction', () => compact(client, clients));
  const defragmentations: Figures[] = [];
  for (const [i, each] of clients.entries()) {
    defragmentations.push(await phase(`defragmentation of member ${i + 1}`, () => each.defragment(600_000)));
  }
  const files = fileBytes();
  const afterwards = await phase('afterwards', () => pause(usualMs));
  ended = true;
  await writing;

  const status = await client.status();
  expect(status.raftTerm).toBe(before.term);
  for (const [i, bytes] of files.entries()) expect(bytes).toBeLessThan(before.files[i]! / 2);
  expect(ledger.problems(await withoutFill(client))).toEqual([]);
  // What the machine does to them anyway is no fault of ours.
  const allowedMs = goalMs + Math.max(usual.maxMs, afterwards.maxMs);
  for (const { maxMs, writes } of [compaction, ...defragmentations]) {
    expect(writes).toBeGreaterThan(0);
    expect(maxMs).toBeLessThanOrEqual(allowedMs);
  }
  await expectEqual(clients);
  for (const each of clients) each.close();
});

interface Figures {
  readonly seconds: number;
  readonly writes: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

function figuresOf(tookMs: readonly number[], durationMs: number): Figures {
  const sorted = [...tookMs].sort((a, b) => a - b);
  const round = (ms: number): number => Math.round(ms * 10) / 10;
  return {
    seconds: round(durationMs / 1_000),
    writes: sorted.length,
    p50Ms: round(quantile(sorted, 0.5)),
    p99Ms: round(quantile(sorted, 0.99)),
    maxMs: round(sorted.at(-1) ?? 0),
  };
}

async function fill(client: RawClient): Promise<void> {
  const writes = Math.ceil(sizeBytes / valueBytes);
  const keys = Math.ceil(writes / versions);
  let next = 0;
  const run = async (): Promise<void> => {
    while (next < writes) {
      const n = next++;
      await client.put(`fill/${n % keys}`, Buffer.alloc(valueBytes, n), 60_000);
    }
  };
  await Promise.all(Array.from({ length: fillers }, run));
}

/** To the present, and waits until every member has removed the rows. */
async function compact(client: RawClient, clients: readonly RawClient[]): Promise<void> {
  const { revision } = (await client.range({ key: Buffer.from('nothing') })).header!;
  await client.compact(revision);
  for (const each of clients) {
    await waitFor('the rows to go', 300_000, async () => {
      const { dbSize, dbSizeInUse } = await each.status();
      return dbSizeInUse < 0.6 * dbSize ? true : undefined;
    });
  }
}

async function withoutFill(client: RawClient) {
  const { kvs } = await client.range({ key: Buffer.from('load'), rangeEnd: Buffer.from('loae') });
  return kvs;
}

async function expectEqual(clients: readonly RawClient[]): Promise<void> {
  await waitFor('all members equal', 60_000, async () => {
    const all = await Promise.all(
      clients.map(async (client) => {
        const { hash, header } = await client.hashKv(0);
        return `${hash} at ${header?.revision}`;
      }),
    );
    return new Set(all).size === 1 ? true : undefined;
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
