/**
 * Damage to a log, and what must follow from it. The verdict is computed from what was written where and which bytes were changed,
 * not from what the log's own reader thinks: groups, seals and records are noted as the disk was told to write them.
 */
import { MemoryDisk, type Random, SeededRandom } from '@quorate/base';
import type { Entry } from '@quorate/proto';
import { Wal } from '../wal.ts';
import { FaultDisk } from './fault-disk.ts';
import { entry, metadata, walOptions } from './fixture.ts';

export type Files = ReadonlyMap<string, Buffer>;

/** A group as the disk was told to write it. */
interface WrittenGroup {
  readonly path: string;
  readonly start: number;
  readonly end: number;
  /** Entries durable once it is. */
  readonly entryCount: number;
}

/** A log and everything that was written to make it. */
export interface SampleLog {
  readonly files: Files;
  readonly paths: readonly string[];
  readonly groups: readonly WrittenGroup[];
  readonly entries: readonly Entry[];
}

/** What opening a damaged log must do: refuse it, or give back the first so many entries. */
export type Verdict = 'refused' | number;

const segmentHeaderBytes = 96;

/** A log over several segments. `isMarked`: it ended with an idle mark, as after 100 ms of silence; else its process was killed. */
export async function writeSampleLog(seed: number, isMarked: boolean): Promise<SampleLog> {
  const random = new SeededRandom(seed);
  const memory = new MemoryDisk();
  const disk = new FaultDisk(memory);
  const groups: WrittenGroup[] = [];
  const entries: Entry[] = [];
  let durable = 0;
  disk.before = ({ kind, path, position, bytes }) => {
    // A segment's first group is written before the segment has its name.
    if (kind === 'rename') groups.push({ ...groups.pop()!, path });
    if (kind !== 'write' || position === undefined || bytes === undefined) return;
    groups.push({ path, start: position, end: position + bytes, entryCount: durable });
  };
  const segmentSizeBytes = 16_384;
  const wal = await Wal.create(walOptions(disk, { random, segmentSizeBytes }), metadata);
  for (let g = 0; g < 70; g++) {
    const list = Array.from({ length: 1 + random.below(4) }, (_, i) => entry(durable + 1 + i, random.below(700)));
    entries.push(...list);
    wal.append({ term: 1, vote: 1n, commit: durable }, list);
    durable = entries.length;
    await wal.sync();
    // Whatever the spare does in the background is done before the next group.
    for (let i = 0; i < 20; i++) await Promise.resolve();
  }
  if (isMarked) await wal.close();
  disk.kill();
  const files = memory.contents();
  const paths = [...files.keys()].filter((path) => path.endsWith('.wal')).sort();
  const named = new Map(paths.map((path) => [path, files.get(path)!]));
  return { files: named, paths, groups: groups.filter((group) => named.has(group.path)), entries };
}

/** The verdict on `damaged`, which differs from the log by content, length or presence of files. */
export function verdictOn(log: SampleLog, damaged: Files): Verdict {
  const everything = log.entries.length;
  for (const path of log.paths) {
    const bytes = damaged.get(path);
    if (bytes === undefined || bytes.length !== log.files.get(path)!.length) return 'refused';
  }
  const newest = log.paths.at(-1)!;
  for (const path of log.paths) {
    if (path !== newest && !damaged.get(path)!.equals(log.files.get(path)!)) return 'refused';
  }
  return verdictOnNewest(log, newest, damaged.get(newest)!) ?? everything;
}

