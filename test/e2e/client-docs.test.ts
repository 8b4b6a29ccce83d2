/** The examples of docs/client.md and docs/embedding.md: each is run, in a process of its own that must end by itself, and prints what its comments say. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KvdCluster } from '../support/kvd-process.ts';
import { freePorts } from '../support/ports.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
interface Example {
  readonly name: string;
  readonly code: string;
}

/** The blocks of code of a page, named by their headings. */
function examplesOf(page: string): [Example, ...Example[]] {
  const sections = readFileSync(join(root, 'docs', page), 'utf8').split(/^## /m);
  return sections.flatMap((section) =>
    [...section.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map((block, i) => ({
      name: `${section.split('\n')[0]!}${i === 0 ? '' : ` (${i + 1})`}`,
      code: block[1]!,
    })),
  ) as [Example, ...Example[]];
}

const [connecting, ...others] = examplesOf('client.md');
const [opening, ...embedded] = examplesOf('embedding.md');

/** What comments behind statements that print, and comments alone on their line, say. */
function promised(code: string): string[] {
  return [...code.matchAll(/(?:console\.log\(.*\),?;?|resolve\)\);|^) *\/\/ (.+)$/gm)].map((match) => match[1]!);
}

describe('docs/client.md', () => {
  let cluster: KvdCluster;
  beforeAll(async () => {
    cluster = await KvdCluster.start(1);
  });
  afterAll(async () => {
    await cluster?.close();
  });

  test('begins with how to connect, and has an example of every part', () => {
    expect(connecting.code).toContain('new Client({');
    expect(others.length).toBeGreaterThanOrEqual(11);
    for (const { code, name } of others) expect(promised(code), name).not.toEqual([]);
  });

  test.each(others)('$name', async ({ code }) => {
    const endpoints = cluster.endpoints.map((endpoint) => `'${endpoint}'`).join(', ');
    const connected = connecting.code.replace(/endpoints: \[.*\]/, `endpoints: [${endpoints}]`);
    const { stdout, stderr, status } = await run(`${connected}\n${code}\nclient.close();\n`);
    expect(stderr).toBe('');
    expect(stdout.trimEnd().split('\n')).toEqual(promised(code));
    expect(status).toBe(0);
  });
});

describe('docs/embedding.md', () => {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-embedding-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  test('begins with how to open a member, and has an example of every part', () => {
    expect(opening.code).toContain('await open({');
    expect(embedded.length).toBeGreaterThanOrEqual(6);
    for (const { code, name } of embedded) expect(promised(code), name).not.toEqual([]);
  });

  test('what it shows is what happens', async () => {
    const code = embedded.map((example) => `{\n${example.code}}\n`).join('');
    const ports = await freePorts(3);
    const placed = `${opening.code}\n${code}\nawait db.close();\n`
      .replaceAll(/dataDir: (['`])/g, `dataDir: $1${directory}/`)
      .replaceAll(/PORT_[ABC]/g, () => String(ports.pop()));
    const { stdout, stderr, status } = await run(placed);
    expect(stderr).toBe('');
    expect(stdout.trimEnd().split('\n')).toEqual(promised(code));
    expect(status).toBe(0);
  });
});

function run(program: string): Promise<{ stdout: string; stderr: string; status: number | null }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { cwd: root, timeout: 40_000 });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += String(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += String(chunk);
    });
    child.on('close', (status) => resolve({ stdout, stderr, status }));
  });
}
