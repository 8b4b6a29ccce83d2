import type { MembershipStore } from '@quorate/apply';
import { type MemberId, silentLogger } from '@quorate/base';
import { expect, test } from 'vitest';
import { Refusal, Standing } from './standing.ts';
import { ManualClock } from './testing/manual-clock.ts';

/** Member 1 and what it knows of others. */
function setUp() {
  const clock = new ManualClock();
  const removed = new Set<MemberId>();
  const incarnations = new Map<MemberId, bigint>();
  const expelled: string[] = [];
  const durable: (() => void)[] = [];
  let refusalChanges = 0;
  const members = {
    wasRemoved: (id: MemberId) => removed.has(id),
    removedIds: () => [...removed],
    incarnationOf: (id: MemberId) => incarnations.get(id) ?? 0n,
  } as unknown as MembershipStore;
  const standing = new Standing({
    memberId: 1n,
    incarnation: 7n,
    clock,
    logger: silentLogger,
    members: () => members,
    makeDurable: () => new Promise<void>((resolve) => durable.push(resolve)),
    refusalsChanged: () => refusalChanges++,
    onExpelled: (error) => expelled.push(error.message),
  });
  const settle = async (): Promise<void> => {
    for (const resolve of durable.splice(0)) resolve();
    await Promise.resolve();
    await Promise.resolve();
  };
  return { clock, removed, incarnations, expelled, standing, settle, refusalChanges: () => refusalChanges };
}

test('a removed member goes unread at once, and is told only when its removal is known for good', async () => {
  const { removed, standing, settle, refusalChanges } = setUp();
  removed.add(2n);
  standing.membersChanged();
  expect(standing.isRemoved(2n)).toBe(true);
  expect(standing.refusalOf({ from: 2n, incarnation: 0n })).toBeUndefined();
  await settle();
  expect(standing.refusalOf({ from: 2n, incarnation: 0n })).toBe(Refusal.removed);
  expect(refusalChanges()).toBe(1);
});

test('B67: a member that named its data directory is refused with any other', () => {
  const { incarnations, standing } = setUp();
  expect(standing.refusalOf({ from: 2n, incarnation: 5n })).toBeUndefined();
  incarnations.set(2n, 5n);
  expect(standing.refusalOf({ from: 2n, incarnation: 5n })).toBeUndefined();
  expect(standing.refusalOf({ from: 2n, incarnation: 6n })).toBe(Refusal.otherIncarnation);
});

test('a member that others refuse ends once, with advice', () => {
  const { expelled, standing } = setUp();
  standing.refusedBy(2n, Refusal.otherIncarnation);
  standing.refusedBy(3n, Refusal.removed);
  expect(expelled).toEqual([expect.stringMatching(/already been bootstrapped.*kvctl member remove 1/)]);
});

test('a member that knows of its own removal waits for another to say so, for a minute', () => {
  const { clock, removed, expelled, standing } = setUp();
  removed.add(1n);
  standing.membersChanged();
  standing.membersChanged();
  clock.advance(59_999);
  expect(expelled).toEqual([]);
  clock.advance(1);
  expect(expelled).toEqual([expect.stringContaining('permanently removed from the cluster')]);
});

test('B67: a member that finds its id taken by another data directory in its own log ends, with advice', () => {
  const { clock, incarnations, expelled, standing } = setUp();
  incarnations.set(1n, 7n);
  standing.membersChanged();
  clock.advance(0);
  expect(expelled).toEqual([]);
  incarnations.set(1n, 6n);
  standing.membersChanged();
  standing.membersChanged();
  clock.advance(0);
  expect(expelled).toEqual([expect.stringMatching(/already been bootstrapped.*kvctl member remove 1/)]);
});
