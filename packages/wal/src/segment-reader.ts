/**
 * Reads one segment, record after record, and says how far it is sound and what stands in the way behind that. It judges nothing
 * and changes nothing: opening and verifying both stand on it, so they cannot disagree.
 */
import { crcRange } from './crc.ts';
import {
  aligned,
  crcPayloadBytes,
  hasRecordHeader,
  RecordFlag,
  type RecordHeader,
  RecordType,
  readLsn,
  readRecordHeader,
  recordBytes,
  recordHeaderBytes,
  type SegmentHeader,
  saltSeed,
  segmentHeaderBytes,
} from './format.ts';

/** A record of a whole group, as handed out. */
export interface RecordView {
  readonly type: RecordType;
  /** A view of the segment's bytes. */
  readonly payload: Buffer;
  /** Offset of its header in the file. */
  readonly offset: number;
  readonly lsn: number;
}

/** Why reading went no further, and where. */
export interface Stop {
  readonly offset: number;
  readonly lsn: number;
  readonly reason: string;
  readonly expected?: string;
  readonly actual?: string;
  /** The checksums say that it was written so: no crash explains it. */
  readonly isIntact: boolean;
}

/** How far a segment is sound. */
export interface SegmentEnd {
  /** Behind the last whole group. */
  readonly offset: number;
  readonly lsn: number;
  /** Number of the last whole group; one below the segment's first when there is none. */
  readonly group: number;
  /** Whether the last whole group holds data, so that only a successor would prove it durable. */
  readonly holdsData: boolean;
  readonly chain: number;
  /** Whether the seal follows. */
  readonly isSealed: boolean;
  /** Behind the last byte that is not zero, at least `offset` and what of the seal there is. */
  readonly usedBytes: number;
  /** What stands behind the last whole group (and seal); undefined when that is nothing but zeros. */
  readonly stop: Stop | undefined;
}

/** Reads a segment whose header is `header`. `onRecord` gets the records of whole groups, in order. */
export function readSegment(bytes: Buffer, header: SegmentHeader, onRecord: (record: RecordView) => void): SegmentEnd {
  return new SegmentReader(bytes, header, onRecord).read();
}

/**
 * Offset of the first record header, from `from` on, that belongs to a later group than `group`: it was written here, in this life
 * of the file, and only after the sync of `group` had returned.
 */
export function findLaterGroup(
  bytes: Buffer,
  header: SegmentHeader,
  after: { readonly from: number; readonly group: number },
): number | undefined {
  const seed = saltSeed(header.salt);
  for (let at = after.from; at + recordHeaderBytes <= bytes.length; at += 8) {
    // Pages that were never written are the common case and cost one comparison.
    if (at % pageBytes === 0 && isZero(bytes, at, at + pageBytes)) {
      at += pageBytes - 8;
      continue;
    }
    if (readLsn(bytes, at) !== lsnAt(header, at) || !hasRecordHeader(bytes, at, seed)) continue;
    if (readRecordHeader(bytes, at).group > after.group) return at;
  }
  return undefined;
}

const pageBytes = 4096;
const zeroPage = Buffer.alloc(pageBytes);

function isZero(bytes: Buffer, start: number, end: number): boolean {
  const to = Math.min(end, bytes.length);
  return bytes.compare(zeroPage, 0, to - start, start, to) === 0;
}

/** Behind the last byte that is not zero; `from` when there is none behind it. */
function usedBytes(bytes: Buffer, from: number): number {
  let end = bytes.length;
  while (end > from) {
    const start = Math.max(from, Math.floor((end - 1) / pageBytes) * pageBytes);
    if (!isZero(bytes, start, end)) break;
    end = start;
  }
  while (end > from && bytes[end - 1] === 0) end--;
  return end;
}

function lsnAt(header: SegmentHeader, offset: number): number {
  return header.firstLsn + offset - segmentHeaderBytes;
}

const knownTypes: ReadonlySet<number> = new Set(Object.values(RecordType));
const knownFlags = RecordFlag.groupEnd | RecordFlag.seal;

class SegmentReader {
  readonly #bytes: Buffer;
  readonly #header: SegmentHeader;
  readonly #onRecord: (record: RecordView) => void;
  readonly #seed: number;
  /** Position of the next record, and the chain before it. */
  #at = segmentHeaderBytes;
  #chain: number;
  /** Records of the group that is not whole yet. */
  #pending: RecordView[] = [];
  #end: Omit<SegmentEnd, 'isSealed' | 'usedBytes' | 'stop'>;

