/**
 * A member that can die at any point: the core, the disk it would find again, and the state it applied. Writes follow the rules of
 * the ready loop, in both modes, and may be cut short: entries may reach the disk without the hard state behind them, a commit
 * index that was not synced is lost, and applied state falls back to what was last persisted.
 */
import type { Random } from '@quorate/base';
import type { ConfState, Entry, HardState, Message, Snapshot } from '@quorate/proto';
import type { RaftConfig } from '../config.ts';
import { RawNode } from '../raw-node.ts';
import type { Ready } from '../ready.ts';
import { MemoryStorage, type Storage, snapshotIndex } from '../storage.ts';
import { EntryType, localAppendThread, localApplyThread, Role } from '../types.ts';
import { type ChaosLedger, must, type Witness } from './chaos-ledger.ts';
import { decodeTextChange } from './conf-change-text.ts';
import { hardStateIn } from './script-node.ts';

/** Points in the handling of a ready at which a member may die. */
export const CrashAt = { never: 0, beforeSave: 1, duringSave: 2, afterSave: 3, afterSend: 4, afterApply: 5 } as const;
export type CrashAt = (typeof CrashAt)[keyof typeof CrashAt];

interface AppliedState {
  index: number;
  hash: number;
  confState: ConfState;
}

/** What a member needs from the cluster it is in. */
export interface ChaosWorld {
  readonly ledger: ChaosLedger;
  readonly random: Random;
  /** Puts a message on the network. */
  send(from: ChaosMember, message: Message): void;
  /** A read of `member` was confirmed. */
  readConfirmed(member: ChaosMember, context: Buffer, index: number): void;
}

export class ChaosMember implements Witness {
  readonly id: bigint;
  readonly #config: Omit<RaftConfig, 'storage' | 'applied'>;
  readonly #world: ChaosWorld;
  readonly #storage = new MemoryStorage();
  #synced: HardState = { term: 0, vote: 0n, commit: 0 };
  #state: AppliedState;
  #persisted: AppliedState;
  #raw: RawNode | undefined;
  /** Work of the two threads, and their answers that this member has not taken in yet (asynchronous mode). */
  appends: Message[] = [];
  applies: Message[] = [];
  answers: Message[] = [];

  constructor(config: Omit<RaftConfig, 'storage' | 'applied'>, world: ChaosWorld, start: Snapshot | undefined) {
    this.id = config.id;
    this.#config = config;
    this.#world = world;
    const { confState } = this.#storage.initialState();
    this.#state = { index: 0, hash: 0, confState };
    if (start !== undefined) this.#install(start);
    this.#persisted = { ...this.#state };
    this.restart();
  }

  get up(): boolean {
    return this.#raw !== undefined;
  }

  /** The running node; must be up. */
  get raw(): RawNode {
    return this.#raw!;
  }

  get core(): RawNode['core'] {
    return this.raw.core;
  }

  get appliedIndex(): number {
    return this.#state.index;
  }

  get stateHash(): number {
    return this.#state.hash;
  }

  durableTerm(index: number): number | undefined {
    return this.#storage.term(index);
  }

  durableLast(): number {
    return this.#storage.lastIndex();
  }

  durableHardState(): HardState {
    return this.#synced;
  }

  restart(): void {
    if (this.up) return;
    this.#state = { ...this.#persisted };
    this.#storage.setHardState(this.#synced);
    this.#storage.setConfState(this.#state.confState);
    this.#raw = new RawNode({ ...this.#config, storage: this.#view(), applied: this.#state.index });
  }

  crash(): void {
    this.#raw = undefined;
    this.appends = [];
    this.applies = [];
    this.answers = [];
  }

  /** Snapshots for others are the last one made, or one of the present state, or cannot be had just now. */
  #view(): Storage {
    const storage = this.#storage;
    return {
      initialState: () => storage.initialState(),
      entries: (lo, hi, maxBytes) => storage.entries(lo, hi, maxBytes),
      term: (index) => storage.term(index),
      firstIndex: () => storage.firstIndex(),
      lastIndex: () => storage.lastIndex(),
      snapshot: () => [undefined, storage.snapshot(), this.#snapshotNow()][this.#world.random.below(3)],
    };
  }

  // ── the ready loop ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes one ready and carries it out, dying at `crashAt`. */
  handleReady(crashAt: CrashAt): void {
    const { raw } = this;
    if (!raw.hasReady()) return;
    const ready = raw.ready();
    for (const state of ready.readStates) this.#world.readConfirmed(this, state.requestContext, state.index);
    this.#world.ledger.written(this, ready.entries);
    if (this.#config.asyncStorageWrites === true) this.#route(ready);
    else this.#carryOut(ready, crashAt);
  }

  #route(ready: Ready): void {
    for (const message of ready.messages) {
      if (message.to === localAppendThread) this.appends.push(message);
      else if (message.to === localApplyThread) this.applies.push(message);
      else this.#world.send(this, message);
    }
  }

