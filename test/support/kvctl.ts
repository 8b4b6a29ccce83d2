/** Runs kvctl, as a process of its own or inside the test's, and gathers what it says. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { systemClock } from '@quorate/client';
import { processIo, run } from 'kvctl';
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

/** A command line in byte strings, without --endpoints; variables without their prefix. */
export interface KvctlLine {
  readonly args: readonly string[];
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs kvctl in this process, which takes a tenth of the time. Output in byte strings. */
export async function runKvctlHere({ args, stdin = '', env = {} }: KvctlLine, target: string): Promise<CommandResult> {
  const stdout: Uint8Array[] = [];
  const stderr: Uint8Array[] = [];
  const code = await run(['--endpoints', target, ...args], {
    ...processIo,
    env: Object.fromEntries(Object.entries(env).map(([name, value]) => [`KVCTL_${name}`, value])),
    stdin: Readable.from(stdin === '' ? [] : [Buffer.from(stdin, 'latin1')]),
    stdout: { write: (bytes) => stdout.push(bytes) },
    stderr: { write: (bytes) => stderr.push(bytes) },
    clock: systemClock,
    readFile: readFileSync,
    columns: 100,
    version: '0.0.0',
  });
  const text = (chunks: readonly Uint8Array[]): string => Buffer.concat(chunks).toString('latin1');
  return { code, stdout: text(stdout), stderr: text(stderr) };
}
