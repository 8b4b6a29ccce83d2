import { silentMeter } from '@quorate/base';
import {
  AlarmRequest,
  AlarmRequestAlarmAction,
  AlarmType,
  InternalRaftRequest,
  KvError,
  TxnRequest,
} from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import type { Applier, Outcome } from './applier.ts';
import { buildApplyChain } from './apply-chain.ts';
import { CorruptApplier, NoSpaceApplier } from './guards.ts';
import { knownLeases } from './testing/arbitraries.ts';
import { Machine, ManualClock, TestLeases } from './testing/machine.ts';
import { bytes, del, get, op, put, txn } from './testing/requests.ts';

const alarm = { memberID: 5n, alarm: AlarmType.NOSPACE };
const activate = AlarmRequest.create({ ...alarm, action: AlarmRequestAlarmAction.ACTIVATE });

/** A value whose cost alone would be noticed. */
const heavy = 'x'.repeat(1000);

const requests: Record<string, Partial<InternalRaftRequest>> = {
  put: { put: put('a') },
  range: { range: get('a') },
  deleteRange: { deleteRange: del('a') },
  'txn that puts': { txn: txn(op.put('a')) },
  'txn that puts in the branch not taken': {
    txn: TxnRequest.create({ success: [op.del('a')], failure: [op.put('b')] }),
  },
  'txn that puts three levels down': { txn: txn(op.txn([op.txn([op.get('a')], [op.put('a', heavy)])])) },
  'txn that deletes and reads': { txn: txn(op.del('a'), op.get('b')) },
  'empty txn': { txn: txn() },
  compaction: { compaction: { revision: 2, physical: false } },
  alarm: { alarm: AlarmRequest.create() },
  leaseGrant: { leaseGrant: { id: 9n, ttl: 5 } },
  leaseRevoke: { leaseRevoke: { id: 9n } },
  leaseCheckpoint: { leaseCheckpoint: { checkpoints: [] } },
  memberAttributesSet: { memberAttributesSet: { memberId: 1n, name: 'm', clientUrls: [], incarnation: 7n } },
  clusterVersionSet: { clusterVersionSet: { version: '3.6.0' } },
  downgradeInfoSet: { downgradeInfoSet: { enabled: true, targetVersion: '3.5.0' } },
};

const refusedUnder: Record<'NOSPACE' | 'CORRUPT', readonly string[]> = {
  NOSPACE: [
    'put',
    'txn that puts',
    'txn that puts in the branch not taken',
    'txn that puts three levels down',
    'leaseGrant',
  ],
  CORRUPT: [
    'put',
    'range',
    'deleteRange',
    'txn that puts',
    'txn that puts in the branch not taken',
    'txn that puts three levels down',
    'txn that deletes and reads',
    'empty txn',
    'compaction',
    'leaseGrant',
    'leaseRevoke',
  ],
};

const done: Outcome = { op: 'done', revision: 1 };
const lets: Applier = { apply: () => done };
const standing = (...types: number[]): Machine['alarms'] =>
  ({ any: (type: number) => types.includes(type) }) as unknown as Machine['alarms'];

function verdict(applier: Applier, fields: Partial<InternalRaftRequest>): string {
  try {
    return applier.apply(InternalRaftRequest.create(fields), true).op;
  } catch (error) {
    if (error instanceof KvError) return error.code;
    throw error;
  }
}

describe('B83: what each alarm refuses, and what it lets pass', () => {
  test.each(Object.keys(requests))('%s', (name) => {
    const request = requests[name]!;
    const noSpace = new NoSpaceApplier(lets, standing(AlarmType.NOSPACE));
    const corrupt = new CorruptApplier(lets, standing(AlarmType.CORRUPT));
    expect(verdict(noSpace, request)).toBe(refusedUnder.NOSPACE.includes(name) ? 'noSpace' : 'done');
    expect(verdict(corrupt, request)).toBe(refusedUnder.CORRUPT.includes(name) ? 'corrupt' : 'done');
  });

  test.each(Object.keys(requests))('%s without an alarm', (name) => {
    const other = standing(AlarmType.NONE);
    expect(verdict(new NoSpaceApplier(new CorruptApplier(lets, other), other), requests[name]!)).toBe('done');
  });
});

test('under both alarms a put is answered as corrupt', () => {
  const state = {
    store: {} as Machine['store'],
    members: {} as Machine['members'],
    leases: new TestLeases(),
    alarms: standing(AlarmType.NOSPACE, AlarmType.CORRUPT),
  };
  const chain = buildApplyChain(state, new ManualClock(), silentMeter);
  expect(verdict(chain, { put: put('a') })).toBe('corrupt');
});

test('an alarm of any member counts, from the entry that raises it until the one that takes it back', async () => {
  const machine = await Machine.open();
  const deactivate = AlarmRequest.create({ ...alarm, action: AlarmRequestAlarmAction.DEACTIVATE });
  machine.do({ put: put('a') });
  machine.do({ alarm: activate });
  expect(machine.propose({ put: put('a') })).toEqual(new KvError('noSpace'));
  machine.do({ deleteRange: del('a') });
  machine.do({ alarm: AlarmRequest.create({ ...deactivate, memberID: 6n }) });
  expect(machine.propose({ put: put('a') })).toEqual(new KvError('noSpace'));
  machine.do({ alarm: deactivate });
  machine.do({ put: put('a') });
});

test('the alarm comes before what else is wrong with a put, as in etcd', async () => {
  const machine = await Machine.open({ leases: knownLeases });
  machine.do({ alarm: activate });
  expect(machine.propose({ put: put('missing', '', { ignoreValue: true, lease: 99n }) })).toEqual(
    new KvError('noSpace'),
  );
});

test('B23: the size of a member plays no part in what it applies', async () => {
  const small = await Machine.open();
  const large = await Machine.open({ memberId: 1n });
  large.backend.sizeInUseBytes = () => 2 ** 50;
  large.backend.sizeBytes = () => 2 ** 50;
  for (const machine of [small, large]) machine.do({ put: put('a', heavy) });
  expect(large.backend.dump()).toBe(small.backend.dump());
  expect(large.alarms.list()).toEqual([]);
});

test('a NOSPACE alarm survives a restart with everything it refuses', async () => {
  const machine = await Machine.open();
  machine.do({ alarm: activate });
  machine.entryBackend.commit();
  const restarted = await Machine.open({ backend: machine.backend.afterCrash() });
  expect(restarted.propose({ put: put('a') })).toEqual(new KvError('noSpace'));
  expect(restarted.do({ range: get('a', bytes('\0').toString()) }).revision).toBe(1);
});
