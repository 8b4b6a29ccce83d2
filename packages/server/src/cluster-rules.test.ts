import { type KvError, Member } from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { type ClusterView, checkAddVoter, checkLearnerReady, checkPromote, checkRemove } from './cluster-rules.ts';

/**
 * A cluster as its member 1 sees it, a letter per member: `H` healthy, `y` connected for less than five seconds, `d` down, `u` never
 * started, `L` a learner.
 */
function seen(letters: string): ClusterView {
  const members = [...letters].map((letter, i) =>
    Member.create({ id: BigInt(i + 1), name: letter === 'u' ? '' : `m${i + 1}`, isLearner: letter === 'L' }),
  );
  const connectedForMs = (id: bigint): number | undefined => {
    const letter = letters[Number(id) - 1];
    if (letter === 'H' || letter === 'L') return 5_000;
    return letter === 'y' ? 4_999 : undefined;
  };
  return { self: 1n, members, connectedForMs };
}

function verdict(check: () => void): string {
  try {
    check();
    return 'allowed';
  } catch (error) {
    return (error as KvError).code;
  }
}

describe('B70: a change is allowed exactly when the cluster can go on after it', () => {
  test.each([
    ['H', 'allowed'],
    ['HH', 'allowed'],
    ['Hy', 'unhealthy'],
    ['HHd', 'allowed'],
    ['Hdd', 'unhealthy'],
    ['Hyy', 'unhealthy'],
    // One that never started must not be followed by more: a cluster of two waits for its second member.
    ['Hu', 'notEnoughStarted'],
    ['HHu', 'notEnoughStarted'],
    ['HHHu', 'allowed'],
    ['HHHuu', 'notEnoughStarted'],
    ['HHHHdd', 'allowed'],
    ['HL', 'allowed'],
    ['HHdL', 'allowed'],
  ])('a voter is added to %s: %s', (letters, expected) => {
    expect(verdict(() => checkAddVoter(seen(letters)))).toBe(expected);
  });

  test.each([
    ['H', 1, 'notEnoughStarted'],
    ['HH', 1, 'allowed'],
    ['HH', 2, 'allowed'],
    ['Hy', 2, 'unhealthy'],
    ['Hy', 1, 'unhealthy'],
    ['Hd', 2, 'allowed'],
    ['Hd', 1, 'unhealthy'],
    ['Hu', 2, 'allowed'],
    ['Hu', 1, 'notEnoughStarted'],
    ['HHH', 1, 'allowed'],
    ['HHd', 3, 'allowed'],
    ['HHd', 2, 'unhealthy'],
    ['HHy', 2, 'unhealthy'],
    ['HHHd', 2, 'allowed'],
    ['HHHHd', 2, 'allowed'],
    ['HHHdd', 2, 'unhealthy'],
    ['HHHdd', 4, 'allowed'],
    ['HHu', 2, 'notEnoughStarted'],
    ['HHu', 3, 'allowed'],
    ['HL', 2, 'allowed'],
    ['HdL', 3, 'allowed'],
    ['HH', 9, 'allowed'],
  ])('from %s member %i is removed: %s', (letters, id, expected) => {
    expect(verdict(() => checkRemove(seen(letters), BigInt(id)))).toBe(expected);
  });

  test.each([
    ['HL', 'allowed'],
    ['HuL', 'allowed'],
    ['HuuL', 'notEnoughStarted'],
    ['HddL', 'allowed'],
  ])('the learner of %s is promoted: %s', (letters, expected) => {
    expect(verdict(() => checkPromote(seen(letters)))).toBe(expected);
  });
});

test('a learner is level with nine tenths of the leader’s log', () => {
  expect(verdict(() => checkLearnerReady({ learner: 89, leader: 100 }))).toBe('learnerNotReady');
  expect(verdict(() => checkLearnerReady({ learner: 90, leader: 100 }))).toBe('allowed');
  expect(verdict(() => checkLearnerReady({ learner: 0, leader: 1 }))).toBe('learnerNotReady');
});
