import { expect, test } from 'vitest';
import { freePorts, Ports } from './support/ports.ts';

test('test files beside each other never take ports of one part, whatever the runner calls them', async () => {
  const others = [await Ports.claim(), await Ports.claim(), await Ports.claim()];
  const mine = await freePorts(400);
  const given = new Set(mine);
  for (const ports of others) {
    for (const port of await ports.take(400)) given.add(port);
    await ports.release();
  }
  expect(given.size).toBe(4 * 400);
});

test('a part gives no port twice in one answer', async () => {
  await expect(freePorts(600)).rejects.toThrow(/^no 600 free ports from \d+$/);
});
