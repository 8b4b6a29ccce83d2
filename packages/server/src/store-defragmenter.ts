/** Maintenance.Defragment: gives free space of this member's store back to the disk, while it serves. */
import { type Clock, exponentialBuckets, type Gauge, type Histogram, type Logger, type Meter } from '@quorate/base';
import { DefragmentResponse, KvError } from '@quorate/proto';
import type { StateMachine } from './state-machine.ts';

export interface StoreDefragmenterOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly meter: Meter;
  /** The live state; throws KvError while a received snapshot takes its place, and after the member stopped. */
  readonly state: () => Pick<StateMachine, 'backend'>;
}

export class StoreDefragmenter {
  readonly #options: StoreDefragmenterOptions;
  readonly #inflight: Gauge;
  readonly #seconds: Histogram;
  #running = 0;

  constructor(options: StoreDefragmenterOptions) {
    this.#options = options;
    const { meter } = options;
    this.#inflight = meter.gauge({
      name: 'etcd_disk_defrag_inflight',
      help: 'Whether or not defrag is active on the member. 1 or more means active, 0 means not.',
    });
    this.#seconds = meter.histogram(
      {
        name: 'etcd_disk_backend_defrag_duration_seconds',
        help: 'The latency distribution of backend defragmentation.',
      },
      exponentialBuckets(0.1, 2, 13),
    );
  }

  /**
   * Resolves when the store takes no more space than it needs. Callers at the same time share the work. Rejects with KvError when
   * the member stops or its state is replaced meanwhile, with DefragmentError when there is no room; the store is as before then.
   */
  async run(): Promise<DefragmentResponse> {
    const { clock, logger, state } = this.#options;
    const { backend } = state();
    const startedMs = clock.nowMs();
    this.#inflight.set(++this.#running);
    logger.info('defragmenting', {
      sizeBytes: backend.sizeBytes(),
      sizeInUseBytes: backend.sizeInUseBytes(),
    });
    try {
      const done = await backend.defragment(clock);
      if (done === undefined) throw replacedOrStopped(state);
      const tookMs = Math.round(clock.nowMs() - startedMs);
      this.#seconds.observe(tookMs / 1000);
      logger.info('finished defragmenting', { ...done, tookMs });
      return DefragmentResponse.create();
    } catch (error) {
      logger.warn('could not defragment', { reason: String(error) });
      throw error;
    } finally {
      this.#inflight.set(--this.#running);
    }
  }
}

/** Why the backend was closed. */
function replacedOrStopped(state: () => unknown): unknown {
  try {
    state();
    return new KvError('leaderChanged');
  } catch (error) {
    return error;
  }
}
