/**
 * One range request over a view: what to ask of the store, what to drop, in which order. Plain ranges and the ranges of
 * transactions go through here alike. Stored bytes are copied into the answer as they are; a single field of a record is read
 * only where a filter or a sort needs it.
 *
 * How the rows that are asked of the store follow from the request:
 *
 * | filters | sorted by | order | rows asked | then |
 * |---|---|---|---|---|
 * | no | key | any | limit, in that order | – |
 * | no | another field | none | limit + 1 by key | sorted ascending, cut: etcd's order of things, see below |
 * | no | another field | given | all | sorted, cut |
 * | yes | any | any | all, in key order or its reverse | filtered, sorted unless by key, cut |
 *
 * The second line is how etcd does it (server/etcdserver/txn): without a sort order the limit is taken before sorting.
 *
 * Sorting is stable: records equal in the field sorted by stay in ascending key order, whichever way the field is sorted. etcd
 * promises nothing for them and does the same for short answers.
 */
import type { Key } from '@quorate/base';
import type { RangeResult, ReadTxn } from '@quorate/mvcc';
import {
  encodeRangeResponse,
  type HeaderPrefix,
  KvError,
  keyValueWithoutValue,
  type OpParts,
  type RangeRequest,
  RangeRequestSortOrder,
  RangeRequestSortTarget,
  readKeyValueCreateRevision,
  readKeyValueModRevision,
  readKeyValueValue,
  readKeyValueVersion,
} from '@quorate/proto';
import { hasKnownSort } from './check.ts';
import { keyOf, rangeEndOf } from './keys.ts';

/** The parts of an answer to a range. */
export type RangeOp = Extract<OpParts, { readonly op: 'range' }>;

/** The encoded RangeResponse. Throws KvError compacted, futureRev, invalidSortOption. */
export function rangeResponse(view: ReadTxn, request: RangeRequest, headerPrefix: HeaderPrefix): Buffer {
  const { revision, kvs, more, count } = rangeParts(view, request);
  return encodeRangeResponse({ headerPrefix, revision, kvs, more, count });
}

/** The whole answer at once. Throws as {@link rangeResponse}. */
export function rangeParts(view: ReadTxn, request: RangeRequest): RangeOp {
  if (!isPlain(request)) {
    const scan = new RangeScan(view, request);
    scan.step();
    return scan.parts();
  }
  const { revision, limit } = request;
  const options = revision === 0 && limit === 0 ? undefined : { revision, limit };
  const result = view.range(keyOf(request.key), rangeEndOf(request.rangeEnd), options);
  const { rows, count } = result;
  return { op: 'range', revision: result.revision, kvs: rows, more: limit > 0 && count > limit, count };
}

/**
 * A range in slices, for answers too long to be read in one turn of the event loop: call {@link step} until it is done, then
 * take the parts. All slices are of one revision, the view's or the one asked for; a compaction that overtakes it between two
 * of them ends the scan with `compacted`.
 */
export class RangeScan {
  readonly #view: ReadTxn;
  readonly #request: RangeRequest;
  readonly #descending: boolean;
  /** Field to sort by in memory; undefined when the store's order is the one wanted. */
  readonly #sortTarget: number | undefined;
  readonly #filtered: boolean;
  #key: Key;
  #end: Key | undefined;
  /** Rows still to be asked of the store; 0 means all. */
  #limit: number;
  #kvs: Buffer[] = [];
  #headerRevision = 0;
  #count = 0;
  #started = false;
  #done = false;

  /** Throws KvError invalidSortOption. */
  constructor(view: ReadTxn, request: RangeRequest) {
    if (!hasKnownSort(request)) throw new KvError('invalidSortOption');
    const byKey = request.sortTarget === RangeRequestSortTarget.KEY;
    const limit = Math.max(request.limit, 0);
    this.#view = view;
    this.#request = request;
    this.#descending = byKey && request.sortOrder === RangeRequestSortOrder.DESCEND;
    this.#sortTarget = byKey ? undefined : request.sortTarget;
    this.#filtered = hasFilter(request);
    this.#key = keyOf(request.key);
    this.#end = rangeEndOf(request.rangeEnd);
    if (this.#filtered || limit === 0) this.#limit = 0;
    else if (byKey) this.#limit = limit;
    else this.#limit = request.sortOrder === RangeRequestSortOrder.NONE ? limit + 1 : 0;
  }

  /**
   * Reads on until about `sizeBytesMax` bytes of records are read (default: all there is). True once everything is read.
   * Throws KvError compacted, futureRev.
   */
  step(sizeBytesMax?: number): boolean {
    if (this.#done) return true;
    const result = this.#view.range(this.#key, this.#end, {
      revision: this.#request.revision,
      limit: this.#limit,
      sizeBytesMax,
      countOnly: this.#request.countOnly,
      skipCount: this.#started,
      descending: this.#descending,
    });
    if (!this.#started) {
      this.#headerRevision = result.revision;
      this.#count = result.count;
      this.#started = true;
    }
    this.#take(result.rows);
    this.#moveOn(result);
    return this.#done;
  }

