/**
 * Looks at the files of a member that does not run, with the eyes of a start, and further: a start reads what it needs, this reads
 * everything. Nothing is written. What belongs together:
 *
 *   log        segments, groups, chain, marks, hard state, as a start judges them (package wal)
 *   store      pages and trees of its file, every row's checksum, the life of every key, leases and members against each other
 *   both       the store's consistent index lies in the log, with the term the log has there
 *   received   a state that waits to be put in place of the store is whole
 */
import { readConsistentIndex } from '@quorate/apply';
import { buckets, type Row, type RowRange, walkLmdbFile } from '@quorate/backend';
import { CorruptionError, type Disk, formatId, type Key, type Logger } from '@quorate/base';
import { verifyWal, Wal, type WalReport } from '@quorate/wal';
import { walDirectory } from '../bootstrap.ts';
import { damageNote, isNoted } from '../damage.ts';
import type { Checksum } from '../snapshot-codec.ts';
import { nextStoreName, storeName } from '../snapshotter.ts';
import { RowVerifier } from './verify-rows.ts';

export interface VerifyOptions {
  /** Of the member; opened for reading only. */
  readonly disk: Disk;
  readonly checksum: Checksum;
  /** Told of what the log's reader passes over. */
  readonly logger: Logger;
}

/** Something that no crash explains. */
export interface Problem {
  /** In the data directory. */
  readonly file: string;
  /** Undefined when it is about the file as a whole. */
  readonly offset: number | undefined;
  /** Which row, readable; empty when it is about none. */
  readonly key: string;
  readonly reason: string;
}

/** What was found. */
export interface VerifyReport {
  /** What was read, and what is worth knowing and nothing wrong, one sentence each. */
  readonly notes: readonly string[];
  /** At most {@link problemsMax} of each file. */
  readonly problems: readonly Problem[];
}

/** More of one file are counted and not told. */
const problemsMax = 100;

/** Reads everything. Rejects only when the disk does. */
export async function verifyMember(options: VerifyOptions): Promise<VerifyReport> {
  const report = new Report();
  const store = await verifyStore(storeName, options, report);
  const wal = await verifyLog(options, report, store?.index ?? 0);
  const next = await verifyStore(nextStoreName, options, report);
  if (!(await options.disk.exists(storeName))) {
    // A first start makes the log first; one that died then is continued by the next.
    if (wal?.snapshotIndex === 0) report.note('there is no store yet; the next start makes it');
    else report.problem({ file: storeName, offset: undefined, key: '', reason: 'the store is missing' });
  }
  if (wal !== undefined) compare(wal, { store, next }, report);
  if (await isNoted(options.disk))
    report.note(`${damageNote}: ${storeName} was found damaged, and no start takes it; rebuild it`);
  return report.end();
}

class Report {
  readonly #notes: string[] = [];
  readonly #problems: Problem[] = [];
  readonly #counts = new Map<string, number>();

  note(text: string): void {
    this.#notes.push(text);
  }

