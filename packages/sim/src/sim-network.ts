/**
 * The network between simulated members: delay, loss, duplication, reordering, partitions of any shape, one way too. What travels
 * is bytes: a message is encoded at the sender and decoded at the receiver, so no object is ever shared.
 */
import { formatId, type MemberId, type Random } from '@quorate/base';
import {
  HashAnswer,
  LeaseAnswer,
  LeaseAsk,
  Message,
  MessageType,
  PromoteAnswer,
  type Message as RaftMessage,
} from '@quorate/proto';
import {
  etcdVersion,
  type HashQuestion,
  type LeaseQuestion,
  type PeerAddress,
  type PeerHandler,
  type PeerIdentity,
  type PeerTransport,
  type RemoteInfo,
  type SnapshotChunks,
  type Speaker,
  type StateStream,
} from '@quorate/server';
import type { SimProcess } from './process.ts';
import type { Scheduler } from './scheduler.ts';
import type { Trace } from './trace.ts';

/** Probabilities are per mille; delays in milliseconds. */
export interface NetworkFaults {
  lossPerMille: number;
  duplicatePerMille: number;
  /** Share of batches that take a long way round and so overtake nothing but are overtaken. */
  reorderPerMille: number;
  delayMinMs: number;
  delayMaxMs: number;
}

export const calmNetwork: Readonly<NetworkFaults> = {
  lossPerMille: 0,
  duplicatePerMille: 0,
  reorderPerMille: 0,
  delayMinMs: 1,
  delayMaxMs: 3,
};

/** Members in one rack. */
export const quickNetwork: Readonly<NetworkFaults> = { ...calmNetwork, delayMinMs: 0.05, delayMaxMs: 0.2 };

/** Longest pause between two attempts of a member to open its stream to another, in milliseconds. */
const greetingMs = 1_000;

/** A connected member: where batches for it go. */
interface Endpoint {
  readonly process: SimProcess;
  readonly handler: PeerHandler;
  readonly identity: PeerIdentity;
}

/** Whose process asks, and how long it waits. */
interface AskLimits {
  readonly asker: SimProcess;
  readonly timeoutMs: number;
}

/** Whom a question reaches when it arrives, and whether an answer finds the way back. */
interface AskPath extends AskLimits {
  readonly there: () => Endpoint | undefined;
  readonly back: () => boolean;
}

export class SimNetwork {
  readonly faults: NetworkFaults = { ...calmNetwork };
  /** What it is like while nothing is wrong. */
  usual: Readonly<NetworkFaults> = calmNetwork;
  /** Appends that were sent. */
  appendCount = 0;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #trace: Trace;
  readonly #endpoints = new Map<MemberId, Endpoint>();
  readonly #cut = new Set<string>();
  readonly #leaders = new Map<number, MemberId>();

