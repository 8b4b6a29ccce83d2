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
} from '@quorate/proto';
import { hasKnownSort } from './check.ts';
import { keyOf, rangeEndOf } from './keys.ts';
import { RowSorter } from './row-sorter.ts';

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

/** How much a step of a scan may do. */
export interface ScanStep {
  /** Bytes of records read, about. */
  readonly sizeBytesMax?: number;
  /** Keys looked at, and rows sorted. */
  readonly keysMax?: number;
}

/**
 * A range in slices, for answers too long to be made in one turn of the event loop: call {@link step} until it is done, and
 * {@link take} the rows in between or at the end. All slices are of one revision, the view's or the one asked for; a compaction that
 * overtakes it between two of them ends the scan with `compacted`.
 */
export class RangeScan {
  readonly #view: ReadTxn;
  readonly #request: RangeRequest;
  readonly #descending: boolean;
  /** Sorts in memory; undefined when the store's order is the one wanted. */
  readonly #sorter: RowSorter | undefined;
  readonly #filtered: boolean;
  /** Most rows of the answer. */
  readonly #most: number;
  #key: Key;
  #end: Key | undefined;
  /** Rows still to be asked of the store; 0 means all. */
  #limit: number;
  /** Rows of the answer, in its order, that nobody has taken, from `#taken` on; without use when rows are sorted. */
  #ready: Buffer[] = [];
  #taken = 0;
  /** Rows that passed the filters. */
  #passed = 0;
  #headerRevision = 0;
  #count = 0;
  #isCounted = false;
  #hasRoom = false;
  /** Where counting goes on. */
  #countFrom: Key | undefined;
  #phase: 'start' | 'rows' | 'count' | 'sort' | 'done' = 'start';

