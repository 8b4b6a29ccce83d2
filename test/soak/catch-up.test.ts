/**
 * A follower that was stopped for 100,000 writes of 2 kB comes back by a snapshot, while callers put at a steady rate at the leader:
 * how long it takes until it is level, and what the callers feel of it. `QUORATE_CATCH_UP_WRITES` sets how many writes.
 */
import { HashKVRequest, services } from '@quorate/proto';
import { afterEach, expect, test } from 'vitest';
import { KvdCluster, type KvdProcess, waitFor } from '../support/kvd-process.ts';
import { OpenLoad, quantile } from '../support/open-load.ts';
import { RawClient } from '../support/raw-client.ts';

const writes = Number(process.env['QUORATE_CATCH_UP_WRITES'] ?? 100_000);
const valueBytes = 2_000;
const callers = 64;
const perSecond = 200;
const usualMs = 20_000;

const goal = { levelMs: 20_000, slowdown: 3 };

const open: { cluster: KvdCluster | undefined; load: OpenLoad | undefined } = { cluster: undefined, load: undefined };
afterEach(async () => {
  await open.load?.stop();
  await open.cluster?.close();
});

test(`a follower is level again after ${writes} writes, and the leader serves meanwhile`, async () => {
  const cluster = await KvdCluster.start(3);
  open.cluster = cluster;
  const leader = await leaderOf(cluster);
  const follower = cluster.members.find((member) => member !== leader)!;
  const client = new RawClient(leader.endpoint);
  await follower.kill('SIGKILL');
  await fill(client);
  const load = new OpenLoad({ client, perSecond, valueBytes });
  open.load = load;
  await pause(2_000);
  load.take();
  await pause(usualMs);
  const usual = load.take();
  const startMs = performance.now();
  follower.start();
  const levelMs = await waitFor('the follower to be level', 600_000, () => levelSince(follower, leader, startMs));
  const meanwhile = load.take();
  await load.stop();
  const metrics = await (await fetch(`http://${leader.endpoint}/metrics`)).text();
  const sent = /etcd_network_snapshot_send_success\{[^}]*\} (\d+)/.exec(metrics)?.[1];
  const figures = {
    levelS: levelMs / 1_000,
    usualP99Ms: quantile(usual, 0.99),
    meanwhileP99Ms: quantile(meanwhile, 0.99),
    usualMaxMs: usual.at(-1),
    meanwhileMaxMs: meanwhile.at(-1),
    failures: load.failures,
  };
  console.log(JSON.stringify(figures));
  await expectEqual(cluster);
  expect(sent).toBe('1');
  expect(figures.failures).toBe(0);
  expect(figures.meanwhileP99Ms).toBeLessThanOrEqual(goal.slowdown * figures.usualP99Ms);
  expect(levelMs).toBeLessThan(goal.levelMs);
  client.close();
});

async function fill(client: RawClient): Promise<void> {
  let next = 0;
  const value = Buffer.alloc(valueBytes, 'x');
  const run = async (): Promise<void> => {
    while (next < writes) await client.put(`fill/${next++}`, value, 60_000);
  };
  await Promise.all(Array.from({ length: callers }, run));
}

async function leaderOf(cluster: KvdCluster): Promise<KvdProcess> {
  return waitFor('a leader', 60_000, async () => {
    for (const member of cluster.members) {
      const status = await statusOf(member);
      if (status.leader !== 0n && status.leader === status.header?.memberId) return member;
    }
    return undefined;
  });
}

async function statusOf(member: KvdProcess) {
  const client = new RawClient(member.endpoint);
  try {
    return await client.status(10_000);
  } finally {
    client.close();
  }
}

/** Milliseconds since `startMs` when the follower has applied what the leader had applied a moment ago. */
async function levelSince(follower: KvdProcess, leader: KvdProcess, startMs: number): Promise<number | undefined> {
  const goalIndex = (await statusOf(leader)).raftAppliedIndex;
  const applied = await statusOf(follower).then(
    (status) => status.raftAppliedIndex,
    () => 0,
  );
  // Both were asked one after the other: as far behind as a few puts.
  return applied >= goalIndex - perSecond / 10 ? performance.now() - startMs : undefined;
}

async function expectEqual(cluster: KvdCluster): Promise<void> {
  const hashes = await waitFor('all members equal', 300_000, async () => {
    const all = await Promise.all(
      cluster.members.map(async (member) => {
        const client = new RawClient(member.endpoint);
        const { hash, header } = await client.call(
          services.maintenance.methods.hashKV,
          HashKVRequest.create(),
          120_000,
        );
        client.close();
        return `${hash} at ${header?.revision}`;
      }),
    );
    return new Set(all).size === 1 ? all : undefined;
  });
  expect(hashes).toHaveLength(3);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
