/** The line every test run ends with must be true: this runs the runner on files that fail in every way a file can. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const reporter = join(root, 'scripts', 'summary-reporter.mjs');
let directory: string;

const files: Readonly<Record<string, string>> = {
  'vitest.config.mjs': `export default { test: { reporters: ['default', ${JSON.stringify(reporter)}] } };`,
  'passes.test.mjs': `import { test } from 'vitest'; test('one', () => {}); test('two', () => {});`,
  'tests.test.mjs': `
    import { test, expect } from 'vitest';
    test('fails', () => { expect(1).toBe(2); });
    test.skip('is skipped', () => {});
    test('skips itself', (context) => context.skip('no etcd here'));`,
  'hooks.test.mjs': `
    import { afterAll, beforeAll, describe, test } from 'vitest';
    describe('broken before', () => { beforeAll(() => { throw new Error('x'); }); test('never runs', () => {}); });
    describe('broken after', () => { afterAll(() => { throw new Error('x'); }); test('runs', () => {}); });`,
  'file.test.mjs': `import './not-there.mjs';`,
  'unhandled.test.mjs': `
    import { test } from 'vitest';
    setTimeout(() => Promise.reject(new Error('x')), 0);
    test('passes meanwhile', () => new Promise((resolve) => setTimeout(resolve, 100)));`,
};

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-reporter-'));
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
});
afterAll(() => rmSync(directory, { recursive: true }));

function run(...filters: string[]): { readonly status: number | null; readonly lines: readonly string[] } {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const { status, stdout } = spawnSync(process.execPath, [vitest, 'run', ...filters], {
    cwd: directory,
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { status, lines: stdout.trimEnd().split('\n') };
}

test('counts tests, broken hooks, broken files and stray errors; names what was skipped and why', () => {
  const { status, lines } = run();
  expect(status).toBe(1);
  expect(lines.at(-1)).toBe('4 passed, 5 failed, 3 skipped');
  const skipped = lines.slice(lines.indexOf('skipped:') + 1, -2);
  expect([...skipped].sort()).toEqual([
    '  broken before > never runs',
    '  is skipped',
    '  skips itself (no etcd here)',
  ]);
}, 60_000);

test('says nothing of skipped tests when there are none', () => {
  const { status, lines } = run('passes');
  expect(status).toBe(0);
  expect(lines.at(-1)).toBe('2 passed, 0 failed, 0 skipped');
  expect(lines).not.toContain('skipped:');
}, 60_000);

test('a run without any test is no success', () => {
  const { status, lines } = run('no-such-file');
  expect(status).toBe(1);
  expect(lines.at(-1)).toBe('0 passed, 1 failed, 0 skipped');
}, 60_000);
