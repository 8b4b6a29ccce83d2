/**
 * The innermost applier: the request does to the state what it says. One method per kind of request; a kind this version does
 * not carry out, or does not know, is refused, on all members of this version alike.
 */
import { FatalError, type LeaseId, noLease } from '@quorate/base';
import {
  type AlarmMember,
  type AlarmRequest,
  AlarmRequestAlarmAction,
  type CompactionRequest,
  type DeleteRangeRequest,
  type DowngradeInfoSet,
  type InternalRaftRequest,
  KvError,
  type LeaseCheckpointRequest,
  type LeaseGrantRequest,
  type MemberAttributesSet,
  type PutRequest,
  type RangeRequest,
} from '@quorate/proto';
import type { AlarmBook, Applier, LeaseTable, Outcome, ReplicatedStore } from './applier.ts';
import type { MembershipStore } from './membership-store.ts';
import { rangeParts } from './range.ts';
import { applyTxn } from './txn.ts';
import { checkLease, checkPrevious, executeDeleteRange, executePut, inWriteTxn, needsPrevious } from './write-ops.ts';

/** The replicated state, in its parts. */
export interface ReplicatedState {
  readonly store: ReplicatedStore;
  readonly alarms: AlarmBook;
  readonly members: MembershipStore;
  readonly leases: LeaseTable;
}

export class BackendApplier implements Applier {
  readonly #store: ReplicatedStore;
  readonly #alarms: AlarmBook;
  readonly #members: MembershipStore;
  readonly #leases: LeaseTable;

  constructor(state: ReplicatedState) {
    this.#store = state.store;
    this.#alarms = state.alarms;
    this.#members = state.members;
    this.#leases = state.leases;
  }

  apply(request: InternalRaftRequest, answered: boolean): Outcome {
    if (request.put !== undefined) return this.#put(request.put, answered);
    if (request.txn !== undefined) return applyTxn(this.#store, this.#leases, request.txn, answered);
    if (request.deleteRange !== undefined) return this.#deleteRange(request.deleteRange, answered);
    if (request.compaction !== undefined) return this.#compaction(request.compaction);
    if (request.alarm !== undefined) return this.#alarm(request.alarm);
    if (request.range !== undefined) return this.#range(request.range);
    if (request.leaseGrant !== undefined) return this.#leaseGrant(request.leaseGrant);
    if (request.leaseRevoke !== undefined) return this.#leaseRevoke(request.leaseRevoke.id);
    if (request.leaseCheckpoint !== undefined) return this.#leaseCheckpoint(request.leaseCheckpoint);
    if (request.memberAttributesSet !== undefined) return this.#memberAttributes(request.memberAttributesSet);
    if (request.clusterVersionSet !== undefined) return this.#clusterVersion(request.clusterVersionSet.version);
    if (request.downgradeInfoSet !== undefined) return this.#downgrade(request.downgradeInfoSet);
    throw new KvError('notCapable');
  }

  /** The lease before the key, as etcd's plain put does it; in a transaction it is the other way round. */
  #put(request: PutRequest, answered: boolean): Outcome {
    mustHaveKey(request.key);
    if (request.lease !== noLease) checkLease(request, this.#leases);
    if (needsPrevious(request)) checkPrevious(request, this.#store.read());
    return inWriteTxn(this.#store, executePut, request, answered);
  }

  #deleteRange(request: DeleteRangeRequest, answered: boolean): Outcome {
    mustHaveKey(request.key);
    return inWriteTxn(this.#store, executeDeleteRange, request, answered);
  }

  #range(request: RangeRequest): Outcome {
    mustHaveKey(request.key);
    return rangeParts(this.#store.read(), request);
  }

  /** Readers see it at once; `physical` is when the rows are gone here. Throws KvError compacted, futureRev. */
  #compaction(request: CompactionRequest): Outcome {
    const { done } = this.#store.compact(request.revision);
    return { op: 'compaction', revision: this.#store.currentRevision, physical: done };
  }

  /**
   * GET goes through the log like the others, as in etcd. Raising what stands answers with it again; taking back what does not
   * stand, and anything with NONE, answers with no alarm. An unknown action does nothing.
   */
  #alarm({ action, memberID, alarm }: AlarmRequest): Outcome {
    const alarms = this.#alarms;
    const revision = this.#store.currentRevision;
    if (action === AlarmRequestAlarmAction.GET) return { op: 'alarm', revision, alarms: alarms.list(alarm) };
    let affected: AlarmMember | undefined;
    if (action === AlarmRequestAlarmAction.ACTIVATE) affected = alarms.activate(memberID, alarm);
    else if (action === AlarmRequestAlarmAction.DEACTIVATE) affected = alarms.deactivate(memberID, alarm);
    return { op: 'alarm', revision, alarms: affected === undefined ? [] : [affected] };
  }

  /** Id and time to live were chosen before the request was proposed. Throws KvError leaseTtlTooLarge, leaseExist. */
  #leaseGrant({ id, ttl }: LeaseGrantRequest): Outcome {
    this.#leases.grant(id, ttl);
    return { op: 'leaseGrant', revision: this.#store.currentRevision, id, ttl };
  }

  /** The keys go in one revision, in byte order; without keys there is none. Throws KvError leaseNotFound. */
  #leaseRevoke(id: LeaseId): Outcome {
    const keys = this.#leases.keysOf(id);
    if (keys.length > 0) {
      const txn = this.#store.write();
      try {
        for (const key of keys) txn.deleteRange(key, undefined);
        txn.end();
      } catch (error) {
        throw new FatalError('keys of a lease could not be deleted', { keys: keys.length }, { cause: error });
      }
    }
    this.#leases.revoke(id);
    return this.#done();
  }

  #leaseCheckpoint({ checkpoints }: LeaseCheckpointRequest): Outcome {
    for (const { id, remainingTTL } of checkpoints) this.#leases.checkpoint(id, remainingTTL);
    return this.#done();
  }

  /** Throws KvError memberNotFound. */
  #memberAttributes(request: MemberAttributesSet): Outcome {
    this.#members.setAttributes(request);
    return this.#done();
  }

  #clusterVersion(version: string): Outcome {
    this.#members.setClusterVersion(version);
    return this.#done();
  }

  #downgrade({ enabled, targetVersion }: DowngradeInfoSet): Outcome {
    this.#members.setDowngrade({ enabled, targetVersion });
    return this.#done();
  }

  #done(): Outcome {
    return { op: 'done', revision: this.#store.currentRevision };
  }
}

/** The edge refuses empty keys; an entry that has one all the same must not reach the index. */
function mustHaveKey(key: Buffer): void {
  if (key.length === 0) throw new KvError('emptyKey');
}
