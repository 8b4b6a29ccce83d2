/**
 * Reads a whole log and judges it. A torn tail is the last group, unacknowledged because its sync had not returned; corruption is
 * everything that a crash cannot explain. They are told apart by evidence:
 *
 *   a segment missing, misnamed, swapped, of another log, of another size            corruption
 *   damage in a segment that has a successor, its seal included                      corruption: it was durable before the cut
 *   damage in the first group of a segment                                           corruption: durable before it got its name
 *   a seal in the newest segment                                                     corruption: there was a newer one
 *   damage with a later group behind it                                              corruption: it was durable before that
 *   sound checksums around an unknown kind, or at the wrong place                    corruption: nothing writes so
 *   the log ends before its own commit index, or before what the store applied       corruption: it was acknowledged
 *   anything else behind the last whole group                                        torn tail
 *
 * What remains undecidable is damage to the very last group; writing an empty group when the log falls idle keeps that window short.
 * A zero length is no end mark here: zeros are damage when anything written later stands behind them. Nothing is written here.
 */
import { CorruptionError, type Facts, formatId, joinPath } from '@quorate/base';
import { onDisk } from './disk-error.ts';
import { crcRecordBytes, decodeSegmentHeader, type SegmentHeader } from './format.ts';
import type { WalKnowledge, WalMetadata, WalPlace } from './options.ts';
import { Replay, type Replayed } from './replay.ts';
import { listSegments, type SegmentName } from './segment-name.ts';
import { findLaterGroup, readSegment, type SegmentEnd } from './segment-reader.ts';

/** A segment that was read. */
export interface ReadSegment {
  readonly name: SegmentName;
  readonly header: SegmentHeader;
  readonly end: SegmentEnd;
}

/** A log that may be continued. */
export interface LogReading {
  readonly metadata: WalMetadata;
  readonly replayed: Replayed;
  readonly segments: readonly ReadSegment[];
  readonly last: ReadSegment;
  /** The whole newest segment. */
  readonly lastBytes: Buffer;
  /** The segment before the newest, when the cut between them may have been interrupted before its seal was durable. */
  readonly unsettledSeal: ReadSegment | undefined;
  /** Bytes of the torn tail behind the last whole group; 0 when there is none. */
  readonly tornBytes: number;
}

const advice =
  'nothing was changed; remove this member from the cluster and add it again with an empty data directory, or restore a snapshot';

/** Throws CorruptionError naming file and offset when the log cannot be believed. */
export async function readLog(place: WalPlace, knowledge: WalKnowledge): Promise<LogReading> {
  const { directory } = place;
  const names = await listSegments(place, (file, reason) => corruption(file, reason, {}));
  if (names.length === 0) throw corruption(directory, 'no segment found', {});
  const replay = new Replay(names[0]!.firstIndex, knowledge.snapshotAtMost ?? Number.POSITIVE_INFINITY);
  const segments: ReadSegment[] = [];
  let lastBytes: Buffer = Buffer.alloc(0);
  for (const name of names) {
    const file = joinPath(directory, name.name);
    lastBytes = await readFile(place, file);
    const header = checkHeader(lastBytes, name, file);
    const before = segments.at(-1);
    if (before !== undefined) checkContinues(before, header, directory);
    const refuse = (reason: string, facts: Facts): CorruptionError => corruption(file, reason, facts);
    const end = readSegment(lastBytes, header, (record) => replay.add(record, header, refuse));
    segments.push({ name, header, end });
  }
  const last = segments.at(-1)!;
  const file = joinPath(directory, last.name.name);
  checkLast(last, lastBytes, file);
  // Nothing but its first group is written to a segment before the seal of the one before is durable.
  const mayLackSeal = last.end.group === last.header.firstGroup ? segments.at(-2) : undefined;
  for (const closed of segments.slice(0, -1)) checkSeal(closed, closed === mayLackSeal, directory);
  const at = { offset: last.end.offset, lsn: last.end.lsn };
  const replayed = replay.finish(knowledge.committedAtLeast ?? 0, (reason, facts) =>
    corruption(file, reason, { ...at, ...facts }),
  );
  const { clusterId, memberId, incarnation } = last.header;
  const tornBytes = last.end.stop === undefined ? 0 : last.end.usedBytes - last.end.offset;
  const metadata = { memberId, clusterId, incarnation };
  return { metadata, replayed, segments, last, lastBytes, unsettledSeal: mayLackSeal, tornBytes };
}

