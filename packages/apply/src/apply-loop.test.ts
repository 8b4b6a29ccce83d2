import { buckets } from '@quorate/backend';
import { CorruptionError, type CrashPointName, FatalError, SimulatedCrash } from '@quorate/base';
import {
  AlarmRequest,
  ConfChange,
  ConfChangeType,
  ConfChangeV2,
  type Entry,
  EntryType,
  InternalRaftRequest,
  KvError,
  MemberRecord,
  PutResponse,
  RequestHeader,
} from '@quorate/proto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readConsistentIndex } from './consistent-index.ts';
import { Machine } from './testing/machine.ts';
import { del, get, op, put, txn } from './testing/requests.ts';

const request = (fields: Partial<InternalRaftRequest>, header: Partial<RequestHeader> = {}): Buffer =>
  InternalRaftRequest.encode(InternalRaftRequest.create({ header: RequestHeader.create(header), ...fields }));

const confChange = (type: number, nodeId: bigint, record: Partial<MemberRecord> = {}): Buffer =>
  ConfChange.encode(
    ConfChange.create({ type, nodeId, context: MemberRecord.encode(MemberRecord.create({ id: nodeId, ...record })) }),
  );

const entry = (index: number, data: Buffer, type: number = EntryType.ENTRY_NORMAL, term = 1): Entry => ({
  index,
  term,
  type,
  data,
});

const { ENTRY_NORMAL, ENTRY_CONF_CHANGE, ENTRY_CONF_CHANGE_V2 } = EntryType;
const { CONF_CHANGE_ADD_NODE, CONF_CHANGE_ADD_LEARNER_NODE, CONF_CHANGE_REMOVE_NODE, CONF_CHANGE_UPDATE_NODE } =
  ConfChangeType;

/** One of every kind of entry, accepted and refused. */
const kinds: Record<string, { readonly type: number; readonly data: Buffer }> = {
  'an empty entry': { type: ENTRY_NORMAL, data: Buffer.alloc(0) },
  'a put': { type: ENTRY_NORMAL, data: request({ put: put('a') }) },
  'a refused put': { type: ENTRY_NORMAL, data: request({ put: put('a', '', { lease: 99n }) }) },
  'a delete that matches nothing': { type: ENTRY_NORMAL, data: request({ deleteRange: del('x') }) },
  'a transaction': { type: ENTRY_NORMAL, data: request({ txn: txn(op.put('a'), op.get('a')) }) },
  'a read-only transaction': { type: ENTRY_NORMAL, data: request({ txn: txn(op.get('a')) }) },
  'a refused transaction': { type: ENTRY_NORMAL, data: request({ txn: txn(op.get('a', '', { revision: 99 })) }) },
  'a range': { type: ENTRY_NORMAL, data: request({ range: get('a') }) },
  'a compaction': { type: ENTRY_NORMAL, data: request({ compaction: { revision: 1, physical: false } }) },
  'a refused compaction': { type: ENTRY_NORMAL, data: request({ compaction: { revision: 99, physical: false } }) },
  'a list of alarms': { type: ENTRY_NORMAL, data: request({ alarm: AlarmRequest.create() }) },
  'an alarm': {
    type: ENTRY_NORMAL,
    data: request({ alarm: AlarmRequest.create({ action: 1, memberID: 1n, alarm: 1 }) }),
  },
  'attributes of an unknown member': {
    type: ENTRY_NORMAL,
    data: request({ memberAttributesSet: { memberId: 9n, name: '', clientUrls: [], incarnation: 0n } }),
  },
  'a cluster version': { type: ENTRY_NORMAL, data: request({ clusterVersionSet: { version: '3.6.0' } }) },
  'no kind at all': { type: ENTRY_NORMAL, data: request({}) },
  'a kind nobody knows': { type: ENTRY_NORMAL, data: Buffer.concat([request({}), Buffer.from([0xfa, 0xff, 0x03, 0])]) },
  'a request without a header': {
    type: ENTRY_NORMAL,
    data: InternalRaftRequest.encode(InternalRaftRequest.create({ put: put('a') })),
  },
  'a new member': { type: ENTRY_CONF_CHANGE, data: confChange(CONF_CHANGE_ADD_NODE, 7n) },
  'a refused removal': { type: ENTRY_CONF_CHANGE, data: confChange(CONF_CHANGE_REMOVE_NODE, 9n) },
  'an unknown configuration change': { type: ENTRY_CONF_CHANGE, data: confChange(17, 7n) },
  'the end of a joint configuration': { type: ENTRY_CONF_CHANGE_V2, data: Buffer.alloc(0) },
  'two configuration changes at once': {
    type: ENTRY_CONF_CHANGE_V2,
    data: ConfChangeV2.encode(ConfChangeV2.create({ changes: [7n, 8n].map((nodeId) => ({ type: 0, nodeId })) })),
  },
};

