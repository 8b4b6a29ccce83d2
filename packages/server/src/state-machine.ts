/**
 * The replicated state of a member, all of it on one backend: keys, leases, alarms, membership, and the index it stands at. Opened from a
 * backend, replaced as a whole when a snapshot is installed.
 */
import { type ApplyHooks, ApplyLoop, EntryBackend, MembershipStore } from '@quorate/apply';
import { type Backend, CommitSchedule } from '@quorate/backend';
import type { MemberId } from '@quorate/base';
import { Lessor } from '@quorate/lease';
import { type RowIntake, Store } from '@quorate/mvcc';
import { AlarmStore } from '@quorate/quota';
import { CompactionHashes } from './compaction-hashes.ts';
import type { MemberConfig } from './config.ts';
import type { Runtime } from './runtime.ts';

export interface StateMachineOptions {
  readonly config: MemberConfig;
  readonly runtime: Runtime;
  readonly memberId: MemberId;
  readonly backend: Backend;
  /** Has seen the rows of the backend, when that was opened. Default: they are scanned. */
  readonly intake?: RowIntake | undefined;
  readonly hooks: ApplyHooks;
}

export class StateMachine {
  readonly backend: Backend;
  readonly store: Store;
  readonly leases: Lessor;
  readonly alarms: AlarmStore;
  readonly members: MembershipStore;
  readonly applyLoop: ApplyLoop;
  /** Commits what was applied, every interval or batch, and knows up to which index it is durable. */
  readonly commits: CommitSchedule;
  /** Hashes made at compactions; undefined unless they are to be compared. */
  readonly compactionHashes: CompactionHashes | undefined;

  private constructor(parts: {
    backend: Backend;
    store: Store;
    leases: Lessor;
    alarms: AlarmStore;
    members: MembershipStore;
    applyLoop: ApplyLoop;
    commits: CommitSchedule;
    compactionHashes: CompactionHashes | undefined;
  }) {
    this.backend = parts.backend;
    this.store = parts.store;
    this.leases = parts.leases;
    this.alarms = parts.alarms;
    this.members = parts.members;
    this.applyLoop = parts.applyLoop;
    this.commits = parts.commits;
    this.compactionHashes = parts.compactionHashes;
  }

  /** Rebuilds the in-memory parts from the backend, in slices. */
  static async open(options: StateMachineOptions): Promise<StateMachine> {
    const { config, runtime, memberId, hooks } = options;
    const backend = new EntryBackend(options.backend);
    const { clock, logger, meter, crash, checksum, onFatal } = runtime;
    // The leases first: the store says which keys hang on them.
    const leases = Lessor.open({ backend, clock, meter });
    const compaction = { batchLimit: config.compactionBatchLimit, sleepMs: config.compactionSleepMs };
    const storeOptions = { backend, clock, logger, meter, crash, checksum, onFatal, leases, compaction };
    const store = await Store.open(storeOptions, options.intake);
    if (runtime.onChanges !== undefined) store.onChanges(runtime.onChanges);
    const alarms = AlarmStore.open(backend, logger, meter);
    const members = MembershipStore.open(backend);
    const applyLoop = new ApplyLoop({ memberId, backend, store, leases, alarms, members, clock, meter, crash, hooks });
    const commits = new CommitSchedule({
      backend,
      clock,
      intervalMs: config.backendBatchIntervalMs,
      opsMax: config.backendBatchLimit,
      durableMark: applyLoop.appliedIndex,
      onFatal,
    });
    const compactionHashes = config.compactHashCheck ? new CompactionHashes(store, logger) : undefined;
    return new StateMachine({ backend, store, leases, alarms, members, applyLoop, commits, compactionHashes });
  }

  /** Ends background work, makes everything applied durable and closes the backend. */
  async close(): Promise<void> {
    this.alarms.close();
    await this.store.close();
    await this.commits.close();
    await this.backend.close();
  }
}