function corruption(file: string, reason: string, facts: Facts): CorruptionError {
  return new CorruptionError('wal', `${reason}; ${advice}`, { file, ...facts });
}

function readFile(place: WalPlace, path: string): Promise<Buffer> {
  return onDisk('read', path, async () => {
    const file = await place.disk.open(path, { write: false });
    const bytes = await file.read(0, await file.size());
    await file.close();
    return bytes;
  });
}

/** The header, if the file is the segment its name says, as long as it was made. */
function checkHeader(bytes: Buffer, name: SegmentName, file: string): SegmentHeader {
  const header = decodeSegmentHeader(bytes);
  if (typeof header === 'string') throw corruption(file, header, { offset: 0 });
  for (const field of ['sequence', 'firstIndex'] as const) {
    if (header[field] === name[field]) continue;
    throw corruption(file, `a segment under the name of another: ${field} differs`, {
      offset: 0,
      expected: name[field],
      actual: header[field],
    });
  }
  if (bytes.length !== header.sizeBytes) {
    throw corruption(file, 'a segment is not as long as it was made', {
      offset: Math.min(bytes.length, header.sizeBytes),
      expected: header.sizeBytes,
      actual: bytes.length,
    });
  }
  return header;
}

/** `next` must begin where the sound part of the segment before it ends. */
function checkContinues(before: ReadSegment, next: SegmentHeader, directory: string): void {
  const { header, end } = before;
  const file = joinPath(directory, before.name.name);
  for (const id of ['clusterId', 'memberId', 'incarnation'] as const) {
    if (next[id] === header[id]) continue;
    throw corruption(file, `the segment after this one belongs to another log: ${id} differs`, {
      offset: header.sizeBytes,
      expected: formatId(header[id]),
      actual: formatId(next[id]),
    });
  }
  if (next.firstLsn === end.lsn && next.chain === end.chain && next.firstGroup === end.group + 1) return;
  const { stop } = end;
  if (stop !== undefined) throw corruption(file, `a closed segment is damaged: ${stop.reason}`, factsOf(stop));
  throw corruption(file, 'the segment after this one does not continue it', {
    offset: end.offset,
    lsn: end.lsn,
    expected: next.firstLsn,
    actual: end.lsn,
  });
}

/** A closed segment ends with its seal and zeros. `mayLackSeal`: writing it may have been interrupted, anywhere in it. */
function checkSeal({ name, end }: ReadSegment, mayLackSeal: boolean, directory: string): void {
  const { stop, isSealed } = end;
  const isTornSeal = stop === undefined || (!stop.isIntact && end.usedBytes <= end.offset + crcRecordBytes);
  if (isSealed ? stop === undefined : mayLackSeal && isTornSeal) return;
  const at = stop === undefined ? { offset: end.offset, lsn: end.lsn } : factsOf(stop);
  const reason = stop?.reason ?? 'the seal is missing';
  throw corruption(joinPath(directory, name.name), `the end of a closed segment is damaged: ${reason}`, at);
}

/** What only the newest segment can show. */
function checkLast({ header, end }: ReadSegment, bytes: Buffer, file: string): void {
  const { stop } = end;
  const at = stop === undefined ? { offset: end.offset, lsn: end.lsn } : factsOf(stop);
  if (end.group < header.firstGroup) {
    throw corruption(file, `the first group of a segment is damaged: ${stop?.reason ?? 'it is missing'}`, at);
  }
  if (end.isSealed) {
    throw corruption(file, 'the segment after this one is missing', { ...at, expected: header.sequence + 1 });
  }
  if (stop === undefined) return;
  if (stop.isIntact) throw corruption(file, stop.reason, at);
  const soundAgainAt = findLaterGroup(bytes, header, { from: stop.offset, group: end.group + 1 });
  if (soundAgainAt === undefined) return;
  throw corruption(file, `damage before records that were written later: ${stop.reason}`, { ...at, soundAgainAt });
}

function factsOf(stop: NonNullable<SegmentEnd['stop']>): Facts {
  const { offset, lsn, expected, actual } = stop;
  return { offset, lsn, expected, actual };
}
