/**
 * Answers ranges from the live state. A range that fits into a slice is answered on the spot; a longer one is read slice by slice,
 * with other work in between, at the revision it began with.
 */
import { RangeScan, rangeResponse } from '@quorate/apply';
import type { Clock } from '@quorate/base';
import { encodeRangeResponse, KvError, type RangeRequest, type RangeResponse } from '@quorate/proto';
import type { Reply } from '@quorate/rpc';
import type { HeaderSource } from './header.ts';
import type { StateMachine } from './state-machine.ts';

export interface RangeServerOptions {
  readonly clock: Clock;
  readonly headers: HeaderSource;
  readonly state: () => StateMachine;
}

/** Bytes of records read in one turn: a few milliseconds. */
const sliceBytes = 512 * 1024;
/** A range at the current revision that a compaction overtakes is read anew, at most so often. */
const attemptsMax = 3;

export class RangeServer {
  readonly #options: RangeServerOptions;

  constructor(options: RangeServerOptions) {
    this.#options = options;
  }

  /** Reads now: whoever wants a linearizable answer has confirmed that before. */
  range(request: RangeRequest, reply: Reply<RangeResponse>): void {
    try {
      const { headers, state } = this.#options;
      if (request.rangeEnd.length === 0 || request.countOnly) {
        reply.encoded(rangeResponse(state().store.read(), request, headers.prefix()));
      } else {
        this.#scan(request, reply, 1);
      }
    } catch (error) {
      reply.fail(error);
    }
  }

  #scan(request: RangeRequest, reply: Reply<RangeResponse>, attempt: number): void {
    const scan = new RangeScan(this.#options.state().store.read(), request);
    const step = (): void => {
      try {
        if (scan.step(sliceBytes)) this.#answer(scan, reply);
        else this.#options.clock.soon(step);
      } catch (error) {
        const overtaken = error instanceof KvError && error.code === 'compacted' && request.revision <= 0;
        if (overtaken && attempt < attemptsMax) this.#retry(request, reply, attempt + 1);
        else reply.fail(error);
      }
    };
    step();
  }

  #retry(request: RangeRequest, reply: Reply<RangeResponse>, attempt: number): void {
    try {
      this.#scan(request, reply, attempt);
    } catch (error) {
      reply.fail(error);
    }
  }

  #answer(scan: RangeScan, reply: Reply<RangeResponse>): void {
    const { revision, kvs, more, count } = scan.parts();
    reply.encoded(encodeRangeResponse({ headerPrefix: this.#options.headers.prefix(), revision, kvs, more, count }));
  }
}
