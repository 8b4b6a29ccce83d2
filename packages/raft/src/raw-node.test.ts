import type { ConfChange, ConfChangeV2, ConfState, Message } from '@quorate/proto';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { RawNode } from './raw-node.ts';
import { emptyConfState, type MemoryStorage } from './storage.ts';
import {
  acknowledge,
  carryOut,
  earliest,
  elect,
  entriesOf,
  entry,
  message,
  nodeWith,
  save,
  settle,
  storageWith,
} from './testing/builders.ts';
import { parseChanges, textCodec } from './testing/conf-change-text.ts';
import {
  type ConfChangeCodec,
  ConfChangeTransition,
  ConfChangeType,
  EntryType,
  emptyBytes,
  entryOverheadBytes,
  localAppendThread,
  localApplyThread,
  MessageType,
  Role,
} from './types.ts';

type ProtoCodec = typeof import('@quorate/proto')['ConfChange'];
type ProtoCodecV2 = typeof import('@quorate/proto')['ConfChangeV2'];

const three = [1n, 2n, 3n];

function ofType(messages: readonly Message[], type: number): Message[] {
  return messages.filter((each) => each.type === type);
}

/** A leader of three whose first entry, 11 of term 2, is committed. */
function leader(config: Parameters<typeof nodeWith>[0] = { storage: storageWith(three) }): {
  node: RawNode;
  storage: MemoryStorage;
} {
  const node = nodeWith(config);
  elect(node, config.storage, [2n]);
  acknowledge(node, 2n, 11);
  acknowledge(node, 3n, 11);
  settle(node, config.storage);
  return { node, storage: config.storage };
}

describe('views', () => {
  test('a fresh node follows no one, a single voter leads after its campaign', () => {
    const storage = storageWith([1n]);
    const node = nodeWith({ storage });
    expect([node.hasReady(), node.hasLeader, node.role, node.committedIndex]).toEqual([
      false,
      false,
      Role.follower,
      10,
    ]);
    node.campaign();
    settle(node, storage);
    expect([node.leader, node.hasLeader, node.term, node.lastIndex, node.committedIndex]).toEqual([
      1n,
      true,
      2,
      11,
      11,
    ]);
  });

  test('progress is known to the leader only', () => {
    const { node } = leader();
    expect(node.progress(2n)).toMatchObject({ match: 11, next: 12 });
    expect(node.progress(9n)).toBeUndefined();
    expect([...node.status().progress.keys()]).toEqual(three);
    const follower = nodeWith({ storage: storageWith(three) });
    expect(follower.progress(2n)).toBeUndefined();
    expect(follower.status().progress.size).toBe(0);
  });

  test('the codecs of proto fit as they are', () => {
    expectTypeOf<ProtoCodec>().toExtend<ConfChangeCodec['v1']>();
    expectTypeOf<ProtoCodecV2>().toExtend<ConfChangeCodec['v2']>();
    expectTypeOf<ReturnType<ConfChangeCodec['v1']['decode']>>().toEqualTypeOf<ConfChange>();
    expectTypeOf<ReturnType<ConfChangeCodec['v2']['decode']>>().toEqualTypeOf<ConfChangeV2>();
  });
});

describe('messages that are not for this member', () => {
  test('are not looked at, and change nothing', () => {
    const { node } = leader();
    const append = message(MessageType.MSG_APP, 2n, { from: 3n, term: 9 });
    expect(node.step(append)).toBe('wrongTarget');
    expect([node.term, node.role]).toEqual([2, Role.leader]);
  });

  test('local ones cannot come from another member', () => {
    const { node } = leader();
    for (const type of [MessageType.MSG_HUP, MessageType.MSG_CHECK_QUORUM, MessageType.MSG_STORAGE_APPEND_RESP]) {
      expect(node.step(message(type, 1n, { from: 2n }))).toBe('localOnly');
    }
  });

  test('without a term they would pass for local ones', () => {
    const { node } = leader();
    expect(node.step(message(MessageType.MSG_APP, 1n, { from: 2n }))).toBe('localOnly');
    expect(node.step(message(MessageType.MSG_HEARTBEAT_RESP, 1n, { from: 2n }))).toBe('localOnly');
    const proposal = message(MessageType.MSG_PROP, 1n, { from: 2n, entries: [entry(0, 0, 'x')] });
    expect(node.step(proposal)).toBe('taken');
  });

  test('answers of strangers are refused, their vote requests are answered', () => {
    const { node, storage } = leader({ storage: storageWith(three), checkQuorum: false });
    const stranger = { from: 9n, term: 2 };
    expect(node.step(message(MessageType.MSG_APP_RESP, 1n, stranger))).toBe('unknownPeer');
    const request = message(MessageType.MSG_VOTE, 1n, { from: 9n, term: 3, index: 99, logTerm: 3 });
    expect(node.step(request)).toBe('taken');
    expect(settle(node, storage)).toMatchObject([{ type: MessageType.MSG_VOTE_RESP, to: 9n, reject: false }]);
  });

  test('kinds nobody knows are ignored', () => {
    const { node } = leader();
    expect(node.step(message(99, 1n, { from: 2n, term: 2 }))).toBe('taken');
    expect(node.hasReady()).toBe(false);
  });

  test('a second leader in one term is a broken invariant', () => {
    const node = nodeWith({ storage: storageWith(three) });
    node.step(message(MessageType.MSG_HEARTBEAT, 1n, { from: 2n, term: 2 }));
    const impostor = message(MessageType.MSG_HEARTBEAT, 1n, { from: 3n, term: 2 });
    expect(() => node.step(impostor)).toThrow('two leaders');
  });
});

