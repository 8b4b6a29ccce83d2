import { runSeed } from '@quorate/sim';
import { expect, test } from 'vitest';

test('a calm cluster serves and converges', async () => {
  const report = await runSeed({ seed: 1, size: 3, faultCount: 0 });
  expect(report.okCount).toBeGreaterThan(100);
});