  constructor(scheduler: Scheduler, random: Random, trace: Trace) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#trace = trace;
  }

  /** Cuts the direction from one member to another. */
  cut(from: MemberId, to: MemberId): void {
    this.#cut.add(linkName(from, to));
  }

  heal(): void {
    this.#cut.clear();
  }

  /** Ends noise. */
  calm(): void {
    Object.assign(this.faults, this.usual);
  }

  /** The transport of one process of a member. */
  transport(process: SimProcess): PeerTransport {
    return new SimPeers(this, process);
  }

  connect(id: MemberId, endpoint: Endpoint): void {
    this.#endpoints.set(id, endpoint);
  }

  disconnect(id: MemberId, process: SimProcess): void {
    if (this.#endpoints.get(id)?.process === process) this.#endpoints.delete(id);
  }

  /** A process died: whoever is connected to it learns, a while later, that its port is closed. */
  died(id: MemberId): void {
    for (const [other, endpoint] of this.#endpoints) {
      if (other === id || this.#cut.has(linkName(other, id))) continue;
      this.#scheduler.after(
        this.#delay() + this.#delay(),
        endpoint.process.guard(() => endpoint.handler.gone(id)),
      );
    }
  }

  /** Whether a connection from one to the other would hold now. */
  reaches(from: MemberId, to: MemberId): boolean {
    return this.#endpoints.get(to)?.process.alive === true && !this.#cut.has(linkName(from, to));
  }

  send(from: MemberId, message: RaftMessage, onLost: () => void): void {
    this.#checkLeader(message);
    if (message.type === MessageType.MSG_APP) this.appendCount++;
    const bytes = Message.encode(message);
    const { lossPerMille, duplicatePerMille } = this.faults;
    const lost = this.#cut.has(linkName(from, message.to)) || this.#random.below(1000) < lossPerMille;
    if (lost) {
      if (this.#random.below(4) === 0) onLost();
      return;
    }
    this.#deliver(from, message.to, bytes);
    // Peer streams never repeat what they carry, and a forwarded proposal is the one message raft cannot take twice.
    const repeats = message.type !== MessageType.MSG_PROP && this.#random.below(1000) < duplicatePerMille;
    if (repeats) this.#deliver(from, message.to, bytes);
  }

  /** Passes a snapshot on chunk by chunk; fails when the link does. */
  async sendSnapshot(from: MemberId, message: RaftMessage, chunks: SnapshotChunks, sender: SimProcess): Promise<void> {
    const target = this.#endpoints.get(message.to);
    const own = this.#endpoints.get(from);
    if (target === undefined || !this.reaches(from, message.to) || this.#isRefused(own, target)) {
      throw new Error('peer is not reachable');
    }
    this.#trace.add(`snapshot ${formatId(from)} -> ${formatId(message.to)} at ${message.snapshot?.metadata?.index}`);
    const copy = Message.decode(Message.encode(message));
    const self = this;
    // What a dead sender was about to send never comes: its timers are gone. The receiver learns it from the connection.
    const silenced = new Promise<never>((_resolve, reject) => {
      const fail = target.process.guard(() => reject(new Error('the sender is gone')));
      sender.onDeath(() => {
        this.#scheduler.after(this.#delay(), fail);
      });
    });
    silenced.catch(() => {});
    async function* delayed(): AsyncGenerator<Buffer> {
      const all = chunks[Symbol.asyncIterator]();
      try {
        for (;;) {
          const next = await Promise.race([all.next(), silenced]);
          if (next.done === true) return;
          await target!.process.later(self.#delay(), () => undefined);
          if (!self.reaches(from, message.to) || !sender.alive) throw new Error('snapshot stream broke');
          yield Buffer.from(next.value);
        }
      } finally {
        all.return?.(undefined).catch(() => {});
      }
    }
    // The sender learns of the receiver's death as of a broken connection: a while later.
    const broken = new Promise<never>((_resolve, reject) => {
      const fail = sender.guard(() => reject(new Error('the receiver is gone')));
      target.process.onDeath(() => {
        this.#scheduler.after(this.#delay(), fail);
      });
    });
    await Promise.race([target.handler.receiveSnapshot(copy, delayed()), broken]);
    await sender.later(this.#delay(), () => undefined);
  }

  /** Carries a question about a lease there and its answer back. */
  askLease(from: MemberId, to: MemberId, ask: LeaseQuestion, limits: AskLimits): Promise<LeaseAnswer> {
    const bytes = LeaseAsk.encode(LeaseAsk.create(ask));
    const path = { there: () => this.#reached(from, to), back: () => this.reaches(to, from), ...limits };
    return this.#ask(path, async ({ handler }) => {
      const answer = await handler.lease(LeaseAsk.decode(bytes));
      return LeaseAnswer.decode(LeaseAnswer.encode(answer));
    });
  }

  /** Carries a request to promote a learner there and its answer back. */
  askPromote(from: MemberId, to: MemberId, id: MemberId, limits: AskLimits): Promise<PromoteAnswer> {
    const path = { there: () => this.#reached(from, to), back: () => this.reaches(to, from), ...limits };
    return this.#ask(path, async ({ handler }) =>
      PromoteAnswer.decode(PromoteAnswer.encode(await handler.promote(id))),
    );
  }

  /** Carries a question about the history there and its hash back. */
  askHash(from: MemberId, to: MemberId, ask: HashQuestion, limits: AskLimits): Promise<HashAnswer> {
    const path = { there: () => this.#reached(from, to), back: () => this.reaches(to, from), ...limits };
    return this.#ask(path, async ({ handler }) => HashAnswer.decode(HashAnswer.encode(await handler.hash(ask))));
  }

  /** The state of a member, chunk by chunk, to one that does not run yet and so cannot be cut off. */
  async fetchState(own: PeerIdentity, peer: MemberId, asker: SimProcess): Promise<StateStream> {
    await asker.later(this.#delay(), () => undefined);
    const target = this.#endpoints.get(peer);
    const speaker = { from: own.memberId, incarnation: own.incarnation };
    if (target?.process.alive !== true || target.handler.refusalOf(speaker) !== undefined) {
      throw new Error('peer is not reachable');
    }
    const { message, chunks } = await target.handler.state();
    this.#trace.add(`state ${formatId(peer)} -> ${formatId(own.memberId)} at ${message.snapshot?.metadata?.index}`);
    const self = this;
    async function* delayed(): AsyncGenerator<Buffer> {
      for await (const chunk of chunks) {
        await asker.later(self.#delay(), () => undefined);
        if (!target!.process.alive) throw new Error('state stream broke');
        yield Buffer.from(chunk);
      }
    }
    return { message: Message.decode(Message.encode(message)), chunks: delayed() };
  }

  /** What the member at `url` says of its cluster, to one that has no identity yet and so cannot be cut off. */
  fetchInfo(url: string, limits: AskLimits): Promise<RemoteInfo> {
    const there = (): Endpoint | undefined =>
      [...this.#endpoints.values()].find((one) => one.process.alive && one.handler.peerUrls().includes(url));
    return this.#ask({ there, back: () => true, ...limits }, ({ handler, identity }) =>
      Promise.resolve({ clusterId: identity.clusterId, memberId: identity.memberId, ...handler.info() }),
    );
  }

  /** Fails when the link does, and when nobody answers in time. */
  #ask<T>(path: AskPath, run: (target: Endpoint) => Promise<T>): Promise<T> {
    const { asker, timeoutMs, there, back } = path;
    return new Promise((resolve, reject) => {
      this.#scheduler.after(
        timeoutMs,
        asker.guard(() => reject(new Error('no answer'))),
      );
      this.#scheduler.after(this.#delay(), () => {
        const target = there();
        if (target === undefined) return;
        const answer = (settle: () => void): void => {
          this.#scheduler.after(this.#delay(), () => {
            if (back()) asker.guard(settle)();
          });
        };
        target.process.guard(() => {
          run(target).then(
            (value) => answer(() => resolve(value)),
            (error: unknown) => answer(() => reject(error)),
          );
        })();
      });
    });
  }

  #reached(from: MemberId, to: MemberId): Endpoint | undefined {
    return this.reaches(from, to) ? this.#endpoints.get(to) : undefined;
  }

  #deliver(from: MemberId, to: MemberId, bytes: Buffer): void {
    const sender = this.#endpoints.get(from);
    this.#scheduler.after(this.#delay(), () => {
      const target = this.#endpoints.get(to);
      if (target === undefined || this.#cut.has(linkName(from, to))) return;
      target.process.guard(() => {
        if (this.#endpoints.get(to) !== target || this.#isRefused(sender, target)) return;
        target.handler.receive([Message.decode(bytes)]);
      })();
    });
  }

  /** Runs `greet` when a broken stream would be tried again. */
  scheduleGreeting(greet: () => void): void {
    this.#scheduler.after(greetingMs, greet);
  }

  /** A member tries its stream to another, as it does again and again. */
  greet(from: MemberId, to: MemberId): void {
    const own = this.#endpoints.get(from);
    const target = this.#endpoints.get(to);
    if (target !== undefined && this.reaches(from, to)) this.#isRefused(own, target);
  }

  /** What peers find out when a stream opens, and answer: that one of them does not listen to the other, which is told so. */
  #isRefused(sender: Endpoint | undefined, target: Endpoint): boolean {
    if (sender === undefined) return false;
    return this.#refuses(target, sender) || this.#refuses(sender, target);
  }

  #refuses(one: Endpoint, other: Endpoint): boolean {
    const refusal = one.handler.refusalOf(speakerOf(other));
    if (refusal === undefined) return false;
    const told = other.process.guard(() => other.handler.refusedBy(one.identity.memberId, refusal));
    this.#scheduler.after(this.#delay(), told);
    return true;
  }

  #delay(): number {
    const { delayMinMs, delayMaxMs, reorderPerMille } = this.faults;
    const base = delayMinMs + this.#random.below(Math.max(1, Math.round((delayMaxMs - delayMinMs) * 1000))) / 1000;
    return this.#random.below(1000) < reorderPerMille ? base * 10 : base;
  }

  /** Election safety (R1): whoever sends appends or heartbeats leads its term, and nobody else ever does. */
  #checkLeader(message: RaftMessage): void {
    if (message.type !== MessageType.MSG_APP && message.type !== MessageType.MSG_HEARTBEAT) return;
    const known = this.#leaders.get(message.term);
    if (known === undefined) {
      this.#leaders.set(message.term, message.from);
      this.#trace.add(`leader ${formatId(message.from)} term ${message.term}`);
    } else if (known !== message.from) {
      const both = `${formatId(known)} and ${formatId(message.from)}`;
      this.#scheduler.fail(new Error(`two leaders in term ${message.term}: ${both}`));
    }
  }
}

