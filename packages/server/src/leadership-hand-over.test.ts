import { type MemberId, noMember, silentLogger } from '@quorate/base';
import { describe, expect, test } from 'vitest';
import { LeadershipHandOver } from './leadership-hand-over.ts';
import { leadershipOfFirst } from './testing/leadership.ts';
import { ManualClock } from './testing/manual-clock.ts';

/** Member 1 of voters 1, 2 and 3, and learner 4, which all are connected; 3 for longest. */
function setUp({ voters = [1n, 2n, 3n] }: { voters?: readonly MemberId[] } = {}) {
  const clock = new ManualClock();
  clock.advance(10_000);
  const connected = new Map<MemberId, number>([
    [2n, 900],
    [3n, 500],
    [4n, 100],
  ]);
  const connectedSinceMs = (id: MemberId): number | undefined => connected.get(id);
  const leadership = leadershipOfFirst(clock, connectedSinceMs);
  const done: string[] = [];
  const handOver = new LeadershipHandOver({
    memberId: 1n,
    clock,
    logger: silentLogger,
    leadership,
    electionMs: 1_000,
    voters: () => voters,
    connectedSinceMs,
    transferLeader: (to) => done.push(`transfer to ${to}`),
    stepDown: () => done.push('step down'),
  });
  return { clock, connected, leadership, done, handOver };
}

describe('a member that stops', () => {
  test('gives leadership to the voter connected longest, and waits for it to lead', async () => {
    const { leadership, done, handOver } = setUp();
    leadership.changed(1n);
    const handed = handOver.toAnyone();
    expect(done).toEqual(['transfer to 3']);
    leadership.changed(noMember);
    leadership.changed(3n);
    await handed;
  });

  test('waits for two election time-outs at most, and for nobody when there is nobody', async () => {
    const { clock, connected, leadership, done, handOver } = setUp();
    await handOver.toAnyone();
    leadership.changed(1n);
    const handed = handOver.toAnyone();
    clock.advance(2_000);
    await handed;
    connected.clear();
    await handOver.toAnyone();
    expect(done).toEqual(['transfer to 3']);
  });
});

describe('a leader that is to be removed', () => {
  test('is succeeded by the member that was asked to remove it', async () => {
    const { leadership, done, handOver } = setUp();
    leadership.changed(2n);
    const moved = handOver.awayFrom(2n);
    expect(done).toEqual(['transfer to 1']);
    leadership.changed(1n);
    await moved;
    await handOver.awayFrom(2n);
    expect(done).toHaveLength(1);
  });

  test('is not succeeded by a learner', async () => {
    const { leadership, done, handOver } = setUp({ voters: [2n, 3n] });
    leadership.changed(2n);
    await handOver.awayFrom(2n);
    expect(done).toEqual([]);
  });
});

describe('B73: a leader that stood still', () => {
  test('hands over when its disk hangs, and steps down when that does not work', () => {
    const { clock, leadership, done, handOver } = setUp();
    leadership.changed(1n);
    handOver.afterStandstill('disk', 1_100);
    expect(done).toEqual(['transfer to 3']);
    clock.advance(1_000);
    expect(done).toEqual(['transfer to 3', 'step down']);
  });

  test('does not step down once another leads', () => {
    const { clock, leadership, done, handOver } = setUp();
    leadership.changed(1n);
    handOver.afterStandstill('disk', 1_100);
    leadership.changed(3n);
    clock.advance(1_000);
    expect(done).toEqual(['transfer to 3']);
  });

  test('steps down at once after its event loop was blocked, or with nobody to hand over to', () => {
    const { connected, leadership, done, handOver } = setUp();
    leadership.changed(1n);
    handOver.afterStandstill('event loop', 1_100);
    connected.clear();
    handOver.afterStandstill('disk', 1_100);
    expect(done).toEqual(['step down', 'step down']);
  });

  test('stays what it is when it is alone', () => {
    const { leadership, done, handOver } = setUp({ voters: [1n] });
    leadership.changed(1n);
    handOver.afterStandstill('event loop', 5_000);
    handOver.afterStandstill('disk', 5_000);
    expect(done).toEqual([]);
  });
});