  problem(problem: Problem): void {
    const count = (this.#counts.get(problem.file) ?? 0) + 1;
    this.#counts.set(problem.file, count);
    if (count <= problemsMax) this.#problems.push(problem);
  }

  end(): VerifyReport {
    for (const [file, count] of this.#counts) {
      if (count > problemsMax) this.note(`${file}: ${count - problemsMax} more problems`);
    }
    return { notes: this.#notes, problems: this.#problems };
  }
}

/** What a store says of itself. */
interface StoreFacts {
  readonly index: number;
  readonly term: number;
  /** Index of a received state that is whole. */
  readonly complete: number | undefined;
}

/** Undefined when there is no such store, or none that can be believed. */
async function verifyStore(name: string, options: VerifyOptions, report: Report): Promise<StoreFacts | undefined> {
  const { disk, checksum } = options;
  if (!(await disk.exists(name))) return undefined;
  const problem = (offset: number | undefined, key: string, reason: string): void =>
    report.problem({ file: name, offset, key, reason });
  const meta: Row[] = [];
  const rows = new RowVerifier(checksum, ({ offset, key }, reason) => problem(offset, key, reason));
  const file = await disk.open(name, { write: false });
  try {
    await walkLmdbFile(file, {
      onRow: (row) => {
        if (row.bucketId === buckets.meta.id) meta.push({ key: row.key, value: row.value });
        rows.add(row);
      },
      onProblem: (offset, reason) => problem(offset, '', reason),
    });
  } finally {
    await file.close();
  }
  rows.finish();
  try {
    const { index, term } = readConsistentIndex({ range: (_bucket, range) => rowsIn(meta, range) });
    const { rowCount, keyCount, revision } = rows;
    report.note(
      `${name}: ${rowCount} rows, ${keyCount} keys, revision ${revision}, consistent index ${index} of term ${term}`,
    );
    const mark = meta.find(({ key }) => key === 'snapshotComplete')?.value.toString('latin1');
    return { index, term, complete: mark === undefined ? undefined : Number(mark) };
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    problem(undefined, 'meta/consistent_index', error.message);
    return undefined;
  }
}

function rowsIn(rows: readonly Row[], { from, to }: RowRange): Row[] {
  const isBefore = (key: Key): boolean => to === undefined || key < to;
  return rows.filter(({ key }) => key >= from && isBefore(key));
}

/** Undefined when it cannot be believed, or is not there. */
async function verifyLog(
  { disk, logger }: VerifyOptions,
  report: Report,
  committedAtLeast: number,
): Promise<WalReport | undefined> {
  const place = { disk, directory: walDirectory, logger };
  try {
    if (!(await Wal.exists(place))) {
      report.problem({ file: walDirectory, offset: undefined, key: '', reason: 'there is no log' });
      return undefined;
    }
    const wal = await verifyWal(place, { committedAtLeast });
    const { metadata, segments, snapshotIndex, lastIndex, commitIndex, tornBytes } = wal;
    report.note(
      `wal: ${segments.length} segments, entries ${snapshotIndex + 1} to ${lastIndex}, commit index ${commitIndex}, ` +
        `member ${formatId(metadata.memberId)} of cluster ${formatId(metadata.clusterId)}`,
    );
    if (tornBytes > 0) {
      report.note(
        `wal: a torn tail of ${tornBytes} bytes in ${segments.at(-1)!.name}, as a crash leaves it; nobody was told of what is in it, ` +
          'and the next start cuts it',
      );
    }
    return wal;
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    const { file, offset } = error.facts;
    report.problem({
      file: typeof file === 'string' ? file : walDirectory,
      offset: typeof offset === 'number' ? offset : undefined,
      key: '',
      reason: error.message,
    });
    return undefined;
  }
}

/** Whether stores and log are of one member and one time. */
function compare(
  wal: WalReport,
  { store, next }: { store: StoreFacts | undefined; next: StoreFacts | undefined },
  report: Report,
): void {
  const waits = next?.complete !== undefined && next.complete === wal.snapshotIndex;
  if (next !== undefined) {
    report.note(
      waits
        ? `${nextStoreName}: a received state that the next start puts in the place of ${storeName}`
        : `${nextStoreName}: a state that was being received; the next start removes it`,
    );
  }
  const problem = (file: string, reason: string): void =>
    report.problem({ file, offset: undefined, key: 'meta/consistent_index', reason });
  for (const [file, facts] of [
    [storeName, store],
    [nextStoreName, waits ? next : undefined],
  ] as const) {
    if (facts === undefined) continue;
    const { index, term } = facts;
    const logTerm = wal.termAt(index);
    if (index < wal.snapshotIndex) {
      // The old store, while a received one waits to take its place.
      if (file === storeName && waits) continue;
      problem(file, `the store is at index ${index}, before the log begins, at ${wal.snapshotIndex + 1}`);
    } else if (logTerm !== undefined && logTerm !== term) {
      problem(file, `the entry at index ${index} is of term ${logTerm} in the log, of term ${term} in the store`);
    }
  }
}
