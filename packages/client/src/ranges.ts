/**
 * Requests of the KV service made from convenient arguments. Pure; used by `Kv`, by transactions and by the command line, so
 * that `prefix` and `fromKey` mean the same everywhere.
 */
import {
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RangeRequestSortOrder,
  RangeRequestSortTarget,
} from '@quorate/proto';
import { type Bytes, endOfPrefix, toBuffer, zeroKey } from './bytes.ts';

/** Which keys beside the one given. At most one of the three. */
export interface KeyRange {
  /** All keys that begin with the key; with an empty key, all keys. */
  readonly prefix?: boolean;
  /** All keys at or after the key. */
  readonly fromKey?: boolean;
  /** All keys from the key up to this one, which is not included. */
  readonly end?: Bytes;
}

export type SortTarget = keyof typeof RangeRequestSortTarget;
export type SortOrder = keyof typeof RangeRequestSortOrder;

/** What to read. */
export interface GetOptions extends KeyRange {
  /** Highest number of keys returned; 0 means all. */
  readonly limit?: number;
  /** Read as of this revision; 0 means now. */
  readonly revision?: number;
  readonly sortBy?: SortTarget;
  readonly order?: SortOrder;
  /** Answered from the member's own state, possibly stale, also without a quorum. */
  readonly serializable?: boolean;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly minModRevision?: number;
  readonly maxModRevision?: number;
  readonly minCreateRevision?: number;
  readonly maxCreateRevision?: number;
}

export interface PutOptions {
  /** The key is deleted when this lease ends; 0n detaches it. */
  readonly lease?: bigint;
  /** Answer with what was there before. */
  readonly prevKv?: boolean;
  /** Keep the value (the one given must be empty), or the lease, of an existing key. */
  readonly ignoreValue?: boolean;
  readonly ignoreLease?: boolean;
}

export interface DeleteOptions extends KeyRange {
  /** Answer with what was deleted. */
  readonly prevKv?: boolean;
}

export function rangeRequest(key: Bytes, options: GetOptions = {}): RangeRequest {
  const { prefix, fromKey, end, sortBy = 'KEY', order = 'NONE', ...fields } = options;
  return RangeRequest.create({
    ...fields,
    ...keyRange(key, { prefix, fromKey, end }),
    sortTarget: RangeRequestSortTarget[sortBy],
    // Keys come in ascending order anyway; asking for it would make the server collect all of them before it applies the limit.
    sortOrder: sortBy === 'KEY' && order === 'ASCEND' ? RangeRequestSortOrder.NONE : RangeRequestSortOrder[order],
  });
}

export function putRequest(key: Bytes, value: Bytes, options?: PutOptions): PutRequest {
  const request = PutRequest.create(options);
  request.key = toBuffer(key);
  request.value = toBuffer(value);
  return request;
}

export function deleteRequest(key: Bytes, options: DeleteOptions = {}): DeleteRangeRequest {
  const { prevKv, ...range } = options;
  return DeleteRangeRequest.create({ ...keyRange(key, range), prevKv: prevKv === true });
}

function keyRange(
  key: Bytes,
  { prefix, fromKey, end }: { [Name in keyof KeyRange]: KeyRange[Name] | undefined },
): { key: Buffer; rangeEnd?: Buffer } {
  const start = toBuffer(key);
  if (prefix === true || fromKey === true) {
    if (start.length === 0) return { key: zeroKey, rangeEnd: zeroKey };
    return { key: start, rangeEnd: fromKey === true ? zeroKey : endOfPrefix(start) };
  }
  return end === undefined ? { key: start } : { key: start, rangeEnd: toBuffer(end) };
}
