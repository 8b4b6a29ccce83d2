import { DowngradeInfo, KvError } from '@quorate/proto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  checkDowngrade,
  clusterVersionOf,
  decideClusterVersion,
  downgradeTarget,
  isDowngraded,
  shortVersion,
  type VersionFacts,
} from './version-rules.ts';

const none = DowngradeInfo.create();
const to35: DowngradeInfo = { enabled: true, targetVersion: '3.5.0' };
const facts = (more: Partial<VersionFacts>): VersionFacts => ({
  cluster: '3.6.0',
  downgrade: none,
  servers: ['3.6.14'],
  ...more,
});

test('a cluster’s version is that of a server without the patch level', () => {
  expect(clusterVersionOf('3.6.14')).toBe('3.6.0');
  expect(clusterVersionOf('3.10.1-rc.0+git')).toBe('3.10.0');
  expect(clusterVersionOf('new')).toBeUndefined();
  expect(shortVersion('3.6.0')).toBe('3.6');
});

describe('the target of a downgrade', () => {
  test.each(['3.5', '3.5.0', '3.5.7', '03.5.0', '3.5.0-rc.1+x'])('%s means 3.5', (text) => {
    expect(downgradeTarget(text)).toBe('3.5.0');
  });

  test.each(['', '3', 'x', '3.5.0.1', '3.-5.0', 'v3.5.0', '3.5.x', ' 3.5'])('"%s" is no version', (text) => {
    expect(() => downgradeTarget(text)).toThrow(new KvError('wrongDowngradeVersionFormat'));
  });

  test('is one minor version down, and nothing else', () => {
    expect(() => checkDowngrade('3.5.0', '3.6.0', none)).not.toThrow();
    for (const target of ['3.6.0', '3.4.0', '3.7.0', '2.5.0', '4.5.0']) {
      expect(() => checkDowngrade(target, '3.6.0', none)).toThrow(new KvError('invalidDowngradeTargetVersion'));
    }
  });

  test('is refused while a downgrade goes on', () => {
    expect(() => checkDowngrade('3.5.0', '3.6.0', to35)).toThrow(new KvError('downgradeInProcess'));
  });
});

describe('the version of the cluster', () => {
  test('is at first the lowest that is known', () => {
    expect(decideClusterVersion(facts({ cluster: undefined, servers: ['3.6.14', undefined, '3.5.30'] }))).toBe('3.5.0');
    expect(decideClusterVersion(facts({ cluster: undefined, servers: [undefined] }))).toBeUndefined();
  });

  test('rises when the last member was upgraded, and not before', () => {
    const cluster = '3.5.0';
    expect(decideClusterVersion(facts({ cluster, servers: ['3.6.14', '3.5.30', '3.6.1'] }))).toBeUndefined();
    expect(decideClusterVersion(facts({ cluster, servers: ['3.6.14', undefined, '3.6.1'] }))).toBeUndefined();
    expect(decideClusterVersion(facts({ cluster, servers: ['3.6.14', '3.7.0', '3.6.1'] }))).toBe('3.6.0');
    expect(decideClusterVersion(facts({ cluster, servers: ['4.0.0'] }))).toBeUndefined();
  });

  test('falls to the target of a downgrade, at once, and rises again when that is cancelled', () => {
    expect(decideClusterVersion(facts({ downgrade: to35, servers: ['3.6.14', undefined] }))).toBe('3.5.0');
    expect(decideClusterVersion(facts({ downgrade: to35, cluster: '3.5.0' }))).toBeUndefined();
    expect(decideClusterVersion(facts({ cluster: '3.5.0' }))).toBe('3.6.0');
  });

  test('never falls without a downgrade, whoever joins', () => {
    const version = fc.tuple(fc.integer({ min: 0, max: 9 }), fc.nat(30)).map(([minor, patch]) => `3.${minor}.${patch}`);
    fc.assert(
      fc.property(version, fc.array(fc.option(version, { nil: undefined })), (server, servers) => {
        const cluster = clusterVersionOf(server)!;
        const decided = decideClusterVersion(facts({ cluster, servers }));
        if (decided === undefined) return;
        expect(Number(decided.split('.')[1])).toBeGreaterThan(Number(cluster.split('.')[1]));
      }),
    );
  });
});

test('a downgrade is over when every member runs the target', () => {
  const downgraded = facts({ cluster: '3.5.0', downgrade: to35, servers: ['3.5.30', '3.5.1'] });
  expect(isDowngraded(downgraded)).toBe(true);
  expect(isDowngraded({ ...downgraded, servers: ['3.5.30', '3.6.14'] })).toBe(false);
  expect(isDowngraded({ ...downgraded, servers: ['3.5.30', undefined] })).toBe(false);
  expect(isDowngraded({ ...downgraded, downgrade: none })).toBe(false);
});
