/**
 * Holds the rows of a store against each other: each by itself (checksum, form), each key's life from row to row, and at the end
 * what the buckets say of one another. It is told rows in the order of the store, which ends with the key bucket.
 */
import { allBuckets, type Bucket, buckets } from '@quorate/backend';
import { CorruptionError, formatId, type Key, noLease, parseId } from '@quorate/base';
import { compactionMarks, decodeMark, isSound, isTombstoneKey, parseRowKey, recordOf } from '@quorate/mvcc';
import { AlarmMember, ConfState, DecodeError, KeyValue, LeaseRecord, MemberRecord } from '@quorate/proto';
import type { Checksum } from '../snapshot-codec.ts';

/** A row, as verifyRows is given it. */
export interface VerifiedRow {
  readonly bucketId: number;
  readonly key: Key;
  readonly value: Buffer;
  readonly offset: number;
}

/** What is told of a row that is wrong. `key` is for people. */
export type TellProblem = (at: { readonly offset: number; readonly key: string }, reason: string) => void;

/** Newest row seen of a key. */
interface Life {
  readonly created: number;
  readonly version: number;
  readonly modified: number;
  readonly lease: bigint;
  readonly offset: number;
}

const bucketById: ReadonlyMap<number, Bucket> = new Map(allBuckets.map((bucket) => [bucket.id, bucket]));
const formatBucketId = 0;
const formatText = 'quorate 1';

export class RowVerifier {
  readonly #checksum: Checksum;
  readonly #tell: TellProblem;
  readonly #lives = new Map<Key, Life>();
  readonly #leases = new Set<bigint>();
  readonly #members = new Map<bigint, { readonly isLearner: boolean; readonly offset: number }>();
  #hasFormat = false;
  #confState: ConfState | undefined;
  #compacted = 0;
  #newest = 0;
  #rows = 0;

  constructor(checksum: Checksum, tell: TellProblem) {
    this.#checksum = checksum;
    this.#tell = tell;
  }

  get rowCount(): number {
    return this.#rows;
  }

  /** Keys that are alive at the newest revision. */
  get keyCount(): number {
    return this.#lives.size;
  }

  /** The revision the store opens at. */
  get revision(): number {
    return Math.max(1, this.#newest, this.#compacted);
  }

  add(row: VerifiedRow): void {
    this.#rows++;
    const bucket = bucketById.get(row.bucketId);
    const at = { offset: row.offset, key: nameOf(bucket?.name ?? `bucket ${row.bucketId}`, row.key) };
    const tell = (reason: string): void => this.#tell(at, reason);
    try {
      this.#addTo(bucket, row, tell);
    } catch (error) {
      if (!(error instanceof DecodeError || error instanceof CorruptionError)) throw error;
      tell(`cannot be decoded: ${error.message}`);
    }
  }

  /** What can only be said when all rows were seen. */
  finish(): void {
    if (!this.#hasFormat) this.#tell({ offset: 0, key: 'format' }, 'the row that names the format is missing');
    for (const [key, { lease, offset }] of this.#lives) {
      if (lease === noLease || this.#leases.has(lease)) continue;
      this.#tell({ offset, key: nameOf('key', key) }, `names lease ${formatId(lease)}, which there is not`);
    }
    this.#compareMembers();
  }

  #addTo(bucket: Bucket | undefined, row: VerifiedRow, tell: (reason: string) => void): void {
    switch (bucket) {
      case undefined:
        if (row.bucketId !== formatBucketId || row.key !== 'format') tell('a row of no bucket of this program');
        else if (row.value.toString('latin1') === formatText) this.#hasFormat = true;
        else tell('the store is of another format');
        break;
      case buckets.key:
        this.#addVersion(row, tell);
        break;
      case buckets.meta:
        this.#addMeta(row);
        break;
      case buckets.lease:
        this.#addLease(row, tell);
        break;
      case buckets.alarm:
        AlarmMember.decode(Buffer.from(row.key, 'latin1'));
        break;
      case buckets.members:
        this.#addMember(row, tell);
        break;
      case buckets.membersRemoved:
        if (parseId(row.key) === undefined) tell('not the id of a member');
        break;
      default:
        break;
    }
  }

  #addMeta({ key, value }: VerifiedRow): void {
    if (key === 'conf_state') this.#confState = ConfState.decode(value);
    if (key === compactionMarks.scheduled || key === compactionMarks.finished) {
      this.#compacted = Math.max(this.#compacted, decodeMark(value));
    }
  }

  #addLease({ key, value }: VerifiedRow, tell: (reason: string) => void): void {
    if (key.length !== 8) {
      tell('not the id of a lease');
      return;
    }
    const id = Buffer.from(key, 'latin1').readBigUInt64BE();
    if (LeaseRecord.decode(value).id !== id) tell('a lease under the id of another');
    this.#leases.add(id);
  }

