/** What kvctl does to its process and its machine besides reading and writing: programs, signals, plain HTTP. */
import { spawn } from 'node:child_process';
import { get as httpGet } from 'node:http';
import { get as httpsGet } from 'node:https';
import type { TlsOptions } from '@quorate/client';
import type { Child, ChildEnd, Interrupt, Io } from './io.ts';

const fetchTimeoutMs = 10_000;

/** The real ones. */
export const processIo: Pick<Io, 'spawn' | 'onInterrupt' | 'fetchText'> = { spawn: start, onInterrupt, fetchText };

function start([program, ...args]: readonly string[], env: Readonly<Record<string, string>>): Child {
  const child = spawn(program!, args, { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...env } });
  const ended = new Promise<ChildEnd>((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) =>
      resolve({ at: 'start', reason: error.code ?? error.message }),
    );
    child.once('exit', (code, signal) => {
      resolve(signal === null ? { at: 'exit', code: code ?? 0 } : { at: 'signal', signal });
    });
  });
  return { ended, signal: (name) => child.kill(name) };
}

function onInterrupt(fn: (signal: Interrupt) => void): () => void {
  process.on('SIGINT', fn);
  process.on('SIGTERM', fn);
  return () => {
    process.off('SIGINT', fn);
    process.off('SIGTERM', fn);
  };
}

function fetchText(url: string, tls: TlsOptions | undefined): Promise<string> {
  const get = url.startsWith('https:') ? httpsGet : httpGet;
  const options = {
    timeout: fetchTimeoutMs,
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.cert === undefined ? {} : { cert: tls.cert, key: tls.key }),
    rejectUnauthorized: tls?.skipVerify !== true,
  };
  return new Promise((resolve, reject) => {
    const request = get(url, options, async (response) => {
      try {
        const pieces: Buffer[] = [];
        for await (const piece of response) pieces.push(piece as Buffer);
        if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
        resolve(Buffer.concat(pieces).toString());
      } catch (error) {
        reject(error);
      }
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${fetchTimeoutMs} ms`)));
    request.on('error', reject);
  });
}
