/**
 * How full the store is against its quota: a level for the metrics and for who asks, and a warning when the bytes in use pass 80 %
 * and 90 % of it, once each, with what to do, and again only after they fell below.
 */
import type { Gauge, Logger, Meter } from '@quorate/base';
import type { Quota, QuotaPressure } from '@quorate/quota';

const levels: Readonly<Record<QuotaPressure, number>> = { none: 0, high: 1, critical: 2, exceeded: 3 };

export interface SpaceWatchOptions {
  readonly quota: Quota;
  readonly logger: Logger;
  readonly meter: Meter;
}

/** How full the store is. */
export interface SpaceReport {
  readonly pressure: QuotaPressure;
  readonly inUseBytes: number;
  /** 0: no limit. */
  readonly quotaBytes: number;
  /** The command that makes room; empty while there is enough. */
  readonly run: string;
}

export class SpaceWatch {
  readonly #quota: Quota;
  readonly #logger: Logger;
  readonly #level: Gauge;
  #last: QuotaPressure = 'none';
  #report: SpaceReport;

  constructor({ quota, logger, meter }: SpaceWatchOptions) {
    this.#quota = quota;
    this.#logger = logger;
    this.#level = meter.gauge({
      name: 'quorate_quota_pressure',
      help: 'How full the store is: 0 below 80 % of the quota, 1 from 80 %, 2 from 90 %, 3 when it is used up.',
    });
    this.#level.set(0);
    this.#report = { pressure: 'none', inUseBytes: 0, quotaBytes: quota.limitBytes, run: '' };
  }

  /** As at the last look. */
  get report(): SpaceReport {
    return this.#report;
  }

  /** Looks at the bytes in use, while the store is at `revision`; cheap enough for every tick. */
  look(inUseBytes: number, revision: number): void {
    const pressure = this.#quota.pressure(inUseBytes);
    const run = pressure === 'none' ? '' : `kvctl compaction ${revision} --physical`;
    const quotaBytes = this.#quota.limitBytes;
    this.#report = { pressure, inUseBytes, quotaBytes, run };
    if (pressure === this.#last) return;
    if (levels[pressure] > levels[this.#last]) {
      const share = `${Math.floor((100 * inUseBytes) / quotaBytes)} %`;
      const message = 'the store fills up: forget old revisions, then delete keys or raise --quota-backend-bytes';
      this.#logger.warn(message, { pressure, share, inUseBytes, quotaBytes, run });
    }
    this.#last = pressure;
    this.#level.set(levels[pressure]);
  }
}
