import { silentMeter } from '@quorate/base';
import { ConfChange, ConfChangeType, InternalRaftRequest, KvError, MemberRecord, PutRequest } from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { applyLagMax, type Proposal, Proposals, type ProposalsOptions } from './proposals.ts';
import { ManualClock } from './testing/manual-clock.ts';

function setUp(overrides: Partial<ProposalsOptions> = {}) {
  const clock = new ManualClock();
  const queued: Proposal[] = [];
  const proposals = new Proposals({
    memberId: 7n,
    clock,
    meter: silentMeter,
    timeoutMs: 7_000,
    maxRequestBytes: 1_000,
    applyLag: () => 0,
    timeoutError: () => new KvError('timeout'),
    enqueue: (proposal) => queued.push(proposal),
    ...overrides,
  });
  return { clock, queued, proposals };
}

function put(valueBytes = 1): InternalRaftRequest {
  return InternalRaftRequest.create({
    put: PutRequest.create({ key: Buffer.from('k'), value: Buffer.alloc(valueBytes) }),
  });
}

const applied = { response: Buffer.from('r'), revision: 5 } as never;

describe('a proposal', () => {
  test('is encoded with its own id and the proposer, and answered once with the result of that id', () => {
    const { queued, proposals } = setUp();
    const answers: unknown[] = [];
    proposals.propose(put(), (outcome) => answers.push(outcome));
    proposals.propose(put(), (outcome) => answers.push(outcome));
    const headers = queued.map((proposal) => InternalRaftRequest.decode(proposal.data).header!);
    expect(headers.map((header) => header.proposer)).toEqual([7n, 7n]);
    expect(headers[0]!.id).not.toBe(headers[1]!.id);
    proposals.resolve(headers[1]!.id, applied);
    proposals.resolve(headers[1]!.id, applied);
    expect(answers).toEqual([applied]);
    expect(proposals.pendingCount).toBe(1);
  });

  test('is told that its time is up, and is not handed to raft any more', () => {
    const { clock, queued, proposals } = setUp();
    const answers: unknown[] = [];
    proposals.propose(put(), (outcome) => answers.push(outcome));
    clock.advance(6_999);
    proposals.expire();
    expect(answers).toEqual([]);
    clock.advance(1);
    proposals.expire();
    expect(answers).toEqual([new KvError('timeout')]);
    expect(queued[0]!.waiting).toBe(false);
    expect(() => proposals.resolve(queued[0]!.id, applied)).not.toThrow();
  });

  test('above the size limit is refused, exactly at it is not', () => {
    const { proposals, queued } = setUp();
    proposals.propose(put(), () => {});
    const overhead = queued[0]!.data.length - 1;
    const fitting = 1_000 - overhead - 4;
    let largest = fitting;
    while (encodedFits(proposals, largest + 1)) largest++;
    expect(queued.at(-1)!.data.length).toBe(1_000);
    expect(() => proposals.propose(put(largest + 1), () => {})).toThrow(new KvError('requestTooLarge'));
  });

  test('is refused while applying lags more than 5,000 entries behind, at 5,000 it is not', () => {
    const lag = { now: applyLagMax };
    const { proposals } = setUp({ applyLag: () => lag.now });
    proposals.propose(put(), () => {});
    lag.now = applyLagMax + 1;
    expect(() => proposals.propose(put(), () => {})).toThrow(new KvError('tooManyRequests'));
  });
});

test('a new run of a member never reuses the ids of the one before', () => {
  const first = setUp();
  for (let i = 0; i < 10_000; i++) first.proposals.propose(put(), () => {});
  const clock = new ManualClock();
  clock.advance(10);
  const second = setUp({ clock });
  second.proposals.propose(put(), () => {});
  expect(second.queued[0]!.id).toBeGreaterThan(first.queued.at(-1)!.id);
});

test('stopping answers everything that waits and refuses what comes later', () => {
  const { proposals } = setUp();
  const answers: unknown[] = [];
  proposals.propose(put(), (outcome) => answers.push(outcome));
  proposals.stop(new KvError('stopped'));
  expect(answers).toEqual([new KvError('stopped')]);
  expect(() => proposals.propose(put(), () => {})).toThrow(new KvError('stopped'));
});

test('who is told that it is over may have others told: each is answered once', () => {
  for (const end of [(all: Proposals) => all.stop(new KvError('stopped')), (all: Proposals) => all.expire()]) {
    const { clock, queued, proposals } = setUp();
    const answers: number[] = [];
    for (let i = 0; i < 20; i++) {
      proposals.propose(put(), () => {
        answers.push(i);
        for (const { id } of queued) proposals.resolve(id, applied);
      });
    }
    clock.advance(7_000);
    end(proposals);
    expect(answers.sort((x, y) => x - y)).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(proposals.pendingCount).toBe(0);
  }
});

function encodedFits(proposals: Proposals, valueBytes: number): boolean {
  try {
    proposals.propose(put(valueBytes), () => {});
    return true;
  } catch {
    return false;
  }
}

test('a change of members names its proposer and is answered under its own id, like any proposal', () => {
  const { clock, queued, proposals } = setUp();
  const answers: unknown[] = [];
  const type = ConfChangeType.CONF_CHANGE_ADD_LEARNER_NODE;
  const record = { id: 5n, peerUrls: ['http://m5'], isLearner: true, learnersMax: 2 };
  proposals.proposeChange(type, record, (outcome) => answers.push(outcome));
  proposals.proposeChange(type, record, (outcome) => answers.push(outcome));
  const [first, second] = queued;
  expect(ConfChange.decode(first!.data)).toEqual(first!.change);
  expect(first!.change).toMatchObject({ id: first!.id, type, nodeId: 5n });
  expect(MemberRecord.decode(first!.change!.context)).toEqual(MemberRecord.create({ ...record, proposer: 7n }));
  expect(second!.id).not.toBe(first!.id);
  proposals.resolve(first!.id, new KvError('peerUrlExist'));
  clock.advance(7_000);
  proposals.expire();
  expect(answers).toEqual([new KvError('peerUrlExist'), new KvError('timeout')]);
  proposals.stop(new KvError('stopped'));
  expect(() => proposals.proposeChange(type, record, () => {})).toThrow(new KvError('stopped'));
});
