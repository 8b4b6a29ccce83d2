/**
 * The law of the log: whatever happens, it says what it said after some append that is not older than the last one acknowledged.
 * Checked over random work, with the power failing at any operation of the disk, in recovery too, again and again.
 */
import { FatalError, MemoryDisk, SeededRandom } from '@quorate/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FaultDisk, PowerFailure } from './testing/fault-disk.ts';
import { entries, metadata, outline, walOptions } from './testing/fixture.ts';
import { LogModel } from './testing/log-model.ts';
import { Workload } from './testing/workload.ts';
import { verifyWal } from './verify.ts';
import { Wal } from './wal.ts';

const numRuns = Number(process.env['QUORATE_WAL_RUNS'] ?? 300);

/** One life of a process: open or create, work, and die. Returns the states that recovery may show afterwards. */
async function live(disk: FaultDisk, random: SeededRandom, before: readonly string[]): Promise<readonly string[]> {
  const options = walOptions(disk, { random, segmentSizeBytes: 4096 * (1 + random.below(4)) });
  let opened: { wal: Wal; model: LogModel } | undefined;
  try {
    if (await Wal.exists(options)) {
      const { wal, recovery } = await Wal.open(options);
      opened = { wal, model: LogModel.of(recovery) };
    } else {
      opened = { wal: await Wal.create(options, metadata), model: new LogModel() };
    }
  } catch (error) {
    // Only the power may end a start: a refusal here would be a log that lost its way.
    if (!String(error).includes('the power is gone')) throw error;
    return before;
  }
  expect(before).toContain(opened.model.toString());
  const work = new Workload(opened.wal, opened.model, random);
  const isFine = await work.run(5 + random.below(40));
  if (isFine && random.below(3) === 0) await opened.wal.close().catch(() => {});
  return work.states.slice(work.acknowledged);
}

test('nothing acknowledged is lost and nothing else appears, life after life', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), async (seed) => {
      const random = new SeededRandom(seed);
      const memory = new MemoryDisk();
      let possible: readonly string[] = [new LogModel().toString()];
      for (let life = 0; life < 4; life++) {
        const disk = new FaultDisk(memory);
        disk.failPowerAt(1 + random.below(120), random.below(2) === 0);
        possible = await live(disk, random, possible);
        disk.kill();
        // A process may also die alone: then all that was written is there, synced or not.
        if (random.below(4) !== 0) memory.crash(random);
      }
      const options = walOptions(memory, { random });
      if (!(await Wal.exists(options))) {
        expect(possible).toContain(new LogModel().toString());
        return;
      }
      const report = await verifyWal(options);
      const { wal, recovery } = await Wal.open(options);
      expect(possible).toContain(LogModel.of(recovery).toString());
      expect(report.tornBytes).toBe(recovery.tornBytes);
      // What opening returned is durable, whatever the page cache had shown before.
      memory.crash(random);
      expect(wal.durableIndex).toBe(wal.lastIndex);
      const again = await Wal.open(options);
      expect(LogModel.of(again.recovery).toString()).toBe(LogModel.of(recovery).toString());
      expect(again.recovery.tornBytes).toBe(0);
    }),
    { numRuns },
  );
});

