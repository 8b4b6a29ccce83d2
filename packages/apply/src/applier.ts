/**
 * What carries a committed request out, and what comes of it. Appliers are wrapped around each other: guards outside, the one
 * that works on the state innermost. The rule for all of them: the outcome is a function of the replicated state and the
 * request, never of time, configuration, or whether somebody here waits for the answer.
 */
import type { Key, LeaseId } from '@quorate/base';
import type { Compaction, ReadTxn, WriteTxn } from '@quorate/mvcc';
import type { AlarmMember, InternalRaftRequest, OpParts } from '@quorate/proto';

/** What a request did, as far as an answer needs it. */
export type Outcome =
  | OpParts
  | { readonly op: 'alarm'; readonly revision: number; readonly alarms: readonly AlarmMember[] }
  | { readonly op: 'compaction'; readonly revision: number; readonly physical: Promise<void> }
  | { readonly op: 'leaseGrant'; readonly revision: number; readonly id: LeaseId; readonly ttl: number }
  /** Done; there is nothing to tell but the revision. */
  | { readonly op: 'done'; readonly revision: number };

/** Carries requests out. */
export interface Applier {
  /**
   * Throws KvError when the request is refused, having changed nothing then; any other error means the state can no longer be
   * trusted. With `answered` false nobody will see the outcome: reads that only feed the answer may be left out, and with them
   * their parts of the outcome.
   */
  apply(request: InternalRaftRequest, answered: boolean): Outcome;
}

/** The part of the store that is replicated: what appliers read and write. */
export interface ReplicatedStore {
  readonly currentRevision: number;
  read(): ReadTxn;
  write(): WriteTxn;
  compact(revision: number): Compaction;
}

/** Which leases exist. */
export interface LeaseLookup {
  has(lease: LeaseId): boolean;
}

/** The leases there are, and how they change; all of it replicated. Seconds throughout. */
export interface LeaseTable extends LeaseLookup {
  /** Throws KvError leaseNotFound (for no id), leaseTtlTooLarge, leaseExist. */
  grant(lease: LeaseId, ttl: number): void;
  /** The keys attached, in byte order. Throws KvError leaseNotFound. */
  keysOf(lease: LeaseId): readonly Key[];
  /** Removes a lease without keys. Throws KvError leaseNotFound. */
  revoke(lease: LeaseId): void;
  /** Notes what is left of a lease; 0: it was renewed. A lease that is gone is passed over. */
  checkpoint(lease: LeaseId, remainingTtl: number): void;
}

/** The alarms that stand, and how they change; all of it replicated. */
export interface AlarmBook {
  /** Whether any member raised an alarm of this type (a number of AlarmType). */
  any(type: number): boolean;
  /** Alarms of one type, or all of them for NONE. */
  list(type?: number): AlarmMember[];
  /** Returns the alarm as it stands now, raised before or not. */
  activate(memberId: bigint, type: number): AlarmMember | undefined;
  /** Returns the alarm taken back; undefined when there was none. */
  deactivate(memberId: bigint, type: number): AlarmMember | undefined;
}
