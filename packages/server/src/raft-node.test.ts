import { type MemberId, noCrashPoints, SeededRandom, silentMeter } from '@quorate/base';
import { ConfChange, ConfChangeType, ConfState, type Entry, EntryType, Message, MessageType } from '@quorate/proto';
import { MemoryStorage, RawNode } from '@quorate/raft';
import type { Wal } from '@quorate/wal';
import { describe, expect, test } from 'vitest';
import { confChangeCodec, confChangeOf } from './conf-change.ts';
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
    meter: silentMeter,
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

/**
 * A lone voter with id 1 that leads, on a disk that takes `takesMs` for a sync and never finishes once it hangs. `onApply` is told of
 * each entry.
 */
function leader() {
  const clock = new ManualClock();
  const storage = new MemoryStorage();
  const confState = ConfState.create({ voters: [1n] });
  storage.applySnapshot({ data: Buffer.alloc(0), metadata: { index: 5, term: 1, confState } });
  const disk = { hangs: false, takesMs: 0, syncStartedAtMs: undefined as number | undefined };
  const callers: { onApply?: (entry: Entry) => void } = {};
  const rawNode = new RawNode({
    id: 1n,
    electionTicks: 10,
    heartbeatTicks: 1,
    storage,
    applied: 5,
    asyncStorageWrites: true,
    random: new SeededRandom(1),
    confChangeCodec,
  });
  const refused: number[] = [];
  const stoodStill: string[] = [];
  const appends: string[][] = [];
  const wal = {
    append: (_state: unknown, entries: readonly Entry[]) => {
      if (entries.length > 0) appends.push(entries.map(({ data }) => data.toString()));
    },
    sync: () => {
      const { hangs, takesMs } = disk;
      if (!hangs)
        return takesMs === 0 ? Promise.resolve() : new Promise<void>((done) => void clock.after(takesMs, done));
      disk.syncStartedAtMs = clock.nowMs();
      return new Promise<void>(() => {});
    },
    get syncStartedAtMs() {
      return disk.syncStartedAtMs;
    },
  };
  const applied: Entry[] = [];
  const node = new RaftNode({
    memberId: 1n,
    clock,
    meter: silentMeter,
    crash: noCrashPoints,
    rawNode,
    storage,
    wal: wal as unknown as Wal,
    peers: { send: () => {}, connectedSinceMs: () => undefined },
    tickMs: 100,
    electionMs: 1_000,
    hooks: {
      apply: (entries) => {
        for (const entry of entries) {
          applied.push(entry);
          callers.onApply?.(entry);
          if (entry.type === EntryType.ENTRY_CONF_CHANGE) rawNode.applyConfChange(confChangeOf(entry), entry.index);
        }
      },
      installSnapshot: () => Promise.resolve(),
      sendSnapshot: () => {},
      beforeReady: () => {},
      onReadState: () => {},
      onSoftState: () => {},
      onTick: () => {},
      afterApply: () => {},
      changeRefused: ({ id }) => void refused.push(id),
      stoodStill: (what) => void stoodStill.push(what),
    },
    onFatal: (error) => {
      throw error;
    },
  });
  node.start();
  node.call(() => rawNode.campaign());
  const settle = async (ms = 100): Promise<void> => {
    for (let i = 0; i < 10; i++) {
      clock.advance(ms / 10);
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    }
  };
  const changes = (): bigint[] =>
    applied
      .filter(({ type }) => type === EntryType.ENTRY_CONF_CHANGE)
      .map(({ data }) => ConfChange.decode(data).nodeId);
  return { clock, node, rawNode, disk, callers, refused, stoodStill, settle, changes, appends };
}

function change(id: number, type: number, nodeId: bigint): Proposal {
  const conf = ConfChange.create({ id, type, nodeId });
  return { id, data: ConfChange.encode(conf), change: conf, startedMs: 0, waiting: true, done: () => {} };
}