  /** Throws KvError invalidSortOption. */
  constructor(view: ReadTxn, request: RangeRequest) {
    if (!hasKnownSort(request)) throw new KvError('invalidSortOption');
    const byKey = request.sortTarget === RangeRequestSortTarget.KEY;
    const isDescending = request.sortOrder === RangeRequestSortOrder.DESCEND;
    const limit = Math.max(request.limit, 0);
    this.#view = view;
    this.#request = request;
    this.#descending = byKey && isDescending;
    this.#sorter = byKey ? undefined : new RowSorter(request.sortTarget, isDescending);
    this.#filtered = hasFilter(request);
    this.#most = limit === 0 ? Number.POSITIVE_INFINITY : limit;
    this.#key = keyOf(request.key);
    this.#end = rangeEndOf(request.rangeEnd);
    if (this.#filtered || limit === 0) this.#limit = 0;
    else if (byKey) this.#limit = limit;
    else this.#limit = request.sortOrder === RangeRequestSortOrder.NONE ? limit + 1 : 0;
  }

  /** Goes on, by default to the end. True once everything is read and in order. Throws KvError compacted, futureRev. */
  step(limits: ScanStep = {}): boolean {
    if (this.#phase === 'start') this.#begin(limits.keysMax !== undefined);
    if (this.#phase === 'count') this.#countOn(limits.keysMax);
    else if (this.#phase === 'rows') this.#read(limits);
    else if (this.#phase === 'sort') this.#sortOn(limits.keysMax);
    return this.#phase === 'done';
  }

  /** The next rows of the answer, as far as they are known and nobody has taken them, at most `most`. */
  take(most: number = Number.POSITIVE_INFINITY): Buffer[] {
    const from = this.#taken;
    const end = from + Math.min(most, this.readyCount);
    const rows = this.#sorter?.slice(from, end) ?? this.#ready.slice(from, end);
    this.#taken = end;
    if (this.readyCount === 0 && this.#sorter === undefined) {
      this.#ready = [];
      this.#taken = 0;
    }
    return this.#request.keysOnly ? rows.map(keyValueWithoutValue) : rows;
  }

  /** Rows that {@link take} would give. */
  get readyCount(): number {
    if (this.#sorter === undefined) return this.#ready.length - this.#taken;
    return this.#phase === 'done' ? Math.min(this.#sorter.length, this.#most) - this.#taken : 0;
  }

  /** The store's revision; known after the first step. */
  get revision(): number {
    return this.#headerRevision;
  }

  /** Keys in the range, and whether the answer leaves rows out; meaningful once {@link step} returned true. */
  get summary(): { readonly count: number; readonly more: boolean } {
    // Rows cut off here, or by the store, which then counted more of them than it was asked for.
    const total = this.#filtered ? this.#passed : this.#count;
    return { count: this.#count, more: !this.#request.countOnly && total > this.#most };
  }

  /** The answer; meaningful once {@link step} returned true and nothing was taken before. Call once. */
  parts(): RangeOp {
    return { op: 'range', revision: this.#headerRevision, kvs: this.take(), ...this.summary };
  }

  /**
   * What the first slice costs must not depend on the length of the range, and the index has counts only of the newest revision:
   * of an older one the keys are counted in slices first.
   */
  #begin(sliced: boolean): void {
    if (!sliced || this.#request.revision <= 0 || this.#end === undefined) {
      this.#phase = 'rows';
      return;
    }
    this.#countFrom = this.#key;
    this.#phase = 'count';
  }

  #countOn(keysMax: number | undefined): void {
    const { revision, countOnly } = this.#request;
    const result = this.#view.range(this.#countFrom!, this.#end, { revision, countOnly: true, keysMax });
    this.#headerRevision = result.revision;
    this.#count += result.count;
    this.#countFrom = result.next;
    if (result.next === undefined) this.#phase = countOnly ? 'done' : 'rows';
    this.#isCounted = result.next === undefined;
  }

  #read({ sizeBytesMax, keysMax }: ScanStep): void {
    const result = this.#view.range(this.#key, this.#end, {
      revision: this.#request.revision,
      limit: this.#limit,
      sizeBytesMax,
      keysMax: this.#request.countOnly ? undefined : keysMax,
      countOnly: this.#request.countOnly,
      skipCount: this.#isCounted,
      descending: this.#descending,
    });
    if (!this.#isCounted) {
      this.#headerRevision = result.revision;
      this.#count = result.count;
      this.#isCounted = true;
    }
    if (!this.#hasRoom) this.#makeRoom();
    this.#keep(result.rows);
    this.#moveOn(result);
  }

  /** Once, for as many rows as there can be. */
  #makeRoom(): void {
    this.#hasRoom = true;
    if (this.#request.countOnly) return;
    this.#sorter?.reserve(this.#limit === 0 ? this.#count : Math.min(this.#count, this.#limit));
  }

  #keep(rows: readonly Buffer[]): void {
    for (const row of rows) {
      if (this.#filtered && !passes(row, this.#request)) continue;
      this.#passed++;
      if (this.#sorter !== undefined) this.#sorter.add(row);
      else if (this.#passed <= this.#most) this.#ready.push(row);
    }
  }

  #moveOn({ rows, next }: RangeResult): void {
    const full = this.#limit > 0 && rows.length >= this.#limit;
    if (next === undefined || full) {
      this.#allRead();
      return;
    }
    if (this.#limit > 0) this.#limit -= rows.length;
    if (this.#descending) this.#end = `${next}\0`;
    else this.#key = next;
  }

  #allRead(): void {
    this.#phase = this.#sorter === undefined ? 'done' : 'sort';
    // Short ones in the same step: nobody should wait a turn for them.
    if (this.#sorter !== undefined && this.#sorter.length <= shortSort) this.#sortOn(undefined);
  }

  #sortOn(keysMax: number | undefined): void {
    if (this.#sorter!.step(keysMax)) this.#phase = 'done';
  }
}

/** Rows that are sorted in the step that read them. */
const shortSort = 1_024;

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
