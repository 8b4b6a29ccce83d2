/**
 * A member as scripts drive it: the core, its storage, a state machine that is the list of what was applied, and, with asynchronous
 * writes, the queues of its two threads. Snapshots for others are always of the last applied entry.
 */
import type { ConfState, Entry, HardState, Message, Snapshot } from '@quorate/proto';
import type { RaftConfig } from '../config.ts';
import { RawNode } from '../raw-node.ts';
import { MemoryStorage, type Storage } from '../storage.ts';
import { EntryType } from '../types.ts';
import { decodeTextChange } from './conf-change-text.ts';

export type ScriptNodeConfig = Omit<RaftConfig, 'storage' | 'applied'>;

export class ScriptNode {
  readonly id: bigint;
  readonly config: ScriptNodeConfig;
  readonly storage: MemoryStorage;
  raw: RawNode;
  /** Snapshots of the state after each applied entry; the last one is the present state. */
  readonly history: Snapshot[] = [];
  appendWork: Message[] = [];
  applyWork: Message[] = [];

  /** `start`: the snapshot it begins with, or undefined for an empty member. */
  constructor(config: ScriptNodeConfig, start: Snapshot | undefined) {
    this.id = config.id;
    this.config = config;
    this.storage = new MemoryStorage();
    if (start !== undefined) {
      this.storage.applySnapshot(start);
      this.history.push(start);
    }
    this.raw = this.#startCore();
  }

  #startCore(): RawNode {
    const applied = this.history.at(-1)?.metadata?.index ?? 0;
    return new RawNode({ ...this.config, storage: this.#view(), applied });
  }

  /** The storage the core reads: snapshots for others are of the present state. */
  #view(): Storage {
    const { storage, history } = this;
    return {
      initialState: () => storage.initialState(),
      entries: (lo, hi, maxBytes) => storage.entries(lo, hi, maxBytes),
      term: (index) => storage.term(index),
      firstIndex: () => storage.firstIndex(),
      lastIndex: () => storage.lastIndex(),
      snapshot: () => history.at(-1) ?? storage.snapshot(),
    };
  }

  /** Crashes and starts again with what is durable: storage, and the applied state. Work of the threads is lost. */
  restart(): void {
    const confState = this.history.at(-1)?.metadata?.confState;
    if (confState !== undefined) this.storage.setConfState(confState);
    this.appendWork = [];
    this.applyWork = [];
    this.raw = this.#startCore();
  }

  /** Makes snapshot, hard state and entries durable. */
  save(hardState: HardState | undefined, entries: readonly Entry[], snapshot: Snapshot | undefined): void {
    if (snapshot !== undefined) {
      this.storage.applySnapshot(snapshot);
      this.history.push(snapshot);
    }
    if (hardState !== undefined) this.storage.setHardState(hardState);
    this.storage.append(entries);
  }

  apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const last = this.history.at(-1)?.metadata;
      let confState: ConfState | undefined = last?.confState;
      if (entry.type !== EntryType.ENTRY_NORMAL) {
        confState = this.raw.applyConfChange(decodeTextChange(entry), entry.index);
        // A snapshot overtook the entry.
        if (confState === undefined) return;
      }
      const state = this.history.at(-1)?.data ?? Buffer.alloc(0);
      this.history.push({
        data: Buffer.concat([state, entry.data]),
        metadata: { confState, index: entry.index, term: entry.term },
      });
    }
  }
}

/** The hard state a storage message carries; undefined when it carries none. */
export function hardStateIn(message: Message): HardState | undefined {
  const { term, vote, commit } = message;
  return term === 0 && vote === 0n && commit === 0 ? undefined : { term, vote, commit };
}