class SimPeers implements PeerTransport {
  readonly #network: SimNetwork;
  readonly #process: SimProcess;
  #identity: PeerIdentity | undefined;
  #handler: PeerHandler | undefined;
  #listed: readonly MemberId[] = [];

  constructor(network: SimNetwork, process: SimProcess) {
    this.#network = network;
    this.#process = process;
  }

  start(identity: PeerIdentity, handler: PeerHandler): Promise<void> {
    this.#identity = identity;
    this.#handler = handler;
    this.#network.connect(identity.memberId, { process: this.#process, handler, identity });
    this.#greetAgain();
    return Promise.resolve();
  }

  /** Members are found by id: addresses have no meaning here. */
  setPeers(peers: readonly PeerAddress[]): void {
    this.#listed = peers.map(({ id }) => id);
  }

  #greetAgain(): void {
    for (const id of this.#listed) this.#network.greet(this.#identity!.memberId, id);
    this.#network.scheduleGreeting(this.#process.guard(() => this.#greetAgain()));
  }

  send(messages: readonly RaftMessage[]): void {
    if (!this.#process.alive) return;
    for (const message of messages) {
      const unreachable = this.#process.guard(() => this.#handler!.unreachable(message.to));
      this.#network.send(this.#identity!.memberId, message, unreachable);
    }
  }

  sendSnapshot(message: RaftMessage, chunks: SnapshotChunks): Promise<void> {
    return this.#network.sendSnapshot(this.#identity!.memberId, message, chunks, this.#process);
  }

  askLease(to: MemberId, ask: LeaseQuestion, timeoutMs: number): Promise<LeaseAnswer> {
    return this.#network.askLease(this.#identity!.memberId, to, ask, { asker: this.#process, timeoutMs });
  }

  askPromote(to: MemberId, id: MemberId, timeoutMs: number): Promise<PromoteAnswer> {
    return this.#network.askPromote(this.#identity!.memberId, to, id, { asker: this.#process, timeoutMs });
  }

  askHash(to: MemberId, ask: HashQuestion, timeoutMs: number): Promise<HashAnswer> {
    return this.#network.askHash(this.#identity!.memberId, to, ask, { asker: this.#process, timeoutMs });
  }

  fetchInfo(url: string, timeoutMs: number): Promise<RemoteInfo> {
    return this.#network.fetchInfo(url, { asker: this.#process, timeoutMs });
  }

  fetchState(_url: string, who: { own: PeerIdentity; peer: MemberId }): Promise<StateStream> {
    return this.#network.fetchState(who.own, who.peer, this.#process);
  }

  connectedSinceMs(peer: MemberId): number | undefined {
    return this.#network.reaches(this.#identity!.memberId, peer) ? 0 : undefined;
  }

  /** All members of a simulation run the version of this source. */
  versionOf(peer: MemberId): string | undefined {
    return this.#network.reaches(this.#identity!.memberId, peer) ? etcdVersion : undefined;
  }

  stop(): Promise<void> {
    this.#network.disconnect(this.#identity!.memberId, this.#process);
    return Promise.resolve();
  }
}

function speakerOf({ identity }: Endpoint): Speaker {
  return { from: identity.memberId, incarnation: identity.incarnation };
}

function linkName(from: MemberId, to: MemberId): string {
  return `${from}>${to}`;
}
