/**
 * Random histories of a random cluster: crashes that lose what was not synced, messages dropped, duplicated, reordered and sent
 * astray, partitions, compaction, configuration changes, leadership transfers; both storage modes. Rules R1 to R9 hold after every
 * step, reads are never stale, and when the faults end the group recovers. The same histories every time, unless QUORATE_RAFT_SEED
 * chooses others; QUORATE_RAFT_RUNS sets their number.
 */
import { env } from 'node:process';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ChaosAction, ChaosCluster, type ChaosKind, type ChaosOptions } from './testing/chaos-cluster.ts';

const runs = Number(env['QUORATE_RAFT_RUNS'] ?? 400);
const seed = Number(env['QUORATE_RAFT_SEED'] ?? 1);

const weights: Record<ChaosKind, number> = {
  run: 16,
  deliver: 40,
  ready: 30,
  threads: 30,
  tick: 12,
  propose: 10,
  read: 4,
  change: 4,
  transfer: 2,
  campaign: 1,
  forget: 1,
  unreachable: 2,
  drop: 5,
  duplicate: 5,
  misdeliver: 1,
  cut: 2,
  mend: 2,
  compact: 5,
  crash: 2,
  restart: 4,
};

const kinds = Object.entries(weights).map(([kind, weight]) => ({
  arbitrary: fc.constant(kind as ChaosKind),
  weight,
}));

const action: fc.Arbitrary<ChaosAction> = fc.record({
  kind: fc.oneof(...kinds),
  x: fc.noBias(fc.nat(0xffff)),
  y: fc.noBias(fc.nat(0xffff)),
});

function optionsFor(asyncStorageWrites: boolean): fc.Arbitrary<ChaosOptions> {
  return fc.record({
    seed: fc.nat(),
    voters: fc.integer({ min: 1, max: 5 }),
    learners: fc.integer({ min: 0, max: 2 }),
    asyncStorageWrites: fc.constant(asyncStorageWrites),
    preVote: fc.boolean(),
    checkQuorum: fc.boolean(),
    quietCommits: fc.boolean(),
    thriftyReads: fc.boolean(),
    maxInflightMsgs: fc.constantFrom(1, 2, 3, 64),
    maxSizePerMsg: fc.constantFrom(0, 100, 300, 1_000_000),
    maxCommittedSizePerReady: fc.constantFrom(1, 100, 300, 1_000_000),
    maxUncommittedEntriesSize: fc.constantFrom(1, 400, Number.POSITIVE_INFINITY),
  });
}

for (const asyncStorageWrites of [false, true]) {
  const mode = asyncStorageWrites ? 'asynchronous' : 'synchronous';
  test(`a cluster with ${mode} storage writes keeps its promises and recovers`, { timeout: 600_000 }, () => {
    const seen = { committed: 0, leaders: 0, changes: 0, reads: 0 };
    fc.assert(
      fc.property(
        optionsFor(asyncStorageWrites),
        fc.array(action, { minLength: 200, maxLength: 600, size: 'max' }),
        (options, actions) => {
          const cluster = new ChaosCluster(options);
          for (const each of actions) cluster.act(each);
          cluster.heal();
          seen.committed += cluster.ledger.committedTo;
          seen.leaders += cluster.ledger.leaders;
          seen.changes += cluster.ledger.changes;
          seen.reads += cluster.readsAnswered;
        },
      ),
      { numRuns: runs, seed },
    );
    // The histories are worth something: this much happens in them on average.
    expect(seen.committed / runs).toBeGreaterThan(20);
    expect(seen.leaders / runs).toBeGreaterThan(2);
    expect(seen.changes / runs).toBeGreaterThan(1);
    expect(seen.reads / runs).toBeGreaterThan(1);
  });
}