describe('proposals', () => {
  test('are dropped without a leader', () => {
    const node = nodeWith({ storage: storageWith(three) });
    expect(node.propose(Buffer.from('x'))).toBe(false);
    expect(node.proposeBatch([Buffer.from('x')])).toBe(false);
    expect(node.readIndex(Buffer.from('r'))).toBe(false);
    expect(node.transferLeader(2n)).toBe(false);
    node.campaign();
    expect(node.propose(Buffer.from('x'))).toBe(false);
    expect(node.readIndex(Buffer.from('r'))).toBe(false);
  });

  test('of a follower are forwarded as one message, unless that is switched off', () => {
    const storage = storageWith(three);
    const node = nodeWith({ storage });
    node.step(message(MessageType.MSG_HEARTBEAT, 1n, { from: 2n, term: 2 }));
    settle(node, storage);
    expect(node.proposeBatch([Buffer.from('a'), Buffer.from('b')])).toBe(true);
    const [forwarded] = settle(node, storage);
    expect(forwarded).toMatchObject({ type: MessageType.MSG_PROP, to: 2n, from: 1n, term: 0 });
    expect(forwarded?.entries.map((each) => each.data.toString())).toEqual(['a', 'b']);
    const silent = nodeWith({ storage: storageWith(three), disableProposalForwarding: true });
    silent.step(message(MessageType.MSG_HEARTBEAT, 1n, { from: 2n, term: 2 }));
    expect(silent.propose(Buffer.from('x'))).toBe(false);
  });

  test('of a batch make one append per follower and share their bytes', () => {
    const { node } = leader();
    const datas = Array.from({ length: 1000 }, (_, i) => Buffer.from(`p${i}`));
    expect(node.proposeBatch(datas)).toBe(true);
    const ready = node.ready();
    expect(ready.entries.length).toBe(1000);
    expect(ready.messages.map((each) => [each.to, each.entries.length])).toEqual([
      [2n, 1000],
      [3n, 1000],
    ]);
    expect(ready.entries[7]?.data).toBe(datas[7]);
    expect(ready.messages[0]?.entries[7]).toBe(ready.entries[7]);
  });

  test('larger than a message go out as several messages at once', () => {
    const size = 10 + entryOverheadBytes;
    const { node } = leader({ storage: storageWith(three), maxSizePerMsg: 4 * size, maxInflightMsgs: 3 });
    node.proposeBatch(Array.from({ length: 20 }, () => Buffer.alloc(10)));
    const { messages } = node.ready();
    const toSecond = messages.filter((each) => each.to === 2n);
    expect(toSecond.map((each) => [each.index, each.entries.length])).toEqual([
      [11, 4],
      [15, 4],
      [19, 4],
    ]);
    expect(node.progress(2n)).toMatchObject({ inflight: 3, inflightFull: true, paused: true, inflightBytes: 120 });
  });

  test('wait for the in-flight window by bytes', () => {
    const { node, storage } = leader({ storage: storageWith(three), maxSizePerMsg: 100, maxInflightBytes: 100 });
    node.propose(Buffer.alloc(90));
    node.propose(Buffer.alloc(20));
    node.propose(Buffer.alloc(20));
    expect(ofType(settle(node, storage), MessageType.MSG_APP).filter((each) => each.to === 2n).length).toBe(2);
    acknowledge(node, 2n, 12);
    const [next] = ofType(settle(node, storage), MessageType.MSG_APP).filter((each) => each.to === 2n);
    expect(next).toMatchObject({ index: 13 });
  });

  test('an empty batch is nothing, a message without entries is dropped', () => {
    const { node } = leader();
    expect(node.proposeBatch([])).toBe(true);
    expect(node.step(message(MessageType.MSG_PROP, 1n, { from: 2n }))).toBe('dropped');
    expect(node.hasReady()).toBe(false);
  });

  test('above the limit are dropped as a whole, and the limit frees itself', () => {
    const { node, storage } = leader({ storage: storageWith(three), maxUncommittedEntriesSize: 10 });
    expect(node.propose(Buffer.alloc(8))).toBe(true);
    expect(node.proposeBatch([Buffer.alloc(1), Buffer.alloc(2)])).toBe(false);
    expect(node.lastIndex).toBe(12);
    settle(node, storage);
    acknowledge(node, 2n, 12);
    settle(node, storage);
    expect(node.status().uncommittedBytes).toBe(0);
    expect(node.proposeBatch([Buffer.alloc(1), Buffer.alloc(2)])).toBe(true);
  });
});

