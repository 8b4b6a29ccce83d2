/** Runs the built kvctl as a process and gathers what it says. */
import { spawn } from 'node:child_process';
import { kvctlProgram } from './kvd-process.ts';

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, at most `limitMs`. */
export function runCommand(
  program: string,
  args: readonly string[],
  options: { readonly input?: string; readonly limitMs?: number; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env: { ...process.env, ...options.env } });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    const timer = setTimeout(() => child.kill('SIGKILL'), options.limitMs ?? 30_000);
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() });
    });
    child.stdin.end(options.input ?? '');
  });
}

export function runKvctl(args: readonly string[], options?: Parameters<typeof runCommand>[2]): Promise<CommandResult> {
  return runCommand(process.execPath, [kvctlProgram, ...args], options);
}
