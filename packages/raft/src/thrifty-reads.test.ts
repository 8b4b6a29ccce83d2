/** RaftConfig.thriftyReads: only as many followers are asked as a read needs, and none waits for one that is gone. */
import { describe, expect, test } from 'vitest';
import type { RawNode } from './raw-node.ts';
import type { MemoryStorage } from './storage.ts';
import { acknowledge, carryOut, elect, message, nodeWith, settle, storageWith } from './testing/builders.ts';
import { ConfChangeTransition, ConfChangeType, MessageType } from './types.ts';

const { MSG_HEARTBEAT, MSG_HEARTBEAT_RESP } = MessageType;

class Leader {
  readonly storage: MemoryStorage;
  readonly node: RawNode;
  #lastContext: Buffer = Buffer.alloc(0);
  #reads = 0;

  constructor(voters: readonly bigint[]) {
    this.storage = storageWith(voters);
    this.node = nodeWith({ storage: this.storage, thriftyReads: true });
    const others = voters.slice(1, 1 + (voters.length >> 1));
    elect(this.node, this.storage, others);
    for (const id of voters.slice(1)) acknowledge(this.node, id, 11);
    settle(this.node, this.storage);
  }

  /** Starts a read; returns who is asked about it. */
  read(): bigint[] {
    this.#reads++;
    this.node.readIndex(Buffer.from(`read ${this.#reads}`));
    return this.asked();
  }

  /** Commits an entry that these voters have first. */
  commit(...holders: readonly bigint[]): void {
    this.node.propose(Buffer.from('entry'));
    settle(this.node, this.storage);
    for (const id of holders) acknowledge(this.node, id, this.storage.lastIndex());
    expect(this.node.committedIndex).toBe(this.storage.lastIndex());
    settle(this.node, this.storage);
  }

  /** Starts a read and has everyone asked about it, as the next heartbeat does. */
  readOfEveryone(): bigint[] {
    this.read();
    this.node.tick();
    return this.asked();
  }

  /** Who is sent a heartbeat now. */
  asked(): bigint[] {
    const sent = settle(this.node, this.storage).filter(({ type }) => type === MSG_HEARTBEAT);
    for (const { context } of sent) this.#lastContext = context;
    return sent.map(({ to }) => to);
  }

  /** These answer the newest heartbeat, in this order; returns how many reads that confirms. */
  answer(...members: readonly bigint[]): number {
    for (const from of members) {
      const { term } = this.node;
      this.node.step(message(MSG_HEARTBEAT_RESP, 1n, { from, term, context: this.#lastContext }));
    }
    let confirmed = 0;
    while (this.node.hasReady()) confirmed += carryOut(this.node, this.storage).readStates.length;
    return confirmed;
  }
}

describe('a leader of three', () => {
  test('asks whoever was quickest of all that were asked', () => {
    const leader = new Leader([1n, 2n, 3n]);
    expect(leader.readOfEveryone()).toEqual([2n, 3n]);
    expect(leader.answer(3n, 2n)).toBe(1);
    for (let i = 0; i < 10; i++) {
      expect(leader.read()).toEqual([3n]);
      expect(leader.answer(3n)).toBe(1);
    }
  });

  test('asks whoever had the last commit first, so that reads and writes leave the same one alone', () => {
    const leader = new Leader([1n, 2n, 3n]);
    leader.readOfEveryone();
    leader.answer(2n);
    leader.commit(3n);
    expect(leader.read()).toEqual([3n]);
    expect(leader.answer(3n)).toBe(1);
    leader.commit(2n, 3n);
    expect(leader.read()).toEqual([2n]);
  });

  test('asks everyone again with the next heartbeat, and the one who answers from then on', () => {
    const leader = new Leader([1n, 2n, 3n]);
    leader.commit(3n);
    expect(leader.read()).toEqual([3n]);
    leader.node.tick();
    expect(leader.asked()).toEqual([2n, 3n]);
    expect(leader.answer(2n)).toBe(1);
    expect(leader.read()).toEqual([2n]);
  });

  test('asks the others at once when the one it asked cannot be reached', () => {
    const leader = new Leader([1n, 2n, 3n]);
    leader.commit(3n);
    expect(leader.read()).toEqual([3n]);
    leader.node.reportUnreachable(2n);
    expect(leader.asked()).toEqual([]);
    leader.node.reportUnreachable(3n);
    expect(leader.asked()).toEqual([2n, 3n]);
    expect(leader.answer(2n)).toBe(1);
  });

  test('asks everyone when several reads wait', () => {
    const leader = new Leader([1n, 2n, 3n]);
    leader.commit(3n);
    const asked = [leader.read(), leader.read(), leader.read(), leader.read()];
    expect(asked).toEqual([[3n], [3n], [3n], [2n, 3n]]);
    expect(leader.answer(2n)).toBe(4);
  });

  test('asks everyone every so many reads, so that it learns who has become quicker', () => {
    const leader = new Leader([1n, 2n, 3n]);
    while (leader.read().length === 1) leader.answer(2n);
    leader.answer(3n);
    let reads = 0;
    let asked: bigint[];
    do {
      asked = leader.read();
      leader.answer(...(asked.length === 1 ? asked : [2n]));
      reads++;
    } while (asked.length === 1);
    expect(reads).toBe(64);
    expect(leader.read()).toEqual([2n]);
  });

  test('asks everyone of a new configuration', () => {
    const leader = new Leader([1n, 2n, 3n]);
    leader.commit(3n);
    const change = { type: ConfChangeType.CONF_CHANGE_ADD_NODE, nodeId: 4n };
    leader.node.applyConfChange(
      { transition: ConfChangeTransition.CONF_CHANGE_TRANSITION_AUTO, changes: [change], context: Buffer.alloc(0) },
      leader.storage.lastIndex() + 1,
    );
    settle(leader.node, leader.storage);
    expect(leader.read()).toEqual([2n, 3n, 4n]);
    expect(leader.answer(3n)).toBe(0);
    expect(leader.answer(4n)).toBe(1);
    expect(leader.read()).toEqual([3n, 4n]);
  });
});

test('a leader of five asks two', () => {
  const leader = new Leader([1n, 2n, 3n, 4n, 5n]);
  expect(leader.readOfEveryone()).toEqual([2n, 3n, 4n, 5n]);
  expect(leader.answer(5n, 3n)).toBe(1);
  expect(leader.read()).toEqual([3n, 5n]);
  expect(leader.answer(3n)).toBe(0);
  expect(leader.answer(5n)).toBe(1);
});
