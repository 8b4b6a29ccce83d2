/**
 * Members that come and go in a simulation, one change at a time, as an operator would do it: added as voters or as learners and
 * promoted, removed whoever they are, the leader too; started again after they were removed; started without their data. Chosen by
 * chance from the seed, in between and during whatever else goes wrong.
 */
import type { MemberId, Random } from '@quorate/base';
import { type Member as EtcdMember, MemberAddRequest, MemberPromoteRequest, MemberRemoveRequest } from '@quorate/proto';
import type { Member } from '@quorate/server';
import type { SimCluster } from './sim-cluster.ts';
import { SimMember } from './sim-member.ts';

/** Members there are at least and at most, when chance decides. */
const sizes = { min: 1, max: 5 };
/** How long an operator waits for an answer, and before trying again, in virtual milliseconds. */
const patienceMs = 4_000;
const againMs = 500;
/** Longest rest between two changes. */
const restMs = 2_500;

/** What was done so far. */
export interface ChurnCounts {
  added: number;
  promoted: number;
  removed: number;
  /** Starts without the data that the member had. */
  wiped: number;
}

export class Churn {
  readonly counts: ChurnCounts = { added: 0, promoted: 0, removed: 0, wiped: 0 };
  /** Removed from the cluster, with the data they had. */
  readonly departed: SimMember[] = [];
  readonly #cluster: SimCluster;
  readonly #random: Random;
  readonly #path: readonly number[] | undefined;
  #isStopped = false;
  #isIdle = true;

  /** `path`: numbers of members to pass, one after the other; chance decides when there is none. */
  constructor(cluster: SimCluster, random: Random, path?: readonly number[]) {
    this.#cluster = cluster;
    this.#random = random;
    this.#path = path;
  }

  /** Whether no change is under way. */
  get isIdle(): boolean {
    return this.#isIdle;
  }

  start(): void {
    this.#isIdle = false;
    const run = this.#path === undefined ? this.#run() : this.#pass(this.#path);
    run.catch((error: unknown) => this.#cluster.scheduler.fail(error));
  }

  /** Begins no further change; one under way is carried through, and so is a path. */
  stop(): void {
    this.#isStopped = true;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const { members } = this.#cluster;
      const dice = this.#random.below(10);
      if (dice === 0) await this.#wipe();
      else if (members.length <= sizes.min || (dice < 5 && members.length < sizes.max)) await this.#add();
      else await this.#remove();
      await this.#sleep(this.#random.below(restMs));
    }
    this.#isIdle = true;
  }

  async #pass(path: readonly number[]): Promise<void> {
    const { members } = this.#cluster;
    for (const size of path) {
      while (members.length !== size) {
        if (!this.#isStopped && this.#random.below(10) === 0) await this.#wipe();
        if (members.length < size) await this.#add();
        else await this.#remove();
        await this.#sleep(this.#random.below(restMs));
      }
    }
    this.#isIdle = true;
  }

