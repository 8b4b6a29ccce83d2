/** The KV service without its transport: checks, quota, then the log for what changes and the read index for what does not. */
import {
  checkDeleteRangeRequest,
  checkPutRequest,
  checkRangeRequest,
  checkTxnRequest,
  isReadonlyTxn,
  isSerializableTxn,
  readonlyTxnResponse,
} from '@quorate/apply';
import type { Clock } from '@quorate/base';
import {
  type CompactionRequest,
  type CompactionResponse,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  InternalRaftRequest,
  KvError,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
  type RangeStreamResponse,
  type TxnRequest,
  type TxnResponse,
} from '@quorate/proto';
import { putCost, txnCost } from '@quorate/quota';
import type { Reply, ServerCall, ServerStream } from '@quorate/rpc';
import type { HeaderSource } from './header.ts';
import type { Proposals } from './proposals.ts';
import { RangeServer } from './range-server.ts';
import type { ReadIndex } from './read-index.ts';
import { answer } from './reply.ts';
import type { SpaceGate } from './space-gate.ts';
import type { StateMachine } from './state-machine.ts';

export interface KvServerOptions {
  readonly clock: Clock;
  readonly headers: HeaderSource;
  readonly proposals: Proposals;
  readonly reads: ReadIndex;
  readonly space: SpaceGate;
  /** The live state; throws KvError while a received snapshot is being put in its place. */
  readonly state: () => StateMachine;
  /** `--max-txn-ops` */
  readonly maxTxnOps: number;
}

export class KvServer {
  readonly #options: KvServerOptions;
  readonly #ranges: RangeServer;

  constructor(options: KvServerOptions) {
    this.#options = options;
    this.#ranges = new RangeServer(options);
  }

  range(request: RangeRequest, reply: Reply<RangeResponse>): void {
    try {
      checkRangeRequest(request);
    } catch (error) {
      reply.fail(error);
      return;
    }
    if (request.serializable) this.#ranges.range(request, reply);
    else this.#linearizable(reply, () => this.#ranges.range(request, reply));
  }

  /** etcd 3.7's RangeStream. */
  rangeStream(request: RangeRequest, call: ServerCall, stream: ServerStream<RangeStreamResponse>): void {
    try {
      checkRangeRequest(request);
    } catch (error) {
      stream.fail(error);
      return;
    }
    const run = (): void => this.#ranges.stream(request, call, stream);
    if (request.serializable) run();
    else this.#options.reads.confirm((error) => (error === undefined ? run() : stream.fail(error)));
  }

  put(request: PutRequest, reply: Reply<PutResponse>): void {
    try {
      if (!this.#options.space.admits(putCost(request), reply)) return;
      checkPutRequest(request);
      this.#propose(InternalRaftRequest.create({ put: request }), reply);
    } catch (error) {
      reply.fail(error);
    }
  }

  deleteRange(request: DeleteRangeRequest, reply: Reply<DeleteRangeResponse>): void {
    try {
      checkDeleteRangeRequest(request);
      this.#propose(InternalRaftRequest.create({ deleteRange: request }), reply);
    } catch (error) {
      reply.fail(error);
    }
  }

  txn(request: TxnRequest, reply: Reply<TxnResponse>): void {
    try {
      if (!this.#options.space.admits(txnCost(request), reply)) return;
      checkTxnRequest(request, this.#options.maxTxnOps);
      if (!isReadonlyTxn(request)) {
        this.#propose(InternalRaftRequest.create({ txn: request }), reply);
        return;
      }
      const run = (): void => this.#readonlyTxn(request, reply);
      if (isSerializableTxn(request)) run();
      else this.#linearizable(reply, run);
    } catch (error) {
      reply.fail(error);
    }
  }

  /** A physical compaction is answered when this member has removed the rows. */
  compact(request: CompactionRequest, reply: Reply<CompactionResponse>): void {
    try {
      this.#options.proposals.propose(InternalRaftRequest.create({ compaction: request }), (outcome) => {
        if (outcome instanceof KvError) {
          reply.fail(outcome);
        } else if (request.physical && outcome.physical !== undefined) {
          outcome.physical.then(
            () => reply.encoded(outcome.response),
            (error: unknown) => reply.fail(error),
          );
        } else {
          reply.encoded(outcome.response);
        }
      });
    } catch (error) {
      reply.fail(error);
    }
  }

  /** Throws KvError when the request is refused at once. */
  #propose(request: InternalRaftRequest, reply: Reply<unknown>): void {
    this.#options.proposals.propose(request, (outcome) => answer(reply, outcome));
  }

  #linearizable(reply: Reply<unknown>, run: () => void): void {
    this.#options.reads.confirm((error) => {
      if (error === undefined) run();
      else reply.fail(error);
    });
  }

  #readonlyTxn(request: TxnRequest, reply: Reply<TxnResponse>): void {
    try {
      const { headers, state } = this.#options;
      reply.encoded(readonlyTxnResponse(state().store.read(), request, headers.prefix()));
    } catch (error) {
      reply.fail(error);
    }
  }
}