describe('the power fails at every operation of', () => {
  /** Runs `act` with the power failing at operation 1, 2, 3, … until it gets through; `check` looks at what is left each time. */
  async function atEveryOperation(
    prepare: (disk: FaultDisk) => Promise<void>,
    act: (disk: FaultDisk) => Promise<void>,
    check: (disk: FaultDisk, isDone: boolean) => Promise<void>,
  ): Promise<number> {
    for (let nth = 1; ; nth++) {
      let isDone = false;
      for (const isCarriedOut of [false, true]) {
        for (let seed = 0; seed < 4; seed++) {
          const before = new FaultDisk();
          await prepare(before);
          before.kill();
          const disk = new FaultDisk(before.memory);
          disk.failPowerAt(nth, isCarriedOut);
          isDone = await act(disk).then(
            () => true,
            () => false,
          );
          disk.kill();
          disk.memory.crash(new SeededRandom(seed));
          await check(new FaultDisk(disk.memory), isDone);
        }
      }
      if (isDone) return nth;
    }
  }

  const nothing = async (): Promise<void> => {};
  const create = (disk: FaultDisk): Promise<Wal> => Wal.create(walOptions(disk), metadata);

  test('a first start: there is no log, or a whole one', async () => {
    const operations = await atEveryOperation(
      nothing,
      async (disk) => void (await create(disk)),
      async (disk, isDone) => {
        const options = walOptions(disk);
        if (isDone || (await Wal.exists(options)))
          expect((await Wal.open(options)).recovery.metadata).toEqual(metadata);
        else await create(disk);
      },
    );
    expect(operations).toBeGreaterThan(8);
  });

  test('a cut: the entry before it stays, the one that made it necessary is there or not', async () => {
    const operations = await atEveryOperation(
      nothing,
      async (disk) => {
        const wal = await create(disk);
        wal.append(undefined, entries(1, 1, 5000));
        await wal.sync();
        acknowledged.set(disk.memory, 1);
        wal.append(undefined, entries(2, 1, 5000));
        await wal.sync();
        acknowledged.set(disk.memory, 2);
      },
      async (disk) => {
        if (!(await Wal.exists(walOptions(disk)))) {
          expect(acknowledged.get(disk.memory)).toBeUndefined();
          return;
        }
        const { recovery } = await Wal.open(walOptions(disk));
        const count = recovery.entries.length;
        expect(count).toBeGreaterThanOrEqual(acknowledged.get(disk.memory) ?? 0);
        expect(outline(recovery.entries)).toEqual(outline(entries(1, count, 5000)));
      },
    );
    expect(operations).toBeGreaterThan(20);
  });

  const acknowledged = new WeakMap<MemoryDisk, number>();

  async function withTornTail(disk: FaultDisk): Promise<void> {
    const wal = await create(disk);
    for (const one of entries(1, 9, 2000)) {
      wal.append(undefined, [one]);
      await wal.sync();
    }
    const name = (await disk.memory.list('wal')).filter((other) => other.endsWith('.wal')).at(-1)!;
    const file = await disk.memory.open(`wal/${name}`, { write: true });
    await file.writeAndSync((await file.size()) - 100, [Buffer.from('torn')]);
  }

  test('a recovery: it can be done again with the same result', async () => {
    const operations = await atEveryOperation(
      withTornTail,
      async (disk) => void (await Wal.open(walOptions(disk))),
      async (disk) => {
        const { recovery } = await Wal.open(walOptions(disk), { committedAtLeast: 9 });
        expect(outline(recovery.entries)).toEqual(outline(entries(1, 9, 2000)));
      },
    );
    expect(operations).toBeGreaterThan(10);
  });

  test('a recovery of a cut that a dying process left with a name of uncertain life', async () => {
    const operations = await atEveryOperation(
      async (disk) => {
        let isArmed = false;
        const die = (name: string): void => {
          if (isArmed && name === 'walAfterRename') throw new PowerFailure();
        };
        const wal = await Wal.create(walOptions(disk, { crash: { hit: die } }), metadata);
        wal.append(undefined, entries(1, 1, 5000));
        await wal.sync();
        isArmed = true;
        wal.append(undefined, entries(2, 1, 5000));
        await expect(wal.sync()).rejects.toThrow(FatalError);
      },
      async (disk) => void (await Wal.open(walOptions(disk))),
      async (disk) => {
        const { recovery } = await Wal.open(walOptions(disk), { committedAtLeast: 1 });
        expect(outline(recovery.entries)).toEqual(outline(entries(1, 1, 5000)));
      },
    );
    expect(operations).toBeGreaterThan(10);
  });

  test('a release: the log is whole from the mark on', async () => {
    const confState = Buffer.alloc(0);
    const operations = await atEveryOperation(
      async (disk) => {
        const wal = await create(disk);
        for (const one of entries(1, 20, 2000)) {
          wal.append(undefined, [one]);
          await wal.sync();
        }
        wal.append(undefined, [], { index: 15, term: 1, confState });
        await wal.close();
      },
      async (disk) => {
        const { wal } = await Wal.open(walOptions(disk));
        await wal.release(15);
      },
      async (disk) => {
        const { recovery } = await Wal.open(walOptions(disk), { committedAtLeast: 20 });
        expect(recovery.snapshot).toEqual({ index: 15, term: 1, confState });
        expect(outline(recovery.entries)).toEqual(outline(entries(16, 5, 2000)));
      },
    );
    expect(operations).toBeGreaterThan(15);
  });
});

test('after a failed sync the data may be in the page cache only; what the next start returns is on the disk', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), async (seed) => {
      const random = new SeededRandom(seed);
      const disk = new FaultDisk();
      const wal = await Wal.create(walOptions(disk, { random }), metadata);
      wal.append(undefined, entries(1, 3, 500));
      await wal.sync();
      disk.before = ({ kind }) => {
        if (kind === 'sync') throw new Error('EIO: i/o error, fdatasync');
      };
      wal.append(undefined, entries(4, 3, 500));
      await expect(wal.sync()).rejects.toThrow('EIO');
      disk.kill();
      const { recovery } = await Wal.open(walOptions(disk.memory, { random }));
      expect(outline(recovery.entries)).toEqual(outline(entries(1, 6, 500)));
      disk.memory.crash(random);
      const { recovery: again } = await Wal.open(walOptions(disk.memory, { random }));
      expect(outline(again.entries)).toEqual(outline(entries(1, 6, 500)));
    }),
    { numRuns: 50 },
  );
});
