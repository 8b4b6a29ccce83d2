import { expect, test } from 'vitest';
import { childFailure } from './child.ts';

test('a program that ends well is no failure', () => {
  expect(childFailure('sh', { at: 'exit', code: 0 })).toBeUndefined();
});

test.each([
  ['sh', { at: 'exit', code: 7 }, 'exit status 7', 7],
  ['sh', { at: 'signal', signal: 'SIGKILL' }, 'signal: killed', 255],
  ['sh', { at: 'signal', signal: 'SIGSYS' }, 'signal: SIGSYS', 255],
  ['no "such', { at: 'start', reason: 'ENOENT' }, 'exec: "no \\"such": executable file not found in $PATH', 1],
  ['sh', { at: 'start', reason: 'EACCES' }, 'exec: "sh": permission denied', 1],
  ['/no/such', { at: 'start', reason: 'ENOENT' }, 'fork/exec /no/such: no such file or directory', 1],
  ['/etc/passwd', { at: 'start', reason: 'EACCES' }, 'fork/exec /etc/passwd: permission denied', 1],
  ['./x', { at: 'start', reason: 'E2BIG' }, 'fork/exec ./x: E2BIG', 1],
] as const)('%s %j is said as etcdctl says it', (program, end, message, code) => {
  expect(childFailure(program, end)).toEqual({ message, code });
});