describe('synchronous writes', () => {
  test('a leader counts its own copy only once it is saved', () => {
    const storage = storageWith([1n]);
    const node = nodeWith({ storage });
    elect(node, storage, []);
    node.propose(Buffer.from('x'));
    const ready = node.ready();
    expect([ready.entries.length, ready.committedEntries.length, node.committedIndex]).toEqual([1, 0, 11]);
    storage.append(ready.entries);
    node.advance();
    expect(node.committedIndex).toBe(12);
    expect(node.ready().committedEntries.map((each) => each.index)).toEqual([12]);
  });

  test('a ready is advanced once, and before the next', () => {
    const { node } = leader();
    expect(() => node.advance()).toThrow('no ready');
    node.propose(Buffer.from('x'));
    node.ready();
    expect(() => node.ready()).toThrow('not advanced');
  });

  test('input between ready and advance shows in the next ready', () => {
    const { node, storage } = leader();
    node.propose(Buffer.from('x'));
    const first = node.ready();
    node.propose(Buffer.from('y'));
    storage.append(first.entries);
    node.advance();
    expect(first.entries.map((each) => each.index)).toEqual([12]);
    expect(node.ready().entries.map((each) => each.index)).toEqual([13]);
  });

  test('an answer for a later term does not follow the own acknowledgement of an earlier one', () => {
    const { node, storage } = leader();
    node.propose(Buffer.from('x'));
    const ready = node.ready();
    node.step(message(MessageType.MSG_HEARTBEAT, 1n, { from: 2n, term: 9 }));
    storage.append(ready.entries);
    node.advance();
    expect([node.committedIndex, node.role]).toEqual([11, Role.follower]);
  });

  test('only what others rely on must be synced', () => {
    const { node, storage } = leader();
    node.propose(Buffer.from('x'));
    expect(carryOut(node, storage).mustSync).toBe(true);
    acknowledge(node, 2n, 12);
    expect(carryOut(node, storage)).toMatchObject({ mustSync: false, hardState: { commit: 12 } });
    node.step(message(MessageType.MSG_HEARTBEAT, 1n, { from: 2n, term: 9 }));
    expect(carryOut(node, storage)).toMatchObject({ mustSync: true, hardState: { term: 9 } });
  });
});

describe('asynchronous writes', () => {
  function follower(): { node: RawNode; storage: MemoryStorage } {
    const storage = storageWith(three);
    return { node: nodeWith({ storage, asyncStorageWrites: true }), storage };
  }

  function append(term: number, from: bigint, index: number, logTerm: number, terms: readonly number[]): Message {
    const entries = entriesOf(index + 1, terms);
    return message(MessageType.MSG_APP, 1n, { from, term, index, logTerm, entries });
  }

  function appendWork(node: RawNode): Message {
    const [work] = ofType(node.ready().messages, MessageType.MSG_STORAGE_APPEND);
    return work!;
  }

  test('answers to others travel with the write they wait for, in the order of the writes', () => {
    const { node } = follower();
    node.step(append(2, 2n, 10, 1, [2]));
    const first = appendWork(node);
    node.step(append(2, 2n, 11, 2, [2]));
    const second = appendWork(node);
    expect(first).toMatchObject({ to: localAppendThread, from: 1n, term: 2 });
    expect(first.responses).toMatchObject([
      { type: MessageType.MSG_APP_RESP, to: 2n, index: 11 },
      { type: MessageType.MSG_STORAGE_APPEND_RESP, to: 1n, from: localAppendThread, index: 11, logTerm: 2, term: 2 },
    ]);
    expect(second.entries.map((each) => each.index)).toEqual([12]);
    expect(second.responses.at(-1)).toMatchObject({ index: 12 });
  });

  test('advance is not for it', () => {
    const { node } = follower();
    expect(() => node.advance()).toThrow('no ready');
  });

  test('committed entries wait until they are durable here', () => {
    const { node, storage } = follower();
    node.step(append(2, 2n, 10, 1, [2]));
    const work = appendWork(node);
    node.step(message(MessageType.MSG_HEARTBEAT, 1n, { from: 2n, term: 2, commit: 11 }));
    expect(ofType(node.ready().messages, MessageType.MSG_STORAGE_APPLY)).toEqual([]);
    save(work, storage);
    node.step(work.responses.at(-1)!);
    const [apply] = ofType(node.ready().messages, MessageType.MSG_STORAGE_APPLY);
    expect(apply?.entries.map((each) => each.index)).toEqual([11]);
    node.step(apply!.responses[0]!);
    expect([node.appliedIndex, apply?.to]).toEqual([11, localApplyThread]);
  });

  test('a late acknowledgement of a write that was overwritten by later terms does not count', () => {
    const { node, storage } = follower();
    // Term 2 writes entry 11; term 3 overwrites it; term 4's leader has term 2's entry 11 again. Three writes are under way.
    node.step(append(2, 2n, 10, 1, [2]));
    const first = appendWork(node);
    node.step(append(3, 3n, 10, 1, [3]));
    const second = appendWork(node);
    node.step(append(4, 2n, 10, 1, [2]));
    const third = appendWork(node);
    expect([first, second, third].map((each) => each.entries.map(({ term, index }) => `${term}/${index}`))).toEqual([
      ['2/11'],
      ['3/11'],
      ['2/11'],
    ]);
    // The first write is done, and its acknowledgement names what is in the log now: but the disk will hold term 3's entry yet.
    save(first, storage);
    node.step(first.responses.at(-1)!);
    expect(node.core.log.unstable.offset).toBe(11);
    save(second, storage);
    save(third, storage);
    node.step(third.responses.at(-1)!);
    node.step(second.responses.at(-1)!);
    expect(node.core.log.unstable.offset).toBe(12);
    expect(storage.term(11)).toBe(2);
  });

  test('acknowledgements that come in another order end in the same state', () => {
    const { node, storage } = follower();
    node.step(append(2, 2n, 10, 1, [2]));
    const first = appendWork(node);
    node.step(append(2, 2n, 11, 2, [2, 2]));
    const second = appendWork(node);
    save(first, storage);
    save(second, storage);
    node.step(second.responses.at(-1)!);
    node.step(first.responses.at(-1)!);
    expect([node.core.log.unstable.offset, node.core.log.unstable.length]).toEqual([14, 0]);
  });

  test('applied entries may be acknowledged in any order', () => {
    const { node, storage } = follower();
    const applyWork = (index: number, logTerm: number): Message => {
      node.step({ ...append(2, 2n, index, logTerm, [2]), commit: index + 1 });
      const work = appendWork(node);
      save(work, storage);
      node.step(work.responses.at(-1)!);
      return ofType(node.ready().messages, MessageType.MSG_STORAGE_APPLY)[0]!;
    };
    const first = applyWork(10, 1);
    const second = applyWork(11, 2);
    node.step(second.responses[0]!);
    node.step(first.responses[0]!);
    expect([node.appliedIndex, node.core.log.applyingBytes]).toEqual([12, 0]);
  });

  test('a term that changes while a write is under way asks for its acknowledgement again', () => {
    const { node, storage } = follower();
    node.step(append(2, 2n, 10, 1, [2]));
    const first = appendWork(node);
    node.step(message(MessageType.MSG_HEARTBEAT, 1n, { from: 3n, term: 3 }));
    const second = appendWork(node);
    save(first, storage);
    node.step(first.responses.at(-1)!);
    expect(node.core.log.unstable.length).toBe(1);
    expect(second.responses).toMatchObject([{ type: MessageType.MSG_STORAGE_APPEND_RESP, index: 11, term: 3 }]);
    save(second, storage);
    node.step(second.responses[0]!);
    expect(node.core.log.unstable.length).toBe(0);
  });

  test('a snapshot that overtakes entries being applied makes their configuration changes void', () => {
    const { node, storage } = follower();
    const change = { ...entry(2, 11), type: EntryType.ENTRY_CONF_CHANGE, data: Buffer.from('v4') };
    node.step(
      message(MessageType.MSG_APP, 1n, { from: 2n, term: 2, index: 10, logTerm: 1, commit: 11, entries: [change] }),
    );
    const work = appendWork(node);
    save(work, storage);
    node.step(work.responses.at(-1)!);
    const [apply] = ofType(node.ready().messages, MessageType.MSG_STORAGE_APPLY);
    const confState = { ...emptyConfState(), voters: [1n, 2n] };
    const snapshot = { data: emptyBytes, metadata: { confState, index: 20, term: 2 } };
    node.step(message(MessageType.MSG_SNAP, 1n, { from: 2n, term: 2, snapshot }));
    const v4 = { id: 0, type: ConfChangeType.CONF_CHANGE_ADD_NODE, nodeId: 4n, context: emptyBytes };
    expect(node.applyConfChange(v4, 11)).toBeUndefined();
    node.step(apply!.responses[0]!);
    expect(node.confState().voters).toEqual([1n, 2n]);
  });
});

