/** A cluster of real kvd processes whose members come and go. Everything that was ever started here ends with close(). */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Member,
  MemberAddRequest,
  MemberListRequest,
  MemberPromoteRequest,
  MemberRemoveRequest,
  MemberUpdateRequest,
  type StatusResponse,
  services,
} from '@quorate/proto';
import { KvdProcess, waitFor } from './kvd-process.ts';
import { freePorts } from './ports.ts';
import { RawClient } from './raw-client.ts';

const { memberAdd, memberList, memberPromote, memberRemove, memberUpdate } = services.cluster.methods;

/** How long a change may take that is refused or lost at first, in milliseconds. */
const patienceMs = 40_000;

export class ChangingCluster {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'kvd-changing-'));
  readonly flags: readonly string[];
  /** In the cluster now, by name. */
  readonly members: Map<string, KvdProcess> = new Map();
  readonly #everyone: KvdProcess[] = [];
  readonly #joined = new Set<KvdProcess>();

  private constructor(flags: readonly string[]) {
    this.flags = flags;
  }

  /** Members m1, m2, …, started and healthy. */
  static async start(size: number, flags: readonly string[] = []): Promise<ChangingCluster> {
    const cluster = new ChangingCluster(flags);
    const ports = await freePorts(2 * size);
    const place = Array.from({ length: size }, (_, i) => ({
      name: `m${i + 1}`,
      clientPort: ports[2 * i]!,
      peerPort: ports[2 * i + 1]!,
    }));
    const initialCluster = place.map(({ name, peerPort }) => `${name}=http://127.0.0.1:${peerPort}`).join(',');
    for (const one of place) cluster.members.set(one.name, cluster.#process({ ...one, initialCluster }));
    for (const member of cluster.members.values()) member.start();
    await Promise.all([...cluster.members.values()].map((member) => member.healthy()));
    return cluster;
  }

  member(name: string): KvdProcess {
    const member = this.members.get(name);
    if (member === undefined) throw new Error(`${name} is not in the cluster`);
    return member;
  }

  /** A member that is not in the cluster, with free ports and an empty directory. */
  async newcomer(name: string, initialCluster = ''): Promise<KvdProcess> {
    const [clientPort = 0, peerPort = 0] = await freePorts(2);
    return this.#process({ name, clientPort, peerPort, initialCluster });
  }

  /** Adds a member and starts it. Resolves with its id when it was started, whether or not it has caught up. */
  async add(name: string, options: { readonly isLearner?: boolean } = {}): Promise<bigint> {
    const [clientPort = 0, peerPort = 0] = await freePorts(2);
    const peerUrl = `http://127.0.0.1:${peerPort}`;
    const request = MemberAddRequest.create({ peerURLs: [peerUrl], isLearner: options.isLearner ?? false });
    // A time-out may hide a change that was made.
    const members = await this.tryAll(`${name} to be added`, async (client) => {
      const known = (await this.#list(client)).members;
      if (known.some((member) => member.peerURLs[0] === peerUrl)) return known;
      return (await client.call(memberAdd, request, 5_000)).members;
    });
    const added = members.find((member) => member.peerURLs[0] === peerUrl)!;
    const nameOf = (member: Member): string => (member.id === added.id ? name : member.name);
    const initialCluster = members.map((member) => `${nameOf(member)}=${member.peerURLs[0]}`).join(',');
    const process = this.#process({ name, clientPort, peerPort, initialCluster });
    this.members.set(name, process);
    this.#joined.add(process);
    this.startAgain(process);
    return added.id;
  }

  /** Starts a member with the flags it was first started with. */
  startAgain(process: KvdProcess): void {
    process.start({ flags: this.#joined.has(process) ? ['--initial-cluster-state', 'existing'] : [] });
  }

  /** Promotes a learner when it is level. One that found nobody to join when it started is started again. */
  async promote(id: bigint): Promise<void> {
    await this.tryAll('a learner to be promoted', async (client) => {
      for (const joined of this.#joined) if (this.#isStranded(joined)) this.startAgain(joined);
      const { members } = await this.#list(client);
      if (members.find((member) => member.id === id)?.isLearner === false) return true;
      return client.call(memberPromote, MemberPromoteRequest.create({ id }), 5_000);
    });
  }

  /** Removes a member from the cluster; its process ends by itself. */
  async remove(name: string): Promise<KvdProcess> {
    const process = this.member(name);
    await this.tryAll(`${name} to be removed`, async (client) => {
      const { members } = await this.#list(client);
      const id = members.find((member) => member.name === name)?.id;
      if (id === undefined) return true;
      return client.call(memberRemove, MemberRemoveRequest.create({ id }), 5_000);
    });
    this.members.delete(name);
    return process;
  }

  async update(id: bigint, peerURLs: string[]): Promise<void> {
    await this.tryAll('peer URLs to be updated', (client) =>
      client.call(memberUpdate, MemberUpdateRequest.create({ id, peerURLs }), 5_000),
    );
  }

  list(): Promise<Member[]> {
    return this.tryAll('the list of members', async (client) => (await this.#list(client)).members);
  }

  /** Resolves when a member knows by itself the names of all members: it has applied what they said of themselves. */
  async knowsAll(member: KvdProcess): Promise<void> {
    const request = MemberListRequest.create({ linearizable: false });
    await waitFor(`${member.options.name} to know all members`, patienceMs, async () => {
      const { members } = await this.with(member, (client) => client.call(memberList, request, 5_000));
      return members.length === this.members.size && members.every(({ name }) => name !== '') ? true : undefined;
    });
  }

  async idOf(name: string): Promise<bigint> {
    return (await this.list()).find((member) => member.name === name)!.id;
  }

  /** Tries it with one member after the other until it works. */
  async tryAll<T>(what: string, run: (client: RawClient) => Promise<T>): Promise<T> {
    let last: unknown;
    try {
      return await waitFor(what, patienceMs, async () => {
        for (const member of this.members.values()) {
          if (!member.running) continue;
          try {
            return await this.with(member, run);
          } catch (error) {
            last = error;
          }
        }
        return undefined;
      });
    } catch (error) {
      throw new Error(`${String(error)}; last: ${String(last)}\n${this.log()}`, { cause: last });
    }
  }

  async with<T>(member: KvdProcess, run: (client: RawClient) => Promise<T>): Promise<T> {
    const client = new RawClient(member.endpoint);
    try {
      return await run(client);
    } finally {
      client.close();
    }
  }

  statusOf(member: KvdProcess): Promise<StatusResponse> {
    return this.with(member, (client) => client.status(2_000));
  }

  /** The member that says of itself that it leads. */
  leader(): Promise<KvdProcess> {
    return waitFor('a leader', 30_000, async () => {
      for (const member of this.members.values()) {
        if (!member.running) continue;
        const status = await this.statusOf(member).catch(() => undefined);
        if (status !== undefined && status.leader !== 0n && status.leader === status.header?.memberId) return member;
      }
      return undefined;
    });
  }

  async follower(): Promise<KvdProcess> {
    const leader = await this.leader();
    return [...this.members.values()].find((member) => member !== leader && member.running)!;
  }

  async healthy(limitMs?: number): Promise<void> {
    await Promise.all([...this.members.values()].map((member) => member.healthy(limitMs)));
  }

  log(): string {
    return this.#everyone.map((member) => `--- ${member.options.name}\n${member.log().slice(-1_500)}`).join('\n');
  }

  async close(): Promise<void> {
    await Promise.all(this.#everyone.map((member) => member.kill('SIGKILL')));
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Its process ended by itself, although it is a member. */
  #isStranded(member: KvdProcess): boolean {
    return this.members.get(member.options.name) === member && !member.running && member.endedBy === 1;
  }

  #list(client: RawClient): Promise<{ members: Member[] }> {
    return client.call(memberList, MemberListRequest.create({ linearizable: true }), 5_000);
  }

  #process(place: { name: string; clientPort: number; peerPort: number; initialCluster: string }): KvdProcess {
    const process = new KvdProcess({ ...place, directory: join(this.directory, place.name), flags: this.flags });
    this.#everyone.push(process);
    return process;
  }
}
