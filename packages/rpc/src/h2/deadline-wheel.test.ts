import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ManualClock } from '../testing/served.ts';
import { type Deadline, DeadlineWheel } from './deadline-wheel.ts';

/** Longest lateness: a tick, and the timer's own tick before it. */
const lateMsMax = 8;

class Expired {
  atMs: number | undefined = undefined;
  readonly #clock: ManualClock;
  constructor(clock: ManualClock) {
    this.#clock = clock;
  }
  expire(): void {
    expect(this.atMs).toBeUndefined();
    this.atMs = this.#clock.nowMs();
  }
}

test('every deadline passes once, never early, at most a tick late, unless it was cleared', () => {
  const plan = fc.record({
    setAtMs: fc.integer({ min: 0, max: 200 }),
    delayMs: fc.oneof(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 12_000 })),
    clearAfterMs: fc.oneof(fc.integer({ min: 0, max: 100 }), fc.constant(Number.POSITIVE_INFINITY)),
  });
  fc.assert(
    fc.property(fc.array(plan, { maxLength: 30 }), (plans) => {
      const clock = new ManualClock();
      const startMs = clock.nowMs();
      const wheel = new DeadlineWheel(clock);
      const calls = plans.map(() => new Expired(clock));
      const deadlines: Deadline[] = [];
      for (let ms = 0; ms < 12_300; ms++) {
        plans.forEach(({ setAtMs, delayMs, clearAfterMs }, i) => {
          if (ms === setAtMs) deadlines[i] = wheel.set(calls[i]!, clock.nowMs(), delayMs);
          if (ms === setAtMs + clearAfterMs) wheel.clear(deadlines[i]!);
        });
        clock.advance(1);
      }
      plans.forEach(({ setAtMs, delayMs, clearAfterMs }, i) => {
        const atMs = calls[i]?.atMs;
        if (atMs === undefined) {
          expect(clearAfterMs).toBeLessThanOrEqual(delayMs + lateMsMax);
        } else {
          expect(atMs - startMs - setAtMs).toBeGreaterThanOrEqual(delayMs);
          expect(atMs - startMs - setAtMs).toBeLessThanOrEqual(Math.min(clearAfterMs, delayMs + lateMsMax));
        }
      });
    }),
    { numRuns: 20 },
  );
});

test('a clock that jumps far lets everything pass that is due, and nothing else', () => {
  const clock = new ManualClock();
  const wheel = new DeadlineWheel(clock);
  const calls = [10, 5_000, 3_600_000, 3_600_001, 1e15].map((delayMs) => {
    const call = new Expired(clock);
    wheel.set(call, clock.nowMs(), delayMs);
    return call;
  });
  clock.advance(3_600_100);
  expect(calls.map((call) => call.atMs !== undefined)).toEqual([true, true, true, true, false]);
});

test('a deadline that ends another one, or sets a new one, may do so', () => {
  const clock = new ManualClock();
  const wheel = new DeadlineWheel(clock);
  const late = new Expired(clock);
  const other = new Expired(clock);
  const otherDeadline = { of: undefined as Deadline | undefined };
  wheel.set(
    {
      expire: () => {
        wheel.clear(otherDeadline.of!);
        wheel.set(late, clock.nowMs(), 20);
      },
    },
    clock.nowMs(),
    10,
  );
  otherDeadline.of = wheel.set(other, clock.nowMs(), 20);
  for (let ms = 0; ms < 60; ms++) clock.advance(1);
  expect(other.atMs).toBeUndefined();
  expect(late.atMs).toBeDefined();
});

test('one timer is set for many deadlines, and none without any', () => {
  const clock = new ManualClock();
  let timers = 0;
  const counting = {
    nowMs: () => clock.nowMs(),
    wallMs: () => clock.wallMs(),
    soon: (fn: () => void) => clock.soon(fn),
    after: (delayMs: number, fn: () => void) => {
      timers++;
      return clock.after(delayMs, fn);
    },
  };
  const wheel = new DeadlineWheel(counting);
  expect(timers).toBe(0);
  for (let i = 0; i < 1_000; i++) wheel.clear(wheel.set({ expire: () => {} }, clock.nowMs(), 5_000));
  expect(timers).toBe(1);
  wheel.stop();
});
