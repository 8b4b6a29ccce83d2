import { silentMeter } from '@quorate/base';
import { KvError } from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { ReadIndex } from './read-index.ts';
import { ManualClock } from './testing/manual-clock.ts';

function setUp() {
  const clock = new ManualClock();
  const state = { applied: 10, hasLeader: true };
  const contexts: Buffer[] = [];
  const reads = new ReadIndex({
    memberId: 7n,
    clock,
    meter: silentMeter,
    timeoutMs: 7_000,
    request: (context) => {
      if (state.hasLeader) contexts.push(context);
      return state.hasLeader;
    },
    appliedIndex: () => state.applied,
    timeoutError: () => new KvError('timeout'),
    wake: () => {},
  });
  return { clock, state, contexts, reads };
}

type Outcome = KvError | undefined | 'waiting';

function read(reads: ReadIndex): { outcome: Outcome } {
  const result: { outcome: Outcome } = { outcome: 'waiting' };
  reads.confirm((error) => {
    result.outcome = error;
  });
  return result;
}

describe('linearizable reads', () => {
  test('of one turn share a round and run once its index is applied', () => {
    const { state, contexts, reads } = setUp();
    const [a, b] = [read(reads), read(reads)];
    reads.turn();
    expect(contexts).toHaveLength(1);
    reads.onReadState(contexts[0]!, 12);
    expect([a.outcome, b.outcome]).toEqual(['waiting', 'waiting']);
    state.applied = 12;
    reads.onApplied(12);
    expect([a.outcome, b.outcome]).toEqual([undefined, undefined]);
  });

  test('never join a round that began before they arrived', () => {
    const { contexts, reads } = setUp();
    const early = read(reads);
    reads.turn();
    const late = read(reads);
    reads.onReadState(contexts[0]!, 5);
    expect(early.outcome).toBeUndefined();
    expect(late.outcome).toBe('waiting');
    reads.turn();
    reads.onReadState(contexts[1]!, 5);
    expect(late.outcome).toBeUndefined();
  });

  test('are not confirmed by the answer to an attempt that was given up (B53)', () => {
    const { clock, contexts, reads } = setUp();
    const result = read(reads);
    reads.turn();
    clock.advance(500);
    reads.tick();
    reads.turn();
    expect(contexts).toHaveLength(2);
    expect(contexts[1]!.equals(contexts[0]!)).toBe(false);
    reads.onReadState(contexts[0]!, 5);
    expect(result.outcome).toBe('waiting');
    reads.onReadState(contexts[1]!, 5);
    expect(result.outcome).toBeUndefined();
  });

  test('ignore contexts of other members', () => {
    const { contexts, reads } = setUp();
    const result = read(reads);
    reads.turn();
    const foreign = Buffer.from(contexts[0]!);
    foreign.writeBigUInt64BE(8n, 0);
    reads.onReadState(foreign, 5);
    expect(result.outcome).toBe('waiting');
  });

  test('wait for a leader, and start over when it changes', () => {
    const { state, contexts, reads } = setUp();
    state.hasLeader = false;
    const result = read(reads);
    reads.turn();
    state.hasLeader = true;
    reads.onLeaderChange();
    reads.turn();
    reads.onLeaderChange();
    reads.turn();
    expect(contexts).toHaveLength(2);
    reads.onReadState(contexts[1]!, 1);
    expect(result.outcome).toBeUndefined();
  });

  test('give up when their time is over, wherever they wait', () => {
    const { clock, state, contexts, reads } = setUp();
    const confirmed = read(reads);
    reads.turn();
    reads.onReadState(contexts[0]!, 99);
    state.hasLeader = false;
    const leaderless = read(reads);
    reads.turn();
    clock.advance(7_000);
    reads.tick();
    expect(confirmed.outcome).toEqual(new KvError('timeout'));
    expect(leaderless.outcome).toEqual(new KvError('timeout'));
  });

  test('that wait for their index to be applied are not forgotten at a tick', () => {
    const { clock, contexts, reads } = setUp();
    const [early, late] = [read(reads), read(reads)];
    reads.turn();
    reads.onReadState(contexts[0]!, 12);
    clock.advance(100);
    reads.tick();
    reads.onApplied(12);
    expect([early.outcome, late.outcome]).toEqual([undefined, undefined]);
  });

  test('run in the order of their indices as applying catches up', () => {
    const { contexts, reads } = setUp();
    const high = read(reads);
    reads.turn();
    const low = read(reads);
    reads.turn();
    reads.onReadState(contexts[0]!, 30);
    reads.onReadState(contexts[1]!, 20);
    reads.onApplied(25);
    expect([high.outcome, low.outcome]).toEqual(['waiting', undefined]);
    reads.onApplied(30);
    expect(high.outcome).toBeUndefined();
  });

  test('are told when the member stops', () => {
    const { reads } = setUp();
    const waiting = read(reads);
    reads.stop(new KvError('stopped'));
    expect(waiting.outcome).toEqual(new KvError('stopped'));
    expect(read(reads).outcome).toEqual(new KvError('stopped'));
  });
});