describe('B07: every kind of entry moves the consistent index by exactly one', () => {
  test.each(Object.keys(kinds))('%s', async (name) => {
    const machine = await Machine.open();
    machine.do({ put: put('before') });
    const { type, data } = kinds[name]!;
    machine.loop.apply([entry(2, data, type, 5)]);
    expect(machine.loop).toMatchObject({ appliedIndex: 2, appliedTerm: 5 });
    expect(readConsistentIndex(machine.backend)).toMatchObject({ index: 2, term: 5 });
  });

  test('in any order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...Object.values(kinds))), async (log) => {
        const machine = await Machine.open();
        machine.loop.apply(log.map(({ type, data }, i) => entry(i + 1, data, type)));
        expect(machine.loop.appliedIndex).toBe(log.length);
        expect(readConsistentIndex(machine.backend).index).toBe(log.length);
      }),
    );
  });
});

describe('order', () => {
  test('what is applied already is skipped, once and in one call', async () => {
    const machine = await Machine.open();
    const log = ['a', 'b', 'c'].map((key, i) => entry(i + 1, request({ put: put(key) })));
    machine.loop.apply(log.slice(0, 2));
    machine.loop.apply(log);
    machine.loop.apply(log);
    expect(machine.loop.appliedIndex).toBe(3);
    expect(machine.store.currentRevision).toBe(4);
  });

  test('a gap is an error', async () => {
    const machine = await Machine.open();
    expect(() => machine.loop.apply([entry(2, request({ put: put('a') }))])).toThrow(FatalError);
  });

  test('a term that goes back is an error', async () => {
    const machine = await Machine.open();
    machine.loop.apply([entry(1, Buffer.alloc(0), ENTRY_NORMAL, 4)]);
    expect(() => machine.loop.apply([entry(2, Buffer.alloc(0), ENTRY_NORMAL, 3)])).toThrow(FatalError);
  });
});

describe('answers', () => {
  test('only to proposals of this member, under their id, in order, with this member’s header', async () => {
    const machine = await Machine.open({ memberId: 1n });
    machine.loop.apply([
      entry(1, request({ put: put('a') }, { id: 11, proposer: 2n })),
      entry(2, request({ put: put('a') }, { id: 12, proposer: 1n })),
      entry(3, request({ put: put('a', '', { lease: 9n }) }, { id: 13, proposer: 1n })),
      entry(4, request({ put: put('a') }, { id: 14 })),
    ]);
    expect([...machine.results.keys()]).toEqual([12, 13]);
    const [done, refused] = [...machine.results.values()];
    expect(PutResponse.decode((done as { response: Buffer }).response).header).toEqual({
      clusterId: 1n,
      memberId: 2n,
      raftTerm: 3,
      revision: 3,
    });
    expect(done).toMatchObject({ revision: 3, physical: undefined });
    expect(refused).toEqual(new KvError('leaseNotFound'));
  });

  test('when the caller is told, the entry is whole and can be committed', async () => {
    const machine = await Machine.open();
    const set = machine.results.set.bind(machine.results);
    machine.results.set = (id, result) => {
      machine.entryBackend.commit();
      return set(id, result);
    };
    machine.do({ put: put('a') });
    expect(readConsistentIndex(machine.backend.afterCrash()).index).toBe(1);
  });
});