  #addMember({ key, value, offset }: VerifiedRow, tell: (reason: string) => void): void {
    const { id, isLearner } = MemberRecord.decode(value);
    if (parseId(key) !== id) tell('a member under the id of another');
    this.#members.set(id, { isLearner, offset });
  }

  #addVersion(row: VerifiedRow, tell: (reason: string) => void): void {
    const { main } = parseRowKey(row.key);
    this.#newest = Math.max(this.#newest, main);
    const record = recordOf(row.value);
    if (isSound(row, this.#checksum)) {
      this.#live(main, KeyValue.decode(record), row, tell);
      return;
    }
    tell('checksum mismatch');
    try {
      // It still stands for its version, so that the next one is not called wrong as well.
      this.#live(main, KeyValue.decode(record), row, () => undefined);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
    }
  }

  /** The next row in the life of a key. */
  #live(main: number, record: KeyValue, { key: rowKey, offset }: VerifiedRow, tell: (reason: string) => void): void {
    const { createRevision, modRevision, version, lease } = record;
    const key = record.key.toString('latin1');
    const before = this.#lives.get(key);
    const name = `of ${nameOf('key', key)}`;
    if (isTombstoneKey(rowKey)) {
      // What compaction has left of a key may begin with its end.
      if (before === undefined && main > this.#compacted) tell(`a deletion ${name}, which is not there`);
      this.#lives.delete(key);
      return;
    }
    this.#lives.set(key, { created: createRevision, version, modified: main, lease, offset });
    if (modRevision !== main) tell(`a version ${name} of revision ${modRevision} under another`);
    else if (before !== undefined) {
      const follows = version === before.version + 1 && createRevision === before.created && main >= before.modified;
      if (!follows) tell(`version ${version} ${name} does not follow version ${before.version}`);
    } else if (version === 1 ? createRevision !== main : createRevision >= main || main > this.#compacted) {
      tell(`version ${version} ${name} has no version before it`);
    }
  }

  /** The list of members and the configuration of raft change with the same entries. */
  #compareMembers(): void {
    if (this.#confState === undefined) return;
    const { voters, votersOutgoing, learners, learnersNext } = this.#confState;
    const named = new Map<bigint, boolean>();
    for (const id of [...learners, ...learnersNext]) named.set(id, true);
    for (const id of [...voters, ...votersOutgoing]) named.set(id, false);
    for (const [id, { isLearner, offset }] of this.#members) {
      const at = { offset, key: `members/${formatId(id)}` };
      if (named.get(id) !== isLearner) this.#tell(at, 'the configuration of the cluster says otherwise');
      named.delete(id);
    }
    for (const id of named.keys()) {
      this.#tell({ offset: 0, key: 'meta/conf_state' }, `names member ${formatId(id)}, which is not in the list`);
    }
  }
}

/** `key/text`, or `key/0xhex` for what does not print. */
function nameOf(bucket: string, key: Key): string {
  const shown = key.slice(0, shownMax);
  const rest = key.length > shownMax ? '…' : '';
  const isText = /^[\x20-\x7e]*$/.test(shown);
  return `${bucket}/${isText ? shown : `0x${Buffer.from(shown, 'latin1').toString('hex')}`}${rest}`;
}

const shownMax = 200;
