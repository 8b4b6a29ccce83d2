/**
 * A cluster under faults: members, a network that drops, duplicates, reorders and cuts, and actions that make things happen. Every
 * action is a kind and two numbers, so that a list of them can be generated, replayed and shrunk; each is meaningful in any state.
 * After every step of a member the ledger checks what must hold. heal() ends the faults and checks that the group recovers.
 */
import { SeededRandom } from '@quorate/base';
import type { ConfChangeSingle, ConfState, Message, Snapshot } from '@quorate/proto';
import { emptyConfState } from '../storage.ts';
import { ConfChangeTransition, ConfChangeType, emptyBytes, MessageType, Role } from '../types.ts';
import { ChaosLedger, must } from './chaos-ledger.ts';
import { ChaosMember, type ChaosWorld, CrashAt } from './chaos-member.ts';
import { textCodec } from './conf-change-text.ts';

export interface ChaosOptions {
  readonly seed: number;
  readonly voters: number;
  readonly learners: number;
  readonly asyncStorageWrites: boolean;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  readonly quietCommits: boolean;
  readonly thriftyReads: boolean;
  readonly maxInflightMsgs: number;
  readonly maxSizePerMsg: number;
  readonly maxCommittedSizePerReady: number;
  readonly maxUncommittedEntriesSize: number;
}

/** What can happen. */
export const chaosKinds = [
  'run',
  'deliver',
  'ready',
  'threads',
  'tick',
  'propose',
  'read',
  'change',
  'transfer',
  'campaign',
  'forget',
  'unreachable',
  'drop',
  'duplicate',
  'misdeliver',
  'cut',
  'mend',
  'compact',
  'crash',
  'restart',
] as const;
export type ChaosKind = (typeof chaosKinds)[number];

export interface ChaosAction {
  readonly kind: ChaosKind;
  readonly x: number;
  readonly y: number;
}

/** Messages on the network at once; what comes beyond pushes the oldest out. */
const networkMax = 400;
/** Ids a configuration change may name. */
const idsMax = 7;
/** Where everyone starts: a snapshot at this index. */
const startIndex = 1;

export class ChaosCluster implements ChaosWorld {
  readonly ledger: ChaosLedger;
  readonly random: SeededRandom;
  readonly #options: ChaosOptions;
  readonly #members = new Map<bigint, ChaosMember>();
  #network: Message[] = [];
  readonly #cuts = new Set<string>();
  /** By context: the commit index a read must not fall behind. */
  readonly #reads = new Map<string, number>();
  #proposals = 0;
  #readsAnswered = 0;

  constructor(options: ChaosOptions) {
    this.#options = options;
    this.random = new SeededRandom(options.seed);
    const ids = Array.from({ length: options.voters + options.learners }, (_, i) => BigInt(i + 1));
    const confState: ConfState = {
      ...emptyConfState(),
      voters: ids.slice(0, options.voters),
      learners: ids.slice(options.voters),
    };
    this.ledger = new ChaosLedger(startIndex, confState);
    const start: Snapshot = { data: emptyBytes, metadata: { confState, index: startIndex, term: 1 } };
    for (const id of ids) this.#addMember(id, start);
  }

  /** Reads that were answered. */
  get readsAnswered(): number {
    return this.#readsAnswered;
  }

  get members(): readonly ChaosMember[] {
    return [...this.#members.values()];
  }

  #addMember(id: bigint, start: Snapshot | undefined): void {
    const { seed, voters: _voters, learners: _learners, ...limits } = this.#options;
    const random = new SeededRandom(BigInt(seed) * 31n + id);
    const config = { ...limits, id, random, confChangeCodec: textCodec, electionTicks: 4, heartbeatTicks: 1 };
    this.#members.set(id, new ChaosMember(config, this, start));
  }

  // ── world ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  send(from: ChaosMember, message: Message): void {
    this.ledger.sent(from, message);
    this.#network.push(message);
    if (this.#network.length > networkMax) this.#lose(this.#network.shift()!);
  }

