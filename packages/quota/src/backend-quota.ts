/**
 * The space quota: what a request costs, and whether it still fits. The decision is made once, by the member that
 * receives a request and before it is proposed; what does not fit raises the NOSPACE alarm through the log, and from
 * there on the replicated alarm alone decides, equally on every member. (etcd also decides at apply, by each member's
 * own file size, and then executes the write that it answers with an error; here a write that gets `noSpace` never
 * happened.)
 *
 * Sizes are bytes in use: pages that compaction freed count as free, and what is staged but not committed counts
 * already. etcd measures the file, so that there space comes back only by defragmentation.
 */
import type { Logger, Meter } from '@quorate/base';
import type { PutRequest, RequestOp, TxnRequest } from '@quorate/proto';

/** The limit when none is given: 2 GiB. */
export const defaultQuotaBytes: number = 2 * 1024 ** 3;
/** Above this the limit is granted with a warning: 8 GiB. */
export const recommendedQuotaBytesMax: number = 8 * 1024 ** 3;

/** Charged for a put besides its key and value, for the record around them. */
const putOverheadBytes = 256;

/** Cost of granting a lease. */
export const leaseGrantCost = 64;

/** Cost of a put in bytes. */
export function putCost(put: PutRequest): number {
  return putOverheadBytes + put.key.length + put.value.length;
}

/** Cost of a transaction: the puts of its dearer branch, whichever will be taken, nested transactions alike. */
export function txnCost(txn: TxnRequest): number {
  return Math.max(branchCost(txn.success), branchCost(txn.failure));
}

/** How near the limit is. */
export type QuotaPressure = 'none' | 'high' | 'critical' | 'exceeded';

/** Parts of the limit from which on {@link Quota.pressure} is `high` and `critical`. */
export const pressureFractions = { high: 0.8, critical: 0.9 } as const;

/** What a quota needs. */
export interface QuotaOptions {
  /** `--quota-backend-bytes`: 0 means 2 GiB, negative means no limit. */
  readonly limitBytes: number;
  readonly logger: Logger;
  readonly meter: Meter;
}

/** The limit of one member. */
export class Quota {
  /** The limit in force; 0 when there is none. */
  readonly limitBytes: number;

  /** Logs what limit it is, with a warning when it is none or beyond the recommended. */
  constructor({ limitBytes, logger, meter }: QuotaOptions) {
    this.limitBytes = limitBytes < 0 ? 0 : limitBytes === 0 ? defaultQuotaBytes : limitBytes;
    if (limitBytes < 0) {
      logger.warn('space quota is switched off');
    } else if (limitBytes > recommendedQuotaBytesMax) {
      logger.warn('space quota is above the recommended maximum', { limitBytes, recommendedQuotaBytesMax });
    } else {
      logger.info('space quota', { limitBytes: this.limitBytes });
    }
    const help = 'Space quota in bytes; 0 when switched off.';
    meter.gauge({ name: 'etcd_server_quota_backend_bytes', help }).set(this.limitBytes);
  }

  /**
   * Whether something of `cost` fits on top of `sizeBytes`, the bytes in use and staged. What costs nothing always
   * fits.
   */
  allows(cost: number, sizeBytes: number): boolean {
    return cost === 0 || this.limitBytes === 0 || sizeBytes + cost < this.limitBytes;
  }

  /** How near `sizeBytes` is to the limit: what health and metrics say long before writes are refused. */
  pressure(sizeBytes: number): QuotaPressure {
    if (this.limitBytes === 0) return 'none';
    const fraction = sizeBytes / this.limitBytes;
    if (fraction >= 1) return 'exceeded';
    if (fraction >= pressureFractions.critical) return 'critical';
    return fraction >= pressureFractions.high ? 'high' : 'none';
  }
}

function branchCost(ops: readonly RequestOp[]): number {
  let cost = 0;
  for (const op of ops) {
    if (op.requestPut !== undefined) cost += putCost(op.requestPut);
    else if (op.requestTxn !== undefined) cost += txnCost(op.requestTxn);
  }
  return cost;
}