describe('configuration changes', () => {
  function change(text: string, transition = 0): ConfChangeV2 {
    return { transition, changes: parseChanges(text), context: emptyBytes };
  }

  function applied(node: RawNode, text: string, index: number): ConfState {
    return node.applyConfChange(change(text), index)!;
  }

  test('one at a time: a second is refused until the first is applied', () => {
    const { node, storage } = leader();
    expect(node.proposeConfChange(change('v4'))).toBe('taken');
    expect(node.proposeConfChange(change('v5'))).toBe('refused');
    settle(node, storage);
    acknowledge(node, 2n, 13);
    const ready = node.ready();
    expect(ready.committedEntries.map((each) => each.type)).toEqual([
      EntryType.ENTRY_CONF_CHANGE_V2,
      EntryType.ENTRY_NORMAL,
    ]);
    expect(applied(node, 'v4', 12).voters).toEqual([1n, 2n, 3n, 4n]);
    node.advance();
    expect(node.proposeConfChange(change('v5'))).toBe('taken');
  });

  test('a new leader takes none before it has applied those it found in its log', () => {
    const storage = storageWith(three);
    storage.append([{ ...entry(1, 11, 'v4'), type: EntryType.ENTRY_CONF_CHANGE }]);
    const node = nodeWith({ storage });
    elect(node, storage, [2n]);
    acknowledge(node, 2n, 12);
    expect(node.committedIndex).toBe(12);
    expect(node.proposeConfChange(change('v5'))).toBe('refused');
    const ready = node.ready();
    node.applyConfChange(textCodec.v1.decode(ready.committedEntries[0]!.data), 11);
    storage.append(ready.entries);
    node.advance();
    expect(node.proposeConfChange(change('v5'))).toBe('taken');
  });

  test('what cannot be decoded or would leave no voter is refused', () => {
    const { node } = leader();
    const garbage = { ...entry(0, 0, '?'), type: EntryType.ENTRY_CONF_CHANGE_V2 };
    expect(node.step(message(MessageType.MSG_PROP, 1n, { from: 2n, entries: [garbage] }))).toBe('refused');
    expect(node.proposeConfChange(change('r1 r2 r3'))).toBe('refused');
    expect(node.proposeConfChange(change(''))).toBe('refused');
    expect(node.proposeConfChange(change('v4'))).toBe('taken');
  });

  test('a dropped change does not block the next one', () => {
    const { node, storage } = leader({ storage: storageWith(three), maxUncommittedEntriesSize: 10 });
    node.propose(Buffer.alloc(10));
    expect(node.proposeConfChange(change('v4'))).toBe('dropped');
    settle(node, storage);
    acknowledge(node, 2n, 12);
    settle(node, storage);
    expect(node.proposeConfChange(change('v4'))).toBe('taken');
  });

  test('a change of member 0 is none', () => {
    const { node } = leader();
    expect(applied(node, 'v0', 12).voters).toEqual(three);
  });

  test('a change that cannot be applied is a broken invariant', () => {
    const { node } = leader();
    expect(() => applied(node, 'r1 r2', 12)).not.toThrow();
    expect(() => applied(node, 'v9', 12)).toThrow('cannot be applied');
  });

  test('fewer voters may commit at once, and confirm reads that waited', () => {
    const { node, storage } = leader({ storage: storageWith([1n, 2n]) });
    node.propose(Buffer.from('x'));
    settle(node, storage);
    node.readIndex(Buffer.from('r'));
    settle(node, storage);
    applied(node, 'r2', 12);
    expect(node.committedIndex).toBe(12);
    expect(node.ready().readStates).toMatchObject([{ index: 11 }]);
  });

  test('a joint configuration is left once, however many entries are applied meanwhile', () => {
    const { node, storage } = leader({ storage: storageWith(three), maxCommittedSizePerReady: 1 });
    node.proposeConfChange(change('v4', ConfChangeTransition.CONF_CHANGE_TRANSITION_JOINT_IMPLICIT));
    node.proposeBatch([Buffer.from('x'), Buffer.from('y')]);
    for (let turn = 0; turn < 10; turn++) {
      for (const from of [2n, 3n]) acknowledge(node, from, node.lastIndex);
      while (node.hasReady()) {
        const ready = node.ready();
        storage.append(ready.entries);
        for (const each of ready.committedEntries) {
          if (each.type !== EntryType.ENTRY_NORMAL) node.applyConfChange(textCodec.v2.decode(each.data), each.index);
        }
        node.advance();
      }
    }
    expect(node.confState()).toMatchObject({ voters: [1n, 2n, 3n, 4n], votersOutgoing: [] });
    const log = storage.entries(12, storage.lastIndex() + 1, Number.POSITIVE_INFINITY);
    const { ENTRY_NORMAL, ENTRY_CONF_CHANGE_V2 } = EntryType;
    expect(log.map((each) => each.type)).toEqual([
      ENTRY_CONF_CHANGE_V2,
      ENTRY_NORMAL,
      ENTRY_NORMAL,
      ENTRY_CONF_CHANGE_V2,
    ]);
  });

  test('a transfer to a member that is removed ends', () => {
    const { node, storage } = leader();
    node.propose(Buffer.from('x'));
    settle(node, storage);
    node.transferLeader(3n);
    expect(node.propose(Buffer.from('y'))).toBe(false);
    applied(node, 'r3', 12);
    expect(node.propose(Buffer.from('y'))).toBe(true);
  });

  test('a restart knows that a change is committed when a later one is in the log', () => {
    const storage = storageWith(three);
    const changeAt = (index: number, text: string) => ({
      ...entry(2, index, text),
      type: EntryType.ENTRY_CONF_CHANGE,
    });
    storage.append([changeAt(11, 'v4'), entry(2, 12), changeAt(13, 'v5')]);
    storage.setHardState({ term: 2, vote: 0n, commit: 10 });
    expect(nodeWith({ storage }).committedIndex).toBe(11);
    expect(nodeWith({ storage, disableConfChangeValidation: true }).committedIndex).toBe(10);
  });
});

