/**
 * What RFC 9113 says a server must do with frames, by section. Each test sends what it names over a bare socket; connection
 * errors must leave other connections alone, stream errors must leave the connection working.
 */
import { PutRequest } from '@quorate/proto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ErrorCode, Flag, FrameType, readUint32, Setting, windowLimit } from './frames.ts';
import { encodeFields } from './hpack-encoder.ts';
import { h2Limits } from './limits.ts';
import { expectConnectionError, expectStreamError, Probe, rangePath, watchPath } from './testing/probe.ts';
import {
  dataFrame,
  emptyPut,
  grpcFields,
  grpcMessage,
  headersFrame,
  pingFrame,
  preface,
  putFrames,
  type RawFrame,
  rawFrame,
  rstFrame,
  settingsFrame,
  uint32,
  windowUpdateFrame,
} from './testing/raw-client.ts';

let probe: Probe;
beforeEach(async () => {
  probe = await Probe.open({ maxConcurrentStreams: 4 });
});
afterEach(() => probe.close());

const nothing = Buffer.alloc(0);
const openPut = headersFrame(1, grpcFields());

describe('3.4 preface', () => {
  test('the server begins with SETTINGS, even if the client says nothing else', async () => {
    const client = await probe.connect();
    client.send(preface);
    const first = await client.next(() => true);
    expect([first.type, first.flags, first.streamId]).toEqual([FrameType.settings, 0, 0]);
  });

  test('a preface that goes wrong after its first line ends the connection', async () => {
    const client = await probe.connect();
    client.send(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r!', 'latin1'));
    await expectConnectionError(probe, client, ErrorCode.protocolError);
  });

  test('the preface may come byte by byte, and requests right behind it', async () => {
    const client = await probe.connect();
    for (const byte of preface) client.socket.write(Buffer.from([byte]));
    client.send(settingsFrame(), putFrames(1));
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
  });

  test.each([
    ['HEADERS', openPut],
    ['an acknowledgement', rawFrame(FrameType.settings, Flag.ack, 0, nothing)],
    ['PING', pingFrame()],
  ])('the first frame must be SETTINGS, not %s', async (_name, frame) => {
    const client = await probe.connect();
    client.send(preface, frame);
    await expectConnectionError(probe, client, ErrorCode.protocolError);
  });
});

describe('4 frames', () => {
  test('frames of unknown types are ignored, also on streams', async () => {
    const client = await probe.client();
    client.send(rawFrame(0x77, 0xff, 0, Buffer.from('what')), openPut, rawFrame(0x10, 0xff, 1, nothing));
    client.send(dataFrame(1, emptyPut, Flag.endStream));
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
  });

  test('undefined flags and the reserved bit are ignored', async () => {
    const client = await probe.client();
    client.send(rawFrame(FrameType.ping, 0xfe, 0, Buffer.from('abcdefgh')));
    client.send(rawFrame(FrameType.headers, Flag.endHeaders | 0x82, 0x8000_0001, encodeFields(grpcFields())));
    client.send(dataFrame(1, emptyPut, Flag.endStream));
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
    await client.next((frame) => frame.type === FrameType.ping && frame.payload.toString() === 'abcdefgh');
  });

  test('a frame of the largest size is taken', async () => {
    const client = await probe.client();
    const message = grpcMessage(Buffer.concat([Buffer.from([0x12, 0xf7, 0x7f]), Buffer.alloc(16_375, 'v')]));
    expect(message.length).toBe(16_383);
    client.send(
      openPut,
      rawFrame(FrameType.data, Flag.padded | Flag.endStream, 1, Buffer.concat([Buffer.from([0]), message])),
    );
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
  });

  test('4.3: a header block that cannot be decoded ends the connection, wherever it comes', async () => {
    const bad = Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff]);
    const good = encodeFields(grpcFields());
    for (const frames of [
      [headersFrame(1, bad)],
      [openPut, headersFrame(1, bad, Flag.endHeaders | Flag.endStream)],
      [headersFrame(1, good, 0), rawFrame(FrameType.continuation, Flag.endHeaders, 1, bad)],
      [openPut, rstFrame(1), headersFrame(1, bad)],
    ]) {
      const client = await probe.client();
      client.send(...frames);
      await expectConnectionError(probe, client, ErrorCode.compressionError);
    }
  });

  test('4.1: whatever the server sends has known types, defined flags, and the reserved bit unset', async () => {
    const client = await probe.client();
    client.send(putFrames(1), pingFrame(), headersFrame(3, grpcFields(watchPath)), rstFrame(3));
    client.send(headersFrame(5, [[':method', 'POST']]), headersFrame(7, grpcFields('/no/where')));
    await client.settle();
    client.send(dataFrame(0, nothing));
    await client.closed;
    const defined: Readonly<Record<number, number>> = {
      [FrameType.data]: Flag.endStream,
      [FrameType.headers]: Flag.endStream | Flag.endHeaders,
      [FrameType.rstStream]: 0,
      [FrameType.settings]: Flag.ack,
      [FrameType.ping]: Flag.ack,
      [FrameType.goAway]: 0,
      [FrameType.windowUpdate]: 0,
      [FrameType.continuation]: Flag.endHeaders,
    };
    for (const { type, flags, streamId } of client.frames) {
      expect([type, flags & ~(defined[type] ?? -1)]).toEqual([type, 0]);
      expect([0, 1, 3, 5, 7]).toContain(streamId);
    }
    expect(new Set(client.frames.map(({ type }) => type)).size).toBeGreaterThanOrEqual(7);
  });

  test('4.3: the header block of a stream that is refused still changes the table', async () => {
    const client = await probe.client();
    const indexed = Buffer.concat([Buffer.from([0x40, 3]), Buffer.from('x-a'), Buffer.from([1]), Buffer.from('b')]);
    for (const id of [1, 3, 5, 7]) client.send(headersFrame(id, grpcFields(watchPath)));
    client.send(headersFrame(9, Buffer.concat([encodeFields(grpcFields()), indexed])));
    expect(await client.resetCode(9)).toBe(ErrorCode.refusedStream);
    client.send(rstFrame(1), headersFrame(11, Buffer.concat([encodeFields(grpcFields()), Buffer.from([0xbe])])));
    client.send(dataFrame(11, emptyPut, Flag.endStream));
    expect(await client.trailers(11)).toMatchObject({ 'grpc-status': '0' });
  });

  test.each([
    ['DATA', FrameType.data, 1],
    ['HEADERS', FrameType.headers, 3],
    ['SETTINGS', FrameType.settings, 0],
    ['an unknown type', 0x55, 0],
  ])(
    '%s of more than SETTINGS_MAX_FRAME_SIZE is a connection error before it has arrived',
    async (_n, type, stream) => {
      const client = await probe.client();
      client.send(openPut, rawFrame(type, 0, stream, nothing, 16_385));
      await expectConnectionError(probe, client, ErrorCode.frameSizeError);
    },
  );

  test('a header block is not interrupted by frames of other streams, of no stream, or of other types', async () => {
    const begin = headersFrame(1, grpcFields(), 0);
    for (const intruder of [
      dataFrame(1, nothing),
      headersFrame(3, grpcFields()),
      rawFrame(FrameType.continuation, Flag.endHeaders, 3, nothing),
      pingFrame(),
      settingsFrame(),
      rawFrame(0x99, 0, 0, nothing),
      rawFrame(FrameType.priority, 0, 1, Buffer.alloc(5)),
    ]) {
      const client = await probe.client();
      client.send(begin, intruder);
      await expectConnectionError(probe, client, ErrorCode.protocolError);
    }
  });
});

