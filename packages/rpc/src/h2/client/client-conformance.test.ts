/** What RFC 9113 and RFC 7541 say of a client that keeps within its rules: what it sends, and what it has to bear. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type TLSSocket } from 'node:tls';
import { silentLogger } from '@quorate/base';
import { Status } from '@quorate/proto';
import { TlsDialer, type TlsSettings, tlsDefaults, writeCertificate } from '@quorate/tls';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { MemoryLogger, realClock } from '../../testing/served.ts';
import { ErrorCode, Flag, FrameType, frameHeaderBytes, Setting } from '../frames.ts';
import { HpackDecoder } from '../hpack-decoder.ts';
import { encodeFields, type FieldText } from '../hpack-encoder.ts';
import { h2Limits } from '../limits.ts';
import {
  dataFrame,
  grpcMessage,
  headersFrame,
  pingFrame,
  preface,
  type RawFrame,
  rawFrame,
  rstFrame,
  settingsFrame,
  windowUpdateFrame,
} from '../testing/raw-client.ts';
import { Heard, headFields, lastFlags, okTrailers, RawServer } from '../testing/raw-server.ts';
import { connectH2 } from './client-connection.ts';

vi.setConfig({ testTimeout: 60_000 });

const nothing = Buffer.alloc(0);
const head = headersFrame(1, headFields);
const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

async function calling(...args: Parameters<typeof RawServer.calling>) {
  const made = await RawServer.calling(...args);
  open.push(made.server);
  return made;
}

function fieldsOf(block: Buffer): FieldText[] {
  return new HpackDecoder(1 << 20).decode(block, 0, block.length).fields.map(({ name, value }) => [name, value]);
}

const isReset = ({ type }: RawFrame): boolean => type === FrameType.rstStream;

describe('what is sent', () => {
  test('a request is its pseudo fields first, each once, and names in lower case', async () => {
    const { server } = await calling();
    server.connection.unary('/a.B/C', nothing, 2_500).catch(() => {});
    const opened = await server.next(({ type, streamId }) => type === FrameType.headers && streamId === 3);
    expect(fieldsOf(opened.payload)).toEqual([
      [':method', 'POST'],
      [':scheme', 'http'],
      [':path', '/a.B/C'],
      [':authority', expect.stringMatching(/^127\.0\.0\.1:\d+$/)],
      ['content-type', 'application/grpc'],
      ['te', 'trailers'],
      ['grpc-timeout', '2500m'],
    ]);
  });

  test('known frames with defined flags and without the reserved bit, on odd streams that go up', async () => {
    const { server, call } = await calling();
    for (let i = 0; i < 3; i++) server.connection.open('/a/b', new Heard()).end();
    call.cancel();
    server.send(pingFrame());
    await server.settle();
    server.connection.close();
    await server.goAwayCode();
    const defined: Readonly<Record<number, number>> = {
      [FrameType.data]: Flag.endStream,
      [FrameType.headers]: Flag.endStream | Flag.endHeaders,
      [FrameType.rstStream]: 0,
      [FrameType.settings]: Flag.ack,
      [FrameType.ping]: Flag.ack,
      [FrameType.goAway]: 0,
      [FrameType.windowUpdate]: 0,
    };
    for (const { type, flags, streamId } of server.frames) {
      expect([type, flags & ~(defined[type] ?? -1)]).toEqual([type, 0]);
      expect([0, 1, 3, 5, 7]).toContain(streamId);
    }
    const opened = server.frames.filter(({ type }) => type === FrameType.headers).map(({ streamId }) => streamId);
    expect(opened).toEqual([1, 3, 5, 7]);
  });

  test('the end of a request does not wait for a window', async () => {
    const { server, call } = await calling();
    server.send(settingsFrame([[Setting.initialWindowSize, 0]]));
    await server.settle();
    call.end();
    const last = await server.next(({ type, streamId }) => type === FrameType.data && streamId === 1);
    expect([last.flags, last.payload.length]).toEqual([Flag.endStream, 0]);
  });

  test('nothing follows a RST_STREAM of the server, and none answers it', async () => {
    const { server, call, heard } = await calling();
    server.send(settingsFrame([[Setting.initialWindowSize, 0]]));
    await server.settle();
    call.send(Buffer.from('waits for a window'));
    server.send(rstFrame(1, 0xdead_beef), rstFrame(1));
    expect(await heard.ended).toMatchObject({ code: Status.INTERNAL });
    const before = server.frames.length;
    server.send(settingsFrame([[Setting.initialWindowSize, 100]]));
    expect(call.send(nothing)).toBe(false);
    call.end();
    call.cancel();
    await server.settle();
    const after = server.frames.slice(before);
    expect(after.filter(({ streamId }) => streamId === 1)).toEqual([]);
    expect(server.frames.some(isReset)).toBe(false);
  });

  test('a stream window that became negative lets nothing out until it is positive', async () => {
    const { server, call } = await calling();
    call.send(Buffer.alloc(995));
    await server.next(({ type }) => type === FrameType.data);
    server.send(settingsFrame([[Setting.initialWindowSize, 500]]));
    await server.settle();
    call.send(Buffer.alloc(95));
    server.send(windowUpdateFrame(1, 500));
    await server.settle();
    expect(server.dataBytes(1)).toBe(1_000);
    server.send(windowUpdateFrame(1, 1));
    await server.next(({ type, payload }) => type === FrameType.data && payload.length === 1);
    server.send(windowUpdateFrame(1, 1_000));
    await vi.waitFor(() => expect(server.dataBytes(1)).toBe(1_100), 30_000);
  });
});

describe('what is borne', () => {
  test('frames, settings and flags that are unknown', async () => {
    const { server } = await calling();
    server.send(rawFrame(0x77, 0xff, 0, Buffer.from('what')), rawFrame(0x10, 0xff, 1, nothing));
    server.send(settingsFrame([[0x99, 7]]), rawFrame(FrameType.ping, 0xfe, 0x8000_0000, Buffer.from('abcdefgh')));
    await server.next(({ type, payload }) => type === FrameType.ping && payload.toString() === 'abcdefgh');
    await server.mustWork();
  });

  test('a frame of the largest size, padding, and priorities', async () => {
    const { server, heard } = await calling();
    const block = encodeFields(headFields);
    const prioritized = Buffer.concat([Buffer.from([2]), Buffer.alloc(5), block, Buffer.alloc(2)]);
    server.send(rawFrame(FrameType.priority, 0, 1, Buffer.from([0, 0, 0, 1, 9])));
    server.send(rawFrame(FrameType.headers, Flag.padded | Flag.priority | Flag.endHeaders, 1, prioritized));
    const message = grpcMessage(Buffer.alloc(16_377, 'v'));
    const padded = Buffer.concat([Buffer.from([1]), message, Buffer.alloc(1)]);
    expect(padded.length).toBe(16_384);
    server.send(rawFrame(FrameType.data, Flag.padded, 1, padded), headersFrame(1, okTrailers, lastFlags));
    expect(await heard.ended).toMatchObject({ code: Status.OK });
    expect(heard.messages.map((text) => text.length)).toEqual([16_377]);
  });

  test('an answer to a ping is not answered', async () => {
    const { server } = await calling();
    server.send(pingFrame('answered', Flag.ack));
    await server.mustWork();
    expect(server.frames.some(({ type }) => type === FrameType.ping)).toBe(false);
  });

  test('an answer stays what it was when the server resets its stream behind it', async () => {
    const { server, heard, call } = await calling();
    server.send(head, dataFrame(1, grpcMessage(Buffer.from('kept'))), headersFrame(1, okTrailers, lastFlags));
    server.send(rstFrame(1, ErrorCode.noError));
    expect(await heard.ended).toMatchObject({ code: Status.OK });
    expect(heard.messages).toEqual(['kept']);
    call.end();
    await server.mustWork();
  });

  test('what comes for a call that was cancelled still changes the table, and counts for the connection', async () => {
    const { server, call } = await calling();
    call.cancel();
    await server.resetCode(1);
    const indexed = Buffer.concat([Buffer.from([0x40, 3]), Buffer.from('x-a'), Buffer.from([1]), Buffer.from('b')]);
    server.send(headersFrame(1, Buffer.concat([encodeFields(headFields), indexed])));
    const frame = dataFrame(1, Buffer.alloc(16_384));
    for (let sent = 0; sent < h2Limits.connectionWindowBytes / 2; sent += 16_384) server.send(frame);
    const isUpdate = ({ type, streamId }: RawFrame): boolean => type === FrameType.windowUpdate && streamId === 0;
    // The first one is part of the greeting.
    await server.next(() => server.frames.filter(isUpdate).length === 2);
    const second = new Heard();
    server.connection.open('/a/c', second).end();
    await server.next(({ type, streamId }) => type === FrameType.headers && streamId === 3);
    const last = Buffer.concat([encodeFields([...headFields, ...okTrailers]), Buffer.from([0xbe])]);
    server.send(headersFrame(3, last, lastFlags));
    expect(await second.ended).toMatchObject({ code: Status.OK });
  });

  test('content as long as its content-length', async () => {
    const { server, heard } = await calling();
    const message = grpcMessage(Buffer.from('abc'));
    const length: FieldText = ['content-length', String(message.length)];
    server.send(headersFrame(1, [...headFields, length, length]), dataFrame(1, message));
    server.send(headersFrame(1, okTrailers, lastFlags));
    expect(await heard.ended).toMatchObject({ code: Status.OK });
  });
});

describe('what is not', () => {
  const withLength = (length: string, ...more: FieldText[]): Buffer =>
    headersFrame(1, [...headFields, ['content-length', length], ...more]);
  const message = grpcMessage(Buffer.from('abc'));
  const trailers = headersFrame(1, okTrailers, lastFlags);
  test.each<[string, Buffer[]]>([
    ['content shorter than its content-length', [withLength('9'), dataFrame(1, message), trailers]],
    ['content longer than its content-length', [withLength('7'), dataFrame(1, message), trailers]],
    [
      'a content-length without content',
      [headersFrame(1, [...headFields, ['content-length', '5'], ...okTrailers], lastFlags)],
    ],
    ['a content-length that is no number', [withLength('-1')]],
    ['two different content-lengths', [withLength('8', ['content-length', '9'])]],
    ['status 101', [headersFrame(1, [[':status', '101']])]],
    ['a connection-specific field', [headersFrame(1, [...headFields, ['transfer-encoding', 'chunked']])]],
    ['a line feed in a value', [headersFrame(1, [...headFields, ['x', 'a\nb']])]],
  ])('%s is a stream error, and no answer', async (_name, frames) => {
    const { server, heard } = await calling();
    server.send(...frames);
    expect(await server.resetCode(1)).toBe(ErrorCode.protocolError);
    expect(await heard.ended).toMatchObject({ code: Status.INTERNAL });
    await server.mustWork();
  });

  test.each<[string, number, Buffer]>([
    ['ENABLE_PUSH of 2', ErrorCode.protocolError, settingsFrame([[Setting.enablePush, 2]])],
    ['MAX_FRAME_SIZE of 2^24', ErrorCode.protocolError, settingsFrame([[Setting.maxFrameSize, 1 << 24]])],
    ['WINDOW_UPDATE on an even stream', ErrorCode.protocolError, windowUpdateFrame(2, 1)],
    ['HEADERS on an even stream', ErrorCode.protocolError, headersFrame(2, headFields)],
  ])('%s is a connection error', async (_name, code, frame) => {
    const { server } = await calling();
    server.send(frame);
    expect(await server.goAwayCode()).toBe(code);
  });
});

/** A server of TLS that shows who connected, and takes the frames of the first connection apart. */
async function secureServer(settings: Partial<TlsSettings> = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-h2-client-'));
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = { commonName: 'server' };
  const cert = writeCertificate({
    subject: name,
    issuer: { name, key: privateKey },
    publicKey,
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + 3_600_000),
    hosts: ['127.0.0.1', 'localhost'],
  });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const [certFile, keyFile] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key);
  let accepted: (socket: TLSSocket) => void;
  const socket = new Promise<TLSSocket>((resolve) => {
    accepted = resolve;
  });
  const server = createServer({ cert, key, ALPNProtocols: ['h2'] }, (one) => {
    one.on('error', () => one.destroy());
    accepted(one);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const dialer = new TlsDialer(
    { ...tlsDefaults, certFile, keyFile, trustedCaFile: certFile, ...settings },
    silentLogger,
  );
  const connection = connectH2({
    host: 'localhost',
    port: (server.address() as AddressInfo).port,
    tls: dialer,
    clock: realClock,
    logger: new MemoryLogger(),
    receiveBytesMax: 1 << 20,
    keepalive: { intervalMs: 60_000, timeoutMs: 60_000 },
    connectTimeoutMs: 60_000,
  });
  open.push({
    close: async () => {
      connection.close();
      (await socket).destroy();
      await new Promise((resolve) => server.close(resolve));
      rmSync(directory, { recursive: true });
    },
  });
  return { connection, socket: await socket };
}

/** The payload of the first HEADERS that comes. */
function firstBlock(socket: TLSSocket): Promise<Buffer> {
  return new Promise((resolve) => {
    let bytes: Buffer = nothing;
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      for (let at = preface.length; bytes.length >= at + frameHeaderBytes; ) {
        const end = at + frameHeaderBytes + bytes.readUIntBE(at, 3);
        if (bytes.length < end) return;
        if (bytes[at + 3] === FrameType.headers) resolve(bytes.subarray(at + frameHeaderBytes, end));
        at = end;
      }
    });
  });
}

