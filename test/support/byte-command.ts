/**
 * Runs programs with arguments, input and output of any bytes. They are byte strings here, one character per byte: Node passes
 * arguments on as UTF-8, so a shell spells them out.
 */
import { spawn } from 'node:child_process';

export interface ByteResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ByteCommandOptions {
  readonly stdin?: string;
  /** The whole environment. Default: this process's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** The program is killed after this time. Default: 30 s. */
  readonly limitMs?: number;
}

/** Runs a program to its end. */
export function runBytes(words: readonly string[], options: ByteCommandOptions = {}): Promise<ByteResult> {
  const { stdin = '', env, limitMs = 30_000 } = options;
  return new Promise((resolve, reject) => {
    // Input that is a socket makes bash believe it was called over a network and read ~/.bashrc, unless it is told not to.
    const child = spawn('/bin/bash', ['--norc', '-c', `exec ${words.map(quoted).join(' ')}`], {
      env: env ?? process.env,
      timeout: limitMs,
      killSignal: 'SIGKILL',
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout: textOf(stdout), stderr: textOf(stderr) }));
    // A program that reads no input may be gone before it is written.
    child.stdin.on('error', () => {});
    child.stdin.end(Buffer.from(stdin, 'latin1'));
  });
}

/** The environment without the variables that etcd's and our own programs read. */
export function neutralEnvironment(): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !/^(?:ETCD|KVD|KVCTL)/.test(entry[0]),
  );
  return Object.fromEntries(kept);
}

function quoted(word: string): string {
  return `$'${word.replace(/[^\w./:=,-]/gs, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)}'`;
}

function textOf(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString('latin1');
}
