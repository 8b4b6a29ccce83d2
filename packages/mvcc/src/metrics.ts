/**
 * The store's metrics under etcd's names; handles are made once.
 */
import { type Counter, exponentialBuckets, type Gauge, type Histogram, type Meter } from '@quorate/base';

/** What is read only when somebody looks. */
export interface ObservedValues {
  readonly currentRevision: number;
  readonly compactRevision: number;
  readonly keyCount: number;
}

/** Handles of one store. */
export class StoreMetrics {
  readonly ranges: Counter;
  readonly puts: Counter;
  readonly deletes: Counter;
  readonly transactions: Counter;
  readonly compactedKeys: Counter;
  readonly compactionLast: Gauge;
  readonly compactionPauseMs: Histogram;
  readonly compactionTotalMs: Histogram;
  readonly hashSeconds: Histogram;
  /** Bytes of keys and values put since the start. */
  putBytes = 0;

  constructor(meter: Meter, observed: ObservedValues) {
    const counter = (name: string, help: string): Counter => meter.counter({ name, help });
    const observe = (name: string, help: string, read: () => number): void => meter.observedGauge({ name, help }, read);
    const rangesHelp = 'Ranges seen by this member.';
    const ranges = counter('etcd_mvcc_range_total', rangesHelp);
    const debuggingRanges = counter('etcd_debugging_mvcc_range_total', rangesHelp);
    // The older name of the same: etcd still has both.
    this.ranges = {
      add: (amount) => {
        ranges.add(amount);
        debuggingRanges.add(amount);
      },
    };
    this.puts = counter('etcd_mvcc_put_total', 'Puts seen by this member.');
    this.deletes = counter('etcd_mvcc_delete_total', 'Deletes seen by this member.');
    this.transactions = counter('etcd_mvcc_txn_total', 'Transactions of more than one operation seen by this member.');
    this.compactedKeys = counter('etcd_debugging_mvcc_db_compaction_keys_total', 'Versions removed by compaction.');
    this.compactionLast = meter.gauge({
      name: 'etcd_debugging_mvcc_db_compaction_last',
      help: 'Unix time of the last finished compaction, in seconds.',
    });
    this.compactionPauseMs = meter.histogram(
      {
        name: 'etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds',
        help: 'How long one slice of compaction held the event loop.',
      },
      exponentialBuckets(1, 2, 13),
    );
    this.compactionTotalMs = meter.histogram(
      {
        name: 'etcd_debugging_mvcc_db_compaction_total_duration_milliseconds',
        help: 'How long a compaction took, pauses included.',
      },
      exponentialBuckets(100, 2, 14),
    );
    this.hashSeconds = meter.histogram(
      { name: 'etcd_mvcc_hash_rev_duration_seconds', help: 'How long hashing the history took.' },
      exponentialBuckets(0.01, 2, 15),
    );
    observe('etcd_debugging_mvcc_keys_total', 'Living keys.', () => observed.keyCount);
    observe('etcd_debugging_mvcc_current_revision', 'Current revision.', () => observed.currentRevision);
    observe('etcd_debugging_mvcc_compact_revision', 'Last compact revision.', () => observed.compactRevision);
    observe('etcd_debugging_mvcc_total_put_size_in_bytes', 'Bytes of keys and values put.', () => this.putBytes);
  }
}
