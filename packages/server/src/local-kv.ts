/**
 * The member's own services as a client in the same process sees them: for services that are recipes over keys, leases and
 * watches (locks, elections). No sockets; answers come as promises, and rejections are KvErrors.
 */
import type { Key, LeaseId } from '@quorate/base';
import type { WatchHub, WatchSink } from '@quorate/mvcc';
import {
  type Codec,
  DeleteRangeRequest,
  DeleteRangeResponse,
  Event,
  KvError,
  LeaseGrantRequest,
  LeaseGrantResponse,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
} from '@quorate/proto';
import type { Reply, ServerCall } from '@quorate/rpc';
import type { KvServer } from './kv-server.ts';
import type { LeaseServer } from './lease-server.ts';

export interface LocalKvOptions {
  readonly kv: Pick<KvServer, 'range' | 'txn' | 'deleteRange'>;
  readonly leases: Pick<LeaseServer, 'grant' | 'renew'>;
  readonly hub: WatchHub;
}

/** What is followed, and what is to be done with it. */
export interface Following {
  readonly key: Key;
  readonly end?: Key;
  /** First revision that counts. */
  readonly startRevision: number;
  /** `done` ends it; `wait` asks for nothing more before the function given to {@link Following.onWaiting} is called. */
  readonly onEvent: (event: Event) => 'more' | 'wait' | 'done';
  readonly onWaiting?: (goOn: () => void) => void;
}

export class LocalKv {
  readonly #options: LocalKvOptions;
  /** Ends what is being followed, with the reason. */
  readonly #open = new Set<(error: KvError) => void>();
  /** The same by the call it is for: calls that follow one thing after the other for days are listened to once. */
  readonly #ofCall = new WeakMap<ServerCall, Set<(error: KvError) => void>>();

  constructor(options: LocalKvOptions) {
    this.#options = options;
  }

  /** Linearizable unless the request says otherwise. */
  range(request: Partial<RangeRequest>): Promise<RangeResponse> {
    return answered(RangeResponse, (reply) => this.#options.kv.range(RangeRequest.create(request), reply));
  }

  txn(request: Partial<TxnRequest>): Promise<TxnResponse> {
    return answered(TxnResponse, (reply) => this.#options.kv.txn(TxnRequest.create(request), reply));
  }

  delete(key: Buffer): Promise<DeleteRangeResponse> {
    const request = DeleteRangeRequest.create({ key });
    return answered(DeleteRangeResponse, (reply) => this.#options.kv.deleteRange(request, reply));
  }

  /** A new lease of `ttl` seconds. */
  async grant(ttl: number): Promise<LeaseId> {
    const request = LeaseGrantRequest.create({ ttl });
    return (await answered(LeaseGrantResponse, (reply) => this.#options.leases.grant(request, reply))).id;
  }

  /** Starts a lease's time again; false when there is no such lease. */
  renew(id: LeaseId): Promise<boolean> {
    return this.#options.leases.renew(id);
  }

  /**
   * Watches until `onEvent` says that it is done. Resolves with false when compaction overtook what was still to be seen.
   * Rejects when `call` ends or the member stops.
   */
  follow(following: Following, call: ServerCall): Promise<boolean> {
    const { key, end, startRevision, onEvent, onWaiting } = following;
    const ofCall = this.#endsOf(call);
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        if (!this.#open.delete(fail)) return;
        ofCall.delete(fail);
        stream.close();
        settle();
      };
      const fail = (error: KvError): void => finish(() => reject(error));
      const sink: WatchSink = {
        events: (_watcher, { events }) => {
          let takesMore = true;
          for (const bytes of events) {
            const verdict = onEvent(Event.decode(bytes));
            if (verdict === 'done') {
              finish(() => resolve(true));
              return true;
            }
            takesMore = verdict === 'more';
          }
          if (!takesMore) stream.block();
          return takesMore;
        },
        compacted: () => finish(() => resolve(false)),
        progress: () => {},
      };
      const stream = this.#options.hub.open(sink);
      this.#open.add(fail);
      ofCall.add(fail);
      onWaiting?.(() => stream.resume());
      if (call.cancelled) fail(new KvError('requestCanceled'));
      else stream.watch({ id: 0n, key, end, startRevision });
    });
  }

  #endsOf(call: ServerCall): Set<(error: KvError) => void> {
    const known = this.#ofCall.get(call);
    if (known !== undefined) return known;
    const ends = new Set<(error: KvError) => void>();
    this.#ofCall.set(call, ends);
    call.onCancel(() => {
      for (const fail of [...ends]) fail(new KvError('requestCanceled'));
    });
    return ends;
  }

  /** Ends everything that is being followed. */
  stop(): void {
    for (const fail of [...this.#open]) fail(new KvError('stopped'));
  }
}

function answered<Res>(codec: Codec<Res>, run: (reply: Reply<Res>) => void): Promise<Res> {
  return new Promise((resolve, reject) => {
    const encoded = (bytes: Buffer): void => resolve(codec.decode(bytes));
    run({ ok: resolve, encoded, pieces: (pieces) => encoded(Buffer.concat(pieces)), fail: reject });
  });
}
