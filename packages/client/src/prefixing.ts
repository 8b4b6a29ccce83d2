/**
 * Requests and responses with a prefix put before their keys and taken off again. Ranges need care at their ends: "no end" becomes
 * the end of the prefix, and the empty key, which stands for the first one in some requests and is refused in others,
 * must not become the prefix itself, which is a key outside.
 */
import { keyFromBytes, keyToBytes, prefixEnd } from '@quorate/base';
import {
  Compare,
  DeleteRangeRequest,
  type DeleteRangeResponse,
  Event,
  type KeyValue,
  KvError,
  kvService,
  type LeaseTimeToLiveResponse,
  leaseService,
  type MethodInfo,
  PutRequest,
  type PutResponse,
  RangeRequest,
  type RangeResponse,
  type RangeStreamResponse,
  RequestOp,
  type ResponseOp,
  TxnRequest,
  type TxnResponse,
  WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
  watchService,
} from '@quorate/proto';
import { zeroKey } from './bytes.ts';

/** What is done to the request of one method, and to its response. */
export interface Translation {
  readonly request: (prefix: Prefix, request: unknown) => unknown;
  readonly response: (prefix: Prefix, response: unknown) => unknown;
}

/** Nothing is done to methods that do not speak of keys. */
export function translationOf(method: { readonly path: string }): Translation {
  return translations.get(method.path) ?? untouched;
}

const untouched: Translation = { request: (_prefix, request) => request, response: (_prefix, response) => response };

function translate<Request, Response>(
  method: MethodInfo<Request, Response, boolean, boolean>,
  request: (prefix: Prefix, request: Request) => Request,
  response: (prefix: Prefix, response: Response) => Response,
): [string, Translation] {
  return [method.path, { request, response } as Translation];
}

/** The methods that speak of keys. */
const translations: ReadonlyMap<string, Translation> = new Map([
  translate(kvService.methods.range, rangeIn, rangeOut),
  translate(kvService.methods.rangeStream, rangeIn, rangeStreamOut),
  translate(kvService.methods.put, putIn, putOut),
  translate(kvService.methods.deleteRange, deleteIn, deleteOut),
  translate(kvService.methods.txn, txnIn, txnOut),
  translate(watchService.methods.watch, watchIn, watchOut),
  translate(leaseService.methods.leaseTimeToLive, (_prefix, request) => request, timeToLiveOut),
]);

/** Bytes before keys. */
export class Prefix {
  readonly #bytes: Buffer;
  /** Behind all keys that begin with it. */
  readonly #end: Buffer;

  constructor(bytes: Buffer) {
    // Its own copy: it is used as long as the namespace lives.
    this.#bytes = Buffer.from(bytes);
    this.#end = keyToBytes(prefixEnd(keyFromBytes(bytes)));
  }

