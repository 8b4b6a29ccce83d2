/**
 * From what raft appends to the bytes of groups. Everything is decided when it is appended: its group, its LSN, its place in which
 * segment, its checksums. So the work is done while the disk is busy with the group before, and when the disk is free the next
 * group is ready to be written as it is. Synchronous; touches no file.
 */
import { invariant, type Random, randomId } from '@quorate/base';
import { type Entry, HardState, Metadata, SnapshotMark } from '@quorate/proto';
import { crc, crcRange } from './crc.ts';
import { encodeIdleMark, encodeSeal } from './crc-record.ts';
import { entryPrefixBytesMax, writeEntryPrefix } from './entry-payload.ts';
import {
  addRecordFlags,
  aligned,
  crcPayloadBytes,
  crcRecordBytes,
  RecordFlag,
  RecordType,
  recordBytes,
  recordHeaderBytes,
  type SegmentHeader,
  saltSeed,
  segmentHeaderBytes,
  writeRecordHeader,
} from './format.ts';
import { Group, type SegmentStart } from './group.ts';
import type { LogShape } from './log-shape.ts';

/** A group takes no more appends beyond this size: the first in it should not wait for too many bytes. One append is never split. */
const groupBytesMax = 4 * 1024 * 1024;
/** Data of at least this size is written from where it is; below, copying is cheaper than another piece to write. */
const largeDataBytes = 16 * 1024;
const stagingBytes = 64 * 1024;
/** Staging buffers kept for the next groups: one is being written while the other is filled. */
const sparesMax = 2;
/** Encoded: three varints with tags. */
const hardStateBytesMax = 3 * 11;

/** Where the log ends and what it holds, so that it can be continued. */
export interface LogEnd {
  /** The segment that is written to; undefined for a log that is about to begin. */
  readonly segment: SegmentHeader | undefined;
  /** Offset in its file where the next group goes. */
  readonly position: number;
  readonly lsn: number;
  /** Number of the next group. */
  readonly group: number;
  readonly chain: number;
  readonly shape: LogShape;
  readonly hardState: HardState | undefined;
  readonly mark: SnapshotMark | undefined;
}

export interface StageOptions {
  readonly metadata: Metadata;
  readonly segmentSizeBytes: number;
  readonly random: Random;
}

export class Stage {
  readonly #options: StageOptions;
  readonly #shape: LogShape;
  #segment: SegmentHeader | undefined;
  #seed: number;
  /** Where the next group begins, in the file and in the log. */
  #position: number;
  #nextGroup: number;
  #lsn: number;
  #chain: number;
  #hardState: HardState | undefined;
  #mark: SnapshotMark | undefined;
  /** The group that takes what is appended; undefined while there is nothing in it. */
  #open: Group | undefined = undefined;
  readonly #sealed: Group[] = [];
  readonly #spares: Buffer[] = [];

  constructor(options: StageOptions, end: LogEnd) {
    this.#options = options;
    this.#shape = end.shape;
    this.#segment = end.segment;
    this.#seed = end.segment === undefined ? 0 : saltSeed(end.segment.salt);
    this.#position = end.position;
    this.#nextGroup = end.group;
    this.#lsn = end.lsn;
    this.#chain = end.chain;
    this.#hardState = end.hardState;
    this.#mark = end.mark;
    if (end.segment === undefined) this.#beginSegment(0);
  }

  /** Last index appended. */
  get lastIndex(): number {
    return this.#shape.lastIndex;
  }

  /** The group that holds what was appended last; undefined when all groups were taken. */
  get newest(): Group | undefined {
    return this.#open ?? this.#sealed.at(-1);
  }

