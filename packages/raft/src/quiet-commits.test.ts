/** RaftConfig.quietCommits: fewer messages for the commit index, and nobody is left behind. */
import type { Message } from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import type { RawNode } from './raw-node.ts';
import type { MemoryStorage } from './storage.ts';
import { acknowledge, elect, entriesOf, message, nodeWith, settle, storageWith } from './testing/builders.ts';
import { MessageType, quietContext } from './types.ts';

const three = [1n, 2n, 3n];
const { MSG_APP, MSG_APP_RESP, MSG_HEARTBEAT, MSG_HEARTBEAT_RESP } = MessageType;

/** A leader of three whose first entry, 11 of term 2, is committed, as everybody knows. */
function leader(): { node: RawNode; storage: MemoryStorage } {
  const storage = storageWith(three);
  const node = nodeWith({ storage, quietCommits: true });
  elect(node, storage, [2n]);
  acknowledge(node, 2n, 11);
  acknowledge(node, 3n, 11);
  settle(node, storage);
  return { node, storage };
}

function propose(node: RawNode): void {
  expect(node.proposeBatch([Buffer.from('x')])).toBe(true);
}

/** Entries 12 and 13, an append each. */
function twoUnderWay(node: RawNode, storage: MemoryStorage): void {
  for (let i = 0; i < 2; i++) {
    propose(node);
    settle(node, storage);
  }
}

/** Receiver, entries, commit index and whether an answer is wanted. */
function appendsIn(messages: readonly Message[]): [bigint, number, number, 'quiet' | 'loud'][] {
  return messages
    .filter(({ type }) => type === MSG_APP)
    .map(({ to, entries, commit, context }) => [to, entries.length, commit, context.length > 0 ? 'quiet' : 'loud']);
}

describe('a leader', () => {
  test('tells of the last commit at once, and wants no answer', () => {
    const { node, storage } = leader();
    propose(node);
    expect(appendsIn(settle(node, storage))).toEqual([
      [2n, 1, 11, 'loud'],
      [3n, 1, 11, 'loud'],
    ]);
    acknowledge(node, 2n, 12);
    expect(appendsIn(settle(node, storage))).toEqual([
      [2n, 0, 12, 'quiet'],
      [3n, 0, 12, 'quiet'],
    ]);
    acknowledge(node, 3n, 12);
    expect(appendsIn(settle(node, storage))).toEqual([]);
  });

  test('says nothing of a commit while more is on its way: the next append or the last commit brings it', () => {
    const { node, storage } = leader();
    twoUnderWay(node, storage);
    acknowledge(node, 2n, 12);
    expect([node.committedIndex, appendsIn(settle(node, storage))]).toEqual([12, []]);
    acknowledge(node, 3n, 12);
    expect(appendsIn(settle(node, storage))).toEqual([]);
    propose(node);
    expect(appendsIn(settle(node, storage))).toEqual([
      [2n, 1, 12, 'loud'],
      [3n, 1, 12, 'loud'],
    ]);
    acknowledge(node, 3n, 14);
    expect(appendsIn(settle(node, storage))).toEqual([
      [2n, 0, 14, 'quiet'],
      [3n, 0, 14, 'quiet'],
    ]);
  });

  test('brings the commit index with a heartbeat when no more commits come', () => {
    const { node, storage } = leader();
    twoUnderWay(node, storage);
    acknowledge(node, 2n, 12);
    settle(node, storage);
    node.tick();
    const heartbeats = settle(node, storage).filter(({ type }) => type === MSG_HEARTBEAT);
    expect(heartbeats.map(({ to, commit }) => [to, commit])).toEqual([
      [2n, 12],
      [3n, 11],
    ]);
  });

  test('finds out by a heartbeat that an acknowledgement was lost, and asks loudly', () => {
    const { node, storage } = leader();
    propose(node);
    settle(node, storage);
    // Both hold entry 12; neither answer arrived.
    node.step(message(MSG_HEARTBEAT_RESP, 1n, { from: 2n, term: 2 }));
    expect(appendsIn(settle(node, storage))).toEqual([[2n, 0, 11, 'loud']]);
    acknowledge(node, 2n, 12);
    settle(node, storage);
    expect(node.committedIndex).toBe(12);
  });
});

describe('a follower', () => {
  function follower(): { node: RawNode; storage: MemoryStorage } {
    const storage = storageWith(three);
    storage.append(entriesOf(11, [2]));
    const node = nodeWith({ id: 2n, storage });
    node.step(message(MSG_APP, 2n, { from: 1n, term: 2, index: 11, logTerm: 2, commit: 10 }));
    settle(node, storage);
    return { node, storage };
  }
  const commit = { from: 1n, term: 2, index: 11, logTerm: 2, commit: 11, context: quietContext };
  const answers = (messages: readonly Message[]): unknown[] =>
    messages.filter(({ type }) => type === MSG_APP_RESP).map(({ index, reject }) => [index, reject]);

  test('takes a quiet commit index and does not answer', () => {
    const { node, storage } = follower();
    node.step(message(MSG_APP, 2n, commit));
    expect([answers(settle(node, storage)), node.committedIndex]).toEqual([[], 11]);
  });

  test('answers a quiet one that does not fit its log, and anything with entries', () => {
    const { node, storage } = follower();
    node.step(message(MSG_APP, 2n, { ...commit, index: 13 }));
    expect(answers(settle(node, storage))).toEqual([[13, true]]);
    node.step(message(MSG_APP, 2n, { ...commit, entries: entriesOf(12, [2]) }));
    expect(answers(settle(node, storage))).toEqual([[12, false]]);
  });
});