  async #add(): Promise<void> {
    const name = `n${this.counts.added + 1}`;
    const url = `http://${name}:2380`;
    const isLearner = this.#random.below(3) > 0;
    const id = await this.#until(`${name} added`, async (member) => {
      // Not asked of a majority, as below: the answer to a change that was made may have been lost.
      const known = member.state.members.list().find(({ peerURLs }) => peerURLs.includes(url));
      if (known !== undefined) return known.id;
      const { member: added } = await member.cluster.memberAdd(MemberAddRequest.create({ peerURLs: [url], isLearner }));
      return added!.id;
    });
    this.counts.added++;
    await this.#join(name, url, id);
    if (!isLearner) return;
    await this.#until(`${name} promoted`, async (member) => {
      if ((await currentList(member)).find((one) => one.id === id)?.isLearner === false) return true;
      await member.cluster.memberPromote(MemberPromoteRequest.create({ id }));
      return true;
    });
    this.counts.promoted++;
  }

  /** Starts the new member; it is asked for until it runs, because those it asks may be away. */
  async #join(name: string, url: string, id: MemberId): Promise<void> {
    const { scheduler, random, network, trace, truth, members } = this.#cluster;
    // Not asked of a majority: with a voter that does not run yet there may be none.
    const list = await this.#until('the members', async (member) =>
      member.state.members.get(id) === undefined ? undefined : member.state.members.list(),
    );
    const others = list
      .filter((member) => member.id !== id)
      .map(({ name: other, id: otherId, peerURLs }) => ({
        // One that has not said its name yet has some name in the flags all the same.
        name: other === '' ? `${otherId}` : other,
        peerUrls: peerURLs,
      }));
    const config = {
      ...members[0]!.config,
      name,
      initialClusterState: 'existing' as const,
      initialCluster: [{ name, peerUrls: [url] }, ...others],
      advertiseClientUrls: [`http://${name}:2379`],
    };
    const joined = new SimMember({ config, scheduler, random, network, trace, truth });
    joined.start();
    while (joined.running === undefined) {
      await this.#sleep(againMs);
      joined.start();
    }
    members.push(joined);
  }

  async #remove(): Promise<void> {
    const { members } = this.#cluster;
    const victim = members[this.#random.below(members.length)]!;
    const url = victim.config.initialCluster.find(({ name }) => name === victim.name)!.peerUrls[0]!;
    await this.#until(`${victim.name} removed`, async (member) => {
      const known = (await currentList(member)).find(({ peerURLs }) => peerURLs.includes(url));
      if (known === undefined) return true;
      await member.cluster.memberRemove(MemberRemoveRequest.create({ id: known.id }));
      return true;
    });
    this.counts.removed++;
    members.splice(members.indexOf(victim), 1);
    this.departed.push(victim);
    // Its vote may be needed until another has said that it is out.
    while (!/permanently removed/.test(victim.refusal ?? '')) {
      victim.diskDelayMs = this.#cluster.calmDiskMs;
      victim.start();
      await this.#sleep(againMs);
    }
  }

  /** A member is started without its data, and is to be refused; then it gets its data back. */
  async #wipe(): Promise<void> {
    const { scheduler, random, network, trace, truth, members } = this.#cluster;
    const at = this.#random.below(members.length);
    const victim = members[at]!;
    if (members.length === 1 || victim.running?.state.members.incarnationOf(victim.running.identity.memberId) === 0n)
      return;
    if (victim.running === undefined) return;
    members.splice(at, 1);
    victim.crash('process');
    const impostor = new SimMember({ config: victim.config, scheduler, random, network, trace, truth });
    impostor.start();
    this.counts.wiped++;
    while (impostor.alive) await this.#sleep(againMs);
    if (!/already been bootstrapped|could not retrieve|unequal|no match/.test(impostor.refusal ?? '')) {
      throw new Error(`${victim.name} without its data ended as ${impostor.refusal}`);
    }
    members.push(victim);
    victim.start();
  }

  /** Asks one member after another until one does it and says so. */
  async #until<T>(what: string, ask: (member: Member) => Promise<T | undefined>): Promise<T> {
    const { trace } = this.#cluster;
    for (;;) {
      const running = this.#cluster.members.filter((member) => member.running?.isServing === true);
      const member = running[this.#random.below(Math.max(running.length, 1))]?.running;
      const answer = member === undefined ? undefined : await this.#patiently(ask(member));
      if (answer !== undefined) {
        trace.add(what);
        return answer;
      }
      await this.#sleep(againMs);
    }
  }

  /** The answer; undefined when there is none in time, as from a member that died, and when it was refused. */
  #patiently<T>(answer: Promise<T>): Promise<T | undefined> {
    const failed = answer.catch(() => undefined);
    return Promise.race([failed, this.#sleep(patienceMs).then(() => undefined)]);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#cluster.scheduler.after(ms, resolve);
    });
  }
}

/** The members as of now. Rejects when that cannot be made sure of. */
function currentList(member: Member): Promise<EtcdMember[]> {
  return new Promise((resolve, reject) => {
    member.reads.confirm((error) => {
      if (error === undefined) resolve(member.state.members.list());
      else reject(error);
    });
  });
}