describe('5.1 stream states', () => {
  test.each([
    ['DATA', dataFrame(1, nothing)],
    ['RST_STREAM', rstFrame(1)],
    ['WINDOW_UPDATE', windowUpdateFrame(1, 1)],
    ['CONTINUATION', rawFrame(FrameType.continuation, Flag.endHeaders, 1, nothing)],
    ['DATA on an even stream', dataFrame(2, nothing)],
    ['RST_STREAM on an even stream', rstFrame(2)],
    ['WINDOW_UPDATE on an even stream', windowUpdateFrame(2, 1)],
  ])('idle: %s is a connection error', async (_name, frame) => {
    const client = await probe.client();
    client.send(frame);
    await expectConnectionError(probe, client, ErrorCode.protocolError);
  });

  test.each([
    ['DATA', dataFrame(1, nothing)],
    ['HEADERS', headersFrame(1, [], Flag.endHeaders | Flag.endStream)],
    ['HEADERS of another request', headersFrame(1, grpcFields())],
  ])('half-closed (remote): %s is a stream error', async (_name, frame) => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(rangePath)), dataFrame(1, grpcMessage(nothing), Flag.endStream), frame);
    await expectStreamError(client, 1, ErrorCode.streamClosed);
    expect(probe.held[0]?.call.cancelled).toBe(true);
  });

  test('half-closed (remote): WINDOW_UPDATE, PRIORITY and RST_STREAM are taken', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(rangePath)), dataFrame(1, grpcMessage(nothing), Flag.endStream));
    client.send(windowUpdateFrame(1, 100), rawFrame(FrameType.priority, 0, 1, Buffer.alloc(5)), rstFrame(1));
    await client.put(3);
    expect(probe.held[0]?.call.cancelled).toBe(true);
  });

  test.each([
    ['DATA', dataFrame(1, nothing)],
    ['HEADERS', headersFrame(1, grpcFields())],
  ])('closed by END_STREAM: %s is a connection error', async (_name, frame) => {
    const client = await probe.client();
    await client.put(1);
    client.send(frame);
    await expectConnectionError(probe, client, ErrorCode.streamClosed);
  });

  test.each([
    ['DATA', dataFrame(1, nothing)],
    ['HEADERS', headersFrame(1, grpcFields())],
  ])('closed by the client with RST_STREAM: %s is a stream error', async (_name, frame) => {
    const client = await probe.client();
    client.send(openPut, rstFrame(1), frame);
    await expectStreamError(client, 1, ErrorCode.streamClosed);
  });

  test('closed by the server with RST_STREAM: what was on its way is ignored, headers still change the table', async () => {
    const client = await probe.client();
    const indexed = Buffer.concat([Buffer.from([0x40, 3]), Buffer.from('x-a'), Buffer.from([1]), Buffer.from('b')]);
    // Malformed: reset by the server.
    client.send(headersFrame(1, [[':method', 'POST']]));
    expect(await client.resetCode(1)).toBe(ErrorCode.protocolError);
    client.send(dataFrame(1, Buffer.alloc(100)), headersFrame(1, indexed, Flag.endHeaders | Flag.endStream));
    client.send(windowUpdateFrame(1, 1), rstFrame(1));
    // Index 62 exists only if the block before was decoded.
    client.send(headersFrame(3, Buffer.concat([encodeFields(grpcFields()), Buffer.from([0xbe])])));
    client.send(dataFrame(3, emptyPut, Flag.endStream));
    expect(await client.trailers(3)).toMatchObject({ 'grpc-status': '0' });
  });

  test('closed: WINDOW_UPDATE, RST_STREAM and PRIORITY are ignored', async () => {
    const client = await probe.client();
    await client.put(1);
    client.send(windowUpdateFrame(1, 1), rstFrame(1), rawFrame(FrameType.priority, 0, 1, Buffer.alloc(5)));
    await client.put(3);
  });

  test('5.1.1: clients open odd streams only', async () => {
    const client = await probe.client();
    client.send(headersFrame(2, grpcFields()));
    await expectConnectionError(probe, client, ErrorCode.protocolError);
  });

  test.each([
    ['HEADERS', headersFrame(3, grpcFields())],
    ['DATA', dataFrame(3, nothing)],
  ])('5.1.1: %s on a stream whose number was skipped is a connection error', async (_name, frame) => {
    const client = await probe.client();
    await client.put(1);
    await client.put(5);
    client.send(frame);
    await expectConnectionError(probe, client, ErrorCode.protocolError);
  });

  test('5.1.2: streams beyond SETTINGS_MAX_CONCURRENT_STREAMS are refused, and may be tried again later', async () => {
    const client = await probe.client();
    const settings = client.frames[0]!.payload;
    expect(settings.indexOf(Buffer.concat([Buffer.from([0, Setting.maxConcurrentStreams]), uint32(4)])) % 6).toBe(0);
    for (const id of [1, 3, 5, 7, 9]) client.send(headersFrame(id, grpcFields(watchPath)));
    expect(await client.resetCode(9)).toBe(ErrorCode.refusedStream);
    expect(probe.watches.length).toBe(4);
    client.send(rstFrame(3));
    await client.put(11);
  });

  test('5.4.2: RST_STREAM is not answered with RST_STREAM, whatever its stream and its code', async () => {
    const client = await probe.client();
    await client.put(1);
    client.send(rstFrame(1), headersFrame(3, grpcFields(watchPath)), rstFrame(3, 0xdead_beef), rstFrame(3));
    await client.put(5);
    expect(client.frames.some(({ type }) => type === FrameType.rstStream)).toBe(false);
    expect(probe.watches[0]?.call.cancelled).toBe(true);
  });

  test('5.4.1: GOAWAY names the last stream that was taken', async () => {
    const client = await probe.client();
    client.send(putFrames(7), putFrames(13), dataFrame(0, nothing));
    await client.closed;
    const goAway = client.frames.at(-1)!;
    expect([goAway.type, goAway.streamId, readUint32(goAway.payload, 0)]).toEqual([FrameType.goAway, 0, 13]);
    expect(client.frames.filter((frame) => (frame.flags & Flag.endStream) !== 0 && frame.streamId === 13).length).toBe(
      1,
    );
  });
});

