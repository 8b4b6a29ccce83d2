/**
 * Answers ranges from the live state. A range that fits into a slice is answered on the spot; a longer one is read, sorted and
 * encoded slice by slice, with other work in between, at the revision it began with. The same slices are the messages of a
 * RangeStream, which takes the next one when the client has taken the last.
 */
import { RangeScan, rangeResponse } from '@quorate/apply';
import type { Clock } from '@quorate/base';
import {
  encodeRangeHead,
  encodeRangePiece,
  encodeRangeResponse,
  encodeRangeStreamResponse,
  encodeRangeTail,
  KvError,
  type RangeRequest,
  RangeRequestSortOrder,
  RangeRequestSortTarget,
  type RangeResponse,
  type RangeStreamResponse,
  Status,
} from '@quorate/proto';
import { type Reply, type ServerCall, type ServerStream, StatusError } from '@quorate/rpc';
import type { HeaderSource } from './header.ts';
import { SliceQueue } from './slice-queue.ts';
import type { StateMachine } from './state-machine.ts';

export interface RangeServerOptions {
  readonly clock: Clock;
  readonly headers: HeaderSource;
  readonly state: () => StateMachine;
}

/** What is read, or sorted, in one turn: a few milliseconds. */
const slice = { sizeBytesMax: 256 * 1024, keysMax: 1_000 } as const;
/** Most keys in the first message of a stream, as in etcd: whoever wants a few has them soon. */
const firstStreamedMax = 10;
/** A range at the current revision that a compaction overtakes is read anew, at most so often. */
const attemptsMax = 3;

export class RangeServer {
  readonly #options: RangeServerOptions;
  readonly #slices: SliceQueue;

  constructor(options: RangeServerOptions) {
    this.#options = options;
    this.#slices = new SliceQueue(options.clock);
  }

  /** Reads now: whoever wants a linearizable answer has confirmed that before. */
  range(request: RangeRequest, reply: Reply<RangeResponse>): void {
    try {
      const { headers, state } = this.#options;
      if (request.rangeEnd.length === 0 || (request.countOnly && request.revision <= 0)) {
        reply.encoded(rangeResponse(state().store.read(), request, headers.prefix()));
      } else {
        this.#scan(request, reply, 1);
      }
    } catch (error) {
      reply.fail(error);
    }
  }

  /** The same range in messages of bounded size. The last one has the header, `more` and `count`. */
  stream(request: RangeRequest, call: ServerCall, stream: ServerStream<RangeStreamResponse>): void {
    try {
      mustBeStreamable(request);
      this.#stream(new RangeScan(this.#options.state().store.read(), request), call, stream);
    } catch (error) {
      stream.fail(error);
    }
  }

  #scan(request: RangeRequest, reply: Reply<RangeResponse>, attempt: number): void {
    const scan = new RangeScan(this.#options.state().store.read(), request);
    const pieces: Buffer[] = [];
    const step = (): void => {
      try {
        const isRead = scan.step(slice);
        if (isRead && pieces.length === 0 && scan.readyCount <= slice.keysMax) {
          const headerPrefix = this.#options.headers.prefix();
          reply.encoded(encodeRangeResponse({ headerPrefix, ...scan.parts() }));
          return;
        }
        if (scan.readyCount > 0) pieces.push(encodeRangePiece(scan.take(slice.keysMax)));
        if (isRead && scan.readyCount === 0) reply.pieces([this.#head(scan), ...pieces, encodeRangeTail(scan.summary)]);
        else this.#slices.add(step);
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

  #stream(scan: RangeScan, call: ServerCall, stream: ServerStream<RangeStreamResponse>): void {
    let isFirst = true;
    const step = (): void => {
      if (call.cancelled) return;
      try {
        const isRead = scan.step(slice);
        const most = isFirst ? firstStreamedMax : slice.keysMax;
        if (isRead && scan.readyCount <= most) {
          const last = Buffer.concat([this.#head(scan), encodeRangePiece(scan.take()), encodeRangeTail(scan.summary)]);
          stream.sendEncoded(encodeRangeStreamResponse(last));
          stream.end();
          return;
        }
        isFirst &&= scan.readyCount === 0;
        const piece = scan.readyCount === 0 ? undefined : encodeRangePiece(scan.take(most));
        if (piece === undefined || stream.sendEncoded(encodeRangeStreamResponse(piece))) this.#slices.add(step);
      } catch (error) {
        stream.fail(error);
      }
    };
    stream.onDrain(() => this.#slices.add(step));
    step();
  }

  #head(scan: RangeScan): Buffer {
    return encodeRangeHead({ headerPrefix: this.#options.headers.prefix(), revision: scan.revision });
  }
}

/** etcd streams only what its index gives in order. */
function mustBeStreamable(request: RangeRequest): void {
  const { sortOrder, sortTarget, minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  if (sortOrder !== RangeRequestSortOrder.NONE || sortTarget !== RangeRequestSortTarget.KEY) {
    throw new StatusError(Status.UNIMPLEMENTED, 'RangeStream does not support custom sort orders');
  }
  if (minModRevision !== 0 || maxModRevision !== 0 || minCreateRevision !== 0 || maxCreateRevision !== 0) {
    throw new StatusError(Status.UNIMPLEMENTED, 'RangeStream does not support revision filters');
  }
}
