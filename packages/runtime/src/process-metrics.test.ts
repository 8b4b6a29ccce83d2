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

test('a blocked event loop is seen', async () => {
  const delayMs = await new Promise<number>((resolve) => {
    const stop = watchEventLoop(nodeClock, silentMeter, (delay) => {
      if (delay < 100) return;
      stop();
      resolve(delay);
    });
    const blockedUntilMs = performance.now() + 300;
    while (performance.now() < blockedUntilMs);
  });
  expect(delayMs).toBeGreaterThan(100);
});