  constructor(bytes: Buffer, header: SegmentHeader, onRecord: (record: RecordView) => void) {
    this.#bytes = bytes;
    this.#header = header;
    this.#onRecord = onRecord;
    this.#seed = saltSeed(header.salt);
    this.#chain = header.chain;
    this.#end = {
      offset: segmentHeaderBytes,
      lsn: header.firstLsn,
      group: header.firstGroup - 1,
      holdsData: false,
      chain: header.chain,
    };
  }

  read(): SegmentEnd {
    for (;;) {
      const next = this.#next();
      if (next === 'seal') return this.#sealed();
      if (next !== 'record') return this.#stopped(next);
    }
  }

  /** Takes the record at the present position, or says why it is none. */
  #next(): 'record' | 'seal' | Stop {
    const bytes = this.#bytes;
    const at = this.#at;
    if (at + recordHeaderBytes > bytes.length) return this.#stop('end of the segment');
    if (!hasRecordHeader(bytes, at, this.#seed)) return this.#stop('record header checksum mismatch');
    const header = readRecordHeader(bytes, at);
    const problem = this.#placeProblem(header) ?? this.#meaningProblem(header) ?? this.#payloadProblem(header);
    if (problem !== undefined) return problem;
    if ((header.flags & RecordFlag.seal) !== 0) return 'seal';
    this.#take(header);
    return 'record';
  }

  /**
   * A sound header of this segment, but of another place or group: misdirected, duplicated, or with a predecessor gone. A torn write
   * leaves nothing of the kind.
   */
  #placeProblem(header: RecordHeader): Stop | undefined {
    const lsn = lsnAt(this.#header, this.#at);
    const group = this.#end.group + 1;
    if (header.lsn !== lsn) return this.#stop('record belongs elsewhere', { expected: lsn, actual: header.lsn }, true);
    if (header.group !== group) {
      return this.#stop('record of another group', { expected: group, actual: header.group }, true);
    }
    return undefined;
  }

  /** Where the header is sound, a kind or flag we do not know was meant, by a version we do not know. */
  #meaningProblem(header: RecordHeader): Stop | undefined {
    const { type, flags } = header;
    if (!knownTypes.has(type)) return this.#stop('unknown record type', { actual: type }, true);
    if ((flags & ~knownFlags) !== 0 || this.#bytes.readUInt16LE(this.#at + 6) !== 0) {
      return this.#stop('unknown record flags', { actual: flags }, true);
    }
    const isSeal = (flags & RecordFlag.seal) !== 0;
    if (isSeal && (type !== RecordType.crc || this.#pending.length > 0)) {
      return this.#stop('seal within a group', { actual: type }, true);
    }
    return undefined;
  }

  #payloadProblem(header: RecordHeader): Stop | undefined {
    const start = this.#at + recordHeaderBytes;
    const end = this.#at + recordBytes(header.length);
    if (end > this.#bytes.length) {
      return this.#stop('record longer than its segment', { actual: header.length }, true);
    }
    const chain = crcRange(this.#bytes, start, end, this.#chain);
    if (chain !== header.chain) {
      return this.#stop('record checksum mismatch', { expected: header.chain, actual: chain });
    }
    if (header.type !== RecordType.crc) return undefined;
    if (header.length >= crcPayloadBytes && this.#bytes.readUInt32LE(start) === this.#chain) return undefined;
    return this.#stop('crc record does not match the log before it', { expected: this.#chain }, true);
  }

  #take(header: RecordHeader): void {
    const start = this.#at + recordHeaderBytes;
    this.#pending.push({
      type: header.type as RecordType,
      payload: this.#bytes.subarray(start, start + header.length),
      offset: this.#at,
      lsn: header.lsn,
    });
    this.#at = start + aligned(header.length);
    this.#chain = header.chain;
    if ((header.flags & RecordFlag.groupEnd) === 0) return;
    for (const record of this.#pending) this.#onRecord(record);
    this.#end = {
      offset: this.#at,
      lsn: lsnAt(this.#header, this.#at),
      group: header.group,
      holdsData: header.group !== this.#header.firstGroup && header.type !== RecordType.crc,
      chain: this.#chain,
    };
    this.#pending = [];
  }

  #sealed(): SegmentEnd {
    this.#at += recordBytes(crcPayloadBytes);
    const used = usedBytes(this.#bytes, this.#at);
    const stop = used > this.#at ? this.#stop('bytes behind the seal') : undefined;
    return { ...this.#end, isSealed: true, usedBytes: used, stop };
  }

  #stopped(stop: Stop): SegmentEnd {
    const { offset } = this.#end;
    const used = usedBytes(this.#bytes, offset);
    return { ...this.#end, isSealed: false, usedBytes: used, stop: used > offset ? stop : undefined };
  }

  #stop(reason: string, facts: { expected?: number; actual?: number } = {}, isIntact = false): Stop {
    return {
      offset: this.#at,
      lsn: lsnAt(this.#header, this.#at),
      reason,
      ...(facts.expected === undefined ? {} : { expected: String(facts.expected) }),
      ...(facts.actual === undefined ? {} : { actual: String(facts.actual) }),
      isIntact,
    };
  }
}
