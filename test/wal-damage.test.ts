/**
 * Damaged copies of a real log on a real disk: flipped bits, zeroed sectors, cut tails, missing, swapped and doubled segments. The
 * test knows which bytes it damaged and what they belonged to, and decides from that alone what the verdict must be.
 * `QUORATE_WAL_DAMAGE` sets how many copies (default 400).
 */
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CorruptionError, noCrashPoints, SeededRandom, silentLogger, silentMeter } from '@quorate/base';
import type { Entry } from '@quorate/proto';
import { NodeDisk, nodeClock } from '@quorate/runtime';
import { verifyWal, Wal, type WalOptions } from '@quorate/wal';
import { afterAll, beforeAll, expect, test } from 'vitest';

const copies = Number(process.env['QUORATE_WAL_DAMAGE'] ?? 400);
const segmentSizeBytes = 32 * 1024;
const groupCount = 220;

/** Where a group of the log lies. */
interface Group {
  readonly file: string;
  readonly from: number;
  readonly to: number;
  /** Last entry that is durable with it. */
  readonly lastIndex: number;
}

/** `intact`: opens with everything. `torn`: opens without the last, empty group. `refused`: not opened, nothing changed. */
type Verdict = 'intact' | 'torn' | 'refused';

const random = new SeededRandom(2024);
const root = mkdtempSync(join(tmpdir(), 'wal-damage-'));
const original = join(root, 'original');
const groups: Group[] = [];
const written: Entry[] = [];
const files: string[] = [];

function optionsFor(directory: string): WalOptions {
  return {
    disk: new NodeDisk(directory),
    directory: 'wal',
    // No timers: the only empty group is the one written below.
    clock: { ...nodeClock, after: () => ({ cancel: () => {} }) },
    random,
    logger: silentLogger,
    meter: silentMeter,
    crash: noCrashPoints,
    segmentSizeBytes,
  };
}

function segmentsIn(directory: string): string[] {
  return readdirSync(join(directory, 'wal'))
    .filter((name) => name.endsWith('.wal'))
    .sort();
}

/** Position behind the last byte that is not zero, rounded to the alignment of records. */
function usedBytes(path: string): number {
  const bytes = readFileSync(path);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return Math.ceil(end / 8) * 8;
}

/** Notes the group just written: everything behind what is known of its file. */
function noteGroup(): void {
  const file = segmentsIn(original).at(-1)!;
  const before = groups.filter((group) => group.file === file).at(-1)?.to ?? 0;
  const to = usedBytes(join(original, 'wal', file));
  groups.push({ file, from: before, to, lastIndex: written.at(-1)?.index ?? 0 });
}

