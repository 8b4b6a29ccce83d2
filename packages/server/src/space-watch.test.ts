import { type Facts, type Logger, type Meter, type MetricSpec, silentLogger, silentMeter } from '@quorate/base';
import { Quota } from '@quorate/quota';
import { expect, test } from 'vitest';
import { SpaceWatch } from './space-watch.ts';

test('the store filling up is said once per level, with the command to run, and again after it had room', () => {
  const said: Facts[] = [];
  const levels: number[] = [];
  const logger: Logger = { ...silentLogger, warn: (_message: string, facts?: Facts) => void said.push(facts ?? {}) };
  const meter: Meter = {
    ...silentMeter,
    gauge: ({ name }: MetricSpec) => ({
      set: (value) => {
        if (name === 'quorate_quota_pressure') levels.push(value);
      },
    }),
  };
  const quota = new Quota({ limitBytes: 1_000, logger: silentLogger, meter: silentMeter });
  const watch = new SpaceWatch({ quota, logger, meter });
  let revision = 0;
  for (const bytes of [100, 799, 800, 850, 899, 900, 950, 1_000, 2_000, 100, 820]) watch.look(bytes, ++revision);
  expect(said.map(({ pressure, share }) => [pressure, share])).toEqual([
    ['high', '80 %'],
    ['critical', '90 %'],
    ['exceeded', '100 %'],
    ['high', '82 %'],
  ]);
  expect(said[1]).toMatchObject({ run: 'kvctl compaction 6 --physical', inUseBytes: 900, quotaBytes: 1_000 });
  expect(levels).toEqual([0, 1, 2, 3, 0, 1]);
  expect(watch.report).toMatchObject({ pressure: 'high', inUseBytes: 820, run: 'kvctl compaction 11 --physical' });
  watch.look(10, 12);
  expect(watch.report).toEqual({ pressure: 'none', inUseBytes: 10, quotaBytes: 1_000, run: '' });
});