/** Undefined when nothing is lost. */
function verdictOnNewest(log: SampleLog, path: string, bytes: Buffer): Verdict | undefined {
  const original = log.files.get(path)!;
  const groups = log.groups.filter((group) => group.path === path).sort((a, b) => a.start - b.start);
  const hit = groups.findIndex(({ start, end }) => !bytes.subarray(start, end).equals(original.subarray(start, end)));
  const at = hit < 0 ? groups.at(-1)!.end : firstDamagedRecord(original, bytes, groups[hit]!);
  if (hit === 0 || isMovedRecord(log, original, bytes, at)) return 'refused';
  if (hit < 0) return undefined;
  // The sync of this group had returned before anything of a later one was written: a whole header of one proves it.
  const isProven = groups.slice(hit + 1).some((later) =>
    recordsOf(original, later).some(({ start }) => {
      return bytes.subarray(start, start + 32).equals(original.subarray(start, start + 32));
    }),
  );
  return isProven ? 'refused' : groups[hit - 1]!.entryCount;
}

/** Offsets of the records of a group: length at 0, header of 32 bytes, payload padded to 8. */
function recordsOf(bytes: Buffer, group: WrittenGroup): { readonly start: number; readonly end: number }[] {
  const records: { start: number; end: number }[] = [];
  for (let start = group.start === 0 ? segmentHeaderBytes : group.start; start < group.end; ) {
    const end = start + 32 + Math.ceil(bytes.readUInt32LE(start) / 8) * 8;
    records.push({ start, end });
    start = end;
  }
  return records;
}

function firstDamagedRecord(original: Buffer, bytes: Buffer, group: WrittenGroup): number {
  const damaged = recordsOf(original, group).find(
    ({ start, end }) => !bytes.subarray(start, end).equals(original.subarray(start, end)),
  );
  return damaged?.start ?? group.start;
}

/** Whether the bytes at a place where a record should be are the whole header of another record of the same segment. */
function isMovedRecord(log: SampleLog, original: Buffer, bytes: Buffer, at: number): boolean {
  const header = bytes.subarray(at, at + 32);
  return log.groups.some(
    (group) =>
      log.files.get(group.path) === original &&
      recordsOf(original, group).some(
        ({ start }) => start !== at && original.subarray(start, start + 32).equals(header),
      ),
  );
}

/** A damaged copy and how it came about. */
export interface Damaged {
  readonly what: string;
  readonly files: Files;
  /** Set where changed bytes do not tell the verdict: files renamed, exchanged, added. */
  readonly verdict?: Verdict;
}

type Damager = (log: SampleLog, random: Random) => Damaged;

const sizes = [8, 512, 4096];

function pick<T>(list: readonly T[], random: Random): T {
  return list[random.below(list.length)]!;
}

/** A copy with one file replaced, or removed. */
function withFile(files: Files, path: string, bytes: Buffer | undefined): Map<string, Buffer> {
  const copy = new Map(files);
  if (bytes === undefined) copy.delete(path);
  else copy.set(path, bytes);
  return copy;
}

/** A copy with one file changed in place. */
function changed(log: SampleLog, path: string, change: (bytes: Buffer) => void): Files {
  const bytes = Buffer.from(log.files.get(path)!);
  change(bytes);
  return withFile(log.files, path, bytes);
}

/** Any segment, the newest more often: that is where verdicts differ. */
function anyPath(log: SampleLog, random: Random): string {
  return random.below(2) === 0 ? log.paths.at(-1)! : pick(log.paths, random);
}

/** Somewhere in the used part of a file, or a little behind it. */
function anyOffset(log: SampleLog, path: string, random: Random): number {
  const end = Math.max(...log.groups.filter((group) => group.path === path).map((group) => group.end));
  return random.below(Math.min(end + 600, log.files.get(path)!.length));
}

