/**
 * What a seed lives through: the size of its cluster, its limits, and the faults that strike it. A scenario draws all of it from the
 * seed's random numbers, in a fixed order, so that a seed is the same life each time.
 */
import { type CrashPointName, crashPointNames, type Random } from '@quorate/base';
import { type Fault, type PlannedFault, planFaults } from './faults.ts';
import type { SimConfig } from './sim-cluster.ts';
import type { CrashKind } from './sim-member.ts';

export interface Scenario {
  readonly name: string;
  /** Mixed into the seed, so that scenarios do not share their random numbers. */
  readonly salt: number;
  /** How long faults strike, in virtual milliseconds. */
  readonly disturbedMs: number;
  /** Callers ask the leader, and again at once when it has answered; otherwise each rests for a while and asks anybody. */
  readonly isEager?: boolean;
  drawSize(random: Random): number;
  drawConfig(random: Random): SimConfig;
  /** `count`: faults, when the caller wants to say how many. */
  plan(random: Random, options: { readonly size: number; readonly count: number | undefined }): PlannedFault[];
}

/** Everything at once: 30 faults and more of every kind there is. */
export const everything: Scenario = {
  name: 'everything',
  salt: 0x5eed,
  disturbedMs: 40_000,
  drawSize: (random) => {
    const dice = random.below(10);
    if (dice < 2) return 1;
    return dice < 9 ? 3 : 5;
  },
  // Small limits make rare paths common: snapshots, segment cuts, slices and batches of every size.
  drawConfig: (random) => ({
    snapshotCount: 5 + random.below(random.below(2) === 0 ? 50 : 500),
    snapshotCatchUpEntries: 1 + random.below(60),
    backendBatchIntervalMs: 1 + random.below(200),
    backendBatchLimit: 1 + random.below(500),
    compactionBatchLimit: 1 + random.below(20),
    walSegmentBytes: 4096 * (1 + random.below(16)),
  }),
  plan: (random, { size, count }) =>
    planFaults(random, { size, count: count ?? 30 + random.below(16), durationMs: everything.disturbedMs }),
};

/**
 * Callers who wait for each answer and ask the leader again at once: followers are spared what they need not have yet, and everybody is
 * struck while they are.
 */
export const eager: Scenario = {
  ...everything,
  name: 'eager callers',
  salt: 0xea9e2,
  disturbedMs: 4_000,
  isEager: true,
  drawSize: (random) => (random.below(4) === 0 ? 5 : 3),
  plan: (random, { size, count }) =>
    planFaults(random, { size, count: count ?? 4 + random.below(5), durationMs: eager.disturbedMs }),
};

/**
 * S4: one member after another is away until the log does not reach back to where it stopped, and is brought up by a snapshot, during
 * which something else goes wrong: either side dies at a step of it, the disk is slow, the link breaks, leadership moves.
 */
export const lagging: Scenario = {
  name: 'S4, a member that lags is sent a snapshot',
  salt: 0x1a66ed,
  disturbedMs: 15_000,
  drawSize: (random) => (random.below(4) === 0 ? 5 : 3),
  drawConfig: (random) => ({
    snapshotCount: 2 + random.below(12),
    snapshotCatchUpEntries: 1 + random.below(4),
    snapshotBytesPerSecond: random.below(2) === 0 ? 0 : 2_000 + random.below(20_000),
    backendBatchIntervalMs: 1 + random.below(200),
    backendBatchLimit: 1 + random.below(100),
    compactionBatchLimit: 1 + random.below(20),
    walSegmentBytes: 4096 * (1 + random.below(4)),
  }),
  plan: (random, { size }) => planLagging(random, size, lagging.disturbedMs),
};

function planLagging(random: Random, size: number, durationMs: number): PlannedFault[] {
  const plan: PlannedFault[] = [];
  for (let atMs = random.below(1_000); atMs < durationMs; atMs += 1_000 + random.below(1_500)) {
    const member = random.below(size);
    const awayMs = 800 + random.below(2_500);
    plan.push({ atMs, fault: awayFor(random, { member, size, awayMs }) });
    const backMs = atMs + awayMs;
    plan.push({ atMs: backMs + 1 + random.below(600), fault: drawTrouble(random, member, size) });
    atMs = backMs;
  }
  return plan.filter(({ atMs }) => atMs < durationMs).sort((a, b) => a.atMs - b.atMs);
}

function awayFor(random: Random, away: { member: number; size: number; awayMs: number }): Fault {
  const { member, size, awayMs } = away;
  const dice = random.below(4);
  if (dice < 2) return { kind: 'crash', member, how: drawHow(random), downMs: awayMs };
  if (dice === 2) return { kind: 'pause', member, forMs: awayMs };
  const others = Array.from({ length: size }, (_, i) => i).filter((other) => other !== member);
  const links = others.flatMap((other) => [[member, other] as const, [other, member] as const]);
  return { kind: 'cut', links, forMs: awayMs };
}

/** Of the member that comes back, unless somebody sends it the snapshot. */
function drawTrouble(random: Random, member: number, size: number): Fault {
  const anybody = random.below(size);
  const downMs = 1 + random.below(1_000);
  const dice = random.below(10);
  if (dice < 5) {
    const name = snapshotPoints[random.below(snapshotPoints.length)]!;
    const isSender = name === 'snapshotBeforeCreate';
    return { kind: 'crashPoint', member: isSender ? anybody : member, name, nth: 1, how: drawHow(random), downMs };
  }
  if (dice === 5) return { kind: 'crash', member: anybody, how: drawHow(random), downMs };
  if (dice === 6) return { kind: 'slowDisk', member, delayMs: 10 + random.below(500), forMs: 2 * downMs };
  if (dice === 7) return { kind: 'cut', links: [[anybody, member]], forMs: downMs };
  if (dice === 8) return { kind: 'compact', member: anybody, behind: random.below(20) };
  return { kind: 'moveLeader', to: anybody };
}

const snapshotPoints: readonly CrashPointName[] = crashPointNames.filter((name) => name.startsWith('snapshot'));

function drawHow(random: Random): CrashKind {
  return random.below(2) === 0 ? 'process' : 'power';
}
