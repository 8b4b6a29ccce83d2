import { crashPointNames } from '@quorate/base';
import { describe, expect, test } from 'vitest';
import { armCrashPoints, CrashPointError } from './crash-points.ts';

function armed(spec: string | undefined): { hit(name: (typeof crashPointNames)[number]): void; deaths(): number } {
  let deaths = 0;
  const points = armCrashPoints(spec, () => deaths++);
  return { hit: (name) => points.hit(name), deaths: () => deaths };
}

describe('crash points', () => {
  test.each([undefined, ''])('unarmed (%s) let everything pass', (spec) => {
    const points = armed(spec);
    for (const name of crashPointNames) points.hit(name);
    expect(points.deaths()).toBe(0);
  });

  test.each(crashPointNames)('%s can be armed and bites at once, only there', (name) => {
    const points = armed(name);
    for (const other of crashPointNames) if (other !== name) points.hit(other);
    expect(points.deaths()).toBe(0);
    points.hit(name);
    expect(points.deaths()).toBe(1);
  });

  test('with a number bite at that pass and never again', () => {
    const points = armed('walBeforeAppend:3');
    const deathsAfter = [1, 2, 3, 4].map(() => {
      points.hit('walBeforeAppend');
      return points.deaths();
    });
    expect(deathsAfter).toEqual([0, 0, 1, 1]);
  });

  test.each(['nonsense', 'walBeforeAppend:0', 'walBeforeAppend:x', 'walBeforeAppend:1:2', 'walBeforeAppend:'])(
    '%s is refused',
    (spec) => {
      expect(() => armCrashPoints(spec)).toThrow(CrashPointError);
    },
  );
});
