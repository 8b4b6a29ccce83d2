/** Programs that `watch` and `lock` run, and how their ends are worded: as Go's os/exec does, which scripts may look for. */
import { Exit } from './exit.ts';
import type { ChildEnd } from './io.ts';
import type { ByteString } from './text/bytes.ts';
import { quote } from './text/quote.ts';

/** How a program failed. */
export interface ChildFailure {
  readonly message: ByteString;
  /** The exit code that etcdctl passes on: the program's own, or 255 when a signal ended it. */
  readonly code: number;
}

const signalNames: Readonly<Record<string, string>> = {
  SIGABRT: 'aborted',
  SIGALRM: 'alarm clock',
  SIGBUS: 'bus error',
  SIGFPE: 'floating point exception',
  SIGHUP: 'hangup',
  SIGILL: 'illegal instruction',
  SIGINT: 'interrupt',
  SIGKILL: 'killed',
  SIGPIPE: 'broken pipe',
  SIGQUIT: 'quit',
  SIGSEGV: 'segmentation fault',
  SIGTERM: 'terminated',
  SIGUSR1: 'user defined signal 1',
  SIGUSR2: 'user defined signal 2',
};

const reasons: Readonly<Record<string, string>> = { ENOENT: 'no such file or directory', EACCES: 'permission denied' };

/** What went wrong with the program of this name; undefined when it ended with code 0. */
export function childFailure(program: ByteString, end: ChildEnd): ChildFailure | undefined {
  switch (end.at) {
    case 'exit':
      return end.code === 0 ? undefined : { message: `exit status ${end.code}`, code: end.code };
    case 'signal':
      return { message: `signal: ${signalNames[end.signal] ?? end.signal}`, code: 255 };
    case 'start':
      return { message: startFailure(program, end.reason), code: Exit.error };
  }
}

function startFailure(program: ByteString, reason: string): ByteString {
  if (program.includes('/')) return `fork/exec ${program}: ${reasons[reason] ?? reason}`;
  const problem = reason === 'ENOENT' ? 'executable file not found in $PATH' : (reasons[reason] ?? reason);
  return `exec: ${quote(program)}: ${problem}`;
}
