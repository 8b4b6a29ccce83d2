/**
 * Members that come and go under load, killed with SIGKILL at random moments of it: three members replaced one by one, and a cluster
 * that grows from one member to five and shrinks back. No acknowledged write may be lost, watchers are told everything once and in
 * order, all members end equal, and those removed cannot come back nor raise anybody's term.
 */
import { SeededRandom } from '@quorate/base';
import type { KeyValue } from '@quorate/proto';
import { afterEach, expect, test } from 'vitest';
import { ChangingCluster } from '../support/changing-cluster.ts';
import { type KvdProcess, waitFor } from '../support/kvd-process.ts';
import { RoamingWatcher, RoamingWriters } from '../support/roaming-load.ts';

const rounds = Number(process.env['QUORATE_MEMBER_ROUNDS'] ?? 1);
const seed = Number(process.env['QUORATE_MEMBER_SEED'] ?? Date.now() % 1_000_000);
const writers = 8;
const watchers = 2;

const open: { cluster: ChangingCluster | undefined } = { cluster: undefined };
afterEach(async () => {
  await open.cluster?.close();
  open.cluster = undefined;
});

/** One life of a cluster: its load, its changes, and the kills between and during them. */
class Life {
  readonly cluster: ChangingCluster;
  readonly writers: RoamingWriters;
  readonly watchers: readonly RoamingWatcher[];
  readonly removed: KvdProcess[] = [];
  kills = 0;
  readonly #random: SeededRandom;
  #added = 0;

  constructor(cluster: ChangingCluster, random: SeededRandom) {
    this.cluster = cluster;
    this.#random = random;
    const members = (): KvdProcess[] => [...cluster.members.values()];
    this.writers = new RoamingWriters(writers, members);
    this.watchers = Array.from({ length: watchers }, () => new RoamingWatcher(members));
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
    const leader = await cluster.leader();
    const { raftTerm } = await cluster.statusOf(leader);
    for (const member of removed) member.start();
    expect(await Promise.all(removed.map((member) => member.exited()))).toEqual(removed.map(() => 1));
    for (const member of removed) expect(member.log()).toContain('permanently removed from the cluster');
    await cluster.with(leader, (client) => client.put('after', 'all'));
    expect((await cluster.statusOf(leader)).raftTerm).toBe(raftTerm);
    expect(await cluster.leader()).toBe(leader);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function begin(size: number, flags: readonly string[], life: number): Promise<Life> {
  const cluster = await ChangingCluster.start(size, [
    '--snapshot-count',
    '300',
    '--snapshot-catchup-entries',
    '50',
    ...flags,
  ]);
  open.cluster = cluster;
  return new Life(cluster, new SeededRandom(seed + life));
}

function report(life: Life): string {
  return `${life.writers.acked.size} acknowledged writes, ${life.kills} kills, ${life.removed.length} removed (seed ${seed})`;
}

test(`all three members are replaced one by one under load, the strict check in force (seed ${seed})`, async () => {
  const life = await begin(3, [], 0);
  await life.writers.more(50);
  for (const name of ['m1', 'm2', 'm3']) {
    await life.grow();
    await life.shrink(name);
  }
  await life.judge();
  console.log(report(life));
});

test(`${rounds} times from one member to three, to five, to three, to one (seed ${seed})`, async () => {
  for (let round = 1; round <= rounds; round++) {
    const life = await begin(1, ['--strict-reconfig-check=false'], round);
    await life.writers.more(20);
    for (const size of [3, 5, 3, 1]) {
      while (life.cluster.members.size < size) await life.grow();
      while (life.cluster.members.size > size) await life.shrink(life.anyName());
    }
    await life.judge();
    console.log(report(life));
    await life.cluster.close();
  }
});
