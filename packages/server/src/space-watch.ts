/**
 * Warns long before the quota is reached: once when the bytes in use pass 80 % and 90 % of it, with what to do, and again only
 * after they fell below.
 */
import type { Logger } from '@quorate/base';
import type { Quota, QuotaPressure } from '@quorate/quota';

const ranks: Readonly<Record<QuotaPressure, number>> = { none: 0, high: 1, critical: 2, exceeded: 3 };

export class SpaceWatch {
  readonly #quota: Quota;
  readonly #logger: Logger;
  #last: QuotaPressure = 'none';

  constructor(quota: Quota, logger: Logger) {
    this.#quota = quota;
    this.#logger = logger;
  }

  /** Looks at the bytes in use; cheap enough for every tick. */
  look(sizeInUseBytes: number): void {
    const pressure = this.#quota.pressure(sizeInUseBytes);
    if (ranks[pressure] > ranks[this.#last]) {
      this.#logger.warn('the store fills up: compact old revisions, delete keys or raise --quota-backend-bytes', {
        pressure,
        sizeInUseBytes,
        quotaBytes: this.#quota.limitBytes,
      });
    }
    this.#last = pressure;
  }
}
