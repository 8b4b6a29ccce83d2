/**
 * Three hundred leases on two clusters of three real members, with checkpoints and without, kept alive through members that do not
 * lead while those that lead are killed: none ends early, none is late, keys go with their lease in one revision.
 * `QUORATE_LEASE_CHAOS_MS` sets how long leaders die (default 20,000).
 */
import { LeaseGrantRequest, LeaseTimeToLiveRequest, PutRequest, services } from '@quorate/proto';
import { afterAll, expect, test } from 'vitest';
import { ChaosStream } from '../support/chaos-stream.ts';
import { KvdCluster, type KvdProcess, waitFor } from '../support/kvd-process.ts';
import { HeldLease, LeaseHolder } from '../support/lease-holders.ts';
import { RawClient } from '../support/raw-client.ts';
import { type Death, freshRandom, leaderOf, pause, storm } from '../support/storm.ts';
import { type Seen, WatchLog } from '../support/watch-judge.ts';

const durationMs = Number(process.env['QUORATE_LEASE_CHAOS_MS'] ?? 20_000);
const electionMs = 1_000;
const holderCount = 5;
const leasesPerHolder = 30;
const ttls = [4, 5, 6, 8, 10];
/** Leases that nobody renews and that outlive the test: the first has checkpoints, the others are beyond timers of 31 bits. */
const longTtls = [600, Math.ceil(2 ** 31 / 1_000), Math.ceil(2 ** 32 / 1_000), 9_000_000_000];
const { leaseGrant, leaseTimeToLive } = services.lease.methods;

const clusters: KvdCluster[] = [];
afterAll(() => Promise.all(clusters.map((cluster) => cluster.close())));

async function granted(client: RawClient, ttl: number, keys: readonly string[]): Promise<HeldLease> {
  const grantedMs = performance.now();
  const { id } = await client.call(leaseGrant, LeaseGrantRequest.create({ ttl }));
  for (const key of keys) {
    const put = PutRequest.create({ key: Buffer.from(key), value: Buffer.from(`${key} `), lease: id });
    await client.call(services.kv.methods.put, put);
  }
  return new HeldLease(id, ttl, keys, grantedMs);
}

/** Notes when keys vanish, as the first of three streams saw it, and at which revision. */
function watched(cluster: KvdCluster, leases: readonly HeldLease[]): { streams: ChaosStream[]; log: WatchLog } {
  const byKey = new Map(leases.flatMap((lease) => lease.keys.map((key) => [key, lease] as const)));
  class Watch extends WatchLog {
    override given(events: readonly (readonly [number, Seen])[], headerRevision: number): void {
      super.given(events, headerRevision);
      for (const [, { key, value }] of events) if (value === undefined) byKey.get(key)?.gone(`${key} is gone`);
    }
  }
  const shape = { key: 'l/', end: 'l0', noPut: false, noDelete: false, prevKv: false };
  const logs = cluster.members.map((_, i) => new Watch(`watch ${i}`, shape, 1));
  const random = freshRandom();
  const streams = logs.map(
    (log) => new ChaosStream({ endpoints: cluster.endpoints, logs: [log], random, fragment: false }),
  );
  return { streams, log: logs[0]! };
}

/** Deletions of a lease's keys, as `revision: keys`. */
function deletions(log: WatchLog, lease: HeldLease): string[] {
  const found: string[] = [];
  for (let revision = 2; revision < log.next; revision++) {
    const keys = log.at(revision).filter(({ key, value }) => value === undefined && lease.keys.includes(key));
    const all = log.at(revision).length;
    if (keys.length > 0) found.push(`${keys.map(({ key }) => key).sort()} of ${all} at ${revision}`);
  }
  return found.map((line) => line.replace(/ at \d+$/, ''));
}

