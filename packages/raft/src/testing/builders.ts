/** Builders for tests: entries, messages, nodes of small groups, and the tedious ways to get a node into a state. */
import type { Random } from '@quorate/base';
import type { Entry, Message } from '@quorate/proto';
import type { RaftConfig } from '../config.ts';
import { RawNode } from '../raw-node.ts';
import type { Ready } from '../ready.ts';
import { emptyConfState, MemoryStorage } from '../storage.ts';
import { EntryType, MessageType, newMessage } from '../types.ts';
import { textCodec } from './conf-change-text.ts';
import { hardStateIn } from './script-node.ts';

/** An entry of `term` at `index`. */
export function entry(term: number, index: number, data = ''): Entry {
  return { term, index, type: EntryType.ENTRY_NORMAL, data: Buffer.from(data) };
}

/** Entries with these terms, from `first` on. */
export function entriesOf(first: number, terms: readonly number[]): Entry[] {
  return terms.map((term, i) => entry(term, first + i));
}

/** A message with some fields set. */
export function message(type: number, to: bigint, fields: Partial<Message>): Message {
  return { ...newMessage(type, to), ...fields };
}

/** Always the shortest election time-out. */
export const earliest: Random = { below: () => 0 };

/** A storage that starts with a snapshot at (index, term) with these voters. */
export function storageWith(
  voters: readonly bigint[],
  start: { readonly index: number; readonly term: number } = { index: 10, term: 1 },
): MemoryStorage {
  const storage = new MemoryStorage();
  const confState = { ...emptyConfState(), voters: [...voters] };
  storage.applySnapshot({ data: Buffer.alloc(0), metadata: { confState, ...start } });
  storage.setHardState({ term: start.term, vote: 0n, commit: start.index });
  return storage;
}

/** A node of a group that starts at index 10 of term 1. */
export function nodeWith(config: Partial<RaftConfig> & { readonly storage: MemoryStorage }): RawNode {
  return new RawNode({ id: 1n, random: earliest, confChangeCodec: textCodec, applied: 10, ...config });
}

/** Carries out a ready of synchronous mode: saves, applies nothing but what the core needs to know, advances. */
export function carryOut(node: RawNode, storage: MemoryStorage): Ready {
  const ready = node.ready();
  if (ready.snapshot !== undefined) storage.applySnapshot(ready.snapshot);
  storage.append(ready.entries);
  if (ready.hardState !== undefined) storage.setHardState(ready.hardState);
  node.advance();
  return ready;
}

/** Carries out readies until there are none; returns the messages that left. */
export function settle(node: RawNode, storage: MemoryStorage): Message[] {
  const sent: Message[] = [];
  while (node.hasReady()) sent.push(...carryOut(node, storage).messages);
  return sent;
}

/** Carries out a storage message of asynchronous mode. */
export function save(append: Message, storage: MemoryStorage): void {
  if (append.snapshot !== undefined) storage.applySnapshot(append.snapshot);
  storage.append(append.entries);
  const hardState = hardStateIn(append);
  if (hardState !== undefined) storage.setHardState(hardState);
}

/** Makes node 1 of a synchronous group leader by its own campaign and the votes of `voters`; its first entry is not committed. */
export function elect(node: RawNode, storage: MemoryStorage, voters: readonly bigint[]): void {
  node.campaign();
  settle(node, storage);
  for (const from of voters) {
    const granted = message(MessageType.MSG_PRE_VOTE_RESP, node.id, { from, term: node.term + 1 });
    node.step(granted);
  }
  settle(node, storage);
  for (const from of voters) node.step(message(MessageType.MSG_VOTE_RESP, node.id, { from, term: node.term }));
  settle(node, storage);
}

/** A member acknowledges everything up to `index`. */
export function acknowledge(node: RawNode, from: bigint, index: number): void {
  node.step(message(MessageType.MSG_APP_RESP, node.id, { from, term: node.term, index }));
}