  /** One append: the mark, then the entries behind it, then the hard state. All in one group, so all or nothing survives. */
  append(hardState: HardState | undefined, entries: readonly Entry[], mark: SnapshotMark | undefined): void {
    const bytesMax = appendBytesMax(hardState, entries, mark);
    if (bytesMax === 0) return;
    this.#makeRoom(bytesMax);
    const group = this.#group();
    if (mark !== undefined) this.#putMark(group, mark);
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      this.#shape.append(entry.index, entry.term);
      this.#entry(group, entry);
    }
    if (hardState !== undefined) {
      const { commit } = hardState;
      invariant(commit <= this.lastIndex, 'commit index beyond the log', { commit, last: this.lastIndex });
      this.#record(group, RecordType.state, HardState.encode(hardState));
      this.#hardState = hardState;
    }
    group.lastIndex = this.lastIndex;
    group.holdsData = true;
  }

  /**
   * A group without data: once durable it proves that the one before was. The first group of a new segment does so too, when there
   * is no room left here.
   */
  appendIdleMark(): void {
    this.#sealOpen();
    const place = { lsn: this.#lsn, group: this.#nextGroup, chain: this.#chain };
    const { bytes, chain } = encodeIdleMark(this.#position, place, this.#seed);
    if (this.#position + bytes.length + crcRecordBytes > this.#segment!.sizeBytes) {
      this.#beginSegment(0);
      return;
    }
    const group = this.#group();
    group.reserve(bytes.length);
    bytes.copy(group.staging);
    group.used = bytes.length;
    group.lastHeaderAt = bytes.length - crcRecordBytes;
    group.lastIndex = this.lastIndex;
    this.#lsn += bytes.length;
    this.#chain = chain;
    this.#sealOpen();
  }

  /** The next group to be written, in order; undefined when there is nothing. */
  take(): Group | undefined {
    if (this.#sealed.length === 0) this.#sealOpen();
    return this.#sealed.shift();
  }

  /** Everything that was not taken, for telling those who wait that it never will be written. */
  drain(): Group[] {
    this.#sealOpen();
    return this.#sealed.splice(0);
  }

  /** Takes the staging buffer of a group back once it is durable. */
  recycle(group: Group): void {
    if (this.#spares.length < sparesMax && group.staging.length <= groupBytesMax) this.#spares.push(group.staging);
  }

  #putMark(group: Group, mark: SnapshotMark): void {
    this.#shape.mark(mark.index, mark.term);
    this.#record(group, RecordType.snapshot, SnapshotMark.encode(mark));
    this.#mark = mark;
    group.mark = mark.index;
  }

  /** Ends the open group when it is full, and the segment when it has no room for `bytes` and the seal. */
  #makeRoom(bytes: number): void {
    const open = this.#open?.sizeBytes ?? 0;
    if (open > 0 && open + bytes > groupBytesMax) this.#sealOpen();
    const segment = this.#segment!;
    const end = this.#position + (this.#open?.sizeBytes ?? 0) + bytes + crcRecordBytes;
    if (end <= segment.sizeBytes) return;
    this.#sealOpen();
    this.#beginSegment(bytes);
  }

  #group(): Group {
    this.#open ??= this.#newGroup(undefined);
    return this.#open;
  }

  #newGroup(segmentStart: SegmentStart | undefined): Group {
    const start = { position: this.#position, lsn: this.#lsn, number: this.#nextGroup };
    return new Group(start, segmentStart, this.#spares.pop() ?? Buffer.allocUnsafe(stagingBytes));
  }

  #sealOpen(): void {
    const group = this.#open;
    if (group === undefined) return;
    addRecordFlags(group.staging, group.lastHeaderAt, RecordFlag.groupEnd, this.#seed);
    this.#position += group.sizeBytes;
    this.#nextGroup++;
    this.#open = undefined;
    this.#sealed.push(group);
  }

  /**
   * A new segment with room for `bytes` behind its first group, which repeats what a reader needs who has none of the segments
   * before. The group that is next goes there.
   */
  #beginSegment(bytes: number): void {
    const { metadata, segmentSizeBytes, random } = this.#options;
    const before = this.#segment;
    const seal = before === undefined ? undefined : { position: this.#position, bytes: this.#seal() };
    const head = this.#headPayloads();
    const headBytes = head.reduce((sum, [, payload]) => sum + recordBytes(payload.length), crcRecordBytes);
    const header: SegmentHeader = {
      clusterId: metadata.clusterId,
      memberId: metadata.memberId,
      incarnation: metadata.incarnation,
      sequence: before === undefined ? 0 : before.sequence + 1,
      firstIndex: this.lastIndex + 1,
      firstLsn: this.#lsn,
      firstGroup: this.#nextGroup,
      sizeBytes: aligned(Math.max(segmentSizeBytes, segmentHeaderBytes + headBytes + bytes + crcRecordBytes)),
      salt: randomId(random),
      chain: this.#chain,
    };
    this.#segment = header;
    this.#seed = saltSeed(header.salt);
    this.#position = segmentHeaderBytes;
    const group = this.#newGroup({ header, seal });
    this.#open = group;
    this.#crcRecord(group);
    for (const [type, payload] of head) this.#record(group, type, payload);
    group.lastIndex = this.lastIndex;
    this.#sealOpen();
  }

  #headPayloads(): [RecordType, Buffer][] {
    const head: [RecordType, Buffer][] = [[RecordType.metadata, Metadata.encode(this.#options.metadata)]];
    if (this.#mark !== undefined) head.push([RecordType.snapshot, SnapshotMark.encode(this.#mark)]);
    if (this.#hardState !== undefined) head.push([RecordType.state, HardState.encode(this.#hardState)]);
    return head;
  }

  #seal(): Buffer {
    return encodeSeal({ lsn: this.#lsn, group: this.#nextGroup, chain: this.#chain }, this.#seed);
  }

  #crcRecord(group: Group): void {
    const payload = Buffer.alloc(crcPayloadBytes);
    payload.writeUInt32LE(this.#chain);
    this.#record(group, RecordType.crc, payload);
  }

  #record(group: Group, type: RecordType, payload: Buffer): void {
    group.reserve(recordBytes(payload.length));
    const start = group.used + recordHeaderBytes;
    payload.copy(group.staging, start);
    this.#finishRecord(group, { type, length: payload.length, copied: payload.length, chain: this.#chain });
  }

  /** The hot path: prefix and data go where they are written from, once. */
  #entry(group: Group, entry: Entry): void {
    const { data } = entry;
    const isLarge = data.length >= largeDataBytes;
    group.reserve(recordBytes(entryPrefixBytesMax + (isLarge ? 0 : data.length)));
    const start = group.used + recordHeaderBytes;
    const prefixEnd = writeEntryPrefix(group.staging, start, entry);
    const prefix = prefixEnd - start;
    const length = prefix + data.length;
    if (!isLarge) {
      group.staging.set(data, prefixEnd);
      this.#finishRecord(group, { type: RecordType.entry, length, copied: length, chain: this.#chain });
      return;
    }
    const chain = crc(data, crcRange(group.staging, start, prefixEnd, this.#chain));
    this.#finishRecord(group, { type: RecordType.entry, length, copied: prefix, chain }, data);
  }

  /**
   * Header and padding of the record whose copied payload stands behind `group.used`, and the large part that follows it. `chain`
   * covers what of the payload is not copied, or nothing yet.
   */
  #finishRecord(
    group: Group,
    record: { readonly type: RecordType; readonly length: number; readonly copied: number; readonly chain: number },
    large?: Uint8Array,
  ): void {
    const { type, length, copied } = record;
    const at = group.used;
    const payloadEnd = at + recordHeaderBytes + copied;
    const end = payloadEnd + aligned(length) - length;
    // At most seven bytes: a call would cost more.
    for (let i = payloadEnd; i < end; i++) group.staging[i] = 0;
    const start = large === undefined ? at + recordHeaderBytes : payloadEnd;
    this.#chain = crcRange(group.staging, start, end, record.chain);
    const header = { length, type, flags: 0, lsn: this.#lsn, group: group.number, chain: this.#chain };
    writeRecordHeader(group.staging, at, header, this.#seed);
    group.lastHeaderAt = at;
    this.#lsn += recordBytes(length);
    group.used = payloadEnd;
    if (large !== undefined) group.insert(large);
    group.used = end;
  }
}

/** No record of such an append takes more. */
function appendBytesMax(
  hardState: HardState | undefined,
  entries: readonly Entry[],
  mark: SnapshotMark | undefined,
): number {
  let bytes = 0;
  for (let i = 0; i < entries.length; i++) bytes += recordBytes(entryPrefixBytesMax + entries[i]!.data.length);
  if (hardState !== undefined) bytes += recordBytes(hardStateBytesMax);
  if (mark !== undefined) bytes += recordBytes(SnapshotMark.size(mark));
  return bytes;
}
