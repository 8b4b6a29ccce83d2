/**
 * What goes wrong in a simulation, and when: a plan drawn from the seed before the run, so that it can be printed, and shrunk by
 * leaving faults out. Every fault repairs itself after a while, except that members which crashed are started again by the plan.
 */
import { type CrashPointName, crashPointNames, type Random } from '@quorate/base';
import { CompactionRequest, MoveLeaderRequest } from '@quorate/proto';
import type { SimCluster } from './sim-cluster.ts';
import type { CrashKind, SimMember } from './sim-member.ts';
import type { NetworkFaults } from './sim-network.ts';

export type Fault =
  | { readonly kind: 'crash'; readonly member: number; readonly how: CrashKind; readonly downMs: number }
  | { readonly kind: 'crashAll'; readonly how: CrashKind; readonly downMs: number }
  | {
      readonly kind: 'crashPoint';
      readonly member: number;
      readonly name: CrashPointName;
      readonly nth: number;
      readonly how: CrashKind;
      readonly downMs: number;
    }
  | { readonly kind: 'pause'; readonly member: number; readonly forMs: number }
  | { readonly kind: 'slowDisk'; readonly member: number; readonly delayMs: number; readonly forMs: number }
  | { readonly kind: 'cut'; readonly links: readonly (readonly [number, number])[]; readonly forMs: number }
  | { readonly kind: 'noise'; readonly faults: NetworkFaults; readonly forMs: number }
  | { readonly kind: 'compact'; readonly member: number; readonly behind: number }
  | { readonly kind: 'defragment'; readonly member: number }
  | { readonly kind: 'moveLeader'; readonly to: number };

/** A fault and when it strikes, in milliseconds from the start of the disturbed phase. */
export interface PlannedFault {
  readonly atMs: number;
  readonly fault: Fault;
}

export function planFaults(
  random: Random,
  options: { size: number; count: number; durationMs: number },
): PlannedFault[] {
  const plan = Array.from({ length: options.count }, () => ({
    atMs: random.below(options.durationMs),
    fault: drawFault(random, options.size),
  }));
  return plan.sort((a, b) => a.atMs - b.atMs);
}

function drawFault(random: Random, size: number): Fault {
  const member = random.below(size);
  const how: CrashKind = random.below(2) === 0 ? 'process' : 'power';
  const downMs = 1 + random.below(4_000);
  const forMs = 100 + random.below(5_000);
  const dice = random.below(100);
  if (dice < 25) return { kind: 'crash', member, how, downMs };
  if (dice < 30) return { kind: 'crashAll', how, downMs };
  if (dice < 55) {
    const name = crashPointNames[random.below(crashPointNames.length)]!;
    return { kind: 'crashPoint', member, name, nth: 1 + random.below(20), how, downMs };
  }
  if (dice < 62) return { kind: 'pause', member, forMs: 50 + random.below(4_000) };
  if (dice < 69) return { kind: 'slowDisk', member, delayMs: 10 + random.below(2_000), forMs };
  if (dice < 84) return { kind: 'cut', links: drawCut(random, size), forMs };
  if (dice < 92) return { kind: 'noise', faults: drawNoise(random), forMs };
  if (dice < 95) return { kind: 'compact', member, behind: random.below(50) };
  if (dice < 98) return { kind: 'defragment', member };
  return { kind: 'moveLeader', to: random.below(size) };
}

/** One member alone, one direction only, one pair (the others reach both), or everything. */
function drawCut(random: Random, size: number): [number, number][] {
  const pairs: [number, number][] = [];
  for (let a = 0; a < size; a++) for (let b = 0; b < size; b++) if (a !== b) pairs.push([a, b]);
  if (pairs.length === 0) return [];
  const lone = random.below(size);
  switch (random.below(4)) {
    case 0:
      return pairs.filter(([a, b]) => a === lone || b === lone);
    case 1:
      return pairs.filter(([a]) => a === lone);
    case 2: {
      const [a, b] = pairs[random.below(pairs.length)]!;
      return [
        [a, b],
        [b, a],
      ];
    }
    default:
      return pairs;
  }
}

function drawNoise(random: Random): NetworkFaults {
  const delayMinMs = random.below(20);
  return {
    lossPerMille: random.below(300),
    duplicatePerMille: random.below(200),
    reorderPerMille: random.below(200),
    delayMinMs,
    delayMaxMs: delayMinMs + 1 + random.below(200),
  };
}

/** Brings a fault about now. */
export function strike(cluster: SimCluster, fault: Fault): void {
  const { scheduler, members, trace, network, ids } = cluster;
  trace.add(`fault ${JSON.stringify(fault)}`);
  switch (fault.kind) {
    case 'crash':
      crash(cluster, members[fault.member]!, fault.how, fault.downMs);
      return;
    case 'crashAll':
      for (const member of members) crash(cluster, member, fault.how, fault.downMs);
      return;
    case 'crashPoint': {
      const member = members[fault.member]!;
      member.armKind(fault.how);
      member.arm(fault.name, fault.nth);
      return;
    }
    case 'pause':
      members[fault.member]!.pause(fault.forMs);
      return;
    case 'slowDisk': {
      const member = members[fault.member]!;
      member.diskDelayMs = fault.delayMs;
      scheduler.after(fault.forMs, () => {
        member.diskDelayMs = cluster.calmDiskMs;
      });
      return;
    }
    case 'cut':
      for (const [a, b] of fault.links) network.cut(ids[a]!, ids[b]!);
      scheduler.after(fault.forMs, () => network.heal());
      return;
    case 'noise':
      Object.assign(network.faults, fault.faults);
      scheduler.after(fault.forMs, () => network.calm());
      return;
    case 'compact':
      compact(members[fault.member]!, fault.behind);
      return;
    case 'defragment':
      // Whatever becomes of it: it ends with the member, or with its state.
      members[fault.member]!.running?.maintenance.defragment().catch(() => {});
      return;
    case 'moveLeader': {
      const leader = cluster.leader()?.running;
      leader?.maintenance.moveLeader(MoveLeaderRequest.create({ targetID: ids[fault.to]! })).catch(() => {});
      return;
    }
  }
}

/** How often the keeper looks for members that died at an armed crash point, in milliseconds. */
const keeperMs = 500;

/** Starts again whatever is down, sooner or later, until told to stop: the operator of the simulation. */
export function keepAlive(cluster: SimCluster): () => void {
  let stopped = false;
  const look = (): void => {
    if (stopped) return;
    for (const member of cluster.members) if (!member.alive && cluster.random.below(3) === 0) member.start();
    cluster.scheduler.after(keeperMs, look);
  };
  cluster.scheduler.after(keeperMs, look);
  return () => {
    stopped = true;
  };
}

/** Ends every fault: links heal, disks are quick, all members run. */
export function endFaults(cluster: SimCluster): void {
  cluster.trace.add('faults end');
  cluster.network.heal();
  cluster.network.calm();
  for (const member of cluster.members) {
    member.diskDelayMs = cluster.calmDiskMs;
    member.disarm();
    member.start();
  }
}

function crash(cluster: SimCluster, member: SimMember, how: CrashKind, downMs: number): void {
  member.crash(how);
  cluster.scheduler.after(downMs, () => member.start());
}

function compact(member: SimMember, behind: number): void {
  const running = member.running;
  if (running?.isServing !== true) return;
  const revision = running.state.store.currentRevision - behind;
  const ignore = (): void => {};
  const reply = { ok: ignore, encoded: ignore, pieces: ignore, fail: ignore };
  running.kv.compact(CompactionRequest.create({ revision }), reply);
}
