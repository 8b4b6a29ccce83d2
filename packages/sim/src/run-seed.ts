/**
 * One seed, one whole life of a cluster: start, load, faults, healing, convergence, judgement. Everything is drawn from the seed;
 * a failure says the line that repeats it.
 */
import { SeededRandom } from '@quorate/base';
import { memberDefaults } from '@quorate/server';
import { endFaults, keepAlive, type PlannedFault, strike } from './faults.ts';
import { LeaseClient } from './lease-client.ts';
import { everything, type Scenario } from './scenario.ts';
import { SimCluster } from './sim-cluster.ts';
import { WatchClient } from './watch-client.ts';
import { Client } from './workload.ts';

export interface SeedOptions {
  readonly seed: number;
  /** Default: everything. */
  readonly scenario?: Scenario;
  /** Members; default drawn. */
  readonly size?: number;
  /** Faults; default drawn. */
  readonly faultCount?: number;
  /** Leaves faults out, by their place in the plan: used for shrinking. */
  readonly without?: ReadonlySet<number>;
}

export interface SeedReport {
  readonly seed: number;
  readonly size: number;
  readonly faultCount: number;
  readonly crashCount: number;
  readonly operationCount: number;
  readonly okCount: number;
  /** Appends that were sent, with or without entries. */
  readonly appendCount: number;
  readonly leaseCount: number;
  readonly watchEventCount: number;
  readonly virtualMs: number;
  /** Equal for two runs of one seed. */
  readonly digest: string;
  /** Crash points passed, by name. */
  readonly hits: ReadonlyMap<string, number>;
}

/** A seed found something. The message holds the line that repeats it, the plan and the last events. */
export class SeedFailure extends Error {
  constructor(
    options: SeedOptions,
    complaint: string,
    plan: readonly PlannedFault[],
    cluster: SimCluster,
    cause?: unknown,
  ) {
    super(
      [
        complaint,
        `repeat with: SIM_SEED=${options.seed} npm run test:sim (${(options.scenario ?? everything).name})`,
        `trace ${cluster.trace.digest}, ${cluster.describe()}`,
        `faults:\n${plan.map(({ atMs, fault }, i) => `  ${i} at ${atMs} ms ${JSON.stringify(fault)}`).join('\n')}`,
        `last events:\n  ${cluster.trace.tail.slice(-40).join('\n  ')}`,
      ].join('\n'),
      { cause },
    );
    this.name = 'SeedFailure';
  }
}

/** Phases, in virtual milliseconds. */
const leaderLimitMs = 30_000;
const convergeLimitMs = 120_000;
/** The longest time to live of the workload's leases, two election time-outs, two seconds. */
const leaseLimitMs = 5_000 + 2 * memberDefaults.electionMs + 2_000;

export async function runSeed(options: SeedOptions): Promise<SeedReport> {
  const scenario = options.scenario ?? everything;
  const random = new SeededRandom(options.seed ^ scenario.salt);
  const drawn = scenario.drawSize(random);
  const size = options.size ?? drawn;
  const cluster = new SimCluster({ seed: options.seed, size, config: scenario.drawConfig(random) });
  const all = scenario.plan(random, { size, count: options.faultCount });
  const plan = all.filter((_, i) => options.without?.has(i) !== true);
  let lived: Lived;
  try {
    lived = await live(cluster, plan, { random, scenario });
  } catch (error) {
    throw new SeedFailure(options, String(error), plan, cluster, error);
  }
  const complaints = cluster.checkAll();
  if (complaints.length > 0) throw new SeedFailure(options, complaints.slice(0, 10).join('\n'), plan, cluster);
  return { ...report(options.seed, cluster, plan.length), ...lived };
}

/** What clients beside the writers had to do. */
type Lived = Pick<SeedReport, 'leaseCount' | 'watchEventCount'>;

async function live(
  cluster: SimCluster,
  plan: readonly PlannedFault[],
  { random, scenario }: { readonly random: SeededRandom; readonly scenario: Scenario },
): Promise<Lived> {
  const { scheduler, history, members } = cluster;
  cluster.start();
  if (scenario.isEager === true) cluster.quicken();
  const keyCount = 3 + random.below(10);
  const clients = Array.from({ length: scenario.isEager === true ? 2 : 4 + random.below(5) }, (_, i) => {
    const options = { scheduler, random: cluster.random, history, members, keyCount };
    if (scenario.isEager === true) return new Client(`c${i}`, { ...options, whom: () => cluster.leader(), pauseMs: 1 });
    return new Client(`c${i}`, { ...options, pauseMs: 20 + random.below(80) });
  });
  const common = { scheduler, random: cluster.random, members, truth: cluster.truth };
  const watchers = Array.from({ length: 2 }, (_, i) => new WatchClient({ ...common, name: `watcher ${i}` }));
  const leases = new LeaseClient(common);
  for (const client of [...clients, ...watchers, leases]) client.start();
  for (const { atMs, fault } of plan) scheduler.after(atMs, () => strike(cluster, fault));
  const stopKeeper = keepAlive(cluster);
  await cluster.run(scenario.disturbedMs);
  stopKeeper();
  endFaults(cluster);
  // Liveness: with all faults gone a leader appears, clients are served again, and all members become equal.
  await cluster.runUntil('a leader after the faults', () => cluster.leader() !== undefined, leaderLimitMs);
  const before = history.okCount;
  await cluster.runUntil('clients served after the faults', () => history.okCount > before + 5, leaderLimitMs);
  for (const client of clients) client.stop();
  for (const client of [...watchers, leases]) client.calm();
  await cluster.run(10_000);
  await cluster.runUntil('all members equal', () => cluster.converged(), convergeLimitMs);
  const wrong = cluster.checkLeases();
  leases.stop();
  await cluster.runUntil('all leases gone', () => cluster.hasNoLeases && cluster.converged(), leaseLimitMs);
  await cluster.runUntil('watchers at the end', () => watchers.every((watcher) => watcher.isCurrent), convergeLimitMs);
  wrong.push(...leases.check());
  if (wrong.length > 0) throw new Error(wrong.slice(0, 10).join('\n'));
  return { leaseCount: leases.count, watchEventCount: watchers.reduce((sum, { eventCount }) => sum + eventCount, 0) };
}

function report(seed: number, cluster: SimCluster, faultCount: number): Omit<SeedReport, keyof Lived> {
  const hits = new Map<string, number>();
  let crashCount = 0;
  for (const member of cluster.members) {
    crashCount += member.crashCount;
    for (const [name, count] of member.hits) hits.set(name, (hits.get(name) ?? 0) + count);
  }
  return {
    seed,
    size: cluster.members.length,
    faultCount,
    crashCount,
    operationCount: cluster.history.operations.length,
    okCount: cluster.history.okCount,
    appendCount: cluster.network.appendCount,
    virtualMs: cluster.scheduler.nowMs,
    digest: cluster.trace.digest,
    hits,
  };
}

/** Leaves out one fault after another while the seed still fails; returns what is left of the plan's places. */
export async function shrinkSeed(options: SeedOptions, planLength: number): Promise<ReadonlySet<number>> {
  const without = new Set<number>();
  for (let i = 0; i < planLength; i++) {
    without.add(i);
    const stillFails = await runSeed({ ...options, without }).then(
      () => false,
      () => true,
    );
    if (!stillFails) without.delete(i);
  }
  return without;
}
