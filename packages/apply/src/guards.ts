/**
 * What the alarms forbid. Decided by the replicated alarms alone, so all members refuse the same entries; how full a member's
 * disk is plays no part here (the edge measures that and raises the alarm).
 *
 * | | NOSPACE | CORRUPT |
 * |---|---|---|
 * | Put, LeaseGrant | refused | refused |
 * | Txn | refused when either branch, at any depth, puts | refused |
 * | Range (through the log), DeleteRange, Compaction, LeaseRevoke | | refused |
 * | everything else: alarms, membership, auth, lease checkpoints | | |
 *
 * Both at once answer as CORRUPT. Plain ranges and transactions that only read never come here.
 */
import { AlarmType, type InternalRaftRequest, KvError } from '@quorate/proto';
import { txnCost } from '@quorate/quota';
import type { AlarmBook, Applier, Outcome } from './applier.ts';

/** Refuses what takes space while any member has the NOSPACE alarm. */
export class NoSpaceApplier implements Applier {
  readonly #inner: Applier;
  readonly #alarms: AlarmBook;

  constructor(inner: Applier, alarms: AlarmBook) {
    this.#inner = inner;
    this.#alarms = alarms;
  }

  apply(request: InternalRaftRequest, answered: boolean): Outcome {
    if (this.#alarms.any(AlarmType.NOSPACE) && takesSpace(request)) throw new KvError('noSpace');
    return this.#inner.apply(request, answered);
  }
}

/** Refuses what touches keys or leases while any member has the CORRUPT alarm. */
export class CorruptApplier implements Applier {
  readonly #inner: Applier;
  readonly #alarms: AlarmBook;

  constructor(inner: Applier, alarms: AlarmBook) {
    this.#inner = inner;
    this.#alarms = alarms;
  }

  apply(request: InternalRaftRequest, answered: boolean): Outcome {
    if (this.#alarms.any(AlarmType.CORRUPT) && touchesData(request)) throw new KvError('corrupt');
    return this.#inner.apply(request, answered);
  }
}

function takesSpace({ put, txn, leaseGrant }: InternalRaftRequest): boolean {
  return put !== undefined || leaseGrant !== undefined || (txn !== undefined && txnCost(txn) > 0);
}

function touchesData(request: InternalRaftRequest): boolean {
  return (
    request.put !== undefined ||
    request.range !== undefined ||
    request.deleteRange !== undefined ||
    request.txn !== undefined ||
    request.compaction !== undefined ||
    request.leaseGrant !== undefined ||
    request.leaseRevoke !== undefined
  );
}
