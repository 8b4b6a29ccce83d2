/** The raft core of a member, made from its settings and what the disk said. */
import { MemoryStorage, RawNode } from '@quorate/raft';
import type { Booted } from './bootstrap.ts';
import { confChangeCodec } from './conf-change.ts';
import type { MemberConfig } from './config.ts';
import type { Runtime } from './runtime.ts';

/** Raft limits that no flag sets; etcd's where it has them. */
const raftLimits = {
  maxSizePerMsg: 1024 * 1024,
  /** Committed entries handed out at once: a slice of applying that stays within a few milliseconds. */
  maxCommittedSizePerReady: 128 * 1024,
  maxInflightMsgs: 512,
  maxInflightBytes: 64 * 1024 * 1024,
  maxUncommittedEntriesSize: 256 * 1024 * 1024,
};

/** The log in memory, as the disk has it. */
export function openStorage(booted: Booted): MemoryStorage {
  const { logStart, confState, entries, hardState } = booted;
  const storage = new MemoryStorage();
  if (logStart.index > 0) storage.applySnapshot({ data: Buffer.alloc(0), metadata: { ...logStart, confState } });
  storage.append(entries);
  storage.setHardState(hardState);
  // The state may be ahead of where the log begins, and the configuration comes with the state.
  storage.setConfState(confState);
  return storage;
}

/** The raft core on top of it. */
export function openRaft(config: MemberConfig, runtime: Runtime, booted: Booted, storage: MemoryStorage): RawNode {
  return new RawNode({
    id: booted.identity.memberId,
    electionTicks: Math.floor(config.electionMs / config.heartbeatMs),
    heartbeatTicks: 1,
    storage,
    applied: booted.appliedIndex,
    asyncStorageWrites: true,
    quietCommits: true,
    thriftyReads: true,
    checkQuorum: true,
    preVote: config.preVote,
    random: runtime.random,
    logger: runtime.logger,
    confChangeCodec,
    ...raftLimits,
  });
}
