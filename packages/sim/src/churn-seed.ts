/**
 * One seed of a cluster whose members come and go under load while members crash, lose power, pause, and are cut off. In the end all
 * faults are over: clients are served, all members are equal, nothing acknowledged is lost, and whoever was removed and is started
 * again learns it from the others, and raises nobody's term.
 */
import { SeededRandom } from '@quorate/base';
import { Churn, type ChurnCounts } from './churn.ts';
import { endFaults, keepAlive } from './faults.ts';
import { SimCluster } from './sim-cluster.ts';
import type { SimMember } from './sim-member.ts';
import { Client } from './workload.ts';

export interface ChurnReport extends ChurnCounts {
  readonly okCount: number;
  readonly crashCount: number;
  /** Equal for two runs of one seed. */
  readonly digest: string;
}

const disturbedMs = 40_000;
const limitMs = 120_000;
/** Mean virtual milliseconds between two faults. */
const faultPauseMs = 1_500;
const clientCount = 4;

/**
 * Members change as chance has it; with `sizes`, from the first of them to each of the others in turn. Throws with the seed, what was
 * found and the last events.
 */
export async function runChurnSeed(seed: number, sizes?: readonly number[]): Promise<ChurnReport> {
  const random = new SeededRandom(seed ^ 0xc0ffee);
  const drawn = 1 + 2 * random.below(2);
  const cluster = new SimCluster({ seed, size: sizes?.[0] ?? drawn, config: drawConfig(random) });
  const churn = new Churn(cluster, random, sizes?.slice(1));
  try {
    await live(cluster, churn, random);
    const complaints = cluster.checkAll();
    if (complaints.length > 0) throw new Error(complaints.slice(0, 10).join('\n'));
    await removedStayOut(cluster, churn.departed);
  } catch (error) {
    const events = cluster.trace.tail.slice(-40).join('\n  ');
    throw new Error(`churn seed ${seed}: ${String(error)}\n${cluster.describe()}\n  ${events}`, { cause: error });
  }
  const everyone = [...cluster.members, ...churn.departed];
  const crashCount = everyone.reduce((sum, member) => sum + member.crashCount, 0);
  return { ...churn.counts, okCount: cluster.history.okCount, crashCount, digest: cluster.trace.digest };
}

async function live(cluster: SimCluster, churn: Churn, random: SeededRandom): Promise<void> {
  const { scheduler, history, members } = cluster;
  cluster.start();
  await cluster.runUntil('a leader', () => cluster.leader() !== undefined, limitMs);
  const clients = Array.from({ length: clientCount }, (_, i) => {
    const options = { scheduler, random: cluster.random, history, members, keyCount: 5, pauseMs: 60 };
    return new Client(`c${i}`, options);
  });
  for (const client of clients) client.start();
  churn.start();
  const stopFaults = disturb(cluster, random);
  const stopKeeper = keepAlive(cluster);
  await cluster.run(disturbedMs);
  stopFaults();
  churn.stop();
  endFaults(cluster);
  await cluster.runUntil('the last change of members', () => churn.isIdle, limitMs);
  stopKeeper();
  endFaults(cluster);
  await cluster.runUntil('a leader after the faults', () => cluster.leader() !== undefined, limitMs);
  const before = history.okCount;
  await cluster.runUntil('clients served after the faults', () => history.okCount > before + 5, limitMs);
  for (const client of clients) client.stop();
  await cluster.run(10_000);
  await cluster.runUntil('all members equal', () => cluster.converged(), limitMs);
}

/** Faults at random moments, each over after a while. Members are looked up when one strikes: they come and go. */
function disturb(cluster: SimCluster, random: SeededRandom): () => void {
  const { scheduler, members, network, trace } = cluster;
  let isStopped = false;
  const strike = (): void => {
    if (isStopped) return;
    scheduler.after(random.below(2 * faultPauseMs), strike);
    const victim = members[random.below(Math.max(members.length, 1))];
    if (victim === undefined) return;
    const forMs = 50 + random.below(2_500);
    const dice = random.below(6);
    trace.add(`disturbs ${victim.name} (${dice}) for ${forMs} ms`);
    if (dice < 2) victim.crash(dice === 0 ? 'process' : 'power');
    else if (dice === 2) victim.pause(forMs);
    else if (dice === 3) slowDown(cluster, victim, forMs);
    else isolate(cluster, victim, dice === 4);
    if (dice >= 4) scheduler.after(forMs, () => network.heal());
  };
  scheduler.after(random.below(2 * faultPauseMs), strike);
  return () => {
    isStopped = true;
  };
}

function slowDown(cluster: SimCluster, victim: SimMember, forMs: number): void {
  victim.diskDelayMs = forMs;
  cluster.scheduler.after(forMs, () => {
    victim.diskDelayMs = cluster.calmDiskMs;
  });
}

/** Cuts a member off from all others, or only what it sends. */
function isolate({ members, network }: SimCluster, victim: SimMember, isBothWays: boolean): void {
  const own = victim.running?.identity.memberId;
  if (own === undefined) return;
  for (const member of members) {
    const other = member.running?.identity.memberId;
    if (other === undefined || other === own) continue;
    network.cut(own, other);
    if (isBothWays) network.cut(other, own);
  }
}

/** Those removed are started again, all of them, with the data they had. */
async function removedStayOut(cluster: SimCluster, departed: readonly SimMember[]): Promise<void> {
  const termOf = (): number => Math.max(...cluster.members.map(({ running }) => running!.headers.header(0).raftTerm));
  const term = termOf();
  const leader = cluster.leader();
  const ids = cluster.members.map(({ running }) => running!.identity.memberId);
  // One whose old list names nobody who is a member now has nobody to learn from, and nobody to disturb.
  const isLost = ({ running }: SimMember): boolean =>
    running !== undefined && ids.every((id) => running.state.members.get(id) === undefined);
  for (const member of departed) member.start();
  const isOut = (member: SimMember): boolean => !member.alive || isLost(member);
  await cluster.runUntil('the removed members to end', () => departed.every(isOut), limitMs);
  await cluster.run(5_000);
  for (const member of departed) {
    if (isLost(member) || /permanently removed/.test(member.refusal ?? '')) continue;
    throw new Error(`${member.name} ended as ${member.refusal}`);
  }
  if (termOf() !== term) throw new Error(`the term went from ${term} to ${termOf()} by members that were removed`);
  if (cluster.leader() !== leader) throw new Error('another leader because of members that were removed');
}

function drawConfig(random: SeededRandom): ConstructorParameters<typeof SimCluster>[0]['config'] {
  return {
    snapshotCount: 5 + random.below(200),
    snapshotCatchUpEntries: 1 + random.below(30),
    backendBatchIntervalMs: 1 + random.below(200),
    backendBatchLimit: 1 + random.below(500),
    compactionBatchLimit: 1 + random.below(20),
    walSegmentBytes: 4096 * (1 + random.below(16)),
    strictReconfigCheck: false,
    maxLearners: 2,
  };
}
