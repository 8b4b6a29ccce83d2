/**
 * The line in which locks and elections wait: every contender has a key `<name>/<its lease in hex>` that lives as long as the
 * lease, and the key created first holds. Clients of etcd follow the same recipe over plain keys (clientv3/concurrency), so keys,
 * comparisons and order are contract: whoever uses the service and whoever uses the recipe stand in one line.
 */
import { keyFromBytes, type LeaseId, noLease } from '@quorate/base';
import {
  Compare,
  CompareCompareResult,
  CompareCompareTarget,
  DeleteRangeRequest,
  EventEventType,
  type KeyValue,
  PutRequest,
  RangeRequest,
  RangeRequestSortOrder,
  RangeRequestSortTarget,
  type RangeResponse,
  RequestOp,
  type ResponseHeader,
  type TxnResponse,
} from '@quorate/proto';
import type { ServerCall } from '@quorate/rpc';
import type { LocalKv } from './local-kv.ts';

/** Seconds of the lease of a contender who brought none; it is not renewed here, as in etcd. */
const sessionTtl = 60;

/** A contender's place. */
export interface Place {
  readonly key: Buffer;
  readonly lease: LeaseId;
  /** The key's create revision: who has the lowest is first. */
  readonly revision: number;
}

/** What came of asking for a place. */
export interface Entrance {
  readonly place: Place;
  readonly header: ResponseHeader | undefined;
  /** Whose turn it was at that moment. */
  readonly holder: KeyValue | undefined;
  /** The contender's own key as it was, when it stood in line already. */
  readonly former: KeyValue | undefined;
}

/** The lease a contender goes by: its own, renewed once, or a new one. */
export async function sessionLease(kv: LocalKv, lease: LeaseId): Promise<LeaseId> {
  if (lease === noLease) return kv.grant(sessionTtl);
  // Whether it is there shows when the key is put.
  kv.renew(lease).catch(() => {});
  return lease;
}

/** Takes a place in line, or finds the one that the lease has already. Rejects with KvError. */
export async function enterLine(
  kv: LocalKv,
  contender: { readonly name: Buffer; readonly lease: LeaseId; readonly value: Buffer },
): Promise<Entrance> {
  const { name, lease, value } = contender;
  const prefix = linePrefix(name);
  const key = Buffer.concat([prefix, Buffer.from(placeOf(lease), 'latin1')]);
  const first = RequestOp.create({ requestRange: firstOf(prefix) });
  const put = RequestOp.create({ requestPut: PutRequest.create({ key, value, lease }) });
  const get = RequestOp.create({ requestRange: RangeRequest.create({ key }) });
  const answer = await kv.txn({ compare: [createdAt(key, 0)], success: [put, first], failure: [get, first] });
  const former = answer.succeeded ? undefined : answer.responses[0]?.responseRange?.kvs[0];
  const holder = answer.responses[1]?.responseRange?.kvs[0];
  const revision = former?.createRevision ?? answer.header?.revision ?? 0;
  return { place: { key, lease, revision }, header: answer.header, holder, former };
}

/** As Go prints an int64 in hex: clients of the same line make the same key of one lease, and ids may be negative. */
function placeOf(lease: LeaseId): string {
  return BigInt.asIntN(64, lease).toString(16);
}

/** Waits until nobody stands before `revision`. Rejects when `call` ends or the member stops. */
export async function waitForTurn(kv: LocalKv, name: Buffer, revision: number, call: ServerCall): Promise<void> {
  const prefix = linePrefix(name);
  for (;;) {
    const { kvs, header } = await kv.range({
      ...wholeLine(prefix),
      sortTarget: RangeRequestSortTarget.CREATE,
      sortOrder: RangeRequestSortOrder.DESCEND,
      limit: 1,
      maxCreateRevision: revision - 1,
    });
    const [ahead] = kvs;
    if (ahead === undefined) return;
    await kv.follow(
      {
        key: keyFromBytes(ahead.key),
        startRevision: (header?.revision ?? 0) + 1,
        onEvent: ({ type }) => (type === EventEventType.DELETE ? 'done' : 'more'),
      },
      call,
    );
  }
}

/** Who holds the lock or leads: the key of the line that was created first. */
export function holderOf(kv: LocalKv, name: Buffer): Promise<RangeResponse> {
  return kv.range(firstOf(linePrefix(name)));
}

/** Gives up the place, if it is still the same one. */
export function leaveLine(kv: LocalKv, { key, revision }: Pick<Place, 'key' | 'revision'>): Promise<TxnResponse> {
  const gone = RequestOp.create({ requestDeleteRange: DeleteRangeRequest.create({ key }) });
  return kv.txn({ compare: [createdAt(key, revision)], success: [gone] });
}

/** Keys of a line begin so. */
export function linePrefix(name: Buffer): Buffer {
  return Buffer.concat([name, Buffer.from('/')]);
}

/** Key and end of the range that is a whole line; `/` has a successor, so there is always an end. */
export function wholeLine(prefix: Buffer): { key: Buffer; rangeEnd: Buffer } {
  const rangeEnd = Buffer.from(prefix);
  rangeEnd[rangeEnd.length - 1]! += 1;
  return { key: prefix, rangeEnd };
}

/** True while `key` is the one created at `revision`; 0: while there is none. */
export function createdAt(key: Buffer, revision: number): Compare {
  const { CREATE } = CompareCompareTarget;
  return Compare.create({ key, target: CREATE, result: CompareCompareResult.EQUAL, createRevision: revision });
}

function firstOf(prefix: Buffer): RangeRequest {
  return RangeRequest.create({
    ...wholeLine(prefix),
    sortTarget: RangeRequestSortTarget.CREATE,
    sortOrder: RangeRequestSortOrder.ASCEND,
    limit: 1,
  });
}
