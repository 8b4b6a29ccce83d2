/**
 * Damaged logs, each with the verdict that follows from what was damaged. `QUORATE_WAL_DAMAGE` sets how many copies of each of the
 * two logs are damaged at random; a failure names its seed.
 */
import { CorruptionError, type MemoryDisk, SeededRandom } from '@quorate/base';
import { HardState } from '@quorate/proto';
import { beforeAll, describe, expect, test } from 'vitest';
import { crc } from './crc.ts';
import { RecordType, recordBytes, recordHeaderBytes, saltSeed, writeRecordHeader } from './format.ts';
import { damagers, diskWith, type Files, type SampleLog, verdictOn, writeSampleLog } from './testing/damage.ts';
import { changedFiles, entries, metadata, outline, walOptions } from './testing/fixture.ts';
import { verifyWal } from './verify.ts';
import { Wal } from './wal.ts';

const copies = Number(process.env['QUORATE_WAL_DAMAGE'] ?? 1500);

async function expectRefused(disk: MemoryDisk, what: string, committedAtLeast = 0): Promise<CorruptionError> {
  const before = disk.contents();
  const seen = await Wal.open(walOptions(disk), { committedAtLeast }).then(
    () => 'opened',
    (error: unknown) => error,
  );
  if (!(seen instanceof CorruptionError)) throw new Error(`${what}: expected a refusal, got ${String(seen)}`);
  expect(changedFiles(before, disk.contents()), what).toEqual([]);
  await expect(verifyWal(walOptions(disk), { committedAtLeast }), what).rejects.toThrow(seen.message);
  return seen;
}

async function expectAccepted(disk: MemoryDisk, log: SampleLog, count: number, what: string): Promise<void> {
  const before = disk.contents();
  const report = await verifyWal(walOptions(disk)).catch((error: unknown) => {
    throw new Error(`${what}: expected ${count} entries, got ${String(error)}`);
  });
  expect(changedFiles(before, disk.contents()), what).toEqual([]);
  const { wal, recovery } = await Wal.open(walOptions(disk));
  expect(outline(recovery.entries), what).toEqual(outline(log.entries.slice(0, count)));
  expect(report.tornBytes, what).toBe(recovery.tornBytes);
  // What was cut is kept, and is not found again.
  const torn = [...disk.contents()].find(([path]) => path === `${log.paths.at(-1)!}.torn`);
  if (recovery.tornBytes > 0) expect(torn?.[1].length, what).toBe(recovery.tornBytes);
  wal.append(undefined, entries(count + 1, 1, 50, 9));
  await wal.close();
  const again = await Wal.open(walOptions(disk));
  expect(again.recovery.tornBytes, what).toBe(0);
  expect(again.recovery.entries.length, what).toBe(count + 1);
}