describe('over TLS', () => {
  test('a request says https, and the server is named in the handshake (SNI) and chosen h2', async () => {
    const { connection, socket } = await secureServer();
    connection.open('/a/b', new Heard());
    expect(fieldsOf(await firstBlock(socket))).toContainEqual([':scheme', 'https']);
    expect([socket.servername, socket.alpnProtocol]).toEqual(['localhost', 'h2']);
  });

  test('a server that asks for renegotiation is refused, which ends the connection', async () => {
    const { connection, socket } = await secureServer({ maxVersion: 'TLSv1.2' });
    const heard = new Heard();
    connection.open('/a/b', heard);
    await firstBlock(socket);
    const error = new Promise((resolve) => socket.once('error', resolve));
    socket.renegotiate({}, () => {
      // The error tells.
    });
    expect(await error).toMatchObject({ code: 'ERR_SSL_NO_RENEGOTIATION' });
    expect(await heard.ended).toMatchObject({ code: Status.UNAVAILABLE });
    expect(connection.isClosed).toBe(true);
  });

  test('a server that sends nothing but HTTP/1.1 is left', async () => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => {
        // The client may be gone before it has read everything.
      });
      socket.resume().end('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push({ close: () => new Promise((resolve) => server.close(resolve)) });
    const connection = connectH2({
      host: '127.0.0.1',
      port: (server.address() as AddressInfo).port,
      clock: realClock,
      logger: new MemoryLogger(),
      receiveBytesMax: 1 << 20,
      keepalive: { intervalMs: 60_000, timeoutMs: 60_000 },
      connectTimeoutMs: 60_000,
    });
    await expect(connection.unary('/a/b', nothing, 30_000)).rejects.toMatchObject({ status: Status.UNAVAILABLE });
    expect(connection.isClosed).toBe(true);
  });
});
