/**
 * What a log says after a stop of whatever kind, and whether it can be believed. A torn tail (the last group, whose sync had not
 * returned, so nobody was told of it) is told apart from corruption (anything that a crash cannot explain) by evidence:
 *
 *   - damage in a segment that has a successor                                      corruption
 *   - damage followed by a sound record of a later group                            corruption: this place had been durable
 *   - a segment missing, misnamed, swapped, cut short, of another log               corruption
 *   - the sound part ends below what the store or a recorded commit proves          corruption
 *   - anything else behind the last whole group of the last segment                 torn tail
 *
 * Nothing is written here.
 */
import { CorruptionError, type Disk, type Facts, joinPath, type Logger } from '@quorate/base';
import { DecodeError, Entry, HardState, Metadata, SnapshotMark } from '@quorate/proto';
import { decodeSegmentHeader, RecordType, type RecordView, type SegmentHeader } from './record.ts';
import { type GroupPosition, type SegmentScan, scanSegment } from './scan.ts';
import { listSegments, type SegmentName } from './segment.ts';

/** Whose log it is. */
export interface WalMetadata {
  readonly memberId: bigint;
  readonly clusterId: bigint;
  /** Random per data directory. */
  readonly incarnation: bigint;
}

export interface WalRecovery {
  readonly metadata: WalMetadata;
  /** All zero when none was recorded. */
  readonly hardState: HardState;
  /** Entries behind the snapshot mark, without gap; what a later entry overwrote is gone. */
  readonly entries: Entry[];
  /** The newest mark: the log begins behind it. */
  readonly snapshot: SnapshotMark | undefined;
  /** Bytes of a torn tail that are to be cut. */
  readonly tornBytes: number;
}

/** A segment as read. */
export interface ReadSegment {
  readonly name: SegmentName;
  readonly header: SegmentHeader;
  readonly scan: SegmentScan;
}

export interface LogReading {
  readonly segments: readonly ReadSegment[];
  /** Bytes of the last segment. */
  readonly lastBytes: Buffer;
  readonly recovery: WalRecovery;
}

const advice = 'replace this member, or restore its directory from a backup; nothing was changed';

/**
 * Reads and judges the whole log. `committedAtLeast` is an index known elsewhere to be committed (the store's consistent index).
 * Throws CorruptionError naming file and offset.
 */
export async function readLog(
  disk: Disk,
  directory: string,
  logger: Logger,
  committedAtLeast: number,
): Promise<LogReading> {
  const names = await listSegments(disk, directory, logger);
  const assembly = new Assembly();
  const segments: ReadSegment[] = [];
  let lastBytes: Buffer = Buffer.alloc(0);
  for (const name of names) {
    lastBytes = await readWhole(disk, joinPath(directory, name.name));
    const segment = checkSegment(lastBytes, name, segments.at(-1), directory);
    segments.push(segment);
    for (const record of segment.scan.records) assembly.add(record, joinPath(directory, name.name));
  }
  const last = segments.at(-1);
  if (last === undefined) throw new CorruptionError('wal', 'no segment found', { directory });
  checkLast(last, directory);
  const tornBytes = last.scan.badAt === undefined ? 0 : lastBytes.length - last.scan.goodEnd;
  const recovery = assembly.finish(last, joinPath(directory, last.name.name), committedAtLeast, tornBytes);
  return { segments, lastBytes, recovery };
}

async function readWhole(disk: Disk, path: string): Promise<Buffer> {
  const file = await disk.open(path, { write: false });
  try {
    return await file.read(0, await file.size());
  } finally {
    await file.close();
  }
}

/** Refuses with the reason, what to do, and where. */
function refuse(file: string, reason: string, facts: Facts = {}): never {
  throw new CorruptionError('wal', `${reason}; ${advice}`, { file, ...facts });
}

function checkSegment(
  bytes: Buffer,
  name: SegmentName,
  previous: ReadSegment | undefined,
  directory: string,
): ReadSegment {
  const file = joinPath(directory, name.name);
  const header = decodeSegmentHeader(bytes);
  if (header === undefined) return refuse(file, 'the header of a segment is damaged', { offset: 0 });
  if (header.sequence !== name.sequence || header.firstIndex !== name.firstIndex) {
    refuse(file, 'a segment is under the name of another', { offset: 0, sequence: header.sequence });
  }
  if (bytes.length !== header.sizeBytes) {
    refuse(file, 'a segment is not as long as it was made', { offset: bytes.length, expected: header.sizeBytes });
  }
  if (previous !== undefined) checkLink(previous, header, directory, file);
  return { name, header, scan: scanSegment(bytes, header) };
}

/** Where the successor of a segment begins: its header is made durable before the seal is written, so not behind that. */
function endOf(scan: SegmentScan): GroupPosition {
  return scan.beforeSeal ?? { chain: scan.chain, lsn: scan.endLsn, group: scan.lastGroup + 1 };
}

/**
 * A segment must continue exactly where the sound part of the one before it ends. What lies behind that place there can only be
 * a seal that a crash tore.
 */
