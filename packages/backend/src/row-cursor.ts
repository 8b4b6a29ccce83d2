/**
 * Walking rows in key order, one at a time: over committed rows, over staged changes, and over both as one.
 */
import type { Key } from '@quorate/base';
import type { Row, RowRange, RowVisit } from './backend.ts';
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

/** Shows `visit` up to `limit` rows and closes the cursor. */
export function visitRows(cursor: RowCursor, limit: number, visit: RowVisit): void {
  try {
    for (let count = 0; count < limit; count++) {
      const row = cursor.next();
      if (row === undefined || !visit(row)) break;
    }
  } finally {
    cursor.close();
  }
}

/** Takes up to `limit` rows and closes the cursor. */
export function takeRows(cursor: RowCursor, limit: number): Row[] {
  const rows: Row[] = [];
  visitRows(cursor, limit, (row) => rows.push(row) > 0);
  return rows;
}

/**
 * Committed rows with changes on top, newest changes first in `overlays`. All of them cover the same range in the same direction. The
 * next committed row is asked for when it is needed: what the one before lends is good until then.
 */
export class MergedCursor implements RowCursor {
  readonly #base: RowCursor;
  readonly #overlays: readonly MapCursor<Change>[];
  readonly #reverse: boolean;
  /** The next committed row, if it was asked for; undefined at the end. */
  #row: Row | undefined;
  #isAsked = false;

  constructor(base: RowCursor, overlays: readonly MapCursor<Change>[], reverse: boolean) {
    this.#base = base;
    this.#overlays = overlays;
    this.#reverse = reverse;
  }

  next(): Row | undefined {
    for (;;) {
      if (!this.#isAsked) this.#row = this.#base.next();
      this.#isAsked = true;
      const row = this.#row;
      const key = firstKey(row?.key, this.#overlays, this.#reverse);
      if (key === undefined) return undefined;
      if (row?.key === key) this.#isAsked = false;
      const change = this.#takeChange(key);
      if (change === undefined) return row;
      if (change !== null) return { key, value: change };
    }
  }

  close(): void {
    this.#base.close();
  }

  #takeChange(key: Key): Change | undefined {
    let change: Change | undefined;
    for (const overlay of this.#overlays) {
      if (overlay.key !== key) continue;
      if (change === undefined) change = overlay.value();
      overlay.advance();
    }
    return change;
  }
}

function firstKey(baseKey: Key | undefined, overlays: readonly MapCursor<Change>[], reverse: boolean): Key | undefined {
  let first = baseKey;
  for (const { key } of overlays) {
    if (key === undefined) continue;
    if (first === undefined || (reverse ? key > first : key < first)) first = key;
  }
  return first;
}