describe('restart', () => {
  test('goes on from what was applied, although the stored commit index lags', () => {
    const storage = storageWith(three);
    storage.append(entriesOf(11, [2, 2, 2]));
    storage.setHardState({ term: 2, vote: 3n, commit: 10 });
    const node = nodeWith({ storage, applied: 12 });
    expect([node.committedIndex, node.appliedIndex, node.term]).toEqual([12, 12, 2]);
    node.step(message(MessageType.MSG_HEARTBEAT, 1n, { from: 2n, term: 2, commit: 13 }));
    expect(node.ready().committedEntries.map((each) => each.index)).toEqual([13]);
  });

  test('from a commit index beyond the log is refused: acknowledged entries are lost', () => {
    const storage = storageWith(three);
    storage.setHardState({ term: 2, vote: 0n, commit: 15 });
    expect(() => nodeWith({ storage })).toThrow('beyond the last index');
  });

  test('the vote of the term is kept', () => {
    const storage = storageWith(three);
    storage.setHardState({ term: 5, vote: 2n, commit: 10 });
    const node = nodeWith({ storage });
    const ask = (from: bigint): boolean | undefined => {
      node.step(message(MessageType.MSG_VOTE, 1n, { from, term: 5, index: 99, logTerm: 5 }));
      return settle(node, storage)[0]?.reject;
    };
    expect([ask(3n), ask(2n)]).toEqual([true, false]);
  });
});

