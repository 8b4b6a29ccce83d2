/** The KV service in convenient form. Every method is one call; the messages themselves are in `client.rpc.kv`. */
import {
  type CompactionResponse,
  type DeleteRangeResponse,
  kvService,
  type PutResponse,
  type RangeResponse,
  type TxnRequest,
  type TxnResponse,
} from '@quorate/proto';
import type { Bytes } from './bytes.ts';
import type { Caller, CallOptions } from './call.ts';
import {
  type DeleteOptions,
  deleteRequest,
  type GetOptions,
  type PutOptions,
  putRequest,
  rangeRequest,
} from './ranges.ts';

const { range, put, deleteRange, txn, compact } = kvService.methods;

export class Kv {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** Reads a key or a range of keys. */
  get(key: Bytes, options?: GetOptions, call?: CallOptions): Promise<RangeResponse> {
    return this.#caller.unary(range, rangeRequest(key, options), call);
  }

  put(key: Bytes, value: Bytes, options?: PutOptions, call?: CallOptions): Promise<PutResponse> {
    return this.#caller.unary(put, putRequest(key, value, options), call);
  }

  /** Deletes a key or a range of keys; deleting nothing is no error. */
  delete(key: Bytes, options?: DeleteOptions, call?: CallOptions): Promise<DeleteRangeResponse> {
    return this.#caller.unary(deleteRange, deleteRequest(key, options), call);
  }

  /** All comparisons true: `success`, otherwise `failure`; the parts come from `compare` and `op`. */
  txn(request: Partial<TxnRequest>, call?: CallOptions): Promise<TxnResponse> {
    return this.#caller.unary(txn, request, call);
  }

  /** Forgets history before `revision`. With `physical`, answers only when the space is free for reuse. */
  compact(
    revision: number,
    options: { readonly physical?: boolean } = {},
    call?: CallOptions,
  ): Promise<CompactionResponse> {
    return this.#caller.unary(compact, { ...options, revision }, call);
  }
}