describe('configuration changes', () => {
  const open = async (): Promise<Machine> => {
    const machine = await Machine.open();
    for (const id of [1n, 2n]) change(machine, CONF_CHANGE_ADD_NODE, id, { peerUrls: [`http://m${id}`] });
    return machine;
  };
  const change = (machine: Machine, type: number, id: bigint, record: Partial<MemberRecord> = {}): void =>
    machine.loop.apply([machine.nextEntry(confChange(type, id, record), ENTRY_CONF_CHANGE)]);

  test('reach the members, then raft, and the configuration is stored with the index', async () => {
    const machine = await open();
    expect(machine.members.list().map((member) => member.id)).toEqual([1n, 2n]);
    expect(machine.confChanges).toEqual([1, 2]);
    expect(machine.membersChangedCount).toBe(2);
    expect(machine.loop.confState.voters).toEqual([1n, 2n]);
    expect(readConsistentIndex(machine.backend)).toMatchObject({ index: 2, confState: { voters: [1n, 2n] } });
  });

  test('are answered to their proposer once, with what came of them, on every application', async () => {
    const machine = await Machine.open({ memberId: 1n });
    const added = (index: number, id: bigint, change: { requestId: number; proposer: bigint }): Entry => {
      const record = MemberRecord.create({ id, proposer: change.proposer, peerUrls: [`http://m${id}`] });
      const context = MemberRecord.encode(record);
      const fields = { type: CONF_CHANGE_ADD_NODE, nodeId: id, id: change.requestId, context };
      return entry(index, ConfChange.encode(ConfChange.create(fields)), ENTRY_CONF_CHANGE);
    };
    const entries = [
      added(1, 1n, { requestId: 21, proposer: 1n }),
      added(2, 2n, { requestId: 22, proposer: 2n }),
      added(3, 1n, { requestId: 23, proposer: 1n }),
    ];
    machine.loop.apply(entries);
    expect([...machine.results.keys()]).toEqual([21, 23]);
    expect(machine.results.get(21)).toMatchObject({ revision: 1 });
    expect(machine.results.get(23)).toEqual(new KvError('memberExist'));
    machine.loop.apply(entries);
    expect(machine.results.size).toBe(2);
  });

  test('keep of a member only what it is', async () => {
    const machine = await open();
    change(machine, CONF_CHANGE_ADD_LEARNER_NODE, 3n, {
      peerUrls: ['http://m3'],
      proposer: 9n,
      learnersMax: 1,
      incarnation: 5n,
    });
    expect(machine.members.incarnationOf(3n)).toBe(0n);
    const [row] = machine.backend.range(buckets.members, { from: '3' });
    expect(MemberRecord.decode(row!.value)).toEqual(
      MemberRecord.create({ id: 3n, peerUrls: ['http://m3'], isLearner: true }),
    );
  });

  test('add a learner, promote it, move it, remove it', async () => {
    const machine = await open();
    change(machine, CONF_CHANGE_ADD_LEARNER_NODE, 3n, { peerUrls: ['http://m3'] });
    expect(machine.members.get(3n)).toMatchObject({ isLearner: true });
    change(machine, CONF_CHANGE_ADD_NODE, 3n, { isPromote: true });
    expect(machine.members.get(3n)).toMatchObject({ isLearner: false, peerURLs: ['http://m3'] });
    change(machine, CONF_CHANGE_UPDATE_NODE, 3n, { peerUrls: ['http://moved'] });
    expect(machine.members.get(3n)).toMatchObject({ peerURLs: ['http://moved'] });
    change(machine, CONF_CHANGE_REMOVE_NODE, 3n);
    expect(machine.members.wasRemoved(3n)).toBe(true);
    expect(machine.confChanges).toHaveLength(6);
  });

  test('against the rules are unknown to raft and change nothing', async () => {
    const machine = await open();
    const before = machine.describe().split('\n').slice(1);
    change(machine, CONF_CHANGE_ADD_NODE, 3n, { peerUrls: ['http://m2'] });
    change(machine, CONF_CHANGE_REMOVE_NODE, 9n);
    change(machine, CONF_CHANGE_ADD_NODE, 1n, { isPromote: true });
    expect(machine.describe().split('\n').slice(1)).toEqual(before);
    expect(machine.confChanges).toHaveLength(2);
    expect(machine.membersChangedCount).toBe(2);
  });

  test('are told of, and so is what a member says of itself', async () => {
    const machine = await open();
    machine.do({ memberAttributesSet: { memberId: 1n, name: 'm1', clientUrls: [], incarnation: 7n } });
    expect(machine.membersChangedCount).toBe(3);
    expect(machine.members.incarnationOf(1n)).toBe(7n);
  });

  test('in the general form mean the same; one without a description knows the id only', async () => {
    const machine = await open();
    const v2 = (fields: Partial<ConfChangeV2>): void =>
      machine.loop.apply([machine.nextEntry(ConfChangeV2.encode(ConfChangeV2.create(fields)), ENTRY_CONF_CHANGE_V2)]);
    v2({ changes: [{ type: CONF_CHANGE_ADD_NODE, nodeId: 3n }] });
    expect(machine.members.get(3n)).toMatchObject({ peerURLs: [], name: '' });
    v2({});
    expect(machine.confChanges).toEqual([1, 2, 3, 4]);
  });

  test('that describe another member are damage', async () => {
    const machine = await open();
    expect(() => change(machine, CONF_CHANGE_ADD_NODE, 3n, { id: 4n })).toThrow(CorruptionError);
  });
});

