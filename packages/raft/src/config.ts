/**
 * Settings of the core: what each means, its unit, its default, and where it comes from. Checked once, when a node is made; a
 * wrong one is a programming error.
 */
import { invariant, type Logger, type MemberId, type Random, silentLogger } from '@quorate/base';
import type { Storage } from './storage.ts';
import { type ConfChangeCodec, isLocalThread } from './types.ts';

/**
 * How a leader makes sure that it still leads before it names a read index. `safe`: it asks a majority (thesis 6.4). `lease-based`: it
 * trusts that it would have been deposed otherwise, which is true only while clocks run at the same pace; the server never uses it.
 */
export type ReadOnlyOption = 'safe' | 'lease-based';

export interface RaftConfig {
  /** This member. Never 0. */
  readonly id: MemberId;
  /** The durable log to start from. */
  readonly storage: Storage;
  /** Chance, for the jitter of election timeouts. */
  readonly random: Random;
  /** How configuration changes are written into entries. */
  readonly confChangeCodec: ConfChangeCodec;
  /**
   * Ticks without word from a leader before a member campaigns; the actual number is drawn from [n, 2n) each time (thesis 3.4).
   * Must exceed heartbeatTicks. Default 10. etcd: --election-timeout / --heartbeat-interval.
   */
  readonly electionTicks?: number;
  /** Ticks between heartbeats of a leader. Default 1. */
  readonly heartbeatTicks?: number;
  /** Index up to which the state was applied before; entries up to it are not handed out again. Default: none beyond the snapshot. */
  readonly applied?: number;
  /**
   * Disk and apply work is handed out as messages to two local threads, with the answers to deliver once it is done, and advance()
   * is not used. Default false: one ready at a time, acknowledged by advance().
   */
  readonly asyncStorageWrites?: boolean;
  /** Bytes of entries in one append, by estimated encoded size; one entry always goes. Default 1 MiB (etcd: maxSizePerMsg). */
  readonly maxSizePerMsg?: number;
  /** Bytes of committed entries handed out and not yet applied; one entry always goes. Default: maxSizePerMsg. */
  readonly maxCommittedSizePerReady?: number;
  /** Bytes of data in entries proposed and not yet applied, above which a leader drops proposals. Default: no limit. */
  readonly maxUncommittedEntriesSize?: number;
  /** Appends sent ahead to one follower. Default 512 (etcd: maxInflightMsgs). */
  readonly maxInflightMsgs?: number;
  /** Bytes of data in appends sent ahead to one follower; not below maxSizePerMsg. Default: no limit. */
  readonly maxInflightBytes?: number;
  /** A leader that did not hear from a quorum for an election timeout steps down (thesis 6.2). Default true. */
  readonly checkQuorum?: boolean;
  /** A candidate first asks whether it could win, without raising the term (thesis 9.6). Default true. etcd: --pre-vote. */
  readonly preVote?: boolean;
  /** Default `safe`. `lease-based` needs checkQuorum. */
  readonly readOnlyOption?: ReadOnlyOption;
  /** Followers drop proposals instead of forwarding them to the leader. Default false. */
  readonly disableProposalForwarding?: boolean;
  /**
   * The leader accepts configuration changes without checking them against the configuration in force. Only for programs that
   * check at apply themselves. Default false.
   */
  readonly disableConfChangeValidation?: boolean;
  /**
   * Fewer messages for the commit index. While more entries are on their way to be committed it waits for the next append, the next
   * commit or the next heartbeat, whichever is first. When it travels alone to a follower whose log is known, it is not answered: the
   * answer would say nothing that the answers to the entries before and to the next heartbeat do not. Members without this setting
   * answer as ever. Default false.
   */
  readonly quietCommits?: boolean;
  /**
   * A leader asks only as many followers to confirm a read as are needed: those that confirmed the last ones first or had the last
   * commit first, whichever was later. It asks everyone every so many reads, to learn who is quickest; when a follower that it asks
   * becomes unreachable; when several reads wait; and with its next heartbeat, which is how long a read waits for a follower that fell
   * silent. Half the messages of three members. Default false.
   */
  readonly thriftyReads?: boolean;
  /** A leader that applies its own removal or demotion steps down at once. Default true. */
  readonly stepDownOnRemoval?: boolean;
  /** Trace of what happens. Default: none. */
  readonly logger?: Logger;
}

/** A config with all defaults filled in. */
export type ResolvedConfig = Required<RaftConfig>;

const mebibyte = 1024 * 1024;

/** Fills in defaults and checks that the settings fit each other. Throws FatalError when they do not. */
export function resolveConfig(config: RaftConfig): ResolvedConfig {
  const maxSizePerMsg = config.maxSizePerMsg ?? mebibyte;
  const resolved: ResolvedConfig = {
    id: config.id,
    storage: config.storage,
    random: config.random,
    confChangeCodec: config.confChangeCodec,
    electionTicks: config.electionTicks ?? 10,
    heartbeatTicks: config.heartbeatTicks ?? 1,
    applied: config.applied ?? 0,
    asyncStorageWrites: config.asyncStorageWrites ?? false,
    maxSizePerMsg,
    maxCommittedSizePerReady: config.maxCommittedSizePerReady ?? maxSizePerMsg,
    maxUncommittedEntriesSize: config.maxUncommittedEntriesSize ?? Number.POSITIVE_INFINITY,
    maxInflightMsgs: config.maxInflightMsgs ?? 512,
    maxInflightBytes: config.maxInflightBytes ?? Number.POSITIVE_INFINITY,
    checkQuorum: config.checkQuorum ?? true,
    preVote: config.preVote ?? true,
    readOnlyOption: config.readOnlyOption ?? 'safe',
    disableProposalForwarding: config.disableProposalForwarding ?? false,
    disableConfChangeValidation: config.disableConfChangeValidation ?? false,
    quietCommits: config.quietCommits ?? false,
    thriftyReads: config.thriftyReads ?? false,
    stepDownOnRemoval: config.stepDownOnRemoval ?? true,
    logger: config.logger ?? silentLogger,
  };
  checkConfig(resolved);
  return resolved;
}

function checkConfig(config: ResolvedConfig): void {
  const { heartbeatTicks, electionTicks } = config;
  invariant(config.id !== 0n, 'a member needs an id');
  invariant(!isLocalThread(config.id), 'member id is reserved for a local thread', { id: config.id });
  invariant(heartbeatTicks > 0, 'heartbeatTicks must be positive', { heartbeatTicks });
  invariant(electionTicks > heartbeatTicks, 'electionTicks must exceed heartbeatTicks', {
    electionTicks,
    heartbeatTicks,
  });
  invariant(config.maxSizePerMsg >= 0, 'maxSizePerMsg must not be negative');
  invariant(config.maxCommittedSizePerReady > 0, 'maxCommittedSizePerReady must be positive');
  invariant(config.maxUncommittedEntriesSize > 0, 'maxUncommittedEntriesSize must be positive');
  invariant(config.maxInflightMsgs > 0, 'maxInflightMsgs must be positive');
  invariant(config.maxInflightBytes >= config.maxSizePerMsg, 'maxInflightBytes must not be below maxSizePerMsg');
  invariant(config.readOnlyOption === 'safe' || config.checkQuorum, 'lease-based reads need checkQuorum');
}