test('changes of members go one at a time: the next waits until the one before it was answered', async () => {
  const { node, settle, changes } = leader();
  await settle();
  const [first, second] = [10n, 11n].map((id, i) => change(i, ConfChangeType.CONF_CHANGE_ADD_LEARNER_NODE, id));
  node.propose(first!);
  node.propose(second!);
  await settle();
  expect(changes()).toEqual([10n]);
  first!.waiting = false;
  await settle();
  expect(changes()).toEqual([10n, 11n]);
});

test('what followers forward and what callers ask here in one turn is one append; a forwarded change of members is not mixed in', async () => {
  const { node, settle, appends, changes } = leader();
  await settle();
  appends.length = 0;
  const forward = (from: bigint, ...entries: Pick<Entry, 'type' | 'data'>[]): Message =>
    Message.create({
      type: MessageType.MSG_PROP,
      to: 1n,
      from,
      entries: entries.map((entry) => ({ ...entry, term: 0, index: 0 })),
    });
  const request = (text: string) => ({ type: EntryType.ENTRY_NORMAL, data: Buffer.from(text) });
  node.receive([forward(2n, request('a'), request('b')), forward(3n, request('c'))]);
  node.propose({ id: 1, data: Buffer.from('d'), change: undefined, startedMs: 0, waiting: true, done: () => {} });
  await settle();
  expect(appends).toEqual([['a', 'b', 'c', 'd']]);
  const { data } = change(2, ConfChangeType.CONF_CHANGE_ADD_LEARNER_NODE, 10n);
  node.receive([forward(2n, { type: EntryType.ENTRY_CONF_CHANGE, data }), forward(3n, request('e'))]);
  await settle();
  expect(changes()).toEqual([10n]);
  expect(appends.flat()).toContain('e');
});

test('a change that does not fit the configuration is refused, one nobody waits for is left out', async () => {
  const { node, settle, changes, refused } = leader();
  await settle();
  const last = change(1, ConfChangeType.CONF_CHANGE_REMOVE_NODE, 1n);
  const gone = change(2, ConfChangeType.CONF_CHANGE_ADD_LEARNER_NODE, 12n);
  gone.waiting = false;
  node.propose(last);
  node.propose(gone);
  await settle(300);
  expect(refused).toEqual([1]);
  expect(changes()).toEqual([]);
});

test('a leader is told once when a sync lasts longer than an election time-out, and when ticks come that late', async () => {
  const { clock, node, disk, stoodStill, settle } = leader();
  await settle();
  disk.hangs = true;
  node.propose(proposal('x'));
  await settle(1_000);
  expect(stoodStill).toEqual([]);
  await settle(500);
  expect(stoodStill).toEqual(['disk']);
  disk.syncStartedAtMs = undefined;
  clock.skip(1_200);
  await settle();
  expect(stoodStill).toEqual(['disk', 'event loop']);
});

describe('a hundred callers who ask again as soon as they are answered, 0.01 ms each to apply', () => {
  /** Sizes of the groups written once all callers have been answered twenty times. */
  async function groupSizes(takesMs: number): Promise<number[]> {
    const { clock, node, disk, callers, settle, appends } = leader();
    await settle();
    disk.takesMs = takesMs;
    appends.length = 0;
    let left = 2_000;
    callers.onApply = () => {
      clock.skip(0.01);
      if (left-- > 0) node.propose(proposal('x'));
    };
    for (let i = 0; i < 100; i++) node.propose(proposal('x'));
    while (left > 0) await settle(0.1);
    return appends.map((group) => group.length);
  }

  test('on a quick disk half of them go ahead: it writes for one half while the other is applied', async () => {
    const sizes = await groupSizes(0.2);
    expect(sizes[0]).toBe(100);
    expect(new Set(sizes.slice(2, -2))).toEqual(new Set([50]));
  });

  test('on a slow disk all of them share a sync', async () => {
    expect(new Set((await groupSizes(5)).slice(0, -1))).toEqual(new Set([100]));
  });
});

test('a burst after a while is of one piece', async () => {
  const { clock, node, settle, appends } = leader();
  await settle();
  clock.skip(60);
  appends.length = 0;
  for (let i = 0; i < 100; i++) node.propose(proposal('x'));
  await settle();
  expect(appends.map((group) => group.length)).toEqual([100]);
});

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
