/** `kvctl verify` on the directories of real members: silent when all is well, and nothing that is damaged is passed over. */
import { copyFileSync, cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { walkLmdbFile } from '@quorate/backend';
import { SeededRandom, silentLogger } from '@quorate/base';
import { NodeDisk, verifyDataDir } from '@quorate/runtime';
import { verifyWal } from '@quorate/wal';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runKvctlHere } from '../support/kvctl.ts';
import { KvdCluster } from '../support/kvd-process.ts';
import { RawClient } from '../support/raw-client.ts';

const flips = 30;
let cluster: KvdCluster;
let running: string;
/** The directory of a member that was stopped, and a copy to damage. */
let stopped: string;
let copy: string;

beforeAll(async () => {
  cluster = await KvdCluster.start(1, ['--wal-segment-bytes', String(1024 * 1024)]);
  const [member] = cluster.members;
  const client = new RawClient(member!.endpoint);
  for (let i = 0; i < 400; i++) {
    if (i % 7 === 6) await client.delete(`k${i % 50}`);
    else await client.put(`k${i % 50}`, Buffer.alloc(i % 40 === 0 ? 9_000 : 120, i));
    if (i === 200) await client.compact(150);
  }
  running = member!.options.directory;
  const whileRunning = await runKvctlHere({ args: ['verify', '--data-dir', running] }, '127.0.0.1:1');
  expect(whileRunning.code).toBe(1);
  expect(whileRunning.stderr).toMatch(/^Error: cannot lock data-dir: the data directory is in use by process \d+/);
  client.close();
  await member!.kill('SIGTERM');
  stopped = running;
  copy = `${stopped}-copy`;
  cpSync(stopped, copy, { recursive: true });
});

afterAll(() => cluster.close());

/** Sum of all files but the one that says who has the directory. */
function filesOf(directory: string): Record<string, string> {
  const names = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = names.map(({ parentPath, name }) => join(parentPath, name)).filter((path) => !path.endsWith('/lock'));
  return Object.fromEntries(paths.map((path) => [path, readFileSync(path).toString('base64')]));
}

const verify = (directory: string): ReturnType<typeof verifyDataDir> =>
  verifyDataDir({ dataDir: directory, walDir: undefined, logger: silentLogger });

/** Changes one bit of a file of the copy, looks, and takes it back. */
async function withFlip(file: string, at: number): ReturnType<typeof verifyDataDir> {
  const path = join(copy, file);
  const bytes = readFileSync(path);
  bytes[at]! ^= 1 << (at % 8);
  writeFileSync(path, bytes);
  try {
    return await verify(copy);
  } finally {
    copyFileSync(join(stopped, file), path);
  }
}

describe('kvctl verify', () => {
  test('finds nothing wrong with a member that was stopped, and changes nothing', async () => {
    const before = filesOf(stopped);
    const { code, stdout, stderr } = await runKvctlHere({ args: ['verify', '--data-dir', stopped] }, '127.0.0.1:1');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /^db: \d+ rows, \d+ keys, revision \d+, consistent index \d+ of term \d+\nwal: \d+ segments/,
    );
    expect(filesOf(stopped)).toEqual(before);
  });

  test('finds a bit that was flipped in any row', async () => {
    const rows: { at: number; size: number }[] = [];
    const problem = (): never => expect.unreachable();
    const file = await new NodeDisk(copy).open('db', { write: false });
    await walkLmdbFile(file, {
      // A large value lies elsewhere; here is where.
      onRow: ({ offset, key, value }) => {
        rows.push({ at: offset, size: 9 + key.length + (value.length > 2_000 ? 8 : value.length) });
      },
      onProblem: problem,
    });
    await file.close();
    const random = new SeededRandom(42);
    for (let i = 0; i < flips; i++) {
      const { at, size } = rows[random.below(rows.length)]!;
      const place = at + random.below(size);
      const { problems } = await withFlip('db', place);
      expect({ place, found: problems.length > 0 }).toEqual({ place, found: true });
    }
  });

  test('finds a bit that was flipped in the log, or takes it for a torn tail at its very end', async () => {
    const place = { disk: new NodeDisk(copy), directory: 'wal', logger: silentLogger };
    const { segments } = await verifyWal(place);
    const { name, usedBytes } = segments.at(-1)!;
    // The last group is an idle mark, of which one record begins the last page and one may stand before.
    const sure = Math.floor((usedBytes - 1) / 4_096) * 4_096 - 4_096;
    const random = new SeededRandom(43);
    for (let i = 0; i < flips; i++) {
      const at = random.below(usedBytes);
      const { notes, problems } = await withFlip(join('wal', name), at);
      const isTorn = notes.some((note) => note.includes('torn tail'));
      expect({ at, found: problems.length > 0 || (at >= sure && isTorn) }).toEqual({ at, found: true });
      if (problems.length > 0) expect(problems[0]).toMatchObject({ file: `wal/${name}`, offset: expect.any(Number) });
    }
  });

  test('prints file, offset and key of what is wrong, and ends with code 1', async () => {
    const path = join(copy, 'db');
    const bytes = readFileSync(path);
    const at = bytes.lastIndexOf(Buffer.alloc(120, 399));
    bytes[at]! ^= 1;
    writeFileSync(path, bytes);
    const { code, stdout, stderr } = await runKvctlHere({ args: ['verify', '--data-dir', copy] }, '127.0.0.1:1');
    copyFileSync(join(stopped, 'db'), path);
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'Error: there is a problem\n' });
    expect(stdout).toMatch(/\nPROBLEM db at offset \d+, key\/0x[0-9a-f]+: checksum mismatch\n/);
  });

  test('does not make a directory that is not there, and wants one', async () => {
    const absent = join(copy, 'absent');
    const said = await runKvctlHere({ args: ['verify', '--data-dir', absent] }, '127.0.0.1:1');
    expect(said).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('there is no such directory') });
    expect(readdirSync(copy)).not.toContain('absent');
    const without = await runKvctlHere({ args: ['verify'] }, '127.0.0.1:1');
    expect(without).toMatchObject({ code: 1, stderr: 'Error: required flag(s) "data-dir" not set\n' });
  });
});