function checkLink(previous: ReadSegment, header: SegmentHeader, directory: string, file: string): void {
  const before = previous.header;
  if (header.sequence !== before.sequence + 1) {
    refuse(file, 'a segment is missing before this one', { offset: 0, after: before.sequence });
  }
  const same =
    header.memberId === before.memberId &&
    header.clusterId === before.clusterId &&
    header.incarnation === before.incarnation;
  if (!same) refuse(file, 'a segment belongs to another log', { offset: 0 });
  const end = endOf(previous.scan);
  if (header.chain === end.chain && header.firstLsn === end.lsn && header.firstGroup === end.group) return;
  const { scan } = previous;
  if (scan.badAt === undefined)
    refuse(file, 'a segment does not continue the one before it', { offset: 0, lsn: end.lsn });
  refuse(joinPath(directory, previous.name.name), 'a closed segment is damaged', {
    offset: scan.goodEnd,
    lsn: scan.endLsn,
    group: scan.lastGroup + 1,
    expectedEndLsn: header.firstLsn,
  });
}

/** What only the last segment can show: damage that cannot be a torn tail, and a successor that is gone. */
function checkLast(segment: ReadSegment, directory: string): void {
  const file = joinPath(directory, segment.name.name);
  const { scan, header } = segment;
  if (scan.laterGroupAt !== undefined) {
    refuse(file, 'damage lies before records that were written after it', {
      offset: scan.goodEnd,
      lsn: scan.endLsn,
      soundAgainAt: scan.laterGroupAt,
    });
  }
  if (scan.sealedFor !== undefined) {
    refuse(file, 'the segment that follows is missing', { offset: scan.goodEnd, sequence: scan.sealedFor });
  }
  // The first group of a segment was durable before the segment got its name.
  if (scan.lastGroup < header.firstGroup) {
    refuse(file, 'the beginning of a segment is damaged', { offset: scan.goodEnd, lsn: scan.endLsn });
  }
}

/** Puts records together to a log. */
class Assembly {
  #metadata: Metadata | undefined;
  #hardState: HardState = HardState.create();
  #entries: Entry[] = [];
  #snapshot: SnapshotMark | undefined;

  add(record: RecordView, file: string): void {
    try {
      this.#add(record, file);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw new CorruptionError('wal', `a sound record cannot be decoded; ${advice}`, { file, reason: error.message });
    }
  }

  #add(record: RecordView, file: string): void {
    switch (record.type) {
      case RecordType.metadata:
        this.#metadata = Metadata.decode(record.payload);
        break;
      case RecordType.entry:
        this.#addEntry(record.payload, file);
        break;
      case RecordType.state:
        this.#hardState = HardState.decode(record.payload);
        break;
      case RecordType.snapshot:
        this.#addMark(SnapshotMark.decode(Buffer.from(record.payload)));
        break;
      case RecordType.filler:
        break;
      default:
        throw new CorruptionError('wal', `a record is of a kind this version does not know; ${advice}`, {
          file,
          type: record.type,
        });
    }
  }

  /** The payload is a view of the whole segment: entries live on, so they get bytes of their own. */
  #addEntry(payload: Buffer, file: string): void {
    const entry = Entry.decode(Buffer.from(payload));
    const before = this.#snapshot?.index ?? 0;
    if (entry.index <= before) return;
    const first = this.#entries[0]?.index ?? entry.index;
    const at = entry.index - first;
    // Where the first one stands is judged at the end: the oldest segments may have been released up to a mark that comes later.
    if (at > this.#entries.length) {
      throw new CorruptionError('wal', `entries are missing from the log; ${advice}`, {
        file,
        index: entry.index,
        after: this.#entries.at(-1)?.index ?? before,
      });
    }
    // Below the first: what stood before it was released, and this replaces everything that is left of it.
    this.#entries.length = Math.max(at, 0);
    this.#entries.push(entry);
  }

  /**
   * The log begins behind the mark. Entries behind it stay if the mark continues this very log (a compaction): it names one of
   * its entries, or one before its first when those up to a later mark were released already. A mark that does not (a snapshot
   * from the leader) replaces everything.
   */
  #addMark(mark: SnapshotMark): void {
    const first = this.#entries[0]?.index ?? 0;
    const at = this.#entries[mark.index - first];
    const older = this.#snapshot !== undefined && mark.index <= this.#snapshot.index;
    if (older) return;
    const continues = at !== undefined && at.index === mark.index && at.term === mark.term;
    if (continues) this.#entries = this.#entries.slice(mark.index - first + 1);
    else if (first <= mark.index) this.#entries = [];
    this.#snapshot = mark;
  }

  finish(last: ReadSegment, file: string, committedAtLeast: number, tornBytes: number): WalRecovery {
    const { memberId, clusterId, incarnation } = last.header;
    const before = this.#snapshot?.index ?? 0;
    const first = this.#entries[0];
    const lastIndex = this.#entries.at(-1)?.index ?? before;
    const facts = { file, offset: last.scan.goodEnd, lastIndex };
    const own = this.#metadata;
    if (own?.memberId !== memberId || own.clusterId !== clusterId || own.incarnation !== incarnation) {
      throw new CorruptionError('wal', `the log does not say whose it is; ${advice}`, facts);
    }
    if (first !== undefined && first.index !== before + 1) {
      throw new CorruptionError('wal', `the beginning of the log is missing; ${advice}`, {
        ...facts,
        first: first.index,
      });
    }
    const committed = Math.max(this.#hardState.commit, committedAtLeast);
    if (lastIndex < committed) {
      throw new CorruptionError('wal', `the log ends before what is known to be committed; ${advice}`, {
        ...facts,
        committed,
      });
    }
    return {
      metadata: { memberId, clusterId, incarnation },
      hardState: this.#hardState,
      entries: this.#entries,
      snapshot: this.#snapshot,
      tornBytes,
    };
  }
}
