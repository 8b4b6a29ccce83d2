import { spawn, spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StorageError } from '@quorate/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { acquireDataDir, type DataDir, lockFileName } from './data-dir.ts';
import { nodeClock } from './node-clock.ts';

let base: string;
const held: DataDir[] = [];

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'quorate-data-dir-'));
});
afterEach(async () => {
  for (const dir of held.splice(0)) await dir.release();
  await rm(base, { recursive: true });
});

async function acquire(path: string): Promise<DataDir> {
  const dir = await acquireDataDir(path, nodeClock);
  held.push(dir);
  return dir;
}

test('a new directory is made, parents too, for its owner only', async () => {
  const dir = await acquire(join(base, 'a/b'));
  expect((await stat(dir.path)).mode & 0o777).toBe(0o700);
  expect(dir.isOpenToOthers).toBe(false);
  expect((await stat(join(dir.path, lockFileName))).mode & 0o777).toBe(0o600);
});

test('a directory open to others is taken, and said to be', async () => {
  const path = join(base, 'open');
  await mkdir(path);
  await chmod(path, 0o755);
  expect((await acquire(path)).isOpenToOthers).toBe(true);
});

test('a second owner is refused within two seconds and told who has it', async () => {
  await acquire(join(base, 'm'));
  const startMs = performance.now();
  const error = await acquire(join(base, 'm')).catch((caught: unknown) => caught);
  expect(performance.now() - startMs).toBeLessThan(2_000);
  expect(error).toBeInstanceOf(StorageError);
  expect(String(error)).toContain(`in use by process ${process.pid}`);
});

test('another way to the same directory does not help', async () => {
  await acquire(join(base, 'm'));
  await symlink(join(base, 'm'), join(base, 'link'));
  await expect(acquire(join(base, 'link'))).rejects.toThrow('in use');
});

test('a released directory can be taken again, and its lock file is gone', async () => {
  const first = await acquireDataDir(join(base, 'm'), nodeClock);
  await first.release();
  await expect(stat(join(base, 'm', lockFileName))).rejects.toThrow('ENOENT');
  expect((await acquire(join(base, 'm'))).path).toBe(first.path);
});

test('a directory released while a second owner waits goes to it', async () => {
  const first = await acquireDataDir(join(base, 'm'), nodeClock);
  const second = acquire(join(base, 'm'));
  await first.release();
  expect((await second).path).toBe(first.path);
});

test('the lock file of a dead process does not count, nor one whose number was used again', async () => {
  const path = join(base, 'm');
  await mkdir(path);
  const dead = spawnSync(process.execPath, ['-e', '']).pid;
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  await writeFile(join(path, lockFileName), JSON.stringify({ pid: dead, bootId, startTicks: '1' }));
  await (await acquireDataDir(path, nodeClock)).release();
  // Process 1 lives, but it did not start at tick 99999999999.
  await writeFile(join(path, lockFileName), JSON.stringify({ pid: 1, bootId, startTicks: '99999999999' }));
  await acquire(path);
});

test('the lock file of a living process counts where its socket cannot be seen', async () => {
  const path = join(base, 'm');
  await mkdir(path);
  const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  try {
    const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    const line = await readFile(`/proc/${other.pid}/stat`, 'utf8');
    const startTicks = line.slice(line.lastIndexOf(')') + 2).split(' ')[19];
    await writeFile(join(path, lockFileName), JSON.stringify({ pid: other.pid, bootId, startTicks }));
    await expect(acquire(path)).rejects.toThrow(`in use by process ${other.pid}`);
  } finally {
    other.kill('SIGKILL');
  }
});

test('a lock file that makes no sense does not count', async () => {
  const path = join(base, 'm');
  await mkdir(path);
  for (const text of ['', '{', 'null', '7', '{"pid":"1"}']) {
    await writeFile(join(path, lockFileName), text);
    await (await acquireDataDir(path, nodeClock)).release();
  }
});

test('a path that is a file is refused', async () => {
  await writeFile(join(base, 'file'), '');
  await expect(acquire(join(base, 'file'))).rejects.toThrow('cannot open data-dir');
});
