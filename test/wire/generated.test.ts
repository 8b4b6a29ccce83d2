import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const generator = fileURLToPath(new URL('../../packages/proto/scripts/generate.mjs', import.meta.url));

const timeoutMs = 60_000;

test('the committed codecs are what the generator makes of the .proto files', { timeout: timeoutMs }, () => {
  const { status, stderr } = spawnSync(process.execPath, [generator, '--check'], {
    encoding: 'utf8',
    timeout: timeoutMs,
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
});
