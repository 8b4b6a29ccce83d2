import { expect, test } from 'vitest';
import type { JointVoters } from './quorum.ts';
import { pendingReadsMax, ReadOnly } from './read-only.ts';

const three: JointVoters = { incoming: [1n, 2n, 3n], outgoing: [] };

function read(reads: ReadOnly, index: number, name: string): Buffer {
  reads.add(index, { from: 1n, context: Buffer.from(name) });
  return reads.lastPendingContext()!;
}

function confirmed(reads: ReadOnly, voters = three): string[] {
  return reads.takeConfirmed(voters).map(({ request, index }) => `${request.context.toString()}@${index}`);
}

test('a read needs a majority, of which the leader is one', () => {
  const reads = new ReadOnly(1n);
  const context = read(reads, 5, 'a');
  expect(confirmed(reads)).toEqual([]);
  reads.acknowledge(2n, context);
  expect(confirmed(reads)).toEqual(['a@5']);
  expect(confirmed(reads)).toEqual([]);
});

test('a leader that does not vote does not count', () => {
  const reads = new ReadOnly(1n);
  const voters = { incoming: [2n, 3n], outgoing: [] };
  const context = read(reads, 5, 'a');
  reads.acknowledge(2n, context);
  expect(confirmed(reads, voters)).toEqual([]);
  reads.acknowledge(3n, context);
  expect(confirmed(reads, voters)).toEqual(['a@5']);
});

test('both halves of a joint configuration must confirm', () => {
  const reads = new ReadOnly(1n);
  const joint = { incoming: [1n, 2n, 3n], outgoing: [4n, 5n, 6n] };
  const context = read(reads, 5, 'a');
  reads.acknowledge(2n, context);
  reads.acknowledge(4n, context);
  expect(confirmed(reads, joint)).toEqual([]);
  reads.acknowledge(5n, context);
  expect(confirmed(reads, joint)).toEqual(['a@5']);
});

test('an answer to a later read confirms the earlier ones, not the other way round', () => {
  const reads = new ReadOnly(1n);
  const first = read(reads, 5, 'a');
  const second = read(reads, 6, 'b');
  read(reads, 7, 'c');
  reads.acknowledge(2n, second);
  expect(confirmed(reads)).toEqual(['a@5', 'b@6']);
  reads.acknowledge(3n, first);
  expect(confirmed(reads)).toEqual([]);
});

test('answers to different reads add up to what all of them confirm', () => {
  const reads = new ReadOnly(1n);
  const voters = { incoming: [1n, 2n, 3n, 4n, 5n], outgoing: [] };
  const first = read(reads, 5, 'a');
  const second = read(reads, 6, 'b');
  reads.acknowledge(2n, second);
  reads.acknowledge(3n, first);
  expect(confirmed(reads, voters)).toEqual(['a@5']);
});

test('a late answer does not confirm a later read that reuses the context', () => {
  const reads = new ReadOnly(1n);
  const first = read(reads, 5, 'same');
  reads.acknowledge(2n, first);
  expect(confirmed(reads)).toEqual(['same@5']);
  const second = read(reads, 9, 'same');
  reads.acknowledge(3n, first);
  expect(confirmed(reads)).toEqual([]);
  reads.acknowledge(3n, second);
  expect(confirmed(reads)).toEqual(['same@9']);
});

test('after a reset neither reads nor answers of before count', () => {
  const reads = new ReadOnly(1n);
  const before = read(reads, 5, 'a');
  reads.reset();
  read(reads, 6, 'b');
  reads.acknowledge(2n, before);
  expect(confirmed(reads)).toEqual([]);
  expect(reads.pending).toBe(1);
});

test('answers nobody asked for are ignored', () => {
  const reads = new ReadOnly(1n);
  read(reads, 5, 'a');
  reads.acknowledge(2n, Buffer.from('nonsense'));
  reads.acknowledge(2n, Buffer.from([0, 0, 0, 0, 0, 9]));
  expect(confirmed(reads)).toEqual([]);
});

test('periodic heartbeats carry the newest read that waits', () => {
  const reads = new ReadOnly(1n);
  expect(reads.lastPendingContext()).toBeUndefined();
  read(reads, 5, 'a');
  const newest = read(reads, 6, 'b');
  expect(reads.lastPendingContext()).toEqual(newest);
});

test('the number of reads under way is bounded', () => {
  const reads = new ReadOnly(1n);
  for (let i = 0; i < pendingReadsMax; i++) read(reads, i, 'x');
  expect(() => read(reads, 0, 'y')).toThrow('too many reads');
});
