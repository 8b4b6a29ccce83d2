import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StorageError } from '@quorate/base';
import { BackupError, StartError } from '@quorate/server';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { backupFileStatus, beginDirectory } from './offline-files.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'quorate-offline-'));
});
afterEach(() => rmSync(root, { recursive: true }));

/** Everything below `root`, relative. */
const tree = (): string[] => (readdirSync(root, { recursive: true }) as string[]).sort();

function fill(staging: string): void {
  mkdirSync(join(staging, 'wal'));
  writeFileSync(join(staging, 'wal', 'segment'), '');
  writeFileSync(join(staging, 'db'), '');
  writeFileSync(join(staging, 'zz'), '');
}

describe('a directory that is built', { timeout: 60_000 }, () => {
  test('beside its place is not there until it is published, and then whole', async () => {
    const built = await beginDirectory(join(root, 'deep', 'm1'), 'data-dir');
    fill(built.staging);
    expect(tree()).not.toContain('deep/m1');
    expect(statSync(built.staging).mode & 0o777).toBe(0o700);
    await built.publish('db');
    expect(tree()).toEqual(['deep', 'deep/m1', 'deep/m1/db', 'deep/m1/wal', 'deep/m1/wal/segment', 'deep/m1/zz']);
  });

  test('in an empty one, which may be a mount point, keeps that directory', async () => {
    const target = join(root, 'm1');
    mkdirSync(target);
    const { ino } = statSync(target);
    const built = await beginDirectory(target, 'data-dir');
    fill(built.staging);
    expect(tree()).toContain('m1/restoring/db');
    await built.publish('db');
    expect(tree()).toEqual(['m1', 'm1/db', 'm1/wal', 'm1/wal/segment', 'm1/zz']);
    expect(statSync(target).ino).toBe(ino);
  });

  test.each(['absent', 'empty'])('and discarded leaves an %s one as it was', async (kind) => {
    const target = join(root, 'm1');
    if (kind === 'empty') mkdirSync(target);
    const before = tree();
    const built = await beginDirectory(target, 'data-dir');
    fill(built.staging);
    await built.discard();
    expect(tree()).toEqual(before);
  });

  test('is refused where something is, and where another is being built', async () => {
    const target = join(root, 'm1');
    mkdirSync(target);
    writeFileSync(join(target, 'x'), '');
    const message = `data-dir "${target}" not empty or could not be read`;
    await expect(beginDirectory(target, 'data-dir')).rejects.toThrow(new StartError(message));
    await expect(beginDirectory(join(target, 'x'), 'data-dir')).rejects.toThrow(StartError);
    await beginDirectory(join(root, 'm2'), 'data-dir');
    const before = tree();
    await expect(beginDirectory(join(root, 'm2'), 'data-dir')).rejects.toThrow('another restore is running');
    expect(tree()).toEqual(before);
  });

  test('does not take the place of what came there meanwhile', async () => {
    const target = join(root, 'm1');
    const built = await beginDirectory(target, 'data-dir');
    fill(built.staging);
    mkdirSync(target);
    writeFileSync(join(target, 'theirs'), '');
    await expect(built.publish('db')).rejects.toThrow(StorageError);
    expect(tree()).toContain('m1/theirs');
    expect(tree()).not.toContain('m1/db');
  });
});

test('a backup file that is not there is refused in etcd’s words', async () => {
  const message = `open ${root}/x: no such file or directory`;
  await expect(backupFileStatus(join(root, 'x'))).rejects.toThrow(new BackupError(message));
});