describe('5.2 and 6.9 flow control', () => {
  test('more DATA than the window of a stream is an error of that stream', async () => {
    probe.pauseWatches = true;
    const client = await probe.client();
    const part = Buffer.alloc(16_384);
    client.send(headersFrame(1, grpcFields(watchPath)));
    for (let sent = 0; sent < h2Limits.streamWindowBytes; sent += part.length) client.send(dataFrame(1, part));
    await client.settle();
    expect(client.frames.some((frame) => frame.type === FrameType.rstStream)).toBe(false);
    client.send(dataFrame(1, Buffer.alloc(1)));
    await expectStreamError(client, 1, ErrorCode.flowControlError);
    expect(probe.watches[0]?.call.cancelled).toBe(true);
  });

  test('padding counts against the windows, and is given back', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(watchPath)));
    const padded = Buffer.concat([Buffer.from([250]), grpcMessage(nothing), Buffer.alloc(250)]);
    const half = h2Limits.connectionWindowBytes / 2;
    const frame = rawFrame(FrameType.data, Flag.padded, 1, padded);
    const batch = Buffer.concat(Array.from({ length: 256 }, () => frame));
    for (let sent = 0; sent <= half; sent += 256 * 256) client.send(batch);
    await client.next(({ type, streamId }) => type === FrameType.windowUpdate && streamId === 1);
    const update = await client.next(({ type, streamId, payload }) => {
      return type === FrameType.windowUpdate && streamId === 0 && readUint32(payload, 0) <= half + 16_384;
    });
    expect(readUint32(update.payload, 0)).toBeGreaterThanOrEqual(half);
  });

  test.each([
    ['that the server reset', ErrorCode.protocolError, headersFrame(1, [[':method', 'POST']])],
    ['that was answered before its end', ErrorCode.noError, headersFrame(1, grpcFields('/no/where'))],
  ])(
    'DATA of a stream %s counts against the window of the connection, and is given back',
    async (_name, code, open) => {
      const client = await probe.client();
      client.send(open);
      expect(await client.resetCode(1)).toBe(code);
      const half = h2Limits.connectionWindowBytes / 2;
      const frame = dataFrame(1, Buffer.alloc(16_384));
      for (let sent = 0; sent < half; sent += 16_384) client.send(frame);
      const isUpdate = ({ type, payload }: RawFrame) =>
        type === FrameType.windowUpdate && readUint32(payload, 0) === half;
      expect((await client.next(isUpdate)).streamId).toBe(0);
      await client.put(3);
    },
  );

  test('an answer whose window is exhausted ends when it is open again; its headers do not wait', async () => {
    const client = await probe.client([[Setting.initialWindowSize, 0]]);
    client.send(putFrames(1));
    await client.settle();
    const types = () => client.frames.filter(({ streamId }) => streamId === 1).map(({ type }) => type);
    expect(types()).toEqual([FrameType.headers]);
    client.send(windowUpdateFrame(1, 1_000));
    await client.trailers(1);
    expect(types()).toEqual([FrameType.headers, FrameType.data, FrameType.headers]);
  });

  test('answers keep to the window of their stream, set before it was opened', async () => {
    const client = await probe.client([[Setting.initialWindowSize, 5]]);
    client.send(putFrames(1));
    await client.settle();
    expect(client.body(1).length).toBe(5);
    client.send(windowUpdateFrame(1, 1));
    await client.settle();
    expect(client.body(1).length).toBe(6);
    client.send(windowUpdateFrame(1, 1_000));
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
  });

  test('a window may become negative, and sending goes on when it is positive again', async () => {
    const client = await probe.client([[Setting.initialWindowSize, 5]]);
    client.send(putFrames(1));
    await client.settle();
    client.send(settingsFrame([[Setting.initialWindowSize, 1]]));
    client.send(windowUpdateFrame(1, 4));
    await client.settle();
    expect(client.body(1).length).toBe(5);
    client.send(windowUpdateFrame(1, 1));
    await client.settle();
    expect(client.body(1).length).toBe(6);
    client.send(settingsFrame([[Setting.initialWindowSize, 100]]));
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
  });

  test('answers keep to the window of the connection, whatever their streams may', async () => {
    const client = await probe.client([[Setting.initialWindowSize, windowLimit]]);
    const value = Buffer.alloc(60_000, 1);
    client.send(...largePut(1, value), ...largePut(3, value));
    await client.settle();
    expect(client.body(1).length + client.body(3).length).toBe(65_535);
    client.send(windowUpdateFrame(0, 100_000));
    await Promise.all([client.trailers(1), client.trailers(3)]);
    expect(client.body(3).length).toBeGreaterThan(60_000);
  });

  test('answers are cut into frames of the size the client takes', async () => {
    const client = await probe.client([
      [Setting.initialWindowSize, 1 << 20],
      [Setting.maxFrameSize, 20_000],
    ]);
    client.send(...largePut(1, Buffer.alloc(50_000, 1)));
    await client.trailers(1);
    const sizes = client.frames.filter((frame) => frame.type === FrameType.data).map((frame) => frame.payload.length);
    expect(sizes.slice(0, 2)).toEqual([20_000, 20_000]);
  });

  test.each([
    ['WINDOW_UPDATE beyond 2^31-1 on the connection', windowUpdateFrame(0, windowLimit), ErrorCode.flowControlError],
    ['WINDOW_UPDATE by 0 on the connection', windowUpdateFrame(0, 0), ErrorCode.protocolError],
    ['WINDOW_UPDATE of three bytes', rawFrame(FrameType.windowUpdate, 0, 0, Buffer.alloc(3)), ErrorCode.frameSizeError],
    [
      'an initial window beyond 2^31-1',
      settingsFrame([[Setting.initialWindowSize, windowLimit + 1]]),
      ErrorCode.flowControlError,
    ],
  ])('%s is a connection error', async (_name, frame, code) => {
    const client = await probe.client();
    client.send(frame);
    await expectConnectionError(probe, client, code);
  });

  test('an initial window that carries an open stream beyond 2^31-1 is a connection error', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(watchPath)), windowUpdateFrame(1, windowLimit - 65_535));
    client.send(settingsFrame([[Setting.initialWindowSize, 65_536]]));
    await expectConnectionError(probe, client, ErrorCode.flowControlError);
  });

  test.each([
    ['beyond 2^31-1', windowLimit, ErrorCode.flowControlError],
    ['by 0', 0, ErrorCode.protocolError],
  ])('WINDOW_UPDATE %s on a stream is a stream error', async (_name, increment, code) => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(watchPath)), windowUpdateFrame(1, increment));
    await expectStreamError(client, 1, code);
  });
});

