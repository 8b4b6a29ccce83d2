/** A process that embeds a member is killed in the middle of writes, again and again: what it was told is written is there. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const directory = mkdtempSync(join(tmpdir(), 'quorate-embedded-kill-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Writes with 16 callers and says what was acknowledged: key and revision. */
const writing = (life: number) => `
  import { open } from 'quorate';
  const db = await open({ dataDir: ${JSON.stringify(directory)} });
  const write = async (caller) => {
    for (let i = 0; ; i++) {
      const key = '${life}/' + caller + '/' + i;
      const { header } = await db.kv.put(key, 'v');
      console.log(key + ' ' + header.revision);
    }
  };
  for (let caller = 0; caller < 16; caller++) void write(caller);
`;

const reading = `
  import { open } from 'quorate';
  const db = await open({ dataDir: ${JSON.stringify(directory)} });
  const { kvs } = await db.kv.get('', { fromKey: true });
  for (const { key, modRevision } of kvs) console.log(key + ' ' + modRevision);
  await db.close();
`;

/** Runs until it ends by itself, or is killed after so many lines. */
async function linesOf(program: string, killAfter = Number.POSITIVE_INFINITY): Promise<string[]> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += String(chunk);
    if (text.split('\n').length > killAfter) child.kill('SIGKILL');
  });
  await once(child, 'close');
  // The last line may have been cut off.
  return text.split('\n').slice(0, -1);
}

test('an embedded member that is killed under load has every acknowledged write, at its revision', async () => {
  const acked: string[] = [];
  for (const [life, count] of [50, 700, 2_000, 5].entries()) acked.push(...(await linesOf(writing(life), count)));
  expect(acked.length).toBeGreaterThan(2_000);
  const there = new Set(await linesOf(reading));
  expect(acked.filter((line) => !there.has(line))).toEqual([]);
  expect(new Set([...there].map((line) => line.split(' ')[1])).size).toBe(there.size);
});
