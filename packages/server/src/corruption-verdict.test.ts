import { noMember } from '@quorate/base';
import type { HashResult } from '@quorate/mvcc';
import { describe, expect, test } from 'vitest';
import { differing, judgeCompaction, type PeerHash, wrongInPeriodicCheck } from './corruption-verdict.ts';

const hashOf = (hash: number, compactRevision = 10, hashRevision = 50): HashResult => ({
  hash,
  compactRevision,
  hashRevision,
});
const answer = (member: bigint, hash: HashResult, revision = hash.hashRevision): PeerHash => ({
  member,
  found: { ...hash, revision },
});
const silent = (member: bigint): PeerHash => ({ member, found: undefined });

describe('a periodic check', () => {
  const own = { member: 1n, before: hashOf(7), after: hashOf(8, 10, 60) };

  test.each<[string, readonly PeerHash[], bigint | undefined]>([
    ['proves nothing when all are alike', [answer(2n, hashOf(7)), answer(3n, hashOf(7), 55)], undefined],
    ['proves nothing when nobody answers', [silent(2n), silent(3n)], undefined],
    ['proves one wrong that has another hash', [answer(2n, hashOf(7)), answer(3n, hashOf(9))], 3n],
    ['does not compare hashes of other compact revisions', [answer(2n, hashOf(9, 5))], undefined],
    ['proves one wrong that is ahead of the leader', [answer(2n, hashOf(7), 61)], 2n],
    ['proves one wrong that compacted what the leader has', [answer(2n, hashOf(9, 11))], 2n],
    ['names the first of several', [answer(2n, hashOf(9)), answer(3n, hashOf(9))], 2n],
  ])('%s', (_name, peers, wrong) => {
    expect(wrongInPeriodicCheck(own, peers)).toBe(wrong);
  });

  test('proves the leader wrong when its own hash changed by itself', () => {
    expect(wrongInPeriodicCheck({ member: 1n, before: hashOf(7), after: hashOf(8) }, [])).toBe(1n);
  });
});

describe('the hashes of a compaction', () => {
  const own = { member: 1n, hash: hashOf(7) };

  test.each<[string, readonly PeerHash[], { agreed: boolean; wrong: readonly bigint[] }]>([
    ['agree when all answered alike', [answer(2n, hashOf(7)), answer(3n, hashOf(7))], { agreed: true, wrong: [] }],
    ['of a member alone agree', [], { agreed: true, wrong: [] }],
    ['do not agree yet while somebody is silent', [answer(2n, hashOf(7)), silent(3n)], { agreed: false, wrong: [] }],
    [
      'with another compact revision are not compared',
      [answer(2n, hashOf(9, 3)), answer(3n, hashOf(7))],
      { agreed: false, wrong: [] },
    ],
    ['prove a minority wrong', [answer(2n, hashOf(7)), answer(3n, hashOf(9))], { agreed: false, wrong: [3n] }],
    [
      'prove the leader wrong when it is the minority',
      [answer(2n, hashOf(9)), answer(3n, hashOf(9))],
      { agreed: false, wrong: [1n] },
    ],
    [
      'accuse nobody by name without a majority',
      [answer(2n, hashOf(9)), answer(3n, hashOf(8))],
      { agreed: false, wrong: [noMember] },
    ],
    ['of two members that differ accuse nobody by name', [answer(2n, hashOf(9))], { agreed: false, wrong: [noMember] }],
    [
      'need a majority of all, not of those that answered',
      [answer(2n, hashOf(9)), silent(3n)],
      { agreed: false, wrong: [noMember] },
    ],
  ])('%s', (_name, peers, verdict) => {
    expect(judgeCompaction(own, peers)).toEqual(verdict);
  });
});

test('before serving, those count that hashed the same stretch of history', () => {
  const peers = [answer(2n, hashOf(7)), answer(3n, hashOf(9)), answer(4n, hashOf(9, 3)), silent(5n)];
  expect(differing(hashOf(7), peers)).toEqual([3n]);
});
