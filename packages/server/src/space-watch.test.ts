import { type Facts, type Logger, silentLogger, silentMeter } from '@quorate/base';
import { Quota } from '@quorate/quota';
import { expect, test } from 'vitest';
import { SpaceWatch } from './space-watch.ts';

test('the store filling up is said once per level, and again after it had room', () => {
  const said: unknown[] = [];
  const logger: Logger = { ...silentLogger, warn: (_message: string, facts?: Facts) => said.push(facts?.['pressure']) };
  const quota = new Quota({ limitBytes: 1_000, logger: silentLogger, meter: silentMeter });
  const watch = new SpaceWatch(quota, logger);
  for (const bytes of [100, 799, 800, 850, 899, 900, 950, 1_000, 2_000, 100, 820]) watch.look(bytes);
  expect(said).toEqual(['high', 'critical', 'exceeded', 'high']);
});