describe('B09: what is no refusal ends the process, with nothing of the entry left to commit', () => {
  const putEntry = entry(2, request({ txn: txn(op.put('a'), op.put('b')) }, { id: 5, proposer: 1n }));

  test.each<[string, (machine: Machine) => void]>([
    ['an error before the first write', (machine) => breakOnce(machine, 'read', new TypeError('boom'))],
    ['an error in the middle of a transaction', (machine) => breakWrite(machine, 2, new TypeError('boom'))],
    ['a refusal in the middle of a transaction', (machine) => breakWrite(machine, 2, new KvError('compacted'))],
    [
      'damage found by the store',
      (machine) => breakOnce(machine, 'read', new CorruptionError('backend', 'bad row', {})),
    ],
  ])('%s', async (_name, sabotage) => {
    const machine = await Machine.open();
    machine.do({ put: put('a') });
    machine.entryBackend.commit();
    const before = machine.backend.dump();
    sabotage(machine);
    expect(() => machine.loop.apply([putEntry])).toThrow(FatalError);
    expect(machine.results.has(5)).toBe(false);
    expect(machine.backend.dump()).toBe(before);
    expect(() => machine.entryBackend.commit()).toThrow(FatalError);
    expect(() => machine.loop.apply([putEntry])).toThrow(FatalError);

    const restarted = await Machine.open({ backend: machine.backend.afterCrash() });
    restarted.loop.apply([putEntry]);
    expect(restarted.store.currentRevision).toBe(3);
    expect(restarted.results.get(5)).toMatchObject({ revision: 3 });
  });

  test('an error says which entry it was and keeps its cause', async () => {
    const machine = await Machine.open();
    const cause = new TypeError('boom');
    breakOnce(machine, 'read', cause);
    const torn = entry(1, request({ txn: txn(op.get('a')) }));
    expect(() => machine.loop.apply([torn])).toThrow(expect.objectContaining({ facts: { index: 1, term: 1 }, cause }));
  });

  test.each([
    ['a request', ENTRY_NORMAL],
    ['a configuration change', ENTRY_CONF_CHANGE],
    ['a general configuration change', ENTRY_CONF_CHANGE_V2],
  ])('bytes that are not %s are damage', async (_name, type) => {
    const machine = await Machine.open();
    expect(() => machine.loop.apply([entry(1, Buffer.from([0xff, 0xff]), type)])).toThrow(CorruptionError);
    expect(machine.backend.dump()).toBe('');
  });
});

test.each([
  ['in its term', 5, undefined],
  ['but not in a later one', 6, new KvError('leaderChanged')],
])('B75: what the leader of a term decides holds %s', async (_name, term, refusal) => {
  const machine = await Machine.open({ leases: [7n] });
  const data = request({ leaseRevoke: { id: 7n } }, { id: 77, proposer: 1n, leaderTerm: 5 });
  machine.loop.apply([entry(1, data, ENTRY_NORMAL, term)]);
  if (refusal === undefined) expect(machine.results.get(77)).not.toBeInstanceOf(KvError);
  else expect(machine.results.get(77)).toEqual(refusal);
  const put7 = machine.propose({ put: put('a', '', { lease: 7n }) });
  expect(put7 instanceof KvError).toBe(refusal === undefined);
});

test('crash points stand between the steps, in this order', async () => {
  const hits: CrashPointName[] = [];
  const machine = await Machine.open({ crash: { hit: (name) => hits.push(name) } });
  const own = request({ put: put('a') }, { id: 1, proposer: 1n });
  machine.loop.apply([entry(1, own), entry(2, Buffer.alloc(0))]);
  const start = ['applyBeforeEntry', 'applyAfterDataBeforeIndex', 'applyAfterEntry'];
  expect(hits).toEqual([...start, 'applyBeforeRespond', 'applyBetweenEntries', ...start, 'applyBetweenEntries']);
});

test('a simulated crash passes through as it is', async () => {
  const machine = await Machine.open({
    crash: {
      hit: (name) => {
        if (name === 'applyAfterDataBeforeIndex') throw new SimulatedCrash(name);
      },
    },
  });
  expect(() => machine.loop.apply([entry(1, request({ put: put('a') }))])).toThrow(SimulatedCrash);
});

/** The next call of a method of the store throws. */
function breakOnce(machine: Machine, method: 'read', error: Error): void {
  const { store } = machine;
  const original = store[method].bind(store);
  store[method] = () => {
    store[method] = original;
    throw error;
  };
}

/** The `count`th put of the next write transaction throws. */
function breakWrite(machine: Machine, count: number, error: Error): void {
  const { store } = machine;
  const write = store.write.bind(store);
  store.write = () => {
    const transaction = write();
    const original = transaction.put.bind(transaction);
    let puts = 0;
    transaction.put = (...args) => {
      if (++puts === count) throw error;
      return original(...args);
    };
    return transaction;
  };
}
