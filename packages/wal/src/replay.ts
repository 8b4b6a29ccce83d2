/**
 * Records put together to what raft starts from: the last hard state, the newest snapshot mark, and the entries behind it with
 * everything gone that a later entry or mark replaced. Whatever does not fit together is corruption.
 */
import { type CorruptionError, type Facts, formatId } from '@quorate/base';
import { DecodeError, Entry, HardState, Metadata, SnapshotMark } from '@quorate/proto';
import { RecordType, type SegmentHeader } from './format.ts';
import type { RecordView } from './segment-reader.ts';

/** What a log says. */
export interface Replayed {
  /** All zero when none was recorded. */
  readonly hardState: HardState;
  /** In order and without gaps, the first right behind the snapshot mark, or at index 1. */
  readonly entries: Entry[];
  /** The newest mark: the log begins behind it. */
  readonly snapshot: SnapshotMark | undefined;
}

/** Makes the error for the file being read. */
export type Refusal = (reason: string, facts: Facts) => CorruptionError;

export class Replay {
  readonly #snapshotAtMost: number;
  #hardState: HardState = HardState.create();
  #snapshot: SnapshotMark | undefined = undefined;
  #entries: Entry[] = [];
  /** Index before the first entry held. Segments before the first were released, so it need not be the mark's before the end. */
  #base: number;

  /** `firstIndex`: of the first segment there is. Marks above `snapshotAtMost` are passed over. */
  constructor(firstIndex: number, snapshotAtMost: number) {
    this.#base = firstIndex - 1;
    this.#snapshotAtMost = snapshotAtMost;
  }

  add(record: RecordView, header: SegmentHeader, refuse: Refusal): void {
    const at = { offset: record.offset, lsn: record.lsn };
    try {
      this.#add(record, header, (reason, facts) => refuse(reason, { ...at, ...facts }));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw refuse('a sound record cannot be decoded', { ...at, type: record.type, actual: error.message });
    }
  }

  /** `committed`: an index known elsewhere to be committed. */
  finish(committed: number, refuse: Refusal): Replayed {
    const mark = this.#snapshot?.index ?? 0;
    const last = this.#lastIndex;
    if (this.#base !== mark) {
      throw refuse('entries are missing between the snapshot mark and the first segment', {
        expected: mark + 1,
        actual: this.#base + 1,
      });
    }
    const { commit } = this.#hardState;
    if (last < commit) throw refuse('the log ends before its own commit index', { expected: commit, actual: last });
    if (last < committed) {
      throw refuse('the log ends before what was applied already', { expected: committed, actual: last });
    }
    return { hardState: this.#hardState, entries: this.#entries, snapshot: this.#snapshot };
  }

  get #lastIndex(): number {
    return this.#base + this.#entries.length;
  }

  #add(record: RecordView, header: SegmentHeader, refuse: Refusal): void {
    switch (record.type) {
      case RecordType.metadata:
        checkMetadata(Metadata.decode(record.payload), header, refuse);
        return;
      case RecordType.entry:
        this.#addEntry(record.payload, refuse);
        return;
      case RecordType.state:
        this.#hardState = HardState.decode(record.payload);
        return;
      case RecordType.snapshot:
        // Copied: the payload is a view of the whole segment, which would stay in memory with it.
        this.#addMark(SnapshotMark.decode(Buffer.from(record.payload)));
        return;
      default:
      // A crc record says what the reader has checked already.
    }
  }

  #addEntry(payload: Buffer, refuse: Refusal): void {
    const entry = Entry.decode(Buffer.from(payload));
    const { index } = entry;
    if (index <= (this.#snapshot?.index ?? 0)) return;
    if (index > this.#lastIndex + 1) {
      throw refuse('entries are missing', { expected: this.#lastIndex + 1, actual: index });
    }
    if (index <= this.#base) this.#base = index - 1;
    this.#entries.length = Math.min(this.#entries.length, index - this.#base - 1);
    this.#entries.push(entry);
  }

  #addMark(mark: SnapshotMark): void {
    const { index, term } = mark;
    if (index > this.#snapshotAtMost || index <= (this.#snapshot?.index ?? 0)) return;
    this.#snapshot = mark;
    // A mark in the first segment may be older than all entries that were kept.
    if (index <= this.#base) return;
    if (this.#entries[index - this.#base - 1]?.term === term) this.#entries.splice(0, index - this.#base);
    else this.#entries = [];
    this.#base = index;
  }
}

function checkMetadata(metadata: Metadata, header: SegmentHeader, refuse: Refusal): void {
  for (const id of ['clusterId', 'memberId', 'incarnation'] as const) {
    if (metadata[id] === header[id]) continue;
    throw refuse(`${id} differs between segment header and metadata record`, {
      expected: formatId(header[id]),
      actual: formatId(metadata[id]),
    });
  }
}
