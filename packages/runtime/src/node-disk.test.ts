import { constants, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DiskFile, FatalError } from '@quorate/base';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type FileCalls, NodeDisk, nodeFileCalls } from './node-disk.ts';

let root: string;
let disk: NodeDisk;
const opened: DiskFile[] = [];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'quorate-node-disk-'));
  disk = new NodeDisk(root);
});
afterEach(async () => {
  for (const file of opened.splice(0)) await file.close();
  await rm(root, { recursive: true });
});

async function create(path: string, on: NodeDisk = disk): Promise<DiskFile> {
  const file = await on.create(path);
  opened.push(file);
  return file;
}

async function open(path: string, write: boolean): Promise<DiskFile> {
  const file = await disk.open(path, { write });
  opened.push(file);
  return file;
}

/** Does everything in pieces of sizes from `pieces`, over and over. */
function hesitant(pieces: readonly number[]): FileCalls {
  let turn = 0;
  const next = (limit: number): number => Math.min(limit, pieces[turn++ % pieces.length]!);
  return {
    read: (fd, target, position) => nodeFileCalls.read(fd, target.subarray(0, next(target.length)), position),
    write: (fd, chunks, position) => {
      const all = Buffer.concat(chunks);
      return nodeFileCalls.write(fd, [all.subarray(0, next(all.length))], position);
    },
    writeNow: (fd, chunks, position) => {
      const all = Buffer.concat(chunks);
      return nodeFileCalls.writeNow(fd, [all.subarray(0, next(all.length))], position);
    },
  };
}

test('what was written is read, by this handle and by the next', async () => {
  const file = await create('f');
  await file.write(0, Buffer.from('hello'));
  await file.writeAndSync(5, [Buffer.from(', '), Buffer.from('world')]);
  expect((await file.read(0, 100)).toString()).toBe('hello, world');
  expect((await (await open('f', false)).read(7, 3)).toString()).toBe('wor');
  expect(await file.size()).toBe(12);
});

test('files and directories are for their owner only', async () => {
  await disk.makeDirectory('a/b');
  await create('a/b/f');
  expect((await stat(join(root, 'a/b/f'))).mode & 0o777).toBe(0o600);
  expect((await stat(join(root, 'a'))).mode & 0o777).toBe(0o700);
  expect((await stat(join(root, 'a/b'))).mode & 0o777).toBe(0o700);
});

test('a directory that exists is fine', async () => {
  await disk.makeDirectory('a');
  await disk.makeDirectory('a');
  expect(await disk.exists('a')).toBe(true);
});

test('create refuses an existing file, open an absent one', async () => {
  await create('f');
  await expect(disk.create('f')).rejects.toMatchObject({ code: 'EEXIST' });
  await expect(disk.open('g', { write: true })).rejects.toMatchObject({ code: 'ENOENT' });
});

test('symbolic links are not followed, neither to files nor to nowhere', async () => {
  await writeFile(join(root, 'target'), 'secret');
  await symlink('target', join(root, 'link'));
  await symlink('nowhere', join(root, 'dangling'));
  await expect(disk.open('link', { write: false })).rejects.toMatchObject({ code: 'ELOOP' });
  await expect(disk.open('link', { write: true })).rejects.toMatchObject({ code: 'ELOOP' });
  await expect(disk.create('dangling')).rejects.toMatchObject({ code: 'EEXIST' });
  expect(await disk.exists('dangling')).toBe(true);
});

test('names are listed in order; an absent directory is empty', async () => {
  for (const name of ['b', 'a', 'c']) await create(name);
  await disk.makeDirectory('aa');
  expect(await disk.list('.')).toEqual(['a', 'aa', 'b', 'c']);
  expect(await disk.list('nowhere')).toEqual([]);
});

test('rename replaces, remove removes and does not mind absence', async () => {
  await (await create('old')).writeAndSync(0, [Buffer.from('old')]);
  await (await create('new')).writeAndSync(0, [Buffer.from('new')]);
  await disk.rename('new', 'old');
  expect(await disk.list('.')).toEqual(['old']);
  expect((await readFile(join(root, 'old'))).toString()).toBe('new');
  await disk.remove('old');
  await disk.remove('old');
  await disk.syncDirectory('.');
  expect(await disk.exists('old')).toBe(false);
});

test('a handle writes to its file under whatever name it has by now', async () => {
  const file = await create('spare');
  await disk.rename('spare', 'segment');
  await file.writeAndSync(0, [Buffer.from('x')]);
  expect((await readFile(join(root, 'segment'))).toString()).toBe('x');
});

test('truncate cuts and grows with zeros', async () => {
  const file = await create('f');
  await file.write(0, Buffer.from('hello'));
  await file.truncate(2);
  await file.truncate(4);
  await file.writeAndSync(3, [Buffer.from('!')]);
  expect(await file.read(0, 10)).toEqual(Buffer.from('he\0!'));
});

test('reading past the end gives what is there, and allocates no more', async () => {
  const file = await create('f');
  await file.write(0, Buffer.from('hello'));
  expect((await file.read(3, Number.MAX_SAFE_INTEGER)).toString()).toBe('lo');
  expect(await file.read(50, 10)).toHaveLength(0);
});