describe.each([
  { name: 'a log that had fallen silent', isMarked: true },
  { name: 'a log whose process was killed', isMarked: false },
])('$name', ({ isMarked }) => {
  let log: SampleLog;
  let newest: string;
  beforeAll(async () => {
    log = await writeSampleLog(7, isMarked);
    newest = log.paths.at(-1)!;
    expect(log.paths.length).toBeGreaterThan(4);
  });

  test('undamaged is accepted whole', async () => {
    expect(verdictOn(log, log.files)).toBe(log.entries.length);
    await expectAccepted(await diskWith(log.files), log, log.entries.length, 'undamaged');
  });

  test(`${copies} damaged copies get the verdict that follows from what was damaged`, async () => {
    const kinds = Object.entries(damagers);
    const seen = { refused: 0, whole: 0, shorter: 0 };
    for (let seed = 0; seed < copies; seed++) {
      const [kind, damage] = kinds[seed % kinds.length]!;
      const { what, files, verdict = verdictOn(log, files) } = damage(log, new SeededRandom(seed));
      const name = `seed ${seed}, ${kind}: ${what}`;
      const disk = await diskWith(files);
      if (verdict === 'refused') {
        seen.refused++;
        await expectRefused(disk, name);
      } else {
        const isWhole = verdict === log.entries.length;
        seen[isWhole ? 'whole' : 'shorter']++;
        // Whoever knows what was applied is never given less.
        if (!isWhole) await expectRefused(disk, name, log.entries.length);
        await expectAccepted(disk, log, verdict, name);
      }
    }
    expect(seen.refused).toBeGreaterThan(copies / 2);
    expect(seen.whole).toBeGreaterThan(copies / 20);
    if (!isMarked) expect(seen.shorter).toBeGreaterThan(0);
  });

  test('a flipped bit anywhere in a segment before the newest is refused, behind its end too', async () => {
    for (const path of log.paths.slice(0, -1)) {
      const bytes = log.files.get(path)!;
      for (let at = 0; at < bytes.length; at += 29) {
        const disk = await diskWith(flipped(log.files, path, at));
        await expectRefused(disk, `byte ${at} of ${path}`);
      }
    }
  }, 30_000);

  if (isMarked) {
    test('no single damaged page of the newest segment takes an acknowledged entry with it', async () => {
      const size = log.files.get(newest)!.length;
      for (const unit of [8, 512, 4096]) {
        for (let at = 0; at < size; at += unit) {
          const bytes = Buffer.from(log.files.get(newest)!).fill(0, at, at + unit);
          const files = new Map(log.files).set(newest, bytes);
          const verdict = verdictOn(log, files);
          if (verdict === 'refused') await expectRefused(await diskWith(files), `${unit} zeros at ${at}`);
          else expect(verdict).toBe(log.entries.length);
        }
      }
    }, 30_000);
  }
});

function flipped(files: Files, path: string, at: number): Files {
  const bytes = Buffer.from(files.get(path)!);
  bytes[at]! ^= 1 << (at % 8);
  return new Map(files).set(path, bytes);
}

/** A small log in one segment, with its last group in the open. */
async function smallLog(): Promise<{ path: string; whole: Buffer; before: Buffer; start: number; end: number }> {
  const disk = await diskWith(new Map());
  const wal = await Wal.create(walOptions(disk), metadata);
  const path = `wal/${(await disk.list('wal'))[0]!}`;
  wal.append({ term: 1, vote: 2n, commit: 0 }, entries(1, 3));
  await wal.sync();
  const before = disk.contents().get(path)!;
  wal.append({ term: 1, vote: 2n, commit: 3 }, entries(4, 3, 60));
  await wal.sync();
  const whole = disk.contents().get(path)!;
  return { path, whole, before, start: usedBytes(before), end: usedBytes(whole) };
}

function usedBytes(bytes: Buffer): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return end;
}

