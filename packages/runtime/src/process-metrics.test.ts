import { silentMeter } from '@quorate/base';
import { expect, test } from 'vitest';
import { nodeClock } from './node-clock.ts';
import { observeFileDescriptors, watchEventLoop } from './process-metrics.ts';
import { PromMeter } from './prom-meter.ts';

test('used and allowed file descriptors are plausible', async () => {
  const meter = new PromMeter({ processMetrics: false });
  observeFileDescriptors(meter);
  const text = await meter.text();
  const used = Number(/^os_fd_used (\d+)$/m.exec(text)?.[1]);
  const limit = Number(/^os_fd_limit (\d+)$/m.exec(text)?.[1]);
  expect(used).toBeGreaterThan(2);
  expect(limit).toBeGreaterThan(used);
});

test('a blocked event loop is seen, for as long as it was blocked, among many short turns', async () => {
  const meter = new PromMeter({ processMetrics: false });
  let isBlocked = false;
  const delayMs = await new Promise<number>((resolve) => {
    const stop = watchEventLoop(nodeClock, meter, (delay) => {
      if (isBlocked) {
        stop();
        resolve(delay);
        return;
      }
      // After half a second of looks, so that there are short turns too.
      isBlocked = true;
      const blockedUntilMs = performance.now() + 300;
      while (performance.now() < blockedUntilMs);
    });
  });
  expect(delayMs).toBeGreaterThan(280);
  const text = await meter.text();
  const within = (bound: string): number => {
    const row = text
      .split('\n')
      .find((line) => line.startsWith(`quorate_event_loop_delay_seconds_bucket{le="${bound}"}`));
    return Number(row?.split(' ')[1]);
  };
  const count = Number(/^quorate_event_loop_delay_seconds_count (\d+)$/m.exec(text)?.[1]);
  const sum = Number(/^quorate_event_loop_delay_seconds_sum (\S+)$/m.exec(text)?.[1]);
  expect(count).toBeGreaterThan(1);
  expect(within('+Inf')).toBe(count);
  // The longest lies above this bound, and not all of them do.
  expect(within('0.256')).toBeLessThan(count);
  expect(within('0.256')).toBeGreaterThan(0);
  expect(sum).toBeGreaterThanOrEqual((delayMs / 1000) * 0.99);
});

test('nothing is observed any more once it is stopped', async () => {
  const delays: number[] = [];
  const stop = watchEventLoop(nodeClock, silentMeter, (delay) => delays.push(delay));
  stop();
  const later: number[] = [];
  await new Promise<void>((resolve) => {
    const other = watchEventLoop(nodeClock, silentMeter, (delay) => {
      later.push(delay);
      if (later.length < 2) return;
      other();
      resolve();
    });
  });
  expect(delays).toEqual([]);
});
