import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { processIo } from './process.ts';

const { spawn, onInterrupt, fetchText } = processIo;

describe('programs', () => {
  test('end with their code, in an environment of ours and their own', async () => {
    const script = 'test "$GIVEN" = yes && test -n "$PATH" && exit 3';
    expect(await spawn(['sh', '-c', script], { GIVEN: 'yes' }).ended).toEqual({ at: 'exit', code: 3 });
  });

  test('have no input', async () => {
    expect(await spawn(['sh', '-c', 'test -z "$(cat)"'], {}).ended).toEqual({ at: 'exit', code: 0 });
  });

  test('get signals', async () => {
    const child = spawn(['sleep', '60'], {});
    child.signal('SIGTERM');
    expect(await child.ended).toEqual({ at: 'signal', signal: 'SIGTERM' });
    child.signal('SIGTERM');
  });

  test.each([
    ['no-such-program-anywhere', 'ENOENT'],
    ['/etc/passwd', 'EACCES'],
  ])('%s cannot be started: %s', async (program, reason) => {
    expect(await spawn([program], {}).ended).toEqual({ at: 'start', reason });
  });
});

test('signals are told until nobody wants to know', () => {
  const told: string[] = [];
  const others = process.listenerCount('SIGTERM');
  const forget = onInterrupt((name) => told.push(name));
  process.emit('SIGTERM', 'SIGTERM');
  process.emit('SIGINT', 'SIGINT');
  forget();
  expect(told).toEqual(['SIGTERM', 'SIGINT']);
  expect(process.listenerCount('SIGTERM')).toBe(others);
});

describe('HTTP', () => {
  async function serving<T>(answer: RequestListener, body: (url: string) => Promise<T>): Promise<T> {
    const server = createServer(answer).listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      return await body(`http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`);
    } finally {
      server.close();
    }
  }

  test('gives the body', async () => {
    const text = await serving(
      (request, response) => {
        response.write(`${request.url}\n`);
        response.end('ü');
      },
      (url) => fetchText(url, undefined),
    );
    expect(text).toBe('/metrics\nü');
  });

  test('fails for any other status, and when nobody listens', async () => {
    const refuse: RequestListener = (_, response) => response.writeHead(503).end('no');
    await expect(serving(refuse, (url) => fetchText(url, undefined))).rejects.toThrow('status 503');
    await expect(fetchText('http://127.0.0.1:1/metrics', undefined)).rejects.toThrow('ECONNREFUSED');
  });
});