describe('6 frame definitions', () => {
  test.each([
    ['DATA on stream 0', dataFrame(0, nothing), ErrorCode.protocolError],
    [
      'DATA without room for its padding length',
      rawFrame(FrameType.data, Flag.padded, 1, nothing),
      ErrorCode.frameSizeError,
    ],
    [
      'DATA of nothing but too much padding',
      rawFrame(FrameType.data, Flag.padded, 1, Buffer.from([1])),
      ErrorCode.protocolError,
    ],
    [
      'DATA with padding as long as the frame',
      rawFrame(FrameType.data, Flag.padded, 1, Buffer.from([3, 0, 0])),
      ErrorCode.protocolError,
    ],
    ['HEADERS on stream 0', headersFrame(0, grpcFields()), ErrorCode.protocolError],
    [
      'HEADERS with too much padding',
      rawFrame(FrameType.headers, Flag.padded | Flag.endHeaders, 3, Buffer.from([9, 0x82])),
      ErrorCode.protocolError,
    ],
    [
      'HEADERS too short for a priority',
      rawFrame(FrameType.headers, Flag.priority | Flag.endHeaders, 3, Buffer.alloc(4)),
      ErrorCode.frameSizeError,
    ],
    [
      'HEADERS whose padding reaches into the priority',
      rawFrame(
        FrameType.headers,
        Flag.priority | Flag.padded | Flag.endHeaders,
        3,
        Buffer.concat([Buffer.from([4]), Buffer.alloc(8)]),
      ),
      ErrorCode.protocolError,
    ],
    ['PRIORITY on stream 0', rawFrame(FrameType.priority, 0, 0, Buffer.alloc(5)), ErrorCode.protocolError],
    ['RST_STREAM on stream 0', rstFrame(0), ErrorCode.protocolError],
    ['RST_STREAM of three bytes', rawFrame(FrameType.rstStream, 0, 1, Buffer.alloc(3)), ErrorCode.frameSizeError],
    ['SETTINGS on a stream', rawFrame(FrameType.settings, 0, 1, nothing), ErrorCode.protocolError],
    ['SETTINGS of five bytes', rawFrame(FrameType.settings, 0, 0, Buffer.alloc(5)), ErrorCode.frameSizeError],
    [
      'an acknowledgement with content',
      rawFrame(FrameType.settings, Flag.ack, 0, Buffer.alloc(6)),
      ErrorCode.frameSizeError,
    ],
    ['ENABLE_PUSH of 2', settingsFrame([[Setting.enablePush, 2]]), ErrorCode.protocolError],
    ['MAX_FRAME_SIZE of 16383', settingsFrame([[Setting.maxFrameSize, 16_383]]), ErrorCode.protocolError],
    ['MAX_FRAME_SIZE of 2^24', settingsFrame([[Setting.maxFrameSize, 1 << 24]]), ErrorCode.protocolError],
    ['PUSH_PROMISE', rawFrame(FrameType.pushPromise, Flag.endHeaders, 1, uint32(2)), ErrorCode.protocolError],
    ['PING on a stream', rawFrame(FrameType.ping, 0, 1, Buffer.alloc(8)), ErrorCode.protocolError],
    ['PING of seven bytes', rawFrame(FrameType.ping, 0, 0, Buffer.alloc(7)), ErrorCode.frameSizeError],
    ['PING of nine bytes', rawFrame(FrameType.ping, 0, 0, Buffer.alloc(9)), ErrorCode.frameSizeError],
    ['GOAWAY on a stream', rawFrame(FrameType.goAway, 0, 1, Buffer.alloc(8)), ErrorCode.protocolError],
    ['GOAWAY of seven bytes', rawFrame(FrameType.goAway, 0, 0, Buffer.alloc(7)), ErrorCode.frameSizeError],
    ['CONTINUATION on stream 0', rawFrame(FrameType.continuation, 0, 0, nothing), ErrorCode.protocolError],
    [
      'CONTINUATION after a complete block',
      rawFrame(FrameType.continuation, Flag.endHeaders, 1, nothing),
      ErrorCode.protocolError,
    ],
    [
      'PRIORITY of four bytes on an idle stream',
      rawFrame(FrameType.priority, 0, 9, Buffer.alloc(4)),
      ErrorCode.frameSizeError,
    ],
  ])('%s is a connection error', async (_name, frame, code) => {
    const client = await probe.client();
    client.send(openPut, frame);
    await expectConnectionError(probe, client, code);
  });

  test('PRIORITY of four bytes on an open stream is a stream error', async () => {
    const client = await probe.client();
    client.send(openPut, rawFrame(FrameType.priority, 0, 1, Buffer.alloc(4)));
    await expectStreamError(client, 1, ErrorCode.frameSizeError);
  });

  test('PRIORITY is ignored on streams of every state, also about themselves', async () => {
    const client = await probe.client();
    client.send(rawFrame(FrameType.priority, 0, 7, Buffer.concat([uint32(7), Buffer.from([1])])));
    client.send(rawFrame(FrameType.priority, 0, 2, Buffer.alloc(5)));
    await client.put(1);
  });

  test('padding and priority of HEADERS are left out, padding of DATA too', async () => {
    const client = await probe.client();
    const block = encodeFields(grpcFields());
    const payload = Buffer.concat([Buffer.from([7]), uint32(0x8000_0001), Buffer.from([16]), block, Buffer.alloc(7)]);
    client.send(rawFrame(FrameType.headers, Flag.padded | Flag.priority | Flag.endHeaders, 1, payload));
    const padded = Buffer.concat([Buffer.from([200]), emptyPut, Buffer.alloc(200)]);
    client.send(rawFrame(FrameType.data, Flag.padded | Flag.endStream, 1, padded));
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
  });

  test('a header block in many pieces is one block', async () => {
    const client = await probe.client();
    const block = encodeFields(grpcFields());
    client.send(headersFrame(1, block.subarray(0, 10), 0));
    for (let at = 10; at < block.length; at += 5) {
      const isLast = at + 5 >= block.length;
      client.send(rawFrame(FrameType.continuation, isLast ? Flag.endHeaders : 0, 1, block.subarray(at, at + 5)));
    }
    client.send(dataFrame(1, emptyPut, Flag.endStream));
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
  });

  test('HEADERS that end their stream may be continued', async () => {
    const client = await probe.client();
    const block = encodeFields(grpcFields(watchPath));
    client.send(headersFrame(1, block.subarray(0, 10), Flag.endStream));
    client.send(rawFrame(FrameType.continuation, Flag.endHeaders, 1, block.subarray(10)));
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
  });

  test('SETTINGS are acknowledged, unknown ones ignored', async () => {
    const client = await probe.client();
    client.send(
      settingsFrame([
        [0x99, 7],
        [Setting.maxHeaderListSize, 1],
        [Setting.maxConcurrentStreams, 0],
      ]),
    );
    await client.put(1);
    const acks = client.frames.filter((frame) => frame.type === FrameType.settings && frame.flags === Flag.ack);
    expect(acks.length).toBe(2);
  });

  test('SETTINGS of one frame are applied in their order', async () => {
    const client = await probe.client([[Setting.initialWindowSize, 0]]);
    client.send(
      settingsFrame([
        [Setting.initialWindowSize, 100],
        [Setting.initialWindowSize, 3],
      ]),
      putFrames(1),
    );
    await client.settle();
    expect(client.body(1).length).toBe(3);
  });

  test('an answer to a ping is not answered', async () => {
    const client = await probe.client();
    client.send(pingFrame('answered', Flag.ack));
    await client.put(1);
    expect(client.frames.some((frame) => frame.type === FrameType.ping)).toBe(false);
  });

  test('a smaller table of the client is acknowledged at the head of the next block', async () => {
    const client = await probe.client([[Setting.headerTableSize, 100]]);
    await client.put(1);
    await client.put(3);
    const blocks = client.frames.filter((frame) => frame.type === FrameType.headers && frame.streamId > 0);
    expect(blocks.map((frame) => frame.payload[0]! & 0xe0).filter((bits) => bits === 0x20).length).toBe(1);
    expect(blocks[0]!.payload[0]).toBe(0x20);
  });

  test('what new settings allow comes after their acknowledgement', async () => {
    const client = await probe.client([[Setting.initialWindowSize, 0]]);
    client.send(putFrames(1));
    await client.settle();
    const before = client.frames.length;
    client.send(
      settingsFrame([
        [Setting.initialWindowSize, 100],
        [Setting.headerTableSize, 0],
      ]),
    );
    await client.trailers(1);
    const [ack, data, end] = client.frames.slice(before);
    expect([ack?.type, ack?.flags, data?.type, end?.type]).toEqual([
      FrameType.settings,
      Flag.ack,
      FrameType.data,
      FrameType.headers,
    ]);
    expect(end?.payload[0]).toBe(0x20);
  });

  test('PING is answered with its own content', async () => {
    const client = await probe.client();
    client.send(pingFrame('\x00\xff\x01ping!'));
    const answer = await client.next((frame) => frame.type === FrameType.ping);
    expect([answer.flags, answer.payload.toString('latin1')]).toEqual([Flag.ack, '\x00\xff\x01ping!']);
  });

  test('a client that says GOAWAY has its calls finished', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(rangePath)), dataFrame(1, grpcMessage(nothing), Flag.endStream));
    client.send(rawFrame(FrameType.goAway, 0, 0, Buffer.alloc(8)));
    client.send(rawFrame(FrameType.goAway, 0, 0, Buffer.concat([uint32(0), uint32(0xdead_beef), Buffer.from('why')])));
    await client.settle();
    probe.held[0]?.reply.encoded(nothing);
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
  });
});

function largePut(streamId: number, value: Buffer): Buffer[] {
  const message = grpcMessage(PutRequest.encode(PutRequest.create({ key: Buffer.from('k'), value })));
  const frames = [headersFrame(streamId, grpcFields())];
  for (let at = 0; at < message.length; at += 16_384) {
    const part = message.subarray(at, at + 16_384);
    frames.push(dataFrame(streamId, part, at + part.length === message.length ? Flag.endStream : 0));
  }
  return frames;
}