describe('a torn tail', () => {
  test('cut at any byte of the last group is cut at the group, and earlier groups stay', async () => {
    const { path, whole, start, end } = await smallLog();
    for (let cut = start; cut < end; cut++) {
      const disk = await diskWith(new Map([[path, Buffer.from(whole).fill(0, cut)]]));
      const { recovery } = await Wal.open(walOptions(disk));
      expect(outline(recovery.entries)).toEqual(outline(entries(1, 3)));
      expect(recovery.hardState).toEqual({ term: 1, vote: 2n, commit: 0 });
    }
  });

  test('in any subset of its sectors is torn, never corrupt', async () => {
    const disk = await diskWith(new Map());
    const wal = await Wal.create(walOptions(disk, { segmentSizeBytes: 16_384 }), metadata);
    const path = `wal/${(await disk.list('wal'))[0]!}`;
    wal.append(undefined, entries(1, 3, 100));
    await wal.sync();
    const before = disk.contents().get(path)!;
    wal.append(undefined, entries(4, 30, 130));
    await wal.sync();
    const after = disk.contents().get(path)!;
    const random = new SeededRandom(3);
    for (let run = 0; run < 300; run++) {
      const torn = Buffer.from(before);
      for (let at = 0; at < torn.length; at += 512) if (random.below(2) === 0) after.copy(torn, at, at, at + 512);
      const { recovery } = await Wal.open(walOptions(await diskWith(new Map([[path, torn]]))));
      expect([3, 33]).toContain(recovery.entries.length);
      expect(outline(recovery.entries)).toEqual(
        outline([...entries(1, 3, 100), ...entries(4, 30, 130)].slice(0, recovery.entries.length)),
      );
    }
  });

  test('of random garbage is no length to trust: nothing is allocated, nothing hangs', async () => {
    const { path, before, start } = await smallLog();
    const random = new SeededRandom(11);
    for (let run = 0; run < 300; run++) {
      const bytes = Buffer.from(before);
      const from = Math.ceil(start / 8) * 8;
      for (let i = from; i < from + 1 + random.below(3000); i++) bytes[i] = run % 3 === 0 ? 0xff : random.below(256);
      const { recovery } = await Wal.open(walOptions(await diskWith(new Map([[path, bytes]]))));
      expect(outline(recovery.entries)).toEqual(outline(entries(1, 3)));
      expect(recovery.tornBytes).toBeGreaterThan(0);
    }
  });

  test('below what the caller knows to be committed is corruption', async () => {
    const { path, whole, start } = await smallLog();
    const disk = await diskWith(new Map([[path, Buffer.from(whole).fill(0, start + 10)]]));
    const error = await expectRefused(disk, 'torn', 4);
    expect(error.message).toContain('the log ends before what was applied already');
    expect(error.facts).toMatchObject({ file: path, expected: 4, actual: 3 });
  });

  test('is kept beside the segment, readable by its owner’s disk only, and the newest one wins', async () => {
    const { path, whole, start, end } = await smallLog();
    const disk = await diskWith(new Map([[path, Buffer.from(whole).fill(0, end - 1)]]));
    await disk.create(`${path}.torn`);
    await Wal.open(walOptions(disk));
    const from = Math.ceil(start / 8) * 8;
    expect(
      disk
        .contents()
        .get(`${path}.torn`)
        ?.equals(whole.subarray(from, usedBytes(whole.subarray(0, end - 1)))),
    ).toBe(true);
  });
});