beforeAll(async () => {
  const wal = await Wal.create(optionsFor(original), { memberId: 1n, clusterId: 2n, incarnation: 3n });
  for (let g = 0; g < groupCount; g++) {
    const batch = Array.from({ length: 1 + random.below(4) }, (_, i) => {
      const index = written.length + 1 + i;
      return { term: 1, index, type: 0, data: Buffer.alloc(1 + random.below(500), 1 + (index % 250)) };
    });
    const commit = written.at(-1)?.index ?? 0;
    wal.append({ term: 1, vote: 1n, commit }, batch);
    await wal.sync();
    written.push(...batch);
    noteGroup();
  }
  // The group without data that a silent log writes, and one that is closed, ends on a page of its own: without it damage in the
  // last group could pass for a torn tail.
  await wal.close();
  noteGroup();
  files.push(...segmentsIn(original));
  expect(files.length).toBeGreaterThan(4);
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

/** What damage to [from, to) of a file must lead to. */
function verdictFor(file: string, from: number, to: number): Verdict {
  const own = groups.filter((group) => group.file === file);
  const isLast = file === files.at(-1);
  const hit = own.filter((group) => from < group.to && to > group.from);
  if (isLast) {
    if (hit.length === 0) return 'torn';
    return hit[0] === own.at(-1) ? 'torn' : 'refused';
  }
  // Nothing in a closed segment may differ: behind its last group lies the seal.
  return 'refused';
}

interface Damage {
  readonly what: string;
  readonly verdict: Verdict;
}

function damage(directory: string, kind: number): Damage {
  const file = files[random.below(files.length)]!;
  const path = join(directory, 'wal', file);
  const bytes = readFileSync(path);
  const end = usedBytes(path);
  const at = (name: string): string => join(directory, 'wal', name);
  switch (kind) {
    case 0: {
      const offset = random.below(end);
      bytes[offset] = bytes[offset]! ^ (1 << random.below(8));
      writeFileSync(path, bytes);
      return { what: `bit at ${offset} of ${file}`, verdict: verdictFor(file, offset, offset + 1) };
    }
    case 1: {
      const from = Math.floor(random.below(end) / 512) * 512;
      const to = Math.min(from + 512, bytes.length);
      const first = bytes.subarray(from, to).findIndex((byte) => byte !== 0);
      let last = to;
      while (last > from && bytes[last - 1] === 0) last--;
      bytes.fill(0, from, to);
      writeFileSync(path, bytes);
      const verdict = first < 0 ? 'intact' : verdictFor(file, from + first, last);
      return { what: `sector at ${from} of ${file}`, verdict };
    }
    case 2: {
      const size = random.below(bytes.length);
      truncateSync(path, size);
      return { what: `${file} cut to ${size}`, verdict: 'refused' };
    }
    case 3:
      rmSync(path);
      return { what: `${file} missing`, verdict: 'refused' };
    case 4: {
      const other = files[(files.indexOf(file) + 1 + random.below(files.length - 1)) % files.length]!;
      renameSync(path, at('aside'));
      renameSync(at(other), path);
      renameSync(at('aside'), at(other));
      return { what: `${file} and ${other} swapped`, verdict: 'refused' };
    }
    default: {
      const other = files[(files.indexOf(file) + 1 + random.below(files.length - 1)) % files.length]!;
      writeFileSync(at(other), bytes);
      return { what: `${file} in the place of ${other}`, verdict: 'refused' };
    }
  }
}

function contentsOf(directory: string): Map<string, string> {
  const names = readdirSync(join(directory, 'wal'));
  return new Map(names.map((name) => [name, readFileSync(join(directory, 'wal', name)).toString('latin1')]));
}

test(`${copies} damaged copies each get the right verdict and lose nothing that was acknowledged`, async () => {
  const seen: Record<Verdict, number> = { intact: 0, torn: 0, refused: 0 };
  for (let i = 0; i < copies; i++) {
    const directory = join(root, `copy-${i}`);
    cpSync(original, directory, { recursive: true });
    // Bits and sectors are where verdicts differ: most copies are of these.
    const { what, verdict } = damage(directory, random.below(4) === 0 ? 2 + random.below(4) : random.below(2));
    const before = contentsOf(directory);
    const options = optionsFor(directory);
    if (verdict === 'refused') {
      await expect(verifyWal(options), what).rejects.toThrow(CorruptionError);
      await expect(Wal.open(options), what).rejects.toThrow(CorruptionError);
      expect(contentsOf(directory), what).toEqual(before);
    } else {
      const report = await verifyWal(options).catch((error: unknown) => {
        throw new Error(`${what}, expected ${verdict}: ${String(error)}`);
      });
      const { wal, recovery } = await Wal.open(options);
      await wal.close();
      expect(recovery.entries.length, what).toBe(written.length);
      expect(recovery.entries.every((entry, at) => entry.data.equals(written[at]!.data))).toBe(true);
      expect(recovery.tornBytes > 0, what).toBe(verdict === 'torn');
      expect(report.tornBytes, what).toBe(recovery.tornBytes);
    }
    seen[verdict]++;
    rmSync(directory, { recursive: true, force: true });
  }
  expect(seen.refused).toBeGreaterThan(copies / 2);
  expect(seen.torn + seen.intact).toBeGreaterThan(0);
}, 120_000);
