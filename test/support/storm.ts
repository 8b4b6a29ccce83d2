/** Members that die and come back while something else goes on. */
import { type Random, SeededRandom } from '@quorate/base';
import { type KvdCluster, type KvdProcess, waitFor } from './kvd-process.ts';
import { RawClient } from './raw-client.ts';

export function pause(forMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, forMs));
}

/** Chance for tests of real processes, whose runs differ anyway; another run draws something else. */
export function freshRandom(): Random {
  return new SeededRandom(Date.now() ^ (process.pid << 8));
}

/** Undefined when no member says of itself that it leads. */
async function findLeader(cluster: KvdCluster): Promise<KvdProcess | undefined> {
  for (const member of cluster.members) {
    if (!member.running) continue;
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
}

export function leaderOf(cluster: KvdCluster): Promise<KvdProcess> {
  return waitFor('a leader', 30_000, () => findLeader(cluster));
}

export interface StormOptions {
  readonly cluster: KvdCluster;
  readonly random: Random;
  /** Whom the n-th blow hits. */
  readonly victims: (leader: KvdProcess, n: number) => readonly KvdProcess[];
  /** Longest time a member stays down, and longest rest between all being well and the next blow. */
  readonly downMs: number;
  readonly restMs: number;
  readonly until: () => boolean;
}

/** A member that was killed. */
export interface Death {
  readonly member: KvdProcess;
  readonly atMs: number;
  readonly led: boolean;
}

/** Kills with SIGKILL and starts again, until told to end; then all members are healthy. Every victim is told to `onDeath` first. */
export async function storm(options: StormOptions, onDeath: (death: Death) => void = () => {}): Promise<Death[]> {
  const { cluster, random, victims, downMs, restMs, until } = options;
  const deaths: Death[] = [];
  for (let n = 0; !until(); n++) {
    const leader = await leaderOf(cluster);
    const hit = victims(leader, n);
    for (const member of hit) {
      const death = { member, atMs: performance.now(), led: member === leader };
      deaths.push(death);
      onDeath(death);
    }
    await Promise.all(hit.map((member) => member.kill('SIGKILL')));
    await pause(random.below(downMs));
    for (const member of hit) member.start();
    await cluster.healthy(30_000);
    await pause(random.below(restMs));
  }
  return deaths;
}
