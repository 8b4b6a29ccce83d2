import {
  AlarmMember,
  AlarmRequest,
  AlarmRequestAlarmAction,
  AlarmResponse,
  AlarmType,
  CompactionResponse,
  DeleteRangeResponse,
  type InternalRaftRequest,
  KvError,
  PutResponse,
  RangeResponse,
} from '@quorate/proto';
import { beforeEach, describe, expect, test } from 'vitest';
import { knownLeases } from './testing/arbitraries.ts';
import { Machine } from './testing/machine.ts';
import { del, get, put } from './testing/requests.ts';

let machine: Machine;
beforeEach(async () => {
  machine = await Machine.open({ leases: knownLeases });
});

const header = (revision: number): unknown => ({ clusterId: 1n, memberId: 2n, raftTerm: 3, revision });

describe('puts and deletes', () => {
  test('a put answers with its revision, and with what was there when asked', () => {
    const first = machine.do({ put: put('a', '1', { prevKv: true }) });
    expect(PutResponse.decode(first.response)).toEqual({ header: header(2), prevKv: undefined });
    const second = PutResponse.decode(machine.do({ put: put('a', '2', { prevKv: true }) }).response);
    expect(second).toMatchObject({ header: header(3), prevKv: { createRevision: 2, modRevision: 2, version: 1 } });
    expect(PutResponse.decode(machine.do({ put: put('a', '3') }).response).prevKv).toBeUndefined();
  });

  test('what is to be kept is kept: the value, the lease, or both; the rest is replaced', () => {
    const now = (): unknown => RangeResponse.decode(machine.do({ range: get('a') }).response).kvs[0];
    machine.do({ put: put('a', '1', { lease: 7n }) });
    machine.do({ put: put('a', '', { ignoreValue: true }) });
    expect(now()).toMatchObject({ value: Buffer.from('1'), lease: 0n, version: 2 });
    machine.do({ put: put('a', '', { ignoreValue: true, lease: 7n }) });
    machine.do({ put: put('a', '2', { ignoreLease: true }) });
    expect(now()).toMatchObject({ value: Buffer.from('2'), lease: 7n, version: 4 });
    machine.do({ put: put('a', '3') });
    expect(now()).toMatchObject({ lease: 0n });
  });

  test.each<[string, Partial<InternalRaftRequest>, KvError]>([
    ['keeping what is not there', { put: put('x', '', { ignoreValue: true }) }, new KvError('keyNotFound')],
    ['an unknown lease', { put: put('x', '', { lease: 99n }) }, new KvError('leaseNotFound')],
    [
      'both: the lease is named first',
      { put: put('x', '', { lease: 99n, ignoreValue: true }) },
      new KvError('leaseNotFound'),
    ],
    ['a put without a key', { put: put('') }, new KvError('emptyKey')],
    ['a delete without a key', { deleteRange: del('') }, new KvError('emptyKey')],
    ['a range without a key', { range: get('') }, new KvError('emptyKey')],
    ['a range in the future', { range: get('a', '', { revision: 9 }) }, new KvError('futureRev')],
  ])('%s is refused', (_name, request, error) => {
    expect(machine.propose(request)).toEqual(error);
    expect(machine.store.currentRevision).toBe(1);
  });

  test('a delete answers with how many and, when asked, which', () => {
    for (const key of ['a', 'b', 'c']) machine.do({ put: put(key, key) });
    const { response } = machine.do({ deleteRange: del('a', 'c', { prevKv: true }) });
    const answer = DeleteRangeResponse.decode(response);
    expect(answer).toMatchObject({ header: header(5), deleted: 2 });
    expect(answer.prevKvs.map((kv) => kv.value.toString())).toEqual(['a', 'b']);
    const nothing = DeleteRangeResponse.decode(machine.do({ deleteRange: del('a', 'c', { prevKv: true }) }).response);
    expect(nothing).toEqual({ header: header(5), deleted: 0, prevKvs: [] });
  });
});

test('a compaction answers at once and tells apart when its rows are gone', async () => {
  for (const value of ['1', '2', '3']) machine.do({ put: put('a', value) });
  const { response, physical } = machine.do({ compaction: { revision: 4, physical: true } });
  expect(CompactionResponse.decode(response)).toEqual({ header: header(4) });
  let gone = false;
  physical!.then(() => (gone = true));
  await Promise.resolve();
  expect(gone).toBe(false);
  machine.settle();
  await physical;
  expect(machine.propose({ compaction: { revision: 4, physical: true } })).toEqual(new KvError('compacted'));
  expect(machine.propose({ compaction: { revision: 5, physical: true } })).toEqual(new KvError('futureRev'));
});

describe('alarms', () => {
  const { GET, ACTIVATE, DEACTIVATE } = AlarmRequestAlarmAction;
  const { NONE, NOSPACE, CORRUPT } = AlarmType;
  const ask = (action: number, memberID: bigint, alarm: number): AlarmMember[] =>
    AlarmResponse.decode(machine.do({ alarm: AlarmRequest.create({ action, memberID, alarm }) }).response).alarms;
  const alarm = (memberID: bigint, type: number): AlarmMember => AlarmMember.create({ memberID, alarm: type });

  test('B84: are a set of pairs; raising twice and taking back what is not there are fine', () => {
    expect(ask(GET, 0n, NONE)).toEqual([]);
    expect(ask(ACTIVATE, 5n, NOSPACE)).toEqual([alarm(5n, NOSPACE)]);
    expect(ask(ACTIVATE, 5n, NOSPACE)).toEqual([alarm(5n, NOSPACE)]);
    expect(ask(ACTIVATE, 0n, NOSPACE)).toEqual([alarm(0n, NOSPACE)]);
    expect(ask(ACTIVATE, 5n, CORRUPT)).toEqual([alarm(5n, CORRUPT)]);
    expect(ask(GET, 0n, NOSPACE)).toEqual([alarm(0n, NOSPACE), alarm(5n, NOSPACE)]);
    expect(ask(GET, 9n, NONE)).toEqual([alarm(0n, NOSPACE), alarm(5n, NOSPACE), alarm(5n, CORRUPT)]);
    expect(ask(DEACTIVATE, 5n, NOSPACE)).toEqual([alarm(5n, NOSPACE)]);
    expect(ask(DEACTIVATE, 5n, NOSPACE)).toEqual([]);
    expect(ask(GET, 0n, NONE)).toEqual([alarm(0n, NOSPACE), alarm(5n, CORRUPT)]);
  });

  test('NONE is neither an alarm nor all of them', () => {
    ask(ACTIVATE, 5n, NOSPACE);
    expect(ask(ACTIVATE, 5n, NONE)).toEqual([]);
    expect(ask(DEACTIVATE, 5n, NONE)).toEqual([]);
    expect(ask(7, 5n, NOSPACE)).toEqual([]);
    expect(ask(GET, 0n, NONE)).toEqual([alarm(5n, NOSPACE)]);
  });

  test('the answer has the header of this member', () => {
    machine.do({ put: put('a') });
    const { response } = machine.do({ alarm: AlarmRequest.create({ action: ACTIVATE, memberID: 5n, alarm: NOSPACE }) });
    expect(AlarmResponse.decode(response)).toEqual({ header: header(2), alarms: [alarm(5n, NOSPACE)] });
  });
});

test('a kind that is not known is refused', () => {
  expect(machine.propose({})).toEqual(new KvError('notCapable'));
});