  /** The answer; meaningful once {@link step} returned true. Call once. */
  parts(): RangeOp {
    const { limit, keysOnly, sortOrder, countOnly } = this.#request;
    let kvs = this.#kvs;
    if (this.#sortTarget !== undefined) {
      kvs = sortedBy(kvs, this.#sortTarget, sortOrder === RangeRequestSortOrder.DESCEND);
    }
    // Rows cut off here, or by the store, which then counted more of them than it was asked for.
    const total = this.#filtered ? kvs.length : this.#count;
    const more = limit > 0 && !countOnly && total > limit;
    if (limit > 0 && kvs.length > limit) kvs = kvs.slice(0, limit);
    if (keysOnly) kvs = kvs.map(keyValueWithoutValue);
    return { op: 'range', revision: this.#headerRevision, kvs, more, count: this.#count };
  }

  #take(rows: readonly Buffer[]): void {
    for (const row of rows) if (!this.#filtered || passes(row, this.#request)) this.#kvs.push(row);
  }

  #moveOn({ rows, next }: RangeResult): void {
    const full = this.#limit > 0 && rows.length >= this.#limit;
    if (next === undefined || full) {
      this.#done = true;
      return;
    }
    if (this.#limit > 0) this.#limit -= rows.length;
    if (this.#descending) this.#end = `${next}\0`;
    else this.#key = next;
  }
}

/** Nothing but key, end, revision and limit: what most ranges are. */
function isPlain(request: RangeRequest): boolean {
  return (
    request.sortTarget === RangeRequestSortTarget.KEY &&
    request.sortOrder === RangeRequestSortOrder.NONE &&
    !request.keysOnly &&
    !request.countOnly &&
    !hasFilter(request)
  );
}

/** 0 switches a filter off; anything else, negative too, is a bound. */
function hasFilter(request: RangeRequest): boolean {
  return (
    request.minModRevision !== 0 ||
    request.maxModRevision !== 0 ||
    request.minCreateRevision !== 0 ||
    request.maxCreateRevision !== 0
  );
}

function passes(row: Buffer, request: RangeRequest): boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  if (minModRevision !== 0 || maxModRevision !== 0) {
    const modRevision = readKeyValueModRevision(row);
    if (minModRevision !== 0 && modRevision < minModRevision) return false;
    if (maxModRevision !== 0 && modRevision > maxModRevision) return false;
  }
  if (minCreateRevision !== 0 || maxCreateRevision !== 0) {
    const createRevision = readKeyValueCreateRevision(row);
    if (minCreateRevision !== 0 && createRevision < minCreateRevision) return false;
    if (maxCreateRevision !== 0 && createRevision > maxCreateRevision) return false;
  }
  return true;
}

/** A new array in the order of a field other than the key. The field is read once per record, not once per comparison. */
function sortedBy(rows: readonly Buffer[], target: number, descending: boolean): Buffer[] {
  const sign = descending ? -1 : 1;
  if (target === RangeRequestSortTarget.VALUE) {
    const byValue = rows.map((row) => ({ row, value: readKeyValueValue(row) }));
    byValue.sort((a, b) => sign * a.value.compare(b.value));
    return byValue.map((item) => item.row);
  }
  const read = numberReader(target);
  const byNumber = rows.map((row) => ({ row, value: read(row) }));
  byNumber.sort((a, b) => sign * (a.value - b.value));
  return byNumber.map((item) => item.row);
}

function numberReader(target: number): (row: Buffer) => number {
  if (target === RangeRequestSortTarget.VERSION) return readKeyValueVersion;
  return target === RangeRequestSortTarget.CREATE ? readKeyValueCreateRevision : readKeyValueModRevision;
}
