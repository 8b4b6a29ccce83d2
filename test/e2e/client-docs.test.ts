/** The examples of docs/client.md: each is run, in a process of its own that must end by itself, and prints what its comments say. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KvdCluster } from '../support/kvd-process.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const page = readFileSync(join(root, 'docs', 'client.md'), 'utf8');

interface Example {
  readonly name: string;
  readonly code: string;
}

/** The blocks of code, named by their headings. */
const examples: readonly Example[] = page.split(/^## /m).flatMap((section) =>
  [...section.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map((block, i) => ({
    name: `${section.split('\n')[0]!}${i === 0 ? '' : ` (${i + 1})`}`,
    code: block[1]!,
  })),
);

const [connecting, ...others] = examples as [Example, ...Example[]];

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
    const opening = connecting.code.replace(/endpoints: \[.*\]/, `endpoints: [${endpoints}]`);
    const { stdout, stderr, status } = await run(`${opening}\n${code}\nclient.close();\n`);
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
