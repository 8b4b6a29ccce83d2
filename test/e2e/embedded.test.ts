/** Processes that embed a member: killed in the middle of writes again and again, and with a disk that refuses to take more. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { runBytes } from '../support/byte-command.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const directory = mkdtempSync(join(tmpdir(), 'quorate-embedded-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Writes with 16 callers and says what was acknowledged: key and revision. */
const writing = (life: number) => `
  import { open } from 'quorate';
  const db = await open({ dataDir: ${JSON.stringify(join(directory, 'killed'))} });
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
  const db = await open({ dataDir: ${JSON.stringify(join(directory, 'killed'))} });
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

/** Fills its store until a file may not grow any more, and tells what became of its calls. */
const filling = (onFatal: string) => `
  import { open } from 'quorate';
  const dataDir = ${JSON.stringify(join(directory, 'full'))} + process.pid;
  const db = await open({ dataDir, tuning: { walSegmentBytes: 1024 * 1024 }, ${onFatal} });
  const failed = (call) => call.then(() => 'done', (error) => error.name);
  for (let i = 0; ; i++) {
    const outcomes = await Promise.all([failed(db.kv.put('k' + i, Buffer.alloc(20_000))), failed(db.kv.put('l' + i, 'x'))]);
    if (outcomes.includes('done')) continue;
    console.log('calls', ...outcomes);
    break;
  }
  console.log('later', await failed(db.kv.get('k0')));
  await db.close();
  console.log('again', await failed(open({ dataDir })));
  process.exit(0);
`;

test('a disk that fails ends the member: all calls are rejected, and its directory stays locked for the process', async () => {
  const program = filling("onFatal: (error) => console.log('fatal', error.name)");
  const { stdout } = await limited(program);
  const lines = stdout.trim().split('\n');
  expect(lines.sort()).toEqual([
    'again StorageError',
    'calls StorageError StorageError',
    'fatal StorageError',
    'later StorageError',
  ]);
});

test('without onFatal a disk that fails ends the process', async () => {
  const { code, stderr } = await limited(filling(''));
  expect(code).not.toBe(0);
  expect(stderr).toMatch(/StorageError/);
});

/** No file may grow beyond 6 MB. */
function limited(program: string): ReturnType<typeof runBytes> {
  const line = 'ulimit -f 6000; exec "$0" --input-type=module -e "$1"';
  return runBytes(['bash', '--norc', '-c', line, process.execPath, program]);
}

const embedding = `
  import { createRequire } from 'node:module';
  import { open } from 'quorate';
  const db = await open({ dataDir: ${JSON.stringify(join(directory, 'lean'))} });
  await db.kv.put('key', 'value');
  await db.close();
  const { cache } = createRequire(process.cwd() + '/');
  console.log(Object.keys(cache).filter((path) => path.includes('grpc-js')).length + ' modules');
  const { grpcTransport, parseEndpoint } = await import('@quorate/client');
  grpcTransport()(parseEndpoint('localhost:1')).close();
  console.log(Object.keys(cache).some((path) => path.includes('grpc-js')));
  process.exit(0);
`;

test('a process that embeds a member and calls no other loads no grpc-js', async () => {
  expect(await linesOf(embedding)).toEqual(['0 modules', 'true']);
});
