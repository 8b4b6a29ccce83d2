import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SnapshotResponse } from '@quorate/proto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { saveSnapshot } from './snapshot-file.ts';

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kvctl-snapshot-'));
  path = join(directory, 'backup.db');
});
afterEach(() => rmSync(directory, { recursive: true }));

const content = Buffer.alloc(4 * 512, 'content');
const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();

/** A stream of these blobs; an error ends it early. */
async function* stream(...blobs: (Buffer | Error)[]): AsyncGenerator<SnapshotResponse> {
  for (const blob of blobs) {
    if (blob instanceof Error) throw blob;
    yield SnapshotResponse.create({ blob, version: '3.6.0' });
  }
}

describe('a snapshot', { timeout: 60_000 }, () => {
  test('that is whole has its name, for its owner only, and nothing else is left', async () => {
    const blobs = [content.subarray(0, 700), content.subarray(700), sha256(content)];
    expect(await saveSnapshot(path, () => stream(...blobs))).toEqual({ version: '3.6.0', sizeBytes: 4 * 512 + 32 });
    expect(readFileSync(path)).toEqual(Buffer.concat(blobs));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory)).toEqual(['backup.db']);
  });

  test.each([
    ['damaged on its way', [content, sha256(content.subarray(1))], /^expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}/],
    ['without a checksum', [content], 'sha256 checksum not found [bytes: 2048]'],
    ['cut in its checksum', [content, sha256(content).subarray(1)], 'sha256 checksum not found [bytes: 2079]'],
    ['empty', [], 'sha256 checksum not found [bytes: 0]'],
    ['cut off by an error', [content, new Error('the member went away')], 'the member went away'],
  ])('that is %s leaves nothing behind', async (_, blobs, message) => {
    await expect(saveSnapshot(path, () => stream(...blobs))).rejects.toThrow(message);
    expect(readdirSync(directory)).toEqual([]);
  });

  test('does not take the name of anything that exists, and does not begin then', async () => {
    writeFileSync(path, 'older');
    const asked = (): never => expect.unreachable('asked for');
    await expect(saveSnapshot(path, asked)).rejects.toThrow(`${path} exists already, and is not overwritten`);
    expect(readFileSync(path, 'utf8')).toBe('older');
    const link = join(directory, 'link.db');
    symlinkSync('nowhere', link);
    await expect(saveSnapshot(link, asked)).rejects.toThrow('exists already');
    expect(readdirSync(directory)).toEqual(['backup.db', 'link.db']);
  });

  test('does not take a name that came into being meanwhile', async () => {
    async function* late(): AsyncGenerator<SnapshotResponse> {
      yield* stream(content);
      writeFileSync(path, 'other');
      yield* stream(sha256(content));
    }
    await expect(saveSnapshot(path, late)).rejects.toThrow('EEXIST');
    expect(readFileSync(path, 'utf8')).toBe('other');
    expect(readdirSync(directory)).toEqual(['backup.db']);
  });

  test('is not written into the file of another save', async () => {
    writeFileSync(`${path}.part`, 'theirs');
    await expect(saveSnapshot(path, () => stream(content, sha256(content)))).rejects.toThrow(
      `could not open ${path}.part (another save is running, or one was ended; remove it when none runs)`,
    );
    expect(readFileSync(`${path}.part`, 'utf8')).toBe('theirs');
  });
});
