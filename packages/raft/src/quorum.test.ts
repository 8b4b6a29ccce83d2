import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type AckIndexer,
  jointCommitted,
  jointIds,
  jointVote,
  majorityCommitted,
  majorityVote,
  sortedIds,
  VoteResult,
} from './quorum.ts';

const ids = fc.uniqueArray(
  fc.integer({ min: 1, max: 9 }).map((id) => BigInt(id)),
  { maxLength: 9 },
);
const acks = fc.dictionary(fc.constantFrom(...'123456789'), fc.nat(12));
const votes = fc.dictionary(fc.constantFrom(...'123456789'), fc.boolean());
const runs = { numRuns: 5_000 };

function indexer(known: Record<string, number>): AckIndexer {
  return { ackedIndex: (id) => known[String(id)] };
}

/** By definition: the highest index that more than half of the voters have acknowledged. */
function naiveCommitted(voters: readonly bigint[], known: Record<string, number>): number {
  let best = 0;
  for (let index = 1; index <= 12; index++) {
    const holders = voters.filter((id) => (known[String(id)] ?? 0) >= index).length;
    if (holders * 2 > voters.length) best = index;
  }
  return voters.length === 0 ? Number.POSITIVE_INFINITY : best;
}

/** By definition: decided when no way to fill in the open votes could change it. */
function naiveVote(voters: readonly bigint[], cast: Record<string, boolean>): VoteResult {
  if (voters.length === 0) return VoteResult.won;
  const wins = (open: boolean): boolean => voters.filter((id) => cast[String(id)] ?? open).length * 2 > voters.length;
  if (wins(false)) return VoteResult.won;
  return wins(true) ? VoteResult.pending : VoteResult.lost;
}

function voteMap(cast: Record<string, boolean>): Map<bigint, boolean> {
  return new Map(Object.entries(cast).map(([id, vote]) => [BigInt(id), vote]));
}

test('a majority commits what more than half acknowledged', () => {
  fc.assert(
    fc.property(ids, acks, (voters, known) => {
      expect(majorityCommitted(voters, indexer(known))).toBe(naiveCommitted(voters, known));
    }),
    runs,
  );
});

test('a joint quorum commits what both majorities commit', () => {
  fc.assert(
    fc.property(ids, ids, acks, (incoming, outgoing, known) => {
      const expected = Math.min(naiveCommitted(incoming, known), naiveCommitted(outgoing, known));
      expect(jointCommitted({ incoming, outgoing }, indexer(known))).toBe(expected);
      expect(jointCommitted({ incoming: outgoing, outgoing: incoming }, indexer(known))).toBe(expected);
    }),
    runs,
  );
});

test('a vote is decided as soon as the open votes cannot change it', () => {
  fc.assert(
    fc.property(ids, votes, (voters, cast) => {
      expect(majorityVote(voters, voteMap(cast))).toBe(naiveVote(voters, cast));
    }),
    runs,
  );
});

test('a joint vote is won by both, lost by one', () => {
  fc.assert(
    fc.property(ids, ids, votes, (incoming, outgoing, cast) => {
      const results = [naiveVote(incoming, cast), naiveVote(outgoing, cast)];
      const expected = results.includes(VoteResult.lost)
        ? VoteResult.lost
        : results.includes(VoteResult.pending)
          ? VoteResult.pending
          : VoteResult.won;
      expect(jointVote({ incoming, outgoing }, voteMap(cast))).toBe(expected);
    }),
    runs,
  );
});

test('acknowledging more never commits less', () => {
  fc.assert(
    fc.property(ids, acks, fc.constantFrom(...'123456789'), (voters, known, id) => {
      const more = { ...known, [id]: (known[id] ?? 0) + 1 };
      const before = majorityCommitted(voters, indexer(known));
      expect(majorityCommitted(voters, indexer(more))).toBeGreaterThanOrEqual(before);
    }),
    runs,
  );
});

test('ids are sorted as numbers, not as text, over the whole 64 bits', () => {
  const big = 0xffff_ffff_ffff_fff0n;
  expect(sortedIds([10n, big, 9n, 1n])).toEqual([1n, 9n, 10n, big]);
  expect(jointIds({ incoming: [2n, 10n], outgoing: [1n, 10n] })).toEqual([1n, 2n, 10n]);
});