describe('reads', () => {
  test('a delayed answer does not confirm a later read with the same context', () => {
    const { node, storage } = leader();
    const context = Buffer.from('same');
    const contextOfRound = (): Buffer => ofType(settle(node, storage), MessageType.MSG_HEARTBEAT)[0]!.context;
    const answer = (from: bigint, to: Buffer): void => {
      node.step(message(MessageType.MSG_HEARTBEAT_RESP, 1n, { from, term: 2, context: to }));
    };
    node.readIndex(context);
    const first = contextOfRound();
    answer(2n, first);
    expect(carryOut(node, storage).readStates.length).toBe(1);
    node.readIndex(context);
    const second = contextOfRound();
    answer(3n, first);
    expect(node.hasReady()).toBe(false);
    answer(3n, second);
    expect(carryOut(node, storage).readStates).toEqual([{ index: 11, requestContext: context }]);
  });

  test('a deposed leader forgets its reads, confirmed in part or not begun', () => {
    const { node, storage } = leader();
    node.readIndex(Buffer.from('r'));
    node.step(message(MessageType.MSG_HEARTBEAT, 1n, { from: 2n, term: 9 }));
    expect(node.status().pendingReads).toBe(0);
    expect(carryOut(node, storage).readStates).toEqual([]);
    elect(node, storage, [2n]);
    node.readIndex(Buffer.from('early'));
    expect(node.status().pendingReads).toBe(1);
    node.step(message(MessageType.MSG_HEARTBEAT, 1n, { from: 2n, term: 19 }));
    expect(node.status().pendingReads).toBe(0);
  });

  test('that waited for the first commit of a term share one round', () => {
    const storage = storageWith(three);
    const node = nodeWith({ storage });
    elect(node, storage, [2n]);
    for (const name of ['a', 'b', 'c']) expect(node.readIndex(Buffer.from(name))).toBe(true);
    expect(settle(node, storage)).toEqual([]);
    acknowledge(node, 2n, 11);
    const heartbeats = ofType(settle(node, storage), MessageType.MSG_HEARTBEAT);
    expect(heartbeats.map((each) => each.to)).toEqual([2n, 3n]);
    node.step(message(MessageType.MSG_HEARTBEAT_RESP, 1n, { from: 3n, term: 2, context: heartbeats[0]!.context }));
    const states = carryOut(node, storage).readStates;
    expect(states.map(({ requestContext, index }) => `${requestContext}@${index}`)).toEqual(['a@11', 'b@11', 'c@11']);
  });

  test('lease-based ones are answered at once', () => {
    const { node } = leader({ storage: storageWith(three), readOnlyOption: 'lease-based' });
    node.readIndex(Buffer.from('r'));
    expect(node.ready().readStates).toMatchObject([{ index: 11 }]);
  });

  test('are bounded in number', () => {
    const { node } = leader();
    let accepted = 0;
    while (node.readIndex(Buffer.from('r'))) accepted++;
    expect(accepted).toBe(4096);
  });
});

describe('terms', () => {
  test('what a leader knew about its followers does not outlive its term', () => {
    const { node, storage } = leader();
    expect(node.progress(2n)).toMatchObject({ match: 11 });
    node.step(message(MessageType.MSG_HEARTBEAT, 1n, { from: 2n, term: 9 }));
    settle(node, storage);
    elect(node, storage, [3n]);
    expect([...node.status().progress.values()].map(({ match }) => match)).toEqual([12, 0, 0]);
  });

  test('a deposed leader hears of the new term from members that follow it, and from those that cannot campaign', () => {
    const answers = (config: { preVote: boolean; checkQuorum: boolean; learner: boolean }): Message[] => {
      const { learner, ...rest } = config;
      const storage = storageWith([2n, 3n]);
      const ids = learner ? { voters: [2n, 3n], learners: [1n] } : { voters: [...three] };
      storage.setConfState({ ...emptyConfState(), ...ids });
      storage.setHardState({ term: 5, vote: 0n, commit: 10 });
      const node = nodeWith({ storage, ...rest });
      node.step(message(MessageType.MSG_HEARTBEAT, 1n, { from: 2n, term: 4 }));
      return settle(node, storage);
    };
    const told = [{ type: MessageType.MSG_APP_RESP, to: 2n, term: 5 }];
    expect(answers({ preVote: true, checkQuorum: false, learner: false })).toMatchObject(told);
    expect(answers({ preVote: false, checkQuorum: true, learner: false })).toMatchObject(told);
    expect(answers({ preVote: false, checkQuorum: false, learner: true })).toMatchObject(told);
    // This one can campaign, and the others will listen.
    expect(answers({ preVote: false, checkQuorum: false, learner: false })).toEqual([]);
  });

  test('a candidate that lags behind in terms is told', () => {
    const storage = storageWith(three);
    storage.setHardState({ term: 5, vote: 0n, commit: 10 });
    const node = nodeWith({ storage });
    node.step(message(MessageType.MSG_VOTE, 1n, { from: 2n, term: 3, index: 99, logTerm: 3 }));
    node.step(message(MessageType.MSG_PRE_VOTE, 1n, { from: 2n, term: 3, index: 99, logTerm: 3 }));
    expect(settle(node, storage)).toMatchObject([
      { type: MessageType.MSG_VOTE_RESP, to: 2n, term: 5, reject: true },
      { type: MessageType.MSG_PRE_VOTE_RESP, to: 2n, term: 5, reject: true },
    ]);
  });

  test('a late grant of a pre-vote for a term that has come does not count', () => {
    const storage = storageWith(three);
    const node = nodeWith({ storage });
    node.campaign();
    settle(node, storage);
    node.step(message(MessageType.MSG_PRE_VOTE_RESP, 1n, { from: 2n, term: node.term }));
    expect(node.role).toBe(Role.preCandidate);
    node.step(message(MessageType.MSG_PRE_VOTE_RESP, 1n, { from: 2n, term: node.term + 1 }));
    expect(node.role).toBe(Role.candidate);
  });
});

