import { expect, test } from 'vitest';
import { ManualClock } from '../testing/manual-clock.ts';
import { RoundTrips, roundTripEveryMs } from './round-trips.ts';

function peer(clock: ManualClock, options: { connected: boolean; answersAfterMs?: number }) {
  const seconds: number[] = [];
  const asked: number[] = [];
  const ping = (): Promise<void> => {
    asked.push(clock.nowMs());
    const { answersAfterMs } = options;
    if (answersAfterMs === undefined) return Promise.reject(new Error('no answer'));
    return new Promise((resolve) => void clock.after(answersAfterMs, resolve));
  };
  const roundTrip = { observe: (value: number): void => void seconds.push(value) };
  return { seconds, asked, connectedSinceMs: options.connected ? 0 : undefined, roundTrip, ping };
}

test('every connected peer is asked again and again, and its answers are timed', async () => {
  const clock = new ManualClock();
  const [near, far, away] = [
    peer(clock, { connected: true, answersAfterMs: 2 }),
    peer(clock, { connected: true, answersAfterMs: 150 }),
    peer(clock, { connected: false, answersAfterMs: 1 }),
  ];
  const roundTrips = new RoundTrips(clock, () => [near, far, away]);
  roundTrips.start();
  for (let i = 0; i < 2; i++) {
    for (const ms of [roundTripEveryMs - 200, 2, 148, 50]) {
      clock.advance(ms);
      await Promise.resolve();
    }
  }
  clock.advance(150);
  await Promise.resolve();
  expect([near.asked.length, far.asked.length, away.asked.length]).toEqual([2, 2, 0]);
  expect(near.seconds[0]).toBeGreaterThanOrEqual(0.002);
  expect(far.seconds).toHaveLength(2);
  expect(far.seconds[0]).toBeGreaterThanOrEqual(0.15);
});

test('a question without an answer counts nothing, and none is asked after the stop', async () => {
  const clock = new ManualClock();
  const silent = peer(clock, { connected: true });
  const roundTrips = new RoundTrips(clock, () => [silent]);
  roundTrips.start();
  clock.advance(roundTripEveryMs);
  await Promise.resolve();
  roundTrips.stop();
  clock.advance(10 * roundTripEveryMs);
  expect(silent.asked).toHaveLength(1);
  expect(silent.seconds).toEqual([]);
});
