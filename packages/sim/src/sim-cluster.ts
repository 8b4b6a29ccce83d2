/** A cluster of production members on virtual time, network and disks, with everything that watches it. */
import { buckets } from '@quorate/backend';
import { formatId, type MemberId, type Random, SeededRandom } from '@quorate/base';
import { KeyValue } from '@quorate/proto';
import { foundingIds, type InitialMember, type Member, type MemberConfig, memberDefaults } from '@quorate/server';
import { checkHistory } from './check.ts';
import { History } from './history.ts';
import { Scheduler } from './scheduler.ts';
import { calmDiskMs, SimMember } from './sim-member.ts';
import { quickNetwork, SimNetwork } from './sim-network.ts';
import { Trace } from './trace.ts';
import { Truth } from './truth.ts';

/** Configuration that seeds vary; the rest is etcd's default. */
export type SimConfig = Pick<
  MemberConfig,
  | 'snapshotCount'
  | 'snapshotCatchUpEntries'
  | 'backendBatchIntervalMs'
  | 'backendBatchLimit'
  | 'compactionBatchLimit'
  | 'walSegmentBytes'
> &
  Partial<MemberConfig>;

export interface SimClusterOptions {
  readonly seed: number;
  readonly size: number;
  readonly config: SimConfig;
}

export class SimCluster {
  readonly scheduler: Scheduler = new Scheduler();
  readonly random: Random;
  readonly trace: Trace;
  readonly truth: Truth = new Truth();
  readonly history: History = new History();
  readonly network: SimNetwork;
  /** Disk latency of members while nothing is wrong. */
  calmDiskMs: number = calmDiskMs;
  /** In the cluster now. Clients and faults go by this list. */
  readonly members: SimMember[];
  readonly ids: readonly MemberId[];

  constructor(options: SimClusterOptions) {
    this.random = new SeededRandom(options.seed);
    this.trace = new Trace(this.scheduler);
    this.network = new SimNetwork(this.scheduler, this.random, this.trace);
    const initialCluster: InitialMember[] = Array.from({ length: options.size }, (_, i) => ({
      name: `m${i + 1}`,
      peerUrls: [`http://m${i + 1}:2380`],
    }));
    const configs = initialCluster.map(
      (member): MemberConfig => ({
        ...memberDefaults,
        ...options.config,
        name: member.name,
        initialCluster,
        advertiseClientUrls: [`http://${member.name}:2379`],
      }),
    );
    this.ids = [...foundingIds(configs[0]!).values()];
    const { scheduler, random, network, trace, truth } = this;
    this.members = configs.map((config) => new SimMember({ config, scheduler, random, network, trace, truth }));
  }

  start(): void {
    for (const member of this.members) member.start();
  }

  /** From now on network and disks are quick while nothing is wrong: a put takes less than a millisecond. */
  quicken(): void {
    this.calmDiskMs = 0.1;
    this.network.usual = quickNetwork;
    this.network.calm();
    for (const member of this.members) member.diskDelayMs = this.calmDiskMs;
  }

  /** Runs for `durationMs` of virtual time. */
  run(durationMs: number): Promise<void> {
    return this.scheduler.run(this.scheduler.nowMs + durationMs);
  }

  /** Runs until `done`, at most `limitMs`; throws with `what` when that does not suffice. */
  async runUntil(what: string, done: () => boolean, limitMs: number): Promise<void> {
    await this.scheduler.run(this.scheduler.nowMs + limitMs, done);
    if (!done()) throw new Error(`not within ${limitMs} ms: ${what}; ${this.describe()}`);
  }

  leader(): SimMember | undefined {
    return this.members.find((member) => member.running?.leadership.isLeader === true);
  }

  /** Whether all members run, follow one leader and have applied the same. */
  converged(): boolean {
    const running = this.members.map((member) => member.running);
    const first = running[0];
    if (first === undefined) return false;
    const leader = first.leadership.leader;
    const applied = first.appliedIndex;
    return (
      leader !== 0n &&
      running.every(
        (member) =>
          member?.isServing === true && member.leadership.leader === leader && member.appliedIndex === applied,
      )
    );
  }

  /** All complaints, about what clients saw and about the final states. None means nothing was lost, doubled or reordered. */
  checkAll(): string[] {
    return [...checkHistory(this.history, this.truth), ...this.checkReplicas()];
  }

  /** Complaints about the final states: every member's keys equal the truth at the last revision. */
  checkReplicas(): string[] {
    const expected = this.truth.stateAt(this.truth.lastRevision);
    return this.members.flatMap((member) => {
      const running = member.running;
      if (running === undefined) return [`${member.name} does not run`];
      const revision = running.state.store.currentRevision;
      if (revision !== this.truth.lastRevision) {
        return [`${member.name} ends at revision ${revision}, the cluster at ${this.truth.lastRevision}`];
      }
      const actual = allKeys(running);
      return JSON.stringify(actual) === JSON.stringify(expected)
        ? []
        : [`${member.name} holds other keys than it should`];
    });
  }

  /** Complaints about leases, once {@link converged}: all members hold the same ones, with the keys that say so. */
  checkLeases(): string[] {
    const rows = this.members.map((member) => leaseRows(member.running!));
    const different = this.members.filter((_, i) => rows[i] !== rows[0]).map(({ name }) => name);
    const complaints = different.map((name) => `${name} holds other leases than ${this.members[0]!.name}`);
    return [...complaints, ...this.members.flatMap(({ name, running }) => attachmentProblems(name, running!))];
  }

  /** Whether no member has a lease. */
  get hasNoLeases(): boolean {
    return this.members.every(({ running }) => running?.isServing === true && running.state.leases.size === 0);
  }

  describe(): string {
    return this.members
      .map((member) => {
        const running = member.running;
        if (running === undefined) return `${member.name} ${member.alive ? 'starting' : 'down'}`;
        return `${member.name} applied ${running.appliedIndex} leader ${formatId(running.leadership.leader)}`;
      })
      .join(', ');
  }
}

function allKeys(member: Member): [string, string][] {
  return member.state.store
    .read()
    .range('\0', '\0')
    .rows.map((row) => {
      const { key, value } = KeyValue.decode(row);
      return [key.toString('latin1'), value.toString('latin1')];
    });
}

function leaseRows({ state }: Member): string {
  const rows = state.backend.range(buckets.lease, { from: '' });
  return rows.map(({ key, value }) => `${key}=${value.toString('latin1')}`).join('\n');
}

/** Keys hang on the leases their newest versions name. */
function attachmentProblems(name: string, { state }: Member): string[] {
  const records = state.store
    .read()
    .range('\0', '\0')
    .rows.map((row) => KeyValue.decode(row));
  return records
    .filter(({ key, lease }) => state.leases.leaseOf(key.toString('latin1')) !== lease)
    .map(({ key, lease }) => `on ${name}, ${key} does not hang on lease ${lease}`);
}
