/**
 * One life of a cluster whose members come and go under load, killed with SIGKILL at random moments of it, and what must be true of
 * it in the end: no acknowledged write is lost, watchers were told everything once and in order, all members are equal, and those
 * removed cannot come back nor raise anybody's term.
 */
import { SeededRandom } from '@quorate/base';
import type { KeyValue } from '@quorate/proto';
import { expect } from 'vitest';
import { ChangingCluster } from './changing-cluster.ts';
import { type KvdProcess, waitFor } from './kvd-process.ts';
import { RoamingWatcher, RoamingWriters } from './roaming-load.ts';
import { keepsTerm, logsElections } from './steady-term.ts';

const writers = 8;
const watchers = 2;
/** Small, so that members that come or were away are sent snapshots. */
const flags = ['--snapshot-count', '300', '--snapshot-catchup-entries', '50', ...logsElections];

/** Its load, its changes, and the kills between and during them. */
export class MemberLife {
  readonly cluster: ChangingCluster;
  readonly writers: RoamingWriters;
  readonly watchers: readonly RoamingWatcher[];
  readonly removed: KvdProcess[] = [];
  kills = 0;
  readonly #random: SeededRandom;
  #added = 0;

  /** A cluster of this size, under load. `further` flags are given to every member. */
  static async begin(size: number, further: readonly string[], seed: number): Promise<MemberLife> {
    const cluster = await ChangingCluster.start(size, [...flags, ...further]);
    const life = new MemberLife(cluster, new SeededRandom(seed));
    await life.writers.more(20 * size);
    return life;
  }

  private constructor(cluster: ChangingCluster, random: SeededRandom) {
    this.cluster = cluster;
    this.#random = random;
    const members = (): KvdProcess[] => [...cluster.members.values()];
    this.writers = new RoamingWriters(writers, members);
    this.watchers = Array.from({ length: watchers }, () => new RoamingWatcher(members));
  }

  /** Every member makes room for a new one. */
  async replaceAll(): Promise<void> {
    for (const name of [...this.cluster.members.keys()]) {
      await this.grow();
      await this.shrink(name);
    }
  }

  /** Grows and shrinks, one member at a time, to each of these sizes. */
  async pass(sizes: readonly number[]): Promise<void> {
    for (const size of sizes) {
      while (this.cluster.members.size < size) await this.grow();
      while (this.cluster.members.size > size) await this.shrink(this.anyName());
    }
  }

  /** Adds a member as a learner, and makes it a voter when it is level. */
  async grow(): Promise<void> {
    const name = `n${++this.#added}`;
    await this.#step(async () => {
      const id = await this.cluster.add(name, { isLearner: true });
      await this.cluster.promote(id);
    });
    await this.cluster.member(name).healthy(30_000);
  }

  /** Removes a member, which ends by itself unless it is killed before it knows. */
  async shrink(name: string): Promise<void> {
    const left = this.cluster.member(name);
    await this.#step(() => this.cluster.remove(name));
    await waitFor(`${name} to end`, 30_000, async () => (left.running ? undefined : true));
    this.removed.push(left);
  }

  anyName(): string {
    const names = [...this.cluster.members.keys()];
    return names[this.#random.below(names.length)]!;
  }

  /** For the log of a test. */
  describe(): string {
    const { writers, kills, removed } = this;
    return `${writers.acked.size} acknowledged writes, ${kills} kills, ${removed.length} removed`;
  }

  /** Ends everything, whatever became of it. */
  async close(): Promise<void> {
    await this.writers.stop();
    await Promise.all(this.watchers.map((watcher) => watcher.stop()));
    await this.cluster.close();
  }

  /** Runs a change, with somebody killed and started again meanwhile more often than not. */
  async #step(change: () => Promise<unknown>): Promise<void> {
    const disturbed = this.#random.below(3) > 0 ? this.#killSomebody() : Promise.resolve();
    await Promise.all([change(), disturbed]);
    await this.writers.more(20);
  }

  async #killSomebody(): Promise<void> {
    const beforeMs = this.#random.below(600);
    const downMs = this.#random.below(400);
    await pause(beforeMs);
    const victim = this.cluster.members.get(this.anyName());
    if (victim === undefined || !victim.running) return;
    this.kills++;
    await victim.kill('SIGKILL');
    await pause(downMs);
    this.cluster.startAgain(victim);
  }

  /** What must be true of it in the end. */
  async judge(): Promise<void> {
    const { cluster } = this;
    await this.writers.stop();
    await cluster.healthy();
    const states = await this.#states();
    const [first] = states;
    for (const { hash } of states) expect(hash).toBe(first!.hash);
    this.#judgeWrites(first!.kvs);
    await this.#judgeWatchers(first!.revision);
    await this.#judgeRemoved();
  }

  async #states(): Promise<{ revision: number; kvs: KeyValue[]; hash: number }[]> {
    const { cluster } = this;
    const members = [...cluster.members.values()];
    const revision = await waitFor('all members at one revision', 30_000, async () => {
      const statuses = await Promise.all(members.map((member) => cluster.statusOf(member)));
      const [first, ...others] = statuses.map((status) => status.header!.revision);
      return others.every((other) => other === first) ? first : undefined;
    });
    return Promise.all(
      members.map((member) =>
        cluster.with(member, async (client) => {
          const { hash } = await client.hashKv(revision);
          return { revision, kvs: await client.everything(revision), hash };
        }),
      ),
    );
  }

  #judgeWrites(kvs: readonly KeyValue[]): void {
    const stored = new Map(kvs.map((kv) => [kv.key.toString(), kv]));
    const lost = [...this.writers.acked].filter(([key, { value, revision }]) => {
      const kv = stored.get(key);
      return kv === undefined || kv.value.toString() !== value || kv.modRevision !== revision;
    });
    expect(lost).toEqual([]);
    const revisions = kvs.map((kv) => kv.modRevision);
    expect(new Set(revisions).size).toBe(revisions.length);
  }

  async #judgeWatchers(revision: number): Promise<void> {
    for (const watcher of this.watchers) {
      await waitFor('a watcher to be told everything', 30_000, async () =>
        watcher.lastRevision >= revision ? true : undefined,
      );
      await watcher.stop();
      const revisions = watcher.events.map((event) => event.revision);
      expect(revisions).toEqual(Array.from({ length: revision - 1 }, (_, i) => i + 2));
      const told = new Map(watcher.events.map((event) => [event.key, event.revision]));
      expect([...this.writers.acked].filter(([key, acked]) => told.get(key) !== acked.revision)).toEqual([]);
    }
  }

  /** Those removed are started again, all at once. */
  async #judgeRemoved(): Promise<void> {
    const { cluster, removed } = this;
    await keepsTerm(cluster, removed, async () => {
      for (const member of removed) member.start();
      expect(await Promise.all(removed.map((member) => member.exited()))).toEqual(removed.map(() => 1));
      for (const member of removed) expect(member.log()).toContain('permanently removed from the cluster');
      await cluster.with(await cluster.leader(), (client) => client.put('after', 'all'));
    });
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
