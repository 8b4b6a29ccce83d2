import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { nodeClock, timeoutMsMax } from './node-clock.ts';

describe('on virtual time', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test.each([2 ** 31, 2 ** 32, 9e12])('a delay of %d ms does not fire early and fires once', (delayMs) => {
    let fired = 0;
    nodeClock.after(delayMs, () => fired++);
    // In steps: the fake timers themselves have the limit that is tested here.
    let passedMs = 0;
    while (passedMs + timeoutMsMax < delayMs) {
      vi.advanceTimersByTime(timeoutMsMax);
      passedMs += timeoutMsMax;
      expect(fired).toBe(0);
    }
    vi.advanceTimersByTime(delayMs - passedMs - 1);
    expect(fired).toBe(0);
    vi.advanceTimersByTime(2);
    expect(fired).toBe(1);
  });

  test('a cancelled timer does not fire, not even between two pieces of a long sleep', () => {
    let fired = 0;
    const timer = nodeClock.after(2 ** 32, () => fired++);
    vi.advanceTimersByTime(timeoutMsMax + 1);
    timer.cancel();
    vi.advanceTimersByTime(timeoutMsMax);
    vi.advanceTimersByTime(timeoutMsMax);
    expect(fired).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
    timer.cancel();
  });

  test('cancelling after it fired does nothing', () => {
    let fired = 0;
    const timer = nodeClock.after(5, () => fired++);
    vi.advanceTimersByTime(6);
    timer.cancel();
    expect(fired).toBe(1);
  });
});

test('never fires before its delay has passed on the monotonic clock', async () => {
  const delays = [0, 0.2, 0.9, 1, 1.5, 2.3, 5.7, 11.1];
  const early = await Promise.all(
    delays.map(
      (delayMs) =>
        new Promise<number>((resolve) => {
          const startMs = nodeClock.nowMs();
          nodeClock.after(delayMs, () => resolve(delayMs - (nodeClock.nowMs() - startMs)));
        }),
    ),
  );
  expect(early.filter((ms) => ms > 0)).toEqual([]);
});

test('soon runs on a later turn, after microtasks', async () => {
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    nodeClock.soon(() => {
      order.push('soon');
      resolve();
    });
    void Promise.resolve().then(() => order.push('microtask'));
    order.push('now');
  });
  expect(order).toEqual(['now', 'microtask', 'soon']);
});

test('wall time is milliseconds since 1970', () => {
  expect(Math.abs(nodeClock.wallMs() - Date.now())).toBeLessThan(1_000);
});