async function live(checkpoints: boolean) {
  const random = freshRandom();
  const cluster = await KvdCluster.start(3, [
    ...['--election-timeout', String(electionMs), '--heartbeat-interval', '100'],
    `--lease-checkpoint=${checkpoints}`,
  ]);
  clusters.push(cluster);
  const clients = cluster.endpoints.map((endpoint) => new RawClient(endpoint));
  const long = await Promise.all(longTtls.map((ttl, i) => granted(clients[0]!, ttl, [`long/${i}`])));
  let leader: KvdProcess = await leaderOf(cluster);
  const followers = (): KvdProcess[] => cluster.members.filter((member) => member !== leader && member.running);
  const leases: HeldLease[] = [];
  const holders: LeaseHolder[] = [];
  for (let n = 0; n < holderCount; n++) {
    const own = await Promise.all(
      Array.from({ length: leasesPerHolder }, (_, i) => {
        const name = `l/${n}/${i}`;
        return granted(clients[i % 3]!, ttls[(n + i) % ttls.length]!, [`${name}/a`, `${name}/b`, `${name}/c`]);
      }),
    );
    leases.push(...own);
    holders.push(
      new LeaseHolder(own, () => {
        const members = followers().length > 0 ? followers() : cluster.members;
        return members[random.below(members.length)]!;
      }),
    );
  }
  const { streams, log } = watched(cluster, leases);
  const startMs = performance.now();
  // A third is given up while leaders die.
  for (const lease of leases) if (random.below(3) === 0) lease.keepUntilMs = startMs + random.below(durationMs);
  const deaths = await storm({
    cluster,
    random,
    victims: (found) => {
      leader = found;
      return [found];
    },
    downMs: 1_000,
    restMs: 1_500,
    until: () => performance.now() - startMs > durationMs,
  });
  leader = await leaderOf(cluster);
  const survivors = leases.filter((lease) => lease.keepUntilMs > performance.now());
  const lost = survivors.filter((lease) => lease.goneMs < Number.POSITIVE_INFINITY);
  for (const stream of streams) stream.calm();
  for (const lease of survivors) lease.keepUntilMs = performance.now() + random.below(1_000);
  const left = await Promise.all(long.map((lease) => timeToLive(clients[1]!, lease)));
  const limitMs = Math.max(...ttls) * 1_000 + 2 * electionMs + 10_000;
  await waitFor('all leases gone', limitMs, async () =>
    leases.every((lease) => lease.goneMs < Number.POSITIVE_INFINITY) ? true : undefined,
  ).catch(() => {
    // Which are not is told below.
  });
  await pause(200);
  await Promise.all([...holders, ...streams].map((one) => one.end()));
  const alive = await Promise.all(long.map((lease) => timeToLive(clients[2]!, lease)));
  for (const client of clients) client.close();
  return { leases, long, left, alive, deaths, lost, survivors, log };
}

async function timeToLive(client: RawClient, lease: HeldLease) {
  const { ttl, grantedTTL, keys } = await client.call(
    leaseTimeToLive,
    LeaseTimeToLiveRequest.create({ id: lease.id, keys: true }),
  );
  return { ttl, grantedTTL, keys: keys.map(String), elapsedMs: performance.now() - lease.grantedMs };
}

/** Milliseconds a lease went after its time, the time of a leader that died in between not counted. */
function lateness(lease: HeldLease, deaths: readonly Death[]): number {
  const lastDeathMs = Math.max(0, ...deaths.filter(({ atMs }) => atMs < lease.goneMs).map(({ atMs }) => atMs));
  return lease.goneMs - Math.max(lease.sentMs, lastDeathMs) - lease.ttlMs;
}

test('leases live as long as they are kept alive, and end soon after, whichever leaders die', async () => {
  const lives = await Promise.all(
    [true, false].map(async (checkpoints) => ({ checkpoints, ...(await live(checkpoints)) })),
  );
  for (const { checkpoints, leases, long, left, alive, deaths, lost, survivors, log } of lives) {
    const name = checkpoints ? 'with checkpoints' : 'without checkpoints';
    const worstMs = Math.max(...leases.map((lease) => lateness(lease, deaths)));
    const renewals = leases.reduce((sum, lease) => sum + lease.renewals, 0);
    console.log(
      `${name}: ${leases.length} leases, ${renewals} renewals, ${deaths.length} leaders killed, ` +
        `${survivors.length - lost.length} of ${survivors.length} kept over all, latest end ${worstMs.toFixed(0)} ms over`,
    );
    expect(
      leases.flatMap(({ id, problems }) => problems.map((problem) => `${id}: ${problem}`)),
      name,
    ).toEqual([]);
    expect(log.problems, name).toEqual([]);
    expect(worstMs, name).toBeLessThanOrEqual(2 * electionMs + 2_000);
    const endings = leases.map((lease) => deletions(log, lease));
    expect(endings, name).toEqual(leases.map(({ keys }) => [`${[...keys].sort()} of ${keys.length}`]));
    // Their holders could renew them in time: the run says something.
    expect(lost.length, name).toBeLessThan(survivors.length / 10);
    expect(survivors.length, name).toBeGreaterThan(leases.length / 2);
    expect(deaths.length, name).toBeGreaterThan(durationMs / 10_000);

    for (const [i, { grantedTTL, ttl, keys, elapsedMs }] of [...left, ...alive].entries()) {
      const granted = long[i % long.length]!;
      expect({ grantedTTL, keys }, name).toEqual({ grantedTTL: granted.ttlMs / 1_000, keys: granted.keys });
      expect(ttl, name).toBeGreaterThanOrEqual(Math.floor(grantedTTL - elapsedMs / 1_000) - 1);
      expect(ttl, name).toBeLessThanOrEqual(grantedTTL);
    }
    // Checkpoints are taken ten seconds after the grant; without them, each leader begins anew.
    const sinceDeathMs = performance.now() - deaths.at(-1)!.atMs;
    const { ttl } = alive[0]!;
    if (checkpoints) expect(ttl, name).toBeLessThanOrEqual(longTtls[0]! - 10 + 2);
    else expect(ttl, name).toBeGreaterThanOrEqual(longTtls[0]! - sinceDeathMs / 1_000 - 1);
  }
});
