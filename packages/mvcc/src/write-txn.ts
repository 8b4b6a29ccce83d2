/**
 * The write transaction. The index learns of each change at once, so that the transaction's own reads see it (readers
 * at the current revision do not: its versions carry the next one). The rows wait here until end() stages them all:
 * whatever goes wrong in between, no half of a transaction can reach the backend.
 */
import { invariant, type Key, type LeaseId, noLease } from '@quorate/base';
import { type RangeSource, rangeOf, type StoreParts } from './read-txn.ts';
import { encodeDeleted } from './row-store.ts';
import { recordOf } from './stored-row.ts';
import type { TreeIndex } from './tree-index.ts';
import type { Change, LeaseBook, RangeOptions, RangeResult, WriteTxn } from './types.ts';

const noOptions: RangeOptions = {};

/** A change and its row. Most changes have nobody who looks at their record, so that it is made when somebody does. */
class StagedChange implements Change {
  readonly type: 'put' | 'delete';
  readonly key: Key;
  readonly row: Buffer;
  readonly modRevision: number;
  readonly sub: number;

  constructor(type: 'put' | 'delete', key: Key, row: Buffer, modRevision: number, sub: number) {
    this.type = type;
    this.key = key;
    this.row = row;
    this.modRevision = modRevision;
    this.sub = sub;
  }

  get record(): Buffer {
    return this.type === 'put' ? recordOf(this.row) : encodeDeleted(this.key, this.modRevision);
  }
}

/** What a transaction begins with: most have one change, and a list that grows from nothing makes room for seventeen. */
const noChanges: StagedChange[] = [];

/** Made by Store.write() alone. Private by keyword and not by #, as Writer is: one is made per write. */
export class StoreWriteTxn implements WriteTxn, RangeSource {
  readonly index: TreeIndex;
  changes: StagedChange[] = noChanges;
  private readonly parts: StoreParts;
  private readonly leases: LeaseBook;
  /** Tells the store that the transaction is over. */
  private readonly finish: (txn: StoreWriteTxn) => void;
  private readonly main: number;
  private open = true;
  private operations = 0;

  constructor(parts: StoreParts, leases: LeaseBook, finish: (txn: StoreWriteTxn) => void) {
    this.index = parts.index;
    this.parts = parts;
    this.leases = leases;
    this.finish = finish;
    this.main = parts.currentRevision + 1;
  }

  get revision(): number {
    return this.changes.length > 0 ? this.main : this.main - 1;
  }

  get compactRevision(): number {
    return this.parts.compactRevision;
  }

  get changed(): boolean {
    return this.changes.length > 0;
  }

  range(key: Key, end: Key | undefined, options: RangeOptions = noOptions): RangeResult {
    invariant(this.open, 'write transaction used after its end');
    this.operations++;
    this.parts.metrics.ranges.add();
    return rangeOf(this, key, end, options);
  }

  record(id: number): Buffer {
    const { versions } = this.index;
    const main = versions.main(id);
    const sub = versions.sub(id);
    return main === this.main ? this.changes[sub]!.record : this.parts.rows.read(main, sub);
  }

  put(key: Key, value: Uint8Array, lease: LeaseId): number {
    invariant(this.open, 'write transaction used after its end');
    this.operations++;
    const { index, rows, metrics } = this.parts;
    const { versions } = index;
    const modRevision = this.main;
    const sub = this.changes.length;
    const id = index.put(key, modRevision, sub);
    const createRevision = versions.created(id);
    const version = versions.version(id);
    const row = rows.encodePut(sub, { key, createRevision, modRevision, version, value, lease });
    this.stage(new StagedChange('put', key, row, modRevision, sub));
    this.moveLease(key, lease);
    metrics.puts.add();
    metrics.putBytes += key.length + value.length;
    return modRevision;
  }

  deleteRange(key: Key, end: Key | undefined): number {
    invariant(this.open, 'write transaction used after its end');
    this.operations++;
    this.parts.metrics.deletes.add();
    const { index } = this.parts;
    const at = this.revision;
    if (end === undefined || end === '') {
      if (index.find(key, at) < 0) return 0;
      this.delete(key);
      return 1;
    }
    const keys: Key[] = [];
    index.ascend({ from: key, to: end === '\0' ? undefined : end, at }, (_id, place) => {
      keys.push(place.key);
      return true;
    });
    for (const found of keys) this.delete(found);
    return keys.length;
  }

  end(): void {
    invariant(this.open, 'write transaction ended twice');
    this.open = false;
    const { rows, metrics } = this.parts;
    for (const { type, sub, row } of this.changes) rows.put(this.main, sub, type === 'delete', row);
    // etcd counts a transaction as one only when it did more than one thing.
    if (this.operations > 1) metrics.transactions.add();
    this.finish(this);
  }

  private delete(key: Key): void {
    const modRevision = this.main;
    const sub = this.changes.length;
    this.parts.index.tombstone(key, modRevision, sub);
    const row = this.parts.rows.encodeTombstone(modRevision, sub, key);
    this.stage(new StagedChange('delete', key, row, modRevision, sub));
    this.moveLease(key, noLease);
  }

  private stage(change: StagedChange): void {
    if (this.changes === noChanges) this.changes = [change];
    else this.changes.push(change);
  }

  private moveLease(key: Key, lease: LeaseId): void {
    const before = this.leases.leaseOf(key);
    if (before === lease) return;
    if (before !== noLease) this.leases.detach(before, key);
    if (lease !== noLease) this.leases.attach(lease, key);
  }
}
