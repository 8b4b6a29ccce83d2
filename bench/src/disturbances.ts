/** What may hold a member up: everything long that it can be asked to do, and what to have ready for it. */
import { Client } from '@quorate/client';
import {
  CompactionRequest,
  DefragmentRequest,
  MoveLeaderRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  SnapshotRequest,
  StatusRequest,
  type StatusResponse,
  services,
  TxnRequest,
} from '@quorate/proto';
import { grantLeases } from './grants.ts';
import { H2Connection } from './load/h2-connection.ts';
import type { Server } from './servers.ts';
import { openWatchers } from './watchers.ts';

/** Runs `work` while puts are timed and event loops watched. May be called several times. */
export type Watched = (work: () => Promise<void>) => Promise<void>;

export interface Disturbance {
  readonly name: string;
  run(server: Server, watched: Watched): Promise<void>;
}

const keyCount = 100_000;
const valueBytes = 256;
const watcherCount = 10_000;
const leaseCount = 100_000;
const putsPerTxn = 100;
const txnsAtOnce = 8;
/** What can be repeated goes on for so long. */
const leastMs = 4_000;
const compactions = 3;
const leaderChanges = 6;
const leaderStaysMs = 1_000;
/** Time enough for followers to have granted what the leader has. */
const settleMs = 2_000;

const { kv, maintenance } = services;
const allKeys = { key: Buffer.from('filled/'), rangeEnd: Buffer.from('filled0') } as const;

/** Of one member that {@link fillKeys} filled. */
export const loneDisturbances: readonly Disturbance[] = [
  { name: 'nothing', run: (_server, watched) => watched(() => pause(leastMs)) },
  {
    name: 'ranges of 100,000 keys',
    run: (server, watched) => repeated(server, watched, kv.methods.range.path, RangeRequest.encode(rangeOfAll())),
  },
  { name: 'compacting 100,000 versions', run: compact },
  {
    name: 'defragmenting',
    run: (server, watched) =>
      repeated(
        server,
        watched,
        maintenance.methods.defragment.path,
        DefragmentRequest.encode(DefragmentRequest.create()),
      ),
  },
  {
    name: 'backups',
    run: (server, watched) =>
      repeated(server, watched, maintenance.methods.snapshot.path, SnapshotRequest.encode(SnapshotRequest.create())),
  },
  { name: '10,000 events a second to 10,000 watchers', run: watch },
];

/** Of three members that {@link grantMany} gave leases. */
export const clusterDisturbances: readonly Disturbance[] = [
  { name: 'nothing, three members', run: (_server, watched) => watched(() => pause(leastMs)) },
  { name: 'new leaders with 100,000 leases', run: changeLeaders },
];

/** A key that {@link loneDisturbances} watch: the first of those that puts at an even rate write. */
export const watchedKey: string = '\0'.repeat(8);

export async function fillKeys(endpoint: string): Promise<void> {
  const connection = await H2Connection.open(endpoint);
  const value = Buffer.alloc(valueBytes, 'v');
  let next = 0;
  const filler = async (): Promise<void> => {
    while (next < keyCount) {
      const from = next;
      next += putsPerTxn;
      const success = Array.from({ length: putsPerTxn }, (_, i) => {
        const key = Buffer.from(`filled/${String(from + i).padStart(25, '0')}`);
        return RequestOp.create({ requestPut: PutRequest.create({ key, value }) });
      });
      await must(connection, kv.methods.txn.path, TxnRequest.encode(TxnRequest.create({ success })));
    }
  };
  await Promise.all(Array.from({ length: txnsAtOnce }, filler));
  connection.close();
}

export async function grantMany(endpoint: string): Promise<void> {
  const connections = await Promise.all(Array.from({ length: 10 }, () => H2Connection.open(endpoint)));
  await grantLeases(connections, { count: leaseCount, ttl: 3_600 });
  for (const connection of connections) connection.close();
  await pause(settleMs);
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function rangeOfAll(): RangeRequest {
  return RangeRequest.create({ ...allKeys });
}

/** Rejects when there is no answer but a failure. Returns the bytes of the answer. */
async function must(connection: H2Connection, path: string, request: Buffer): Promise<number> {
  const bytes = await connection.drain(path, request);
  if (bytes === 0) throw new Error(`${path} failed`);
  return bytes;
}

async function repeated(server: Server, watched: Watched, path: string, request: Buffer): Promise<void> {
  const connection = await H2Connection.open(server.endpoints[0]!);
  await watched(async () => {
    const untilMs = performance.now() + leastMs;
    while (performance.now() < untilMs) await must(connection, path, request);
  });
  connection.close();
}

async function compact(server: Server, watched: Watched): Promise<void> {
  const endpoint = server.endpoints[0]!;
  const client = new Client({ endpoints: [endpoint] });
  const connection = await H2Connection.open(endpoint);
  for (let i = 0; i < compactions; i++) {
    await fillKeys(endpoint);
    const { header } = await client.unary(kv.methods.range, RangeRequest.create({ key: Buffer.from('x') }));
    const request = CompactionRequest.create({ revision: header!.revision, physical: true });
    await watched(
      async () => void (await must(connection, kv.methods.compact.path, CompactionRequest.encode(request))),
    );
  }
  connection.close();
  client.close();
}

async function watch(server: Server, watched: Watched): Promise<void> {
  const endpoint = server.endpoints[0]!;
  const watchers = await openWatchers({ endpoint, count: watcherCount, keyOf: () => watchedKey });
  await watched(() => pause(leastMs));
  watchers.close();
  await pause(settleMs);
}

async function changeLeaders(server: Server, watched: Watched): Promise<void> {
  const clients = server.endpoints.map((endpoint) => new Client({ endpoints: [endpoint] }));
  const statusOf = (client: Client): Promise<StatusResponse> =>
    client.unary(maintenance.methods.status, StatusRequest.create());
  const ids = (await Promise.all(clients.map(statusOf))).map((status) => status.header!.memberId);
  await watched(async () => {
    for (let i = 0; i < leaderChanges; i++) {
      const { leader } = await statusOf(clients[0]!);
      const at = ids.indexOf(leader);
      const targetID = ids[(at + 1) % ids.length]!;
      await clients[at]!.unary(maintenance.methods.moveLeader, MoveLeaderRequest.create({ targetID }));
      await pause(leaderStaysMs);
    }
  });
  for (const client of clients) client.close();
}
