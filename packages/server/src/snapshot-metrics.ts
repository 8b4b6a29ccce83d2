/** What is told of received states on their way into this member's store, under etcd's names. */
import { type Clock, exponentialBuckets, type Gauge, type Histogram, type Meter } from '@quorate/base';

export class SnapshotMetrics {
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #save: Histogram;
  readonly #fsync: Histogram;
  readonly #applying: Gauge;

  constructor(clock: Pick<Clock, 'nowMs'>, meter: Meter) {
    this.#clock = clock;
    this.#save = meter.histogram(
      { name: 'etcd_snap_db_save_total_duration_seconds', help: 'Receiving a state and making it durable.' },
      exponentialBuckets(0.1, 2, 10),
    );
    this.#fsync = meter.histogram(
      { name: 'etcd_snap_db_fsync_duration_seconds', help: 'The last commit and sync of a received state.' },
      exponentialBuckets(0.001, 2, 14),
    );
    this.#applying = meter.gauge({
      name: 'etcd_server_snapshot_apply_in_progress_total',
      help: '1 while a received state takes the place of the live one, else 0.',
    });
  }

  /** Rejects as `save` does; what failed is not timed. */
  saving(save: () => Promise<void>): Promise<void> {
    return this.#timed(this.#save, save);
  }

  /** As {@link saving}. */
  syncing(sync: () => Promise<void>): Promise<void> {
    return this.#timed(this.#fsync, sync);
  }

  async applying(apply: () => Promise<void>): Promise<void> {
    this.#applying.set(1);
    try {
      await apply();
    } finally {
      this.#applying.set(0);
    }
  }

  async #timed(histogram: Histogram, run: () => Promise<void>): Promise<void> {
    const startedMs = this.#clock.nowMs();
    await run();
    histogram.observe((this.#clock.nowMs() - startedMs) / 1_000);
  }
}