test('a file open for reading refuses to be written', async () => {
  await create('f');
  const file = await open('f', false);
  for (const change of [
    () => file.write(0, Buffer.from('x')),
    () => file.writeAndSync(0, [Buffer.from('x')]),
    () => file.truncate(0),
    () => file.sync(),
  ]) {
    await expect(change()).rejects.toThrow(FatalError);
  }
});

test('short writes and short reads are continued', async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 5 }),
      fc.nat(100),
      async (chunks, pieces, position) => {
        const file = await new NodeDisk(root, hesitant(pieces)).create(`f${run++}`);
        const bytes = Buffer.concat(chunks);
        await file.writeAndSync(position, chunks);
        expect(await file.read(position, bytes.length)).toEqual(bytes);
        await file.write(position + bytes.length, bytes);
        expect(await file.read(position, 2 * bytes.length)).toEqual(Buffer.concat([bytes, bytes]));
        await file.close();
      },
    ),
    { numRuns: 100 },
  );
});

test('a write that takes nothing is an error, not a loop', async () => {
  const idle = { ...nodeFileCalls, write: () => Promise.resolve(0), writeNow: () => 0 };
  const file = await create('f', new NodeDisk(root, idle));
  await expect(file.writeAndSync(0, [Buffer.from('x')])).rejects.toThrow('took nothing');
});

test.each([1, 100_000])(
  'an error of a write of %d bytes is passed on and the write is not tried again',
  async (size) => {
    let calls = 0;
    const fail = (): never => {
      calls++;
      throw Object.assign(new Error('EIO: i/o error, write'), { code: 'EIO' });
    };
    const failing = { ...nodeFileCalls, write: async () => fail(), writeNow: fail };
    const file = await create('f', new NodeDisk(root, failing));
    await expect(file.writeAndSync(0, [Buffer.alloc(size)])).rejects.toMatchObject({ code: 'EIO' });
    expect(calls).toBe(1);
  },
);

test('small synchronous writes are made at once while the disk is quick, and rest on the pool after a stall or several slow ones', async () => {
  let nowMs = 0;
  let tookMs = 0.1;
  const made: string[] = [];
  const calls: FileCalls = {
    ...nodeFileCalls,
    write: (fd, chunks, position) => {
      made.push('pool');
      return nodeFileCalls.write(fd, chunks, position);
    },
    writeNow: (fd, chunks, position) => {
      made.push('now');
      nowMs += tookMs;
      return nodeFileCalls.writeNow(fd, chunks, position);
    },
  };
  const file = await create('f', new NodeDisk(root, calls, () => nowMs));
  const write = async (size: number): Promise<string[]> => {
    await file.writeAndSync(0, [Buffer.alloc(size)]);
    return made.splice(0);
  };
  expect(await write(300)).toEqual(['now']);
  expect(await write(100_000)).toEqual(['pool']);
  tookMs = 30;
  expect(await write(300)).toEqual(['now']);
  expect(await write(300)).toEqual(['pool']);
  nowMs += 999;
  expect(await write(300)).toEqual(['pool']);
  nowMs += 1;
  tookMs = 5;
  for (let i = 0; i < 3; i++) expect(await write(300)).toEqual(['now']);
  tookMs = 0.1;
  for (let i = 0; i < 20; i++) expect(await write(300)).toEqual(['now']);
  tookMs = 5;
  const slow: string[] = [];
  for (let i = 0; i < 10; i++) slow.push(...(await write(300)));
  expect(slow).toEqual([...Array(3).fill('now'), ...Array(7).fill('pool')]);
});

test('an error that is not absence is passed on', async () => {
  await writeFile(join(root, 'file'), '');
  await expect(disk.list('file')).rejects.toMatchObject({ code: 'ENOTDIR' });
  await expect(disk.makeDirectory('file/a')).rejects.toMatchObject({ code: 'ENOTDIR' });
  await expect(disk.rename('absent', 'b')).rejects.toMatchObject({ code: 'ENOENT' });
  await expect(disk.syncDirectory('absent')).rejects.toMatchObject({ code: 'ENOENT' });
});

test.runIf(process.platform === 'linux')('writeAndSync writes synchronously, write does not', async () => {
  const flags: number[] = [];
  const watch = (fd: number): void => {
    const line = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'));
    flags.push(Number.parseInt(line![1]!, 8) & constants.O_DSYNC);
  };
  const watching: FileCalls = {
    ...nodeFileCalls,
    write: (fd, chunks, position) => {
      watch(fd);
      return nodeFileCalls.write(fd, chunks, position);
    },
    writeNow: (fd, chunks, position) => {
      watch(fd);
      return nodeFileCalls.writeNow(fd, chunks, position);
    },
  };
  const file = await create('f', new NodeDisk(root, watching));
  await file.write(0, Buffer.from('x'));
  await file.writeAndSync(1, [Buffer.from('y')]);
  await file.writeAndSync(1, [Buffer.alloc(100_000)]);
  expect(flags).toEqual([0, constants.O_DSYNC, constants.O_DSYNC]);
});
