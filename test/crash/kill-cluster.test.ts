/**
 * Three real members under load, killed with SIGKILL again and again: the leader, anyone, all at once. Whatever a caller was told
 * is written must be there afterwards, at the revision it was told, on every member.
 */
import { afterAll, expect, test } from 'vitest';
import { KvdCluster as Cluster, type KvdCluster, type KvdProcess, waitFor } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';

const kills = Number(process.env['QUORATE_KILLS'] ?? 30);
const callers = 8;
const electionMs = 1_000;

interface Acked {
  readonly value: string;
  readonly revision: number;
}

interface Load {
  /** Key to what was acknowledged. */
  readonly acked: Map<string, Acked>;
  /** When each acknowledgement arrived, ascending. */
  readonly ackTimes: number[];
  stop(): Promise<void>;
}

const open: { cluster: KvdCluster | undefined } = { cluster: undefined };
afterAll(() => open.cluster?.close());

function startLoad(cluster: KvdCluster): Load {
  const acked = new Map<string, Acked>();
  const ackTimes: number[] = [];
  const state = { stopped: false };
  const clients = cluster.members.map((member) => new RawClient(member.endpoint));
  const caller = async (id: number): Promise<void> => {
    for (let n = 0; !state.stopped; n++) {
      const client = clients[(id + n) % clients.length]!;
      const key = `w${id}-${String(n).padStart(7, '0')}`;
      const value = `v${id}-${n}`;
      try {
        const { header } = await client.put(key, value, 2_000);
        acked.set(key, { value, revision: header!.revision });
        ackTimes.push(performance.now());
      } catch {
        // Unknown outcome: it may or may not be there. Let others run before the next try.
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
  };
  const running = Array.from({ length: callers }, (_, id) => caller(id));
  return {
    acked,
    ackTimes,
    async stop() {
      state.stopped = true;
      await Promise.all(running);
      for (const client of clients) client.close();
    },
  };
}

async function leaderOf(cluster: KvdCluster): Promise<KvdProcess> {
  return waitFor('a leader', 30_000, async () => {
    for (const member of cluster.members) {
      const client = new RawClient(member.endpoint);
      try {
        const status = await client.status(1_000);
        if (status.leader !== 0n && status.leader === status.header?.memberId) return member;
      } catch {
        // Down or starting; the next member may know.
      } finally {
        client.close();
      }
    }
    return undefined;
  });
}

async function nextAckAfter(load: Load, timeMs: number): Promise<number> {
  return waitFor('a write acknowledged after the kill', 30_000, () => {
    const last = load.ackTimes.at(-1);
    if (last === undefined || last <= timeMs) return Promise.resolve(undefined);
    return Promise.resolve(load.ackTimes.find((ack) => ack > timeMs));
  });
}

/** Kills whom the round says and gives the milliseconds until the next acknowledged write for a killed leader. */
async function killRound(cluster: KvdCluster, load: Load, round: number): Promise<number | undefined> {
  const kind = ['leader', 'random', 'all'][round % 3]!;
  const leader = await leaderOf(cluster);
  const victims =
    kind === 'leader'
      ? [leader]
      : kind === 'all'
        ? cluster.members
        : [cluster.members[round % cluster.members.length]!];
  const killedAt = performance.now();
  await Promise.all(victims.map((victim) => victim.kill('SIGKILL')));
  const recoveredMs = kind === 'leader' ? (await nextAckAfter(load, killedAt)) - killedAt : undefined;
  for (const victim of victims) victim.start();
  await nextAckAfter(load, performance.now());
  await Promise.all(victims.map((victim) => victim.healthy(30_000)));
  return recoveredMs;
}

test(`${kills} kills under load lose no acknowledged write and use no revision twice`, async () => {
  const cluster = await Cluster.start(3, ['--election-timeout', String(electionMs), '--snapshot-count', '500']);
  open.cluster = cluster;
  const load = startLoad(cluster);
  const recoveries: number[] = [];
  for (let round = 0; round < kills; round++) {
    const recoveredMs = await killRound(cluster, load, round);
    if (recoveredMs !== undefined) recoveries.push(recoveredMs);
  }
  await load.stop();
  await cluster.healthy();

  const states = await convergedStates(cluster);
  const first = states[0]!;
  for (const state of states) expect(state.hash).toBe(first.hash);
  const stored = new Map(first.kvs.map((kv) => [kv.key.toString(), kv]));
  const lost = [...load.acked].filter(([key, { value, revision }]) => {
    const kv = stored.get(key);
    return kv === undefined || kv.value.toString() !== value || kv.modRevision !== revision;
  });
  expect(lost).toEqual([]);
  const revisions = first.kvs.map((kv) => kv.modRevision);
  expect(new Set(revisions).size).toBe(revisions.length);
  expect(load.acked.size).toBeGreaterThan(kills * 20);

  const sorted = [...recoveries].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)]!;
  console.log(
    `${load.acked.size} acknowledged writes, ${kills} kills; leader kill to next write: median ${median.toFixed(0)} ms, ` +
      `worst ${sorted.at(-1)!.toFixed(0)} ms over ${sorted.length}`,
  );
  expect(median).toBeLessThanOrEqual(2 * electionMs);
});

/** All members' keys and hashes at one revision they have all reached. */
async function convergedStates(cluster: KvdCluster) {
  const clients = cluster.members.map((member) => new RawClient(member.endpoint));
  try {
    const revision = await waitFor('all members at one revision', 30_000, async () => {
      const statuses = await Promise.all(clients.map((client) => client.status()));
      const [revision, ...others] = statuses.map((status) => status.header!.revision);
      return others.every((other) => other === revision) ? revision : undefined;
    });
    return await Promise.all(
      clients.map(async (client) => {
        const kvs = await client.everything(revision);
        return { kvs, hash: (await client.hashKv(revision)).hash };
      }),
    );
  } finally {
    for (const client of clients) client.close();
  }
}