describe('a refusal', () => {
  test('names file, offset, LSN, what was expected and found, and the ways out', async () => {
    const { path, whole, start } = await smallLog();
    const at = 240;
    const bytes = Buffer.from(whole);
    bytes[at]! ^= 1;
    const error = await expectRefused(await diskWith(new Map([[path, bytes]])), 'flipped');
    expect(error.message).toMatch(/damage before records that were written later: record .*checksum mismatch/);
    expect(error.message).toMatch(/nothing was changed; remove this member from the cluster and add it again/);
    expect(error.facts).toMatchObject({ file: path });
    const { offset, lsn, soundAgainAt } = error.facts as { offset: number; lsn: number; soundAgainAt: number };
    expect(offset).toBeLessThanOrEqual(at);
    expect(lsn).toBe(offset - 96);
    expect(soundAgainAt).toBe(Math.ceil(start / 8) * 8);
  });

  test('says so when the log was written in a format of the future', async () => {
    const { path, whole } = await smallLog();
    const bytes = Buffer.from(whole);
    bytes.writeUInt32LE(2, 8);
    bytes.writeUInt32LE(crc(bytes.subarray(0, 92), 0), 92);
    const error = await expectRefused(await diskWith(new Map([[path, bytes]])), 'version 2');
    expect(error.message).toContain('written in an unknown format');
  });

  interface TestRecord {
    readonly type: number;
    readonly flags?: number;
    readonly payload: Buffer;
    readonly lsnOff?: number;
    readonly groupOff?: number;
  }

  /** The log with one more record, whole and sound, in a group of its own. */
  async function withRecord(record: TestRecord): Promise<MemoryDisk> {
    const { path, whole, end } = await smallLog();
    const bytes = Buffer.from(whole);
    const at = Math.ceil(end / 8) * 8;
    const { type, flags = 1, payload, lsnOff = 0, groupOff = 0 } = record;
    payload.copy(bytes, at + recordHeaderBytes);
    const last = lastRecord(bytes, at);
    const chain = crc(bytes.subarray(at + recordHeaderBytes, at + recordBytes(payload.length)), last.chain);
    const header = {
      length: payload.length,
      type,
      flags,
      lsn: at - 96 + lsnOff,
      group: last.group + 1 + groupOff,
      chain,
    };
    writeRecordHeader(bytes, at, header, saltSeed(bytes.readBigUInt64LE(80)));
    return diskWith(new Map([[path, bytes]]));
  }

  function lastRecord(bytes: Buffer, end: number): { chain: number; group: number } {
    let at = 96;
    for (let next = at; next < end; next = at + recordBytes(bytes.readUInt32LE(at))) at = next;
    return { chain: bytes.readUInt32LE(at + 24), group: bytes.readUInt32LE(at + 16) };
  }

  test('does not come for a record that could have been written so', async () => {
    const state = HardState.encode({ term: 5, vote: 0n, commit: 6 });
    const { recovery } = await Wal.open(walOptions(await withRecord({ type: RecordType.state, payload: state })));
    expect(recovery.hardState.term).toBe(5);
  });

  test.each([
    ['of an unknown type', { type: 9, payload: Buffer.from('x') }, 'unknown record type'],
    ['with an unknown flag', { type: 2, flags: 0x81, payload: Buffer.from('x') }, 'unknown record flags'],
    ['that cannot be decoded', { type: 2, payload: Buffer.from([0x22, 200, 1]) }, 'a sound record cannot be decoded'],
    ['that leaves a gap', { type: 2, payload: Buffer.from([8, 1, 16, 99]) }, 'entries are missing'],
    ['of somebody else', { type: 1, payload: Buffer.from([8, 1]) }, 'differs between segment header and metadata'],
    ['with a commit index beyond the log', { type: 3, payload: Buffer.from([24, 99]) }, 'before its own commit index'],
    ['that misquotes the chain', { type: 4, payload: Buffer.alloc(4) }, 'does not match the log before it'],
    ['that belongs elsewhere', { type: 2, payload: Buffer.from('x'), lsnOff: 64 }, 'record belongs elsewhere'],
    ['of a group long past', { type: 2, payload: Buffer.from('x'), groupOff: -1 }, 'record of another group'],
    ['of a group to come', { type: 2, payload: Buffer.from('x'), groupOff: 1 }, 'record of another group'],
    ['that seals a segment without successor', sealWithChain, 'the segment after this one is missing'],
  ])('comes for a sound record %s', async (_, record, message) => {
    const disk = await withRecord(typeof record === 'function' ? await record() : record);
    expect((await expectRefused(disk, 'record')).message).toContain(message);
  });

  async function sealWithChain(): Promise<TestRecord> {
    const { whole, end } = await smallLog();
    const payload = Buffer.alloc(4);
    payload.writeUInt32LE(lastRecord(whole, Math.ceil(end / 8) * 8).chain);
    return { type: 4, flags: 3, payload };
  }
});

test('damage to the first group of a segment is refused even when nothing follows: it was durable before the name', async () => {
  const disk = await diskWith(new Map());
  await Wal.create(walOptions(disk), metadata);
  const path = `wal/${(await disk.list('wal'))[0]!}`;
  const files = disk.contents();
  for (let at = 0; at < usedBytes(files.get(path)!); at++) {
    await expectRefused(await diskWith(flipped(files, path, at)), `byte ${at}`);
  }
});

test('segments of another log of the same size and names are refused', async () => {
  const [log, other] = [await writeSampleLog(7, true), await writeSampleLog(8, true)];
  for (let i = 0; i < log.paths.length; i++) {
    const foreign = [...other.files.values()][i];
    if (foreign === undefined) continue;
    await expectRefused(await diskWith(new Map(log.files).set(log.paths[i]!, foreign)), `foreign ${i}`);
  }
});