  #carryOut(ready: Ready, crashAt: CrashAt): void {
    const leads = this.raw.role === Role.leader;
    if (leads) this.#sendAll(ready.messages);
    if (crashAt === CrashAt.beforeSave) {
      this.crash();
      return;
    }
    if (crashAt === CrashAt.duringSave) {
      this.#tearSave(ready.entries, ready.snapshot);
      return;
    }
    this.#save(ready.hardState, ready.entries, ready.snapshot);
    if (ready.mustSync || ready.snapshot !== undefined) this.#sync();
    if (crashAt === CrashAt.afterSave) {
      this.crash();
      return;
    }
    if (!leads) this.#sendAll(ready.messages);
    if (crashAt === CrashAt.afterSend) {
      this.crash();
      return;
    }
    this.#apply(ready.committedEntries);
    if (crashAt === CrashAt.afterApply) {
      this.crash();
      return;
    }
    this.raw.advance();
  }

  /** The append thread does its next piece of work, dying at `crashAt`. */
  runAppendThread(crashAt: CrashAt): void {
    const message = this.appends.shift();
    if (message === undefined) return;
    if (crashAt === CrashAt.beforeSave) {
      this.crash();
      return;
    }
    if (crashAt === CrashAt.duringSave) {
      this.#tearSave(message.entries, message.snapshot);
      return;
    }
    const hardState = hardStateIn(message);
    this.#save(hardState, message.entries, message.snapshot);
    const promised =
      hardState !== undefined && (hardState.term > this.#synced.term || hardState.vote !== this.#synced.vote);
    if (promised || message.entries.length > 0 || message.snapshot !== undefined) this.#sync();
    if (crashAt === CrashAt.afterSave) {
      this.crash();
      return;
    }
    this.#deliver(message.responses);
    if (crashAt === CrashAt.afterSend) this.crash();
  }

  /** The apply thread does its next piece of work, dying at `crashAt`. */
  runApplyThread(crashAt: CrashAt): void {
    const message = this.applies.shift();
    if (message === undefined) return;
    this.#apply(message.entries);
    if (crashAt === CrashAt.afterApply) {
      this.crash();
      return;
    }
    this.#deliver(message.responses);
  }

  #deliver(responses: readonly Message[]): void {
    for (const response of responses) {
      if (response.to === this.id) this.answers.push(response);
      else this.#world.send(this, response);
    }
  }

  #sendAll(messages: readonly Message[]): void {
    for (const message of messages) this.#world.send(this, message);
  }

  // ── disk ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #save(hardState: HardState | undefined, entries: readonly Entry[], snapshot: Snapshot | undefined): void {
    if (snapshot !== undefined) this.#install(snapshot);
    this.#storage.append(entries);
    if (hardState !== undefined) this.#storage.setHardState(hardState);
  }

  /** Makes the hard state durable; a mere commit index stays without. */
  #sync(): void {
    const latest = this.#storage.initialState().hardState;
    this.#world.ledger.hardStateSaved(this, this.#synced, latest);
    this.#synced = latest;
  }

  /** Some of the entries reach the disk, and nothing behind them; a snapshot is installed as a whole or not at all. */
  #tearSave(entries: readonly Entry[], snapshot: Snapshot | undefined): void {
    if (snapshot === undefined) this.#storage.append(entries.slice(0, this.#world.random.below(entries.length + 1)));
    this.crash();
  }

  #install(snapshot: Snapshot): void {
    const { index, confState } = snapshot.metadata!;
    if (!this.#storage.applySnapshot(snapshot)) return;
    this.#state = { index, hash: snapshot.data.length === 4 ? snapshot.data.readUInt32BE() : 0, confState: confState! };
    this.#persisted = { ...this.#state };
  }

  #snapshotNow(): Snapshot | undefined {
    const { index, hash, confState } = this.#state;
    const term = this.#storage.term(index);
    return term === undefined ? undefined : { data: encodeHash(hash), metadata: { index, term, confState } };
  }

  /** Persists the applied state, makes a snapshot of it, and drops the log but for `keep` entries. */
  compact(keep: number): void {
    this.persist();
    const { index, hash, confState } = this.#state;
    if (index <= snapshotIndex(this.#storage.snapshot()) || this.#storage.term(index) === undefined) return;
    this.#storage.createSnapshot(index, confState, encodeHash(hash));
    this.#storage.compact(Math.max(index - keep, 0));
  }

  /** Persists the applied state. */
  persist(): void {
    this.#persisted = { ...this.#state };
  }

  // ── state machine ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      // A snapshot put in place meanwhile includes it.
      if (entry.index <= this.#state.index) continue;
      must(entry.index === this.#state.index + 1, 'R5: a gap in what is applied', this, { index: entry.index });
      let confState: ConfState | undefined;
      if (entry.type !== EntryType.ENTRY_NORMAL) {
        confState = this.raw.applyConfChange(decodeTextChange(entry), entry.index);
        if (confState === undefined) return;
      }
      this.#world.ledger.applied(this, entry, confState);
      this.#state = {
        index: entry.index,
        hash: mix(this.#state.hash, entry),
        confState: confState ?? this.#state.confState,
      };
    }
  }
}

function encodeHash(hash: number): Buffer {
  const data = Buffer.alloc(4);
  data.writeUInt32BE(hash);
  return data;
}

function mix(hash: number, entry: Entry): number {
  let mixed = Math.imul(hash ^ entry.index, 0x01000193) ^ entry.term;
  for (const byte of entry.data) mixed = Math.imul(mixed ^ byte, 0x01000193);
  return mixed >>> 0;
}