  /** Throws emptyKey, as members do of the empty key. */
  key(key: Buffer): Buffer {
    if (key.length === 0) throw new KvError('emptyKey');
    return Buffer.concat([this.#bytes, key]);
  }

  /** Empty stays empty (a single key), and no end becomes the end of the prefix. */
  end(end: Buffer): Buffer {
    if (end.length === 0) return end;
    return end.equals(zeroKey) ? this.#end : Buffer.concat([this.#bytes, end]);
  }

  owns(key: Buffer): boolean {
    return key.subarray(0, this.#bytes.length).equals(this.#bytes);
  }

  without(key: Buffer): Buffer {
    return key.subarray(this.#bytes.length);
  }

  pair(kv: KeyValue): KeyValue {
    return { ...kv, key: this.without(kv.key) };
  }

  maybePair(kv: KeyValue | undefined): KeyValue | undefined {
    return kv === undefined ? undefined : this.pair(kv);
  }
}

function rangeIn(prefix: Prefix, request: RangeRequest): RangeRequest {
  const { key, rangeEnd } = request;
  return RangeRequest.create({ ...request, key: prefix.key(key), rangeEnd: prefix.end(rangeEnd) });
}

function rangeOut(prefix: Prefix, response: RangeResponse): RangeResponse {
  return { ...response, kvs: response.kvs.map((kv) => prefix.pair(kv)) };
}

function rangeStreamOut(prefix: Prefix, response: RangeStreamResponse): RangeStreamResponse {
  const { rangeResponse } = response;
  return rangeResponse === undefined ? response : { ...response, rangeResponse: rangeOut(prefix, rangeResponse) };
}

function putIn(prefix: Prefix, request: PutRequest): PutRequest {
  return PutRequest.create({ ...request, key: prefix.key(request.key) });
}

function putOut(prefix: Prefix, response: PutResponse): PutResponse {
  return { ...response, prevKv: prefix.maybePair(response.prevKv) };
}

function deleteIn(prefix: Prefix, request: DeleteRangeRequest): DeleteRangeRequest {
  const { key, rangeEnd } = request;
  return DeleteRangeRequest.create({ ...request, key: prefix.key(key), rangeEnd: prefix.end(rangeEnd) });
}

function deleteOut(prefix: Prefix, response: DeleteRangeResponse): DeleteRangeResponse {
  return { ...response, prevKvs: response.prevKvs.map((kv) => prefix.pair(kv)) };
}

function txnIn(prefix: Prefix, request: TxnRequest): TxnRequest {
  return TxnRequest.create({
    compare: request.compare.map((one) =>
      Compare.create({ ...one, key: prefix.key(one.key), rangeEnd: prefix.end(one.rangeEnd) }),
    ),
    success: request.success.map((one) => opIn(prefix, one)),
    failure: request.failure.map((one) => opIn(prefix, one)),
  });
}

function opIn(prefix: Prefix, { requestRange, requestPut, requestDeleteRange, requestTxn }: RequestOp): RequestOp {
  return RequestOp.create({
    requestRange: requestRange && rangeIn(prefix, requestRange),
    requestPut: requestPut && putIn(prefix, requestPut),
    requestDeleteRange: requestDeleteRange && deleteIn(prefix, requestDeleteRange),
    requestTxn: requestTxn && txnIn(prefix, requestTxn),
  });
}

function txnOut(prefix: Prefix, response: TxnResponse): TxnResponse {
  return { ...response, responses: response.responses.map((one) => opOut(prefix, one)) };
}

function opOut(prefix: Prefix, op: ResponseOp): ResponseOp {
  const { responseRange, responsePut, responseDeleteRange, responseTxn } = op;
  return {
    responseRange: responseRange && rangeOut(prefix, responseRange),
    responsePut: responsePut && putOut(prefix, responsePut),
    responseDeleteRange: responseDeleteRange && deleteOut(prefix, responseDeleteRange),
    responseTxn: responseTxn && txnOut(prefix, responseTxn),
  };
}

function watchIn(prefix: Prefix, request: WatchRequest): WatchRequest {
  const { createRequest } = request;
  if (createRequest === undefined) return request;
  // Members take the empty key of a watch for the first key there can be.
  const key = prefix.key(createRequest.key.length === 0 ? zeroKey : createRequest.key);
  const rangeEnd = prefix.end(createRequest.rangeEnd);
  return { ...request, createRequest: WatchCreateRequest.create({ ...createRequest, key, rangeEnd }) };
}

function watchOut(prefix: Prefix, response: WatchResponse): WatchResponse {
  const events = response.events.map((event) =>
    Event.create({ ...event, kv: prefix.maybePair(event.kv), prevKv: prefix.maybePair(event.prevKv) }),
  );
  return { ...response, events };
}

/** A lease may hold keys of others, which are none of ours. */
function timeToLiveOut(prefix: Prefix, response: LeaseTimeToLiveResponse): LeaseTimeToLiveResponse {
  const own = response.keys.filter((key) => prefix.owns(key));
  return { ...response, keys: own.map((key) => prefix.without(key)) };
}
