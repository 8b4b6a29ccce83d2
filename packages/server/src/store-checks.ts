/** All that looks after what a member stores: its search for damage, and its comparisons with the other members. */
import type { MemberCore } from './core.ts';
import { CorruptionMonitor } from './corruption-monitor.ts';
import { type Scrubber, scrubberOf } from './scrubber.ts';

export class StoreChecks {
  readonly #scrubber: Scrubber;
  readonly #monitor: CorruptionMonitor;
  readonly #comparesFirst: boolean;

  constructor(core: MemberCore) {
    this.#scrubber = scrubberOf(core);
    this.#monitor = new CorruptionMonitor(core);
    this.#comparesFirst = core.config.initialCorruptCheck;
  }

  /** Compares first, if that is asked for, then begins. Rejects with StartError when this member is not to serve. */
  async start(): Promise<void> {
    if (this.#comparesFirst) await this.#monitor.checkBeforeServing();
    this.#scrubber.start();
    this.#monitor.start();
  }

  stop(): void {
    this.#scrubber.stop();
    this.#monitor.stop();
  }
}
