/**
 * One member, killed at a random crash point of the write path, again and again. What its store holds after each crash must equal
 * the replay of its log up to the store's consistent index, and everything acknowledged must be there after the restart.
 * `QUORATE_CRASH_RUNS` sets the number of runs (default 1,000), each with several crashes.
 */
import { crashPointNames, noCrashPoints, SeededRandom, silentLogger, silentMeter } from '@quorate/base';
import { Client, digestStore, replayLog, SimCluster } from '@quorate/sim';
import { Wal, type WalRecovery } from '@quorate/wal';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';

const runs = Number(process.env['QUORATE_CRASH_RUNS'] ?? 1_000);

const segmentSizeBytes = 4096;

/** Points a member alone can pass; the others belong to followers and received snapshots. */
const points = crashPointNames.filter((name) => !name.startsWith('snapshot') && name !== 'raftBeforeSendLeader');

const crashArbitrary = fc.record({
  name: fc.constantFrom(...points),
  nth: fc.integer({ min: 1, max: 40 }),
  how: fc.constantFrom('process' as const, 'power' as const),
});

async function logOf(cluster: SimCluster): Promise<WalRecovery> {
  const clock = { nowMs: () => 0, wallMs: () => 0, after: () => ({ cancel: () => {} }), soon: () => {} };
  const { wal, recovery } = await Wal.open(
    {
      disk: cluster.members[0]!.disk,
      directory: 'wal',
      clock,
      random: new SeededRandom(3),
      logger: silentLogger,
      meter: silentMeter,
      crash: noCrashPoints,
      segmentSizeBytes,
    },
    { committedAtLeast: 0 },
  );
  await wal.close();
  return recovery;
}

test(`${runs} runs: after a crash the store equals the replay of the log up to its consistent index`, async () => {
  const crashes = { count: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 2 ** 31 }),
      fc.array(crashArbitrary, { minLength: 1, maxLength: 3 }),
      async (seed, plan) => {
        const cluster = new SimCluster({
          seed,
          size: 1,
          config: {
            // The whole log stays, so that it can be replayed from its first entry.
            snapshotCount: 1_000_000,
            snapshotCatchUpEntries: 1,
            backendBatchIntervalMs: 20,
            backendBatchLimit: 8,
            compactionBatchLimit: 2,
            walSegmentBytes: segmentSizeBytes,
          },
        });
        const member = cluster.members[0]!;
        const { scheduler, history, members, random } = cluster;
        const client = new Client('c', { scheduler, random, history, members, keyCount: 4, pauseMs: 3 });
        client.start();
        for (const { name, nth, how } of plan) {
          member.armKind(how);
          member.start();
          member.arm(name, nth);
          await scheduler.run(scheduler.nowMs + 1_500, () => !member.alive);
          if (member.alive) member.crash(how);
          crashes.count++;
          await expectReplay(cluster);
        }
        member.start();
        await cluster.runUntil('served again', () => cluster.leader() !== undefined, 20_000);
        client.stop();
        await cluster.run(5_000);
        expect(cluster.checkAll()).toEqual([]);
      },
    ),
    { numRuns: runs },
  );
  expect(crashes.count).toBeGreaterThanOrEqual(runs);
});

async function expectReplay(cluster: SimCluster): Promise<void> {
  const member = cluster.members[0]!;
  if (
    !(await member.backends.exists('db')) ||
    (await member.disk.list('wal')).every((name) => !name.endsWith('.wal'))
  ) {
    return;
  }
  const { entries } = await logOf(cluster);
  const backend = await member.backends.open('db');
  const memberId = cluster.ids[0]!;
  const stored = await digestStore(member.config, memberId, backend);
  const replayed = await replayLog({ config: member.config, memberId, entries, upTo: stored.index });
  expect(stored).toEqual(replayed);
  member.backends.crash({ keepUnflushed: true });
}
