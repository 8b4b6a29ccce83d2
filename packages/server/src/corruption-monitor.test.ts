import { silentLogger } from '@quorate/base';
import type { HashResult } from '@quorate/mvcc';
import { AlarmType, HashAnswer, type InternalRaftRequest, KvError } from '@quorate/proto';
import { expect, test } from 'vitest';
import { CompactionHashes } from './compaction-hashes.ts';
import { memberDefaults } from './config.ts';
import { CorruptionMonitor, type MonitoredCore } from './corruption-monitor.ts';
import type { HashQuestion } from './peer-transport.ts';
import { StartError } from './start-error.ts';
import { ManualClock } from './testing/manual-clock.ts';

const hashOf = (hash: number, hashRevision = 50): HashResult => ({ hash, compactRevision: 10, hashRevision });
type Answers = Readonly<Record<string, HashAnswer | Error>>;

/** Member 1 of three, which leads unless told otherwise; the others say what `answers` has. */
function world(answers: Answers, more: { readonly leads?: boolean; readonly confirms?: boolean } = {}) {
  const clock = new ManualClock();
  const alarms: string[] = [];
  const asked: HashQuestion[] = [];
  const kept = new Map([[40, hashOf(7, 40)]]);
  const core = {
    config: { ...memberDefaults, name: 'm1', corruptCheckMs: 1_000, compactHashCheck: true, compactHashCheckMs: 1_000 },
    isServing: true,
    memberId: 1n,
    leadership: { isLeader: more.leads ?? true },
    reads: {
      confirm: (done: (error?: KvError) => void) => done(more.confirms === false ? new KvError('timeout') : undefined),
    },
    propose: ({ alarm }: InternalRaftRequest) => {
      alarms.push(`${alarm?.memberID} ${alarm?.alarm === AlarmType.CORRUPT ? 'CORRUPT' : '?'}`);
      return Promise.resolve({});
    },
    runtime: {
      clock,
      logger: silentLogger,
      peers: {
        askHash: (to: bigint, ask: HashQuestion) => {
          asked.push(ask);
          const said = answers[String(to)] ?? new Error('silence');
          return said instanceof Error ? Promise.reject(said) : Promise.resolve(said);
        },
      },
    },
    state: {
      store: { hashKv: (revision: number) => Promise.resolve(hashOf(7, revision === 0 ? 50 : revision)) },
      members: { list: () => [{ id: 1n }, { id: 2n }, { id: 3n }] },
      alarms: { has: () => alarms.length > 0 },
      compactionHashes: { revisions: () => [...kept.keys()], get: (revision: number) => kept.get(revision) },
    },
  } as unknown as MonitoredCore;
  return { monitor: new CorruptionMonitor(core), clock, alarms, asked, kept };
}

const said = (hash: number, more: Partial<HashAnswer> = {}): HashAnswer =>
  HashAnswer.create({ ...hashOf(hash), revision: 50, ...more });
const alike = said(7);
const other = said(9);

async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

test('a member that differs gets the alarm, once', async () => {
  const { monitor, alarms, asked } = world({ 2: alike, 3: other });
  await monitor.checkNow();
  expect(asked).toEqual([
    { revision: 50, ofCompaction: false },
    { revision: 50, ofCompaction: false },
  ]);
  await monitor.checkNow();
  expect(alarms).toEqual(['3 CORRUPT']);
});

test('B25: a member that is silent, behind, or has compacted that revision is no corrupt one', async () => {
  const { monitor, alarms } = world({
    2: HashAnswer.create({ error: 'etcdserver: mvcc: required revision is a future revision' }),
    3: HashAnswer.create({ error: 'etcdserver: mvcc: required revision has been compacted' }),
  });
  await monitor.checkNow();
  expect(alarms).toEqual([]);
});

test('a leader that is not confirmed accuses nobody', async () => {
  const { monitor, alarms } = world({ 2: other, 3: other }, { confirms: false });
  await expect(monitor.checkNow()).rejects.toThrow(KvError);
  expect(alarms).toEqual([]);
});

test('checks run after their interval, again and again, and on the leader alone', async () => {
  const led = world({ 2: alike, 3: alike });
  led.monitor.start();
  for (let i = 0; i < 3; i++) {
    led.clock.advance(1_000);
    await settle();
  }
  // Two members asked three times in all, and once for the compaction, on which all agreed.
  expect(led.asked.map(({ revision }) => revision).sort()).toEqual([40, 40, 50, 50, 50, 50, 50, 50]);
  led.monitor.stop();
  led.clock.advance(60_000);
  expect(led.asked).toHaveLength(8);
  const follower = world({ 2: other, 3: other }, { leads: false });
  follower.monitor.start();
  follower.clock.advance(1_000);
  await settle();
  expect(follower.asked).toEqual([]);
});

test('compactions are compared until all agree, and a minority gets the alarm', async () => {
  const answers: Record<string, HashAnswer | Error> = { 2: alike, 3: new Error('silence') };
  const { monitor, alarms, asked, kept } = world(answers);
  await monitor.checkCompactions();
  await monitor.checkCompactions();
  expect(asked).toHaveLength(4);
  answers['3'] = alike;
  await monitor.checkCompactions();
  await monitor.checkCompactions();
  expect(asked).toHaveLength(6);
  kept.set(45, hashOf(7, 45));
  answers['3'] = other;
  await monitor.checkCompactions();
  expect(asked.at(-1)).toEqual({ revision: 45, ofCompaction: true });
  expect(alarms).toEqual(['3 CORRUPT']);
});

test('before serving, one that differs is refused, and silence says nothing', async () => {
  await expect(world({ 2: alike, 3: other }).monitor.checkBeforeServing()).rejects.toThrow(StartError);
  await expect(world({ 2: alike, 3: other }).monitor.checkBeforeServing()).rejects.toThrow(
    'm1 found data inconsistency with peers: at revision 50 its history is not that of 3',
  );
  await world({ 2: alike }).monitor.checkBeforeServing();
});

test('hashes of compactions are kept, the newest ten, and one that cannot be made is left out', async () => {
  let compact: (revision: number) => void = () => {};
  const store = {
    onCompaction: (listener: (revision: number) => void) => {
      compact = listener;
    },
    hashKv: (revision: number) =>
      revision === 5 ? Promise.reject(new KvError('stopped')) : Promise.resolve(hashOf(revision, revision)),
  };
  const hashes = new CompactionHashes(store, silentLogger);
  for (let revision = 0; revision <= 14; revision++) compact(revision);
  await settle();
  expect(hashes.revisions()).toEqual([14, 13, 12, 11, 10, 9, 8, 7, 6, 4]);
  expect(hashes.get(14)).toEqual(hashOf(14, 14));
  expect(hashes.get(5)).toBeUndefined();
});
