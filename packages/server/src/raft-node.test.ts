import { type MemberId, noCrashPoints, SeededRandom } from '@quorate/base';
import { ConfState, Message, MessageType } from '@quorate/proto';
import { MemoryStorage, RawNode } from '@quorate/raft';
import type { Wal } from '@quorate/wal';
import { expect, test } from 'vitest';
import { confChangeCodec } from './conf-change.ts';
import type { Proposal } from './proposals.ts';
import { RaftNode } from './raft-node.ts';
import { ManualClock } from './testing/manual-clock.ts';

/** Member 1 of three, which follows member 2 once it heard from it. */
function follower() {
  const clock = new ManualClock();
  const storage = new MemoryStorage();
  const confState = ConfState.create({ voters: [1n, 2n, 3n] });
  storage.applySnapshot({ data: Buffer.alloc(0), metadata: { index: 5, term: 1, confState } });
  const rawNode = new RawNode({
    id: 1n,
    electionTicks: 10,
    heartbeatTicks: 1,
    storage,
    applied: 5,
    asyncStorageWrites: true,
    random: new SeededRandom(1),
    confChangeCodec,
    maxSizePerMsg: 1_000_000,
    maxInflightMsgs: 10,
  });
  const connected = new Set<MemberId>();
  const sent: Message[] = [];
  const node = new RaftNode({
    memberId: 1n,
    clock,
    crash: noCrashPoints,
    rawNode,
    storage,
    wal: { append: () => {}, sync: () => Promise.resolve(), syncStartedAtMs: undefined } as unknown as Wal,
    peers: {
      send: (messages) => void sent.push(...messages),
      connectedSinceMs: (peer) => (connected.has(peer) ? 0 : undefined),
    },
    tickMs: 100,
    electionMs: 1_000,
    hooks: {
      apply: () => {},
      installSnapshot: () => Promise.resolve(),
      sendSnapshot: () => {},
      beforeReady: () => {},
      onReadState: () => {},
      onSoftState: () => {},
      onTick: () => {},
      afterApply: () => {},
      changeRefused: () => {},
      stoodStill: () => {},
    },
    onFatal: (error) => {
      throw error;
    },
  });
  node.start();
  node.receive([Message.create({ type: MessageType.MSG_HEARTBEAT, from: 2n, to: 1n, term: 1, commit: 5 })]);
  clock.advance(1);
  const forwarded = (): string[] =>
    sent
      .filter((message) => message.type === MessageType.MSG_PROP)
      .flatMap((message) => message.entries.map((entry) => entry.data.toString()));
  return { clock, node, connected, forwarded };
}

function proposal(text: string): Proposal {
  return { id: 1, data: Buffer.from(text), change: undefined, startedMs: 0, waiting: true, done: () => {} };
}

test('proposals are kept until there is a way to the leader, then forwarded once and in order', () => {
  const { clock, node, connected, forwarded } = follower();
  node.propose(proposal('first'));
  clock.advance(250);
  node.propose(proposal('second'));
  clock.advance(250);
  expect(forwarded()).toEqual([]);
  connected.add(2n);
  clock.advance(100);
  expect(forwarded()).toEqual(['first', 'second']);
  clock.advance(300);
  expect(forwarded()).toHaveLength(2);
});

test('a proposal whose caller has gone meanwhile is not forwarded', () => {
  const { clock, node, connected, forwarded } = follower();
  const gone = proposal('gone');
  node.propose(gone);
  node.propose(proposal('stays'));
  clock.advance(100);
  gone.waiting = false;
  connected.add(2n);
  clock.advance(100);
  expect(forwarded()).toEqual(['stays']);
});