  readConfirmed(member: ChaosMember, context: Buffer, index: number): void {
    const floor = this.#reads.get(context.toString());
    must(floor !== undefined && index >= floor, 'a read would be stale', member, { index, floor });
    this.#readsAnswered++;
  }

  /** A message did not arrive; the sender of a snapshot is told. */
  #lose(message: Message): void {
    if (message.type === MessageType.MSG_SNAP) this.#reportSnapshot(message, false);
  }

  #reportSnapshot(message: Message, ok: boolean): void {
    const sender = this.#members.get(message.from);
    if (sender?.up) this.#on(sender, () => sender.raw.reportSnapshot(message.to, ok));
  }

  /** Lets a member do something and checks what must hold afterwards. */
  #on(member: ChaosMember, step: () => void): void {
    if (!member.up) return;
    const before = member.core.log.committed;
    step();
    if (member.up) this.ledger.observe(member, before, this.members);
  }

  // ── actions ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Carries out one action. */
  act({ kind, x, y }: ChaosAction): void {
    const member = this.members[x % this.members.length]!;
    switch (kind) {
      case 'run':
        this.#runFor(1 + (x % 6));
        return;
      case 'deliver':
        this.#deliver(this.#take(x));
        return;
      case 'ready':
        this.#on(member, () => member.handleReady(crashPoint(y)));
        return;
      case 'threads':
        this.#runThread(member, y);
        return;
      case 'tick':
        this.#on(member, () => {
          for (let i = 0; i <= y % 4; i++) member.raw.tick();
        });
        return;
      case 'propose':
        this.#on(member, () => void member.raw.proposeBatch(this.#payloads(1 + (y % 4))));
        return;
      case 'read':
        this.#on(member, () => this.#read(member));
        return;
      case 'change':
        this.#on(member, () => this.#change(member, y));
        return;
      case 'transfer':
        this.#on(member, () => void member.raw.transferLeader(this.members[y % this.members.length]!.id));
        return;
      case 'campaign':
        this.#on(member, () => member.raw.campaign());
        return;
      case 'forget':
        this.#on(member, () => member.raw.forgetLeader());
        return;
      case 'unreachable':
        this.#on(member, () => member.raw.reportUnreachable(this.members[y % this.members.length]!.id));
        return;
      default:
        this.#fault(kind, member, x, y);
    }
  }

  #fault(kind: ChaosKind, member: ChaosMember, x: number, y: number): void {
    const other = this.members[y % this.members.length]!;
    switch (kind) {
      case 'drop': {
        const message = this.#take(x);
        if (message !== undefined) this.#lose(message);
        return;
      }
      case 'duplicate':
        if (this.#network.length > 0) this.#network.push(copyOf(this.#network[x % this.#network.length]!));
        return;
      case 'misdeliver':
        this.#misdeliver(member, y);
        return;
      case 'cut':
        this.#cuts.add(`${member.id}>${other.id}`);
        if (y % 2 === 0) this.#cuts.add(`${other.id}>${member.id}`);
        return;
      case 'mend':
        this.#cuts.clear();
        return;
      case 'compact':
        if (!member.up) return;
        if (y % 3 === 0) member.persist();
        else member.compact(y % 5);
        return;
      case 'crash':
        member.crash();
        return;
      default:
        this.#restart(member);
    }
  }

  #restart(member: ChaosMember): void {
    if (member.up) return;
    member.restart();
    this.ledger.observe(member, 0, this.members);
  }

  #take(x: number): Message | undefined {
    return this.#network.length === 0 ? undefined : this.#network.splice(x % this.#network.length, 1)[0];
  }

  #deliver(message: Message | undefined): void {
    if (message === undefined) return;
    const receiver = this.#members.get(message.to);
    if (!receiver?.up || this.#cuts.has(`${message.from}>${message.to}`)) {
      this.#lose(message);
      return;
    }
    this.#on(receiver, () => void receiver.raw.step(copyOf(message)));
    if (message.type === MessageType.MSG_SNAP) this.#reportSnapshot(message, true);
  }

  /** R9: a message for another member is not looked at. */
  #misdeliver(member: ChaosMember, y: number): void {
    const message = this.#network[y % Math.max(1, this.#network.length)];
    if (message === undefined || message.to === member.id) return;
    this.#on(member, () => {
      const outcome = member.raw.step(copyOf(message));
      must(outcome === 'wrongTarget', 'R9: took a message for another member', member, { outcome });
    });
  }

  #runThread(member: ChaosMember, y: number): void {
    const crashAt = crashPoint(y >> 2);
    switch (y % 4) {
      case 0:
        this.#on(member, () => member.runAppendThread(crashAt));
        return;
      case 1:
        this.#on(member, () => member.runApplyThread(crashAt));
        return;
      default:
        this.#takeAnswer(member, y >> 2);
    }
  }

  /** Answers of the threads may arrive in any order. */
  #takeAnswer(member: ChaosMember, y: number): void {
    if (member.answers.length === 0) return;
    const [answer] = member.answers.splice(y % member.answers.length, 1);
    this.#on(member, () => void member.raw.step(answer!));
  }

  #payloads(count: number): Buffer[] {
    return Array.from({ length: count }, () => {
      const size = this.random.below(5) === 0 ? 200 : 0;
      return Buffer.from(`p${++this.#proposals}${'.'.repeat(size)}`);
    });
  }

  #read(member: ChaosMember): void {
    const context = `r${this.#reads.size}`;
    this.#reads.set(context, this.ledger.committedTo);
    member.raw.readIndex(Buffer.from(context));
  }

  #change(member: ChaosMember, y: number): void {
    const count = [1, 1, 1, 2, 3, 0][y % 6]!;
    const kinds = [
      ConfChangeType.CONF_CHANGE_ADD_NODE,
      ConfChangeType.CONF_CHANGE_ADD_NODE,
      ConfChangeType.CONF_CHANGE_REMOVE_NODE,
      ConfChangeType.CONF_CHANGE_ADD_LEARNER_NODE,
    ];
    const changes = Array.from({ length: count }, (): ConfChangeSingle => {
      const nodeId = BigInt(1 + this.random.below(idsMax));
      return { type: kinds[this.random.below(kinds.length)]!, nodeId };
    });
    const transition = [
      ConfChangeTransition.CONF_CHANGE_TRANSITION_AUTO,
      ConfChangeTransition.CONF_CHANGE_TRANSITION_JOINT_IMPLICIT,
      ConfChangeTransition.CONF_CHANGE_TRANSITION_JOINT_EXPLICIT,
    ][count === 0 ? 0 : this.random.below(3)]!;
    const result = member.raw.proposeConfChange({ transition, changes, context: emptyBytes });
    if (result !== 'taken') return;
    for (const { nodeId } of changes) if (!this.#members.has(nodeId)) this.#addMember(nodeId, undefined);
  }

  /** Everything goes well for some rounds, within what is cut and down. */
  #runFor(rounds: number): void {
    for (let round = 0; round < rounds; round++) {
      for (const member of this.members) this.#on(member, () => member.raw.tick());
      this.#settle(3);
    }
  }

  #settle(hops: number): void {
    for (let hop = 0; hop < hops; hop++) {
      for (const member of this.members) this.#drain(member);
      const arriving = this.#network;
      this.#network = [];
      for (const message of arriving) this.#deliver(message);
    }
  }

  /** Handles all readies and thread work of a member. */
  #drain(member: ChaosMember): void {
    const busy = (): boolean =>
      member.up && (member.raw.hasReady() || member.appends.length + member.applies.length + member.answers.length > 0);
    for (let guard = 0; busy(); guard++) {
      must(guard < 1000, 'a member never runs out of work', member);
      this.#on(member, () => member.handleReady(CrashAt.never));
      this.#on(member, () => member.runAppendThread(CrashAt.never));
      this.#on(member, () => member.runApplyThread(CrashAt.never));
      while (member.up && member.answers.length > 0) this.#takeAnswer(member, 0);
    }
  }

  // ── recovery ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Ends all faults. Within a bounded number of rounds there must be a leader, every member of its configuration must hold and have
   * applied everything, new proposals must go through, and nothing may be left in the counters of flow control.
   */
  heal(): void {
    this.#cuts.clear();
    for (const member of this.members) this.#restart(member);
    let proposed = 0;
    for (let round = 0; round < 400; round++) {
      this.#runFor(1);
      const leader = this.#leader();
      if (leader === undefined) continue;
      const state = leader.raw.confState();
      this.#operate(state);
      if (state.votersOutgoing.length > 0 && !state.autoLeave && round % 5 === 0) {
        this.#on(leader, () => {
          leader.raw.proposeConfChange({ transition: 0, changes: [], context: emptyBytes });
        });
      }
      if (proposed < 3) {
        this.#on(leader, () => {
          if (leader.raw.propose(Buffer.from(`heal${round}`))) proposed++;
        });
      } else if (this.#recovered(leader)) {
        return;
      }
    }
    throw new Error(`the group did not recover\n${this.#report()}`);
  }

  /** Who was removed does not know it and would go on campaigning: it is turned off, unless it is added again. */
  #operate(state: ConfState): void {
    for (const member of this.members) {
      if (!inConfState(state, member.id)) member.crash();
      else this.#restart(member);
    }
  }

  #leader(): ChaosMember | undefined {
    const leaders = this.members.filter((member) => member.up && member.raw.role === Role.leader);
    return leaders.sort((a, b) => b.raw.term - a.raw.term)[0];
  }

  #recovered(leader: ChaosMember): boolean {
    const status = leader.raw.status();
    if (status.committed !== status.lastIndex || status.uncommittedBytes > 0 || status.pendingReads > 0) return false;
    if (status.confState.votersOutgoing.length > 0) return false;
    for (const [id, progress] of status.progress) {
      const member = this.#members.get(id);
      if (!member?.up || progress.match !== status.lastIndex || progress.inflight > 0) return false;
      if (progress.inflightBytes > 0 || member.core.log.applyingBytes > 0) return false;
      if (member.appliedIndex !== status.lastIndex || member.stateHash !== leader.stateHash) return false;
      if (member.raw.leader !== leader.id) return false;
    }
    return true;
  }

  #report(): string {
    return this.members
      .map((member) => {
        if (!member.up) return `${member.id}: down`;
        const { term, role, leader, committed, applied, lastIndex, confState, progress, uncommittedBytes } =
          member.raw.status();
        const facts = {
          term,
          role,
          leader,
          committed,
          applied,
          lastIndex,
          confState,
          progress: [...progress],
          uncommittedBytes,
        };
        return `${member.id}: ${JSON.stringify(facts, (_key, value) => (typeof value === 'bigint' ? String(value) : value))}`;
      })
      .join('\n');
  }
}

/** Most readies are carried out; one in eight ends somewhere. */
function crashPoint(y: number): CrashAt {
  const points = [CrashAt.beforeSave, CrashAt.duringSave, CrashAt.afterSave, CrashAt.afterSend, CrashAt.afterApply];
  return y % 8 === 7 ? points[(y >> 3) % points.length]! : CrashAt.never;
}

function inConfState(state: ConfState, id: bigint): boolean {
  return [state.voters, state.votersOutgoing, state.learners].some((ids) => ids.includes(id));
}

/** As the network would: the receiver gets objects of its own; entry data stays shared, nobody changes it. */
function copyOf(message: Message): Message {
  return { ...message, entries: message.entries.map((entry) => ({ ...entry })), responses: [] };
}
