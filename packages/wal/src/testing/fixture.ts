/** Logs for tests: options on a disk in memory, entries that can be told apart, and comparisons that are fast. */
import { noCrashPoints, SeededRandom, silentLogger, silentMeter } from '@quorate/base';
import type { Entry } from '@quorate/proto';
import { crc } from '../crc.ts';
import type { WalOptions } from '../options.ts';
import { ManualClock } from './manual-clock.ts';

export const directory = 'wal';
export const metadata = { memberId: 0x1234_5678_9abc_def0n, clusterId: 0xffff_ffff_ffff_ffffn, incarnation: 1n };

/** Options with a clock that stands still and small segments. */
export function walOptions(disk: WalOptions['disk'], changes: Partial<WalOptions> = {}): WalOptions {
  return {
    disk,
    directory,
    clock: new ManualClock(),
    random: new SeededRandom(1),
    logger: silentLogger,
    meter: silentMeter,
    crash: noCrashPoints,
    segmentSizeBytes: 8192,
    ...changes,
  };
}

/** An entry whose data says which it is, in every byte. */
export function entry(index: number, sizeBytes = 20, term = 1): Entry {
  return { term, index, type: 0, data: Buffer.alloc(sizeBytes, 1 + ((index * 7 + term) % 255)) };
}

/** Entries [first, first + count). */
export function entries(first: number, count: number, sizeBytes = 20, term = 1): Entry[] {
  return Array.from({ length: count }, (_, i) => entry(first + i, sizeBytes, term));
}

/** What tells two logs apart, short enough to compare and to print. */
export function outline(list: readonly Entry[]): string[] {
  return list.map(({ term, index, type, data }) => `${index}@${term}/${type}:${data.length}#${crc(data, 0)}`);
}

/** Names of the files whose bytes differ between two pictures of a disk. */
export function changedFiles(before: ReadonlyMap<string, Buffer>, after: ReadonlyMap<string, Buffer>): string[] {
  const paths = new Set([...before.keys(), ...after.keys()]);
  return [...paths].filter((path) => {
    const [a, b] = [before.get(path), after.get(path)];
    return a === undefined || b === undefined || !a.equals(b);
  });
}