describe('time', () => {
  test('a leader that hears from no quorum for an election time-out steps down', () => {
    const { node, storage } = leader();
    for (let i = 0; i < 20; i++) node.tick();
    settle(node, storage);
    expect([node.role, node.leader, node.term]).toEqual([Role.follower, 0n, 2]);
  });

  test('a leader that hears from a quorum stays', () => {
    const { node, storage } = leader();
    for (let i = 0; i < 50; i++) {
      node.tick();
      settle(node, storage);
      node.step(message(MessageType.MSG_HEARTBEAT_RESP, 1n, { from: 2n, term: 2 }));
    }
    expect(node.role).toBe(Role.leader);
  });

  test('a follower campaigns between one and two election time-outs after the last word of its leader', () => {
    const ticksUntilCampaign = (draw: number): number => {
      const node = new RawNode({
        id: 1n,
        storage: storageWith(three),
        random: { below: (bound) => Math.min(draw, bound - 1) },
        confChangeCodec: textCodec,
        applied: 10,
      });
      node.step(message(MessageType.MSG_HEARTBEAT, 1n, { from: 2n, term: 2 }));
      let ticks = 0;
      while (node.role === Role.follower) {
        node.tick();
        ticks++;
      }
      return ticks;
    };
    expect([0, 4, 99].map(ticksUntilCampaign)).toEqual([10, 14, 19]);
  });

  test('word of a leader, and a vote given to a candidate, start the wait anew', () => {
    const node = nodeWith({ storage: storageWith(three) });
    const ticksUntilCampaign = (): number => {
      let ticks = 0;
      for (; node.role === Role.follower; ticks++) node.tick();
      return ticks;
    };
    const heartbeat = (): void => {
      node.step(message(MessageType.MSG_HEARTBEAT, 1n, { from: 2n, term: 2 }));
    };
    heartbeat();
    for (let i = 0; i < 6; i++) node.tick();
    heartbeat();
    expect(ticksUntilCampaign()).toBe(10);
    // The first request brings the term and is refused, for its log is old; the second is granted.
    const request = (from: bigint, index: number): Message =>
      message(MessageType.MSG_VOTE, 1n, { from, term: 3, index, logTerm: 1 });
    node.step(request(2n, 5));
    for (let i = 0; i < 6; i++) node.tick();
    node.step(request(3n, 99));
    expect(ticksUntilCampaign()).toBe(10);
  });

  test('a learner never campaigns', () => {
    const storage = storageWith([2n]);
    storage.setConfState({ ...emptyConfState(), voters: [2n], learners: [1n] });
    const node = nodeWith({ storage });
    for (let i = 0; i < 100; i++) node.tick();
    node.campaign();
    expect([node.role, node.learner, node.term]).toEqual([Role.follower, true, 1]);
  });

  test('a transfer waits until the member has everything', () => {
    const { node, storage } = leader();
    node.propose(Buffer.from('x'));
    node.propose(Buffer.from('y'));
    settle(node, storage);
    node.transferLeader(3n);
    acknowledge(node, 3n, 12);
    expect(ofType(settle(node, storage), MessageType.MSG_TIMEOUT_NOW)).toEqual([]);
    acknowledge(node, 3n, 13);
    expect(ofType(settle(node, storage), MessageType.MSG_TIMEOUT_NOW)).toMatchObject([{ to: 3n }]);
  });

  test('a transfer does not keep a cut off leader in office', () => {
    const { node, storage } = leader();
    node.propose(Buffer.from('x'));
    for (let i = 0; i < 20; i++) {
      node.transferLeader(i % 2 === 0 ? 2n : 3n);
      node.tick();
      settle(node, storage);
    }
    expect(node.role).toBe(Role.follower);
  });

  test('time-outs are drawn from the injected chance only', () => {
    const node = new RawNode({
      id: 1n,
      storage: storageWith(three),
      random: earliest,
      confChangeCodec: textCodec,
      electionTicks: 7,
    });
    expect(node.core.randomizedElectionTicks).toBe(7);
  });
});

