import type { Gauge, MemberId, MetricSpec } from '@quorate/base';
import { silentLogger, silentMeter } from '@quorate/base';
import { DowngradeInfo, type InternalRaftRequest, KvError } from '@quorate/proto';
import { expect, test } from 'vitest';
import { ClusterVersion } from './cluster-version.ts';
import type { ProposalDone } from './proposals.ts';
import type { StateMachine } from './state-machine.ts';
import { ManualClock } from './testing/manual-clock.ts';

/** Member 1 of 1, 2 and 3; what it proposes waits in `proposed`. */
function setUp() {
  const clock = new ManualClock();
  const members = {
    clusterVersion: undefined as string | undefined,
    downgrade: DowngradeInfo.create(),
    records: () => [{ id: 1n }, { id: 2n }, { id: 3n }],
  };
  const versions = new Map<MemberId, string>();
  const leadership = { isLeader: true, onChange: (run: (leader: MemberId) => void) => listeners.push(run) };
  const listeners: ((leader: MemberId) => void)[] = [];
  const proposed: { request: InternalRaftRequest; done: ProposalDone; term: number }[] = [];
  const shown = new Map<string, number>();
  const meter = {
    ...silentMeter,
    gauge: ({ labels }: MetricSpec): Gauge => {
      const label = labels!['cluster_version']!;
      return { set: (value: number) => void shown.set(label, value) };
    },
  };
  const version = new ClusterVersion({
    memberId: 1n,
    clock,
    logger: silentLogger,
    meter,
    leadership,
    proposals: {
      propose: (request, done, term = 0) => {
        proposed.push({ request, done, term });
        return undefined as never;
      },
    },
    peers: { versionOf: (id) => versions.get(id) },
    state: () => ({ members }) as unknown as StateMachine,
    term: () => 7,
  });
  const tick = (): void => {
    clock.advance(1_000);
    version.tick();
  };
  /** Applies what waits and returns what it says. */
  const applied = (): string[] =>
    proposed.splice(0).map(({ request, done, term }) => {
      if (request.clusterVersionSet !== undefined) members.clusterVersion = request.clusterVersionSet.version;
      if (request.downgradeInfoSet !== undefined) members.downgrade = request.downgradeInfoSet;
      done({} as never);
      return `${request.clusterVersionSet?.version ?? 'downgrade over'} in term ${term}`;
    });
  return { leadership, listeners, members, versions, proposed, shown, tick, applied };
}

test('a new leader decides at once, once, and in its own term only', () => {
  const { listeners, proposed, tick, applied } = setUp();
  listeners[0]!(1n);
  tick();
  expect(proposed).toHaveLength(1);
  expect(applied()).toEqual(['3.6.0 in term 7']);
  tick();
  expect(proposed).toEqual([]);
});

test('only the leader decides', () => {
  const { leadership, tick, proposed } = setUp();
  leadership.isLeader = false;
  tick();
  expect(proposed).toEqual([]);
});

test('what was refused is decided again', () => {
  const { proposed, tick, applied } = setUp();
  tick();
  proposed.splice(0)[0]!.done(new KvError('leaderChanged'));
  tick();
  expect(applied()).toEqual(['3.6.0 in term 7']);
});

test('the version rises when the last member has said a higher one', () => {
  const { members, versions, tick, applied } = setUp();
  members.clusterVersion = '3.5.0';
  versions.set(2n, '3.6.0');
  tick();
  expect(applied()).toEqual([]);
  versions.set(3n, '3.5.9');
  tick();
  expect(applied()).toEqual([]);
  versions.set(3n, '3.6.2');
  tick();
  expect(applied()).toEqual(['3.6.0 in term 7']);
});

test('a downgrade takes the version down, and its end up again; the metrics show one version', () => {
  const { members, versions, shown, tick, applied } = setUp();
  versions.set(2n, '3.6.1').set(3n, '3.6.1');
  members.clusterVersion = '3.6.0';
  tick();
  members.downgrade = { enabled: true, targetVersion: '3.5.0' };
  tick();
  expect(applied()).toEqual(['3.5.0 in term 7']);
  tick();
  expect([...shown]).toEqual([
    ['3.6', 0],
    ['3.5', 1],
  ]);
  expect(applied()).toEqual([]);
  members.downgrade = DowngradeInfo.create();
  tick();
  expect(applied()).toEqual(['3.6.0 in term 7']);
  tick();
  expect([...shown]).toEqual([
    ['3.6', 1],
    ['3.5', 0],
  ]);
});
