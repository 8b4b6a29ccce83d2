/**
 * Walking rows in key order, one at a time: over committed rows, over staged changes, and over both as one.
 */
import type { Key } from '@quorate/base';
import type { Row, RowRange } from './backend.ts';
import { lowerBound, type SortedMap } from './sorted-map.ts';

/** Rows of one range in its direction. Whoever opens one walks to the end or closes it, in the same turn. */
export interface RowCursor {
  /** The next row; undefined at the end. */
  next(): Row | undefined;
  /** Releases what the walk holds. Idempotent; not needed after the end was reached. */
  close(): void;
}

/** What a batch does to a key: its new value, or null for a removal. */
export type Change = Buffer | null;

/** A walk over the entries of a sorted map within a range, standing at an entry or beyond the last. */
export class MapCursor<V> {
  /** Key the cursor stands at; undefined beyond the last. */
  key: Key | undefined;
  readonly #map: SortedMap<V>;
  readonly #keys: readonly Key[];
  readonly #low: number;
  readonly #high: number;
  readonly #step: number;
  #at: number;

  constructor(map: SortedMap<V>, range: RowRange) {
    this.#map = map;
    this.#keys = map.keys();
    this.#low = lowerBound(this.#keys, range.from);
    this.#high = range.to === undefined ? this.#keys.length : lowerBound(this.#keys, range.to);
    this.#step = range.reverse === true ? -1 : 1;
    this.#at = range.reverse === true ? this.#high - 1 : this.#low;
    this.key = this.#keyHere();
  }

  /** Value at the entry the cursor stands at. */
  value(): V {
    return this.#map.get(this.key!)!;
  }

  advance(): void {
    this.#at += this.#step;
    this.key = this.#keyHere();
  }

  #keyHere(): Key | undefined {
    return this.#at >= this.#low && this.#at < this.#high ? this.#keys[this.#at] : undefined;
  }
}

/** Rows of a map of values, each with a value of its own. */
export class MapRowCursor implements RowCursor {
  readonly #cursor: MapCursor<Buffer>;

  constructor(map: SortedMap<Buffer>, range: RowRange) {
    this.#cursor = new MapCursor(map, range);
  }

  next(): Row | undefined {
    const { key } = this.#cursor;
    if (key === undefined) return undefined;
    const row = { key, value: Buffer.from(this.#cursor.value()) };
    this.#cursor.advance();
    return row;
  }

  close(): void {}
}

/** Takes up to `limit` rows and closes the cursor. */
export function takeRows(cursor: RowCursor, limit: number): Row[] {
  const rows: Row[] = [];
  try {
    while (rows.length < limit) {
      const row = cursor.next();
      if (row === undefined) break;
      rows.push(row);
    }
  } finally {
    cursor.close();
  }
  return rows;
}

/**
 * Up to `limit` rows of committed rows with changes on top, newest changes first in `overlays`, and closes the cursor. All of
 * them cover the same range in the same direction.
 */
export function takeMergedRows(base: RowCursor, overlays: readonly MapCursor<Change>[], range: RowRange): Row[] {
  const limit = range.limit ?? Number.POSITIVE_INFINITY;
  const rows: Row[] = [];
  try {
    let row = limit > 0 ? base.next() : undefined;
    while (rows.length < limit) {
      const key = firstKey(row?.key, overlays, range.reverse === true);
      if (key === undefined) break;
      let change: Change | undefined;
      for (const overlay of overlays) {
        if (overlay.key !== key) continue;
        if (change === undefined) change = overlay.value();
        overlay.advance();
      }
      if (change === undefined) rows.push(row!);
      else if (change !== null) rows.push({ key, value: change });
      if (row?.key === key) row = base.next();
    }
  } finally {
    base.close();
  }
  return rows;
}

function firstKey(baseKey: Key | undefined, overlays: readonly MapCursor<Change>[], reverse: boolean): Key | undefined {
  let first = baseKey;
  for (const { key } of overlays) {
    if (key === undefined) continue;
    if (first === undefined || (reverse ? key > first : key < first)) first = key;
  }
  return first;
}