describe('a follower', () => {
  test('answers an append from before its commit index with that index, compacted or not', () => {
    const storage = storageWith(three);
    const node = nodeWith({ storage });
    node.step(
      message(MessageType.MSG_APP, 1n, { from: 2n, term: 2, index: 3, logTerm: 1, entries: entriesOf(4, [1]) }),
    );
    expect(settle(node, storage)).toMatchObject([{ type: MessageType.MSG_APP_RESP, index: 10, reject: false }]);
  });

  test('keeps its log when it has the entry a snapshot ends with, and commits up to it', () => {
    const storage = storageWith(three);
    const node = nodeWith({ storage });
    const entries = entriesOf(11, [2, 2, 2]);
    node.step(message(MessageType.MSG_APP, 1n, { from: 2n, term: 2, index: 10, logTerm: 1, entries }));
    settle(node, storage);
    const confState = { ...emptyConfState(), voters: [...three] };
    const snapshot = { data: emptyBytes, metadata: { confState, index: 12, term: 2 } };
    node.step(message(MessageType.MSG_SNAP, 1n, { from: 2n, term: 2, snapshot }));
    const ready = carryOut(node, storage);
    expect([ready.snapshot, node.committedIndex, node.lastIndex]).toEqual([undefined, 12, 13]);
    expect(ready.messages).toMatchObject([{ type: MessageType.MSG_APP_RESP, index: 12 }]);
  });
});

describe('snapshots', () => {
  function lagging(storage: MemoryStorage): { node: RawNode; storage: MemoryStorage } {
    const made = leader({ storage });
    made.node.propose(Buffer.from('x'));
    settle(made.node, storage);
    acknowledge(made.node, 2n, 12);
    settle(made.node, storage);
    storage.createSnapshot(12, { ...emptyConfState(), voters: [...three] }, Buffer.from('state'));
    storage.compact(12);
    made.node.reportUnreachable(3n);
    return made;
  }

  test('go to a member that needs what was compacted away, once', () => {
    const { node, storage } = lagging(storageWith(three));
    const heard = (): void => {
      node.step(message(MessageType.MSG_HEARTBEAT_RESP, 1n, { from: 3n, term: 2 }));
    };
    heard();
    heard();
    const sent = settle(node, storage);
    expect(ofType(sent, MessageType.MSG_SNAP)).toMatchObject([{ to: 3n, snapshot: { metadata: { index: 12 } } }]);
    expect(node.progress(3n)).toMatchObject({ pendingSnapshot: 12, paused: true });
    node.reportSnapshot(3n, true);
    expect(node.progress(3n)).toMatchObject({ pendingSnapshot: 0, next: 13, paused: true });
    acknowledge(node, 3n, 12);
    expect(node.progress(3n)).toMatchObject({ match: 12, next: 13, paused: false });
  });

  test('are not waited for when the log alone can go on from what the member has', () => {
    const { node, storage } = leader();
    node.proposeBatch([Buffer.from('x'), Buffer.from('y')]);
    settle(node, storage);
    acknowledge(node, 2n, 13);
    settle(node, storage);
    storage.createSnapshot(13, { ...emptyConfState(), voters: [...three] }, Buffer.from('state'));
    storage.compact(12);
    node.reportUnreachable(3n);
    node.step(message(MessageType.MSG_HEARTBEAT_RESP, 1n, { from: 3n, term: 2 }));
    expect(node.progress(3n)).toMatchObject({ pendingSnapshot: 13 });
    settle(node, storage);
    acknowledge(node, 3n, 12);
    expect(settle(node, storage)).toMatchObject([
      { type: MessageType.MSG_APP, to: 3n, index: 12, entries: [{ index: 13 }] },
    ]);
  });

  test('are not made for members that were not heard from', () => {
    const { node, storage } = lagging(storageWith(three));
    for (let i = 0; i < 10; i++) node.tick();
    settle(node, storage);
    expect(node.progress(3n)).toMatchObject({ recentActive: false });
    node.propose(Buffer.from('y'));
    expect(ofType(settle(node, storage), MessageType.MSG_SNAP)).toEqual([]);
  });

  test('reports about members that wait for none are ignored', () => {
    const { node } = leader();
    node.reportSnapshot(2n, false);
    node.reportSnapshot(9n, true);
    node.reportUnreachable(9n);
    expect(node.progress(2n)).toMatchObject({ next: 12, paused: false });
  });

  test('keep a member from campaigning until they are in place', () => {
    const storage = storageWith(three);
    const node = nodeWith({ storage });
    const confState = { ...emptyConfState(), voters: [...three] };
    const snapshot = { data: emptyBytes, metadata: { confState, index: 20, term: 2 } };
    node.step(message(MessageType.MSG_SNAP, 1n, { from: 2n, term: 2, snapshot }));
    node.campaign();
    expect(node.role).toBe(Role.follower);
    settle(node, storage);
    expect([node.appliedIndex, storage.firstIndex()]).toEqual([20, 21]);
    node.campaign();
    expect(node.role).toBe(Role.preCandidate);
  });

  test('that do not name this member, or nothing at all, are ignored', () => {
    const storage = storageWith(three);
    const node = nodeWith({ storage });
    const confState = { ...emptyConfState(), voters: [2n, 3n] };
    const strange = { data: emptyBytes, metadata: { confState, index: 99, term: 2 } };
    node.step(message(MessageType.MSG_SNAP, 1n, { from: 2n, term: 2, snapshot: strange }));
    node.step(message(MessageType.MSG_SNAP, 1n, { from: 2n, term: 2 }));
    expect(ofType(settle(node, storage), MessageType.MSG_APP_RESP)).toMatchObject([{ index: 10 }, { index: 10 }]);
    expect(node.lastIndex).toBe(10);
  });
});
