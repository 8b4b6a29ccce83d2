import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import { readSocket } from './read-socket.ts';

const open: { close(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

/** Two ends of a connection over loopback: one that a server accepted, paused, and one that dialled. */
async function pair(): Promise<{ accepted: Socket; dialled: Socket }> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const dialled = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [[accepted]] = (await Promise.all([once(server, 'connection'), once(dialled, 'connect')])) as [
    [Socket],
    unknown,
  ];
  open.push({
    close: () => {
      accepted.destroy();
      dialled.destroy();
      server.close();
    },
  });
  return { accepted, dialled };
}

/** Reads all of it until the end. */
async function readAll(socket: Socket, chunks: Buffer[]): Promise<void> {
  readSocket(socket, (chunk) => chunks.push(chunk));
  socket.resume();
  await once(socket, 'end');
}

describe.each(['accepted', 'dialled'] as const)('a socket that was %s', (side) => {
  test('is read to its end, and what was read first is not written over by what comes later', async () => {
    const ends = await pair();
    const [reading, writing] = side === 'accepted' ? [ends.accepted, ends.dialled] : [ends.dialled, ends.accepted];
    const sent = [1, 300, 5_000, 70_000, 500_000, 8, 64 * 1024].map((size) => randomBytes(size));
    const chunks: Buffer[] = [];
    const read = readAll(reading, chunks);
    for (const bytes of sent) {
      writing.write(bytes);
      await new Promise(setImmediate);
    }
    writing.end();
    await read;
    expect(Buffer.concat(chunks).equals(Buffer.concat(sent))).toBe(true);
    expect(chunks.length).toBeGreaterThan(sent.length);
    // Nothing went through the stream.
    expect(reading.listenerCount('data')).toBe(0);
  });

  test('waits while it is paused', async () => {
    const ends = await pair();
    const [reading, writing] = side === 'accepted' ? [ends.accepted, ends.dialled] : [ends.dialled, ends.accepted];
    const chunks: Buffer[] = [];
    let onChunk = (): void => {};
    readSocket(reading, (chunk) => {
      chunks.push(chunk);
      reading.pause();
      onChunk();
    });
    const next = (): Promise<void> => new Promise((resolve) => (onChunk = resolve));
    reading.resume();
    writing.write(Buffer.alloc(1_000_000));
    await next();
    const before = reading.bytesRead;
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
    expect(chunks.length).toBe(1);
    expect(reading.bytesRead).toBe(before);
    while (Buffer.concat(chunks).length < 1_000_000) {
      const more = next();
      reading.resume();
      await more;
    }
    expect(chunks.length).toBeGreaterThan(10);
  });
});

test('what the stream has read already comes first', async () => {
  const { accepted, dialled } = await pair();
  dialled.write('first');
  accepted.read(0);
  await once(accepted, 'readable');
  expect(accepted.readableLength).toBe(5);
  const chunks: Buffer[] = [];
  const read = readAll(accepted, chunks);
  dialled.end('then');
  await read;
  expect(Buffer.concat(chunks).toString()).toBe('firstthen');
});

test('a stream that is none of Node’s own sockets is read as a stream', async () => {
  const stream = new PassThrough() as unknown as Socket;
  const chunks: Buffer[] = [];
  const read = readAll(stream, chunks);
  stream.end('all');
  await read;
  expect(Buffer.concat(chunks).toString()).toBe('all');
});
