/**
 * What a store needs of its rows to be opened: each is verified, and what it says of its key goes to the index, which is built when
 * all have come. They come while the backend is opened, if that reads through the store, or are scanned afterwards (restore.ts).
 */
import type { Place, RowSight } from '@quorate/backend';
import { type LeaseId, noLease } from '@quorate/base';
import { Reader } from '@quorate/proto';
import { IndexLoader, type RowFacts } from './index-loader.ts';
import { RowReader, type SoundRow } from './stored-row.ts';
import { TreeIndex } from './tree-index.ts';
import type { Checksum } from './types.ts';

/** Tags of the fields of mvccpb.KeyValue that the index needs. */
const Tag = { key: 0x0a, createRevision: 0x10, version: 0x20, lease: 0x30 } as const;

/** Takes all rows in order of their revisions. For one opening of a store. */
export class RowIntake implements RowSight {
  readonly index: TreeIndex = new TreeIndex();
  /** Builds what {@link index} adopts. */
  readonly loader: IndexLoader = new IndexLoader(this.index.versions);
  readonly #reader: RowReader;
  #hasAll = false;
  /** What the first row was refused with that is damaged. */
  #damage: unknown;

  constructor(checksum: Checksum) {
    this.#reader = new RowReader(checksum);
  }

  /** Whether all rows are here, shown while the backend was opened. Throws what is wrong with the first damaged one. */
  get hasAll(): boolean {
    if (this.#damage !== undefined) throw this.#damage;
    return this.#hasAll;
  }

  /** A damaged row is told of when the store is opened, and not before: it may come to be replaced by another, whole. */
  row(key: Place, value: Place): void {
    if (this.#damage !== undefined) return;
    try {
      this.add(this.#reader.readAt(key, value));
    } catch (error) {
      this.#damage = error;
    }
  }

  end(): void {
    this.#hasAll = true;
  }

  /** Takes a row that is verified. */
  add(row: SoundRow): void {
    addRow(this.loader, row);
  }
}

function addRow(loader: IndexLoader, row: SoundRow): void {
  const { main, sub, record } = row;
  const reader = new Reader(record);
  let from = 0;
  let to = 0;
  let created = 0;
  let version = 0;
  let lease: LeaseId = noLease;
  // The value, most of the record, is passed over: KeyValue.decode would make a view of it and of the key.
  while (reader.pos < record.length) {
    const tag = reader.tag();
    if (tag === Tag.key) {
      to = reader.delimited();
      from = reader.pos;
      reader.pos = to;
    } else if (tag === Tag.createRevision) created = reader.int64();
    else if (tag === Tag.version) version = reader.int64();
    else if (tag === Tag.lease) lease = reader.biguint();
    else reader.skip(tag);
  }
  const facts: RowFacts = row.tombstone
    ? { main, sub, generation: undefined, lease: noLease }
    : { main, sub, generation: { created, version }, lease };
  loader.add(record, from, to, facts);
}