/** Ways a disk, or somebody with a shell, damages files. */
export const damagers: Readonly<Record<string, Damager>> = {
  flippedBit: (log, random) => {
    const path = anyPath(log, random);
    const at = anyOffset(log, path, random);
    const bit = random.below(8);
    return { what: `bit ${bit} of ${at} in ${path}`, files: changed(log, path, (bytes) => (bytes[at]! ^= 1 << bit)) };
  },
  zeroedSector: (log, random) => {
    const path = anyPath(log, random);
    const size = pick(sizes, random);
    const at = Math.floor(anyOffset(log, path, random) / size) * size;
    return {
      what: `${size} zeros at ${at} in ${path}`,
      files: changed(log, path, (bytes) => bytes.fill(0, at, at + size)),
    };
  },
  garbage: (log, random) => {
    const path = anyPath(log, random);
    const at = anyOffset(log, path, random);
    const size = Math.min(1 + random.below(2000), log.files.get(path)!.length - at);
    const fill = (bytes: Buffer): void => {
      for (let i = at; i < at + size; i++) bytes[i] = random.below(256);
    };
    return { what: `${size} random bytes at ${at} in ${path}`, files: changed(log, path, fill) };
  },
  misdirectedSector: (log, random) => {
    const [from, to] = [anyPath(log, random), anyPath(log, random)];
    const [source, target] = [from, to].map((path) => Math.floor(anyOffset(log, path, random) / 512) * 512);
    const sector = log.files.get(from)!.subarray(source, source! + 512);
    const what = `sector ${source} of ${from} written to ${target} of ${to}`;
    return { what, files: changed(log, to, (bytes) => void sector.copy(bytes, target)) };
  },
  cutTail: (log, random) => {
    const path = anyPath(log, random);
    const size = random.below(log.files.get(path)!.length);
    return { what: `${path} cut to ${size}`, files: withFile(log.files, path, log.files.get(path)!.subarray(0, size)) };
  },
  grown: (log, random) => {
    const path = anyPath(log, random);
    const bytes = Buffer.concat([log.files.get(path)!, Buffer.alloc(1 + random.below(5000))]);
    return { what: `${path} grown to ${bytes.length}`, files: withFile(log.files, path, bytes) };
  },
  missing: (log, random) => {
    const path = anyPath(log, random);
    return { what: `${path} missing`, files: withFile(log.files, path, undefined) };
  },
  swapped: (log, random) => {
    const a = pick(log.paths, random);
    const b = pick(
      log.paths.filter((path) => path !== a),
      random,
    );
    const files = withFile(withFile(log.files, a, log.files.get(b)), b, log.files.get(a));
    return { what: `${a} and ${b} swapped`, files, verdict: 'refused' };
  },
  duplicated: (log, random) => {
    const a = pick(log.paths, random);
    const b = pick(
      log.paths.filter((path) => path !== a),
      random,
    );
    return { what: `${a} in the place of ${b}`, files: withFile(log.files, b, log.files.get(a)), verdict: 'refused' };
  },
  renamed: (log, random) => {
    const path = pick(log.paths, random);
    const at = 4 + random.below(32);
    const digit = path[at] === '7' ? '8' : '7';
    const name = path[at] === '-' ? `${path}~.wal` : path.slice(0, at) + digit + path.slice(at + 1);
    const files = withFile(withFile(log.files, path, undefined), name, log.files.get(path));
    return { what: `${path} renamed to ${name}`, files, verdict: 'refused' };
  },
  addedSegment: (log, random) => {
    const path = pick(log.paths, random);
    const name = path.replace(/-.*/, '-00000000000000ff.wal');
    return {
      what: `${path} also as ${name}`,
      files: withFile(log.files, name, log.files.get(path)),
      verdict: 'refused',
    };
  },
  strangers: (log) => {
    const files = new Map(log.files);
    for (const name of ['lost+found', 'notes.txt', 'x.tmp', 'spare.tmp', `${log.paths[0]!.slice(4)}.torn`]) {
      files.set(`wal/${name}`, Buffer.from('not a segment'));
    }
    return { what: 'files that do not belong to the log', files };
  },
};

/** A disk that holds these files, durably. */
export async function diskWith(files: Files): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  for (const [path, bytes] of files) {
    const file = await disk.create(path);
    if (bytes.length > 0) await file.writeAndSync(0, [bytes]);
  }
  await disk.syncDirectory('wal');
  return disk;
}
