import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { FakeWorld } from './testing/fake-io.ts';

const { stdout: script } = await new FakeWorld().run('completion bash');

/** What bash offers for the last word. */
function offered(...words: string[]): string[] {
  const line = ['kvctl', ...words].map((word) => `'${word}'`).join(' ');
  const ask = `COMP_WORDS=(${line}); COMP_CWORD=${words.length}; _kvctl; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const output = execFileSync('bash', ['-c', `${script}\n${ask}`], { encoding: 'utf8' });
  return output.split('\n').filter((word) => word !== '');
}

test.each([
  [['wa'], ['watch']],
  [
    ['lease', ''],
    ['grant', 'revoke', 'timetolive', 'list', 'keep-alive'],
  ],
  [['-w', 'json', 'lease', 'key'], []],
  [['lease', 'k'], ['keep-alive']],
  [['get', '--pre'], ['--prefix']],
  [['get', 'key', '--print'], ['--print-value-only']],
  [['get', '--endp'], ['--endpoints']],
  [['endpoint', 'status', '--clu'], ['--cluster']],
  [['make-mirror', '--no'], ['--no-dest-prefix']],
  [['lock', 'get', '--t'], ['--ttl']],
])('bash completes %j', (words, expected) => {
  const found = offered(...words);
  expect(words.at(-1) === '' ? found.filter((word) => !word.startsWith('--')) : found).toEqual(expected);
});
