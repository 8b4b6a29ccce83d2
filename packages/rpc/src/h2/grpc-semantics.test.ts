/** gRPC over HTTP/2 and RFC 9113, section 8: what requests and answers look like on the wire. */
import { gzipSync } from 'node:zlib';
import { WatchRequest, WatchResponse } from '@quorate/proto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StatusError } from '../respond.ts';
import { serveDefaults } from '../transport.ts';
import { ErrorCode, Flag, FrameType, Setting } from './frames.ts';
import { encodeFields, type FieldText } from './hpack-encoder.ts';
import { h2Limits } from './limits.ts';
import { expectStreamError, Probe, rangePath, snapshotPath, watchPath } from './testing/probe.ts';
import {
  dataFrame,
  emptyPut,
  grpcFields,
  grpcMessage,
  headersFrame,
  putFrames,
  putPath,
  type RawClient,
  rawFrame,
  rstFrame,
  windowUpdateFrame,
} from './testing/raw-client.ts';

let probe: Probe;
beforeEach(async () => {
  probe = await Probe.open();
});
afterEach(() => probe.close());

const nothing = Buffer.alloc(0);
const ended = Flag.endHeaders | Flag.endStream;

/** The usual fields with some of them replaced; undefined leaves one out. */
function fieldsWith(changes: Record<string, string | undefined>): FieldText[] {
  return grpcFields()
    .map(([name, value]): [string, string | undefined] => [name, name in changes ? changes[name] : value])
    .filter((field): field is [string, string] => field[1] !== undefined);
}

describe('8.2 and 8.3: malformed requests are stream errors', () => {
  test.each<[string, FieldText[]]>([
    ['without :method', fieldsWith({ ':method': undefined })],
    ['without :scheme', fieldsWith({ ':scheme': undefined })],
    ['without :path', fieldsWith({ ':path': undefined })],
    ['with an empty :path', fieldsWith({ ':path': '' })],
    ['with two :method', [[':method', 'POST'], ...grpcFields()]],
    ['with two :path', [[':path', '/a'], ...grpcFields()]],
    ['with two :scheme', [[':scheme', 'http'], ...grpcFields()]],
    ['with two :authority', [[':authority', 'kvd'], ...grpcFields()]],
    ['with :protocol, which was not offered', [[':protocol', 'websocket'], ...grpcFields()]],
    ['with a pseudo field of responses', [[':status', '200'], ...grpcFields()]],
    ['with an unknown pseudo field', [[':what', 'x'], ...grpcFields()]],
    ['with a pseudo field after others', [...fieldsWith({ ':authority': undefined }), [':authority', 'kvd']]],
    ['with upper case in a name', grpcFields(putPath, ['Token', 'x'])],
    ['with an empty name', grpcFields(putPath, ['', 'x'])],
    ['with a blank in a name', grpcFields(putPath, ['to ken', 'x'])],
    ['with a colon in a name', grpcFields(putPath, ['to:ken', 'x'])],
    ['with DEL in a name', grpcFields(putPath, ['to\x7fken', 'x'])],
    ['with a byte above 0x7f in a name', grpcFields(putPath, ['t\xf6ken', 'x'])],
    ['with NUL in a value', grpcFields(putPath, ['token', 'a\0b'])],
    ['with a line feed in a value', grpcFields(putPath, ['token', 'a\nb'])],
    ['with a carriage return in a value', grpcFields(putPath, ['token', 'a\rb'])],
    ['with a blank before a value', grpcFields(putPath, ['token', ' a'])],
    ['with a tab after a value', grpcFields(putPath, ['token', 'a\t'])],
    ['with a line feed in :path', fieldsWith({ ':path': '/a\nb' })],
    ['with connection', grpcFields(putPath, ['connection', 'keep-alive'])],
    ['with proxy-connection', grpcFields(putPath, ['proxy-connection', 'keep-alive'])],
    ['with keep-alive', grpcFields(putPath, ['keep-alive', '1'])],
    ['with transfer-encoding', grpcFields(putPath, ['transfer-encoding', 'chunked'])],
    ['with upgrade', grpcFields(putPath, ['upgrade', 'h2c'])],
    ['with te other than trailers', fieldsWith({ te: 'gzip' })],
    ['with a content-length that is no number', grpcFields(putPath, ['content-length', 'x'])],
    ['with two different content-lengths', grpcFields(putPath, ['content-length', '1'], ['content-length', '2'])],
    ['CONNECT with a path', fieldsWith({ ':method': 'CONNECT', ':scheme': undefined })],
  ])('%s', async (_what, fields) => {
    const client = await probe.client();
    client.send(headersFrame(1, fields));
    await expectStreamError(client, 1, ErrorCode.protocolError);
  });

  test.each([
    ['shorter', '4', ErrorCode.protocolError],
    ['longer', '5000', ErrorCode.protocolError],
  ])('8.1.1: content %s than its content-length', async (_what, length, code) => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(putPath, ['content-length', length])));
    client.send(dataFrame(1, emptyPut, Flag.endStream));
    await expectStreamError(client, 1, code);
  });

  test('8.1.1: padding is not content', async () => {
    const client = await probe.client();
    const padded = Buffer.concat([Buffer.from([3]), emptyPut, Buffer.alloc(3)]);
    for (const [id, length] of [
      [1, emptyPut.length],
      [3, padded.length],
    ] as const) {
      client.send(headersFrame(id, grpcFields(putPath, ['content-length', String(length)])));
      client.send(rawFrame(FrameType.data, Flag.padded | Flag.endStream, id, padded));
    }
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
    await expectStreamError(client, 3, ErrorCode.protocolError);
  });

  test('no content at all for a content-length', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(putPath, ['content-length', '5']), ended));
    await expectStreamError(client, 1, ErrorCode.protocolError);
  });

  test('8.1: header fields after the body must end the stream', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(watchPath)), headersFrame(1, [['x', 'y']]));
    await expectStreamError(client, 1, ErrorCode.protocolError);
  });

  test.each<[string, FieldText]>([
    ['a pseudo field', [':path', '/a']],
    ['a malformed field', ['Token', 'x']],
  ])('8.1: %s in trailers', async (_what, field) => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(watchPath)), headersFrame(1, [field], ended));
    await expectStreamError(client, 1, ErrorCode.protocolError);
  });
});

describe('requests that are well-formed', () => {
  test('with a content-length that is right, given twice', async () => {
    const client = await probe.client();
    const length: FieldText = ['content-length', String(emptyPut.length)];
    client.send(headersFrame(1, grpcFields(putPath, length, length)), dataFrame(1, emptyPut, Flag.endStream));
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
  });

  test.each(['https', 'ftp', 'HTTP', ''])('whose :scheme is "%s", which counts only over TLS', async (scheme) => {
    const client = await probe.client();
    client.send(headersFrame(1, fieldsWith({ ':scheme': scheme })), dataFrame(1, emptyPut, Flag.endStream));
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
  });

  test('ended by trailers, or by an empty DATA frame, without a reset', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields()), dataFrame(1, emptyPut), headersFrame(1, [['x-a', 'b']], ended));
    client.send(headersFrame(3, grpcFields()), dataFrame(3, emptyPut), dataFrame(3, nothing, Flag.endStream));
    await client.put(5);
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
    expect(await client.trailers(3)).toMatchObject({ 'grpc-status': '0' });
    expect(client.frames.some((frame) => frame.type === FrameType.rstStream)).toBe(false);
  });

  test('whose message comes byte by byte', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields()));
    for (const byte of emptyPut) client.send(dataFrame(1, Buffer.from([byte])));
    client.send(dataFrame(1, nothing, Flag.endStream));
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
  });

  test('answered before their end are reset without an error, and the rest of them is ignored', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields()), dataFrame(1, emptyPut));
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
    expect(await client.resetCode(1)).toBe(ErrorCode.noError);
    client.send(dataFrame(1, Buffer.alloc(1_000)), dataFrame(1, nothing, Flag.endStream));
    await client.put(3);
  });

  test('whose messages follow each other in one frame reach a stream in order', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(watchPath)));
    client.send(
      dataFrame(1, Buffer.concat([grpcMessage(nothing), grpcMessage(nothing), grpcMessage(nothing).subarray(0, 3)])),
    );
    await client.settle();
    expect(probe.watched.length).toBe(2);
    client.send(dataFrame(1, Buffer.concat([grpcMessage(nothing).subarray(3), grpcMessage(nothing)]), Flag.endStream));
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
    expect(probe.watched.length).toBe(4);
  });
});

describe('refusals in the words of Go', () => {
  test.each<[string, Record<string, string | undefined>, string, string, string]>([
    [
      'another content-type',
      { 'content-type': 'text/plain' },
      '415',
      '3',
      'invalid gRPC request content-type "text/plain"',
    ],
    ['no content-type', { 'content-type': undefined }, '415', '3', 'invalid gRPC request content-type ""'],
    [
      'a content-type that only begins right',
      { 'content-type': 'application/grpcx' },
      '415',
      '3',
      'invalid gRPC request content-type "application/grpcx"',
    ],
    [
      'another method',
      { ':method': 'GET' },
      '405',
      '13',
      'Received a HEADERS frame with :method "GET" which should be POST',
    ],
    ['an unknown service', { ':path': '/x.Y/Z' }, '200', '12', 'unknown service x.Y'],
    [
      'an unknown method',
      { ':path': '/etcdserverpb.KV/Z' },
      '200',
      '12',
      'unknown method Z for service etcdserverpb.KV',
    ],
    ['a path that is none', { ':path': 'x' }, '200', '12', 'malformed method name: "x"'],
  ])('%s', async (_what, changes, httpStatus, status, message) => {
    const client = await probe.client();
    client.send(headersFrame(1, fieldsWith(changes)));
    expect(await client.trailers(1)).toEqual({
      ':status': httpStatus,
      'content-type': 'application/grpc',
      'grpc-status': status,
      'grpc-message': message,
    });
    await expectStreamError(client, 1, ErrorCode.noError);
    expect(probe.puts).toBe(1);
  });

  test('CONNECT, which has neither scheme nor path', async () => {
    const client = await probe.client();
    const fields = fieldsWith({ ':method': 'CONNECT', ':scheme': undefined, ':path': undefined });
    client.send(headersFrame(1, fields, ended));
    expect(await client.trailers(1)).toMatchObject({ ':status': '405' });
  });

  test('a request that is complete is refused without a reset', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, fieldsWith({ ':path': '/x.Y/Z' }), ended));
    await client.put(3);
    expect(client.frames.some((frame) => frame.type === FrameType.rstStream)).toBe(false);
  });

  test.each(['application/grpc+proto', 'application/grpc;charset=utf-8', 'Application/GRPC+proto'])(
    'content-type %s is served',
    async (contentType) => {
      const client = await probe.client();
      client.send(headersFrame(1, fieldsWith({ 'content-type': contentType })), dataFrame(1, emptyPut, Flag.endStream));
      expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
    },
  );

  test('a malformed grpc-timeout', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(putPath, ['grpc-timeout', '5 minutes']), ended));
    expect(await client.trailers(1)).toMatchObject({ ':status': '400', 'grpc-status': '13' });
  });

  test('an encoding that is not understood, with those that are', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(putPath, ['grpc-encoding', 'snappy']), ended));
    expect(await client.trailers(1)).toMatchObject({
      'grpc-status': '12',
      'grpc-accept-encoding': 'gzip',
      'grpc-message': 'grpc: Decompressor is not installed for grpc-encoding "snappy"',
    });
  });

  test('10.5.1: a header list beyond the limit is answered 431, and the connection goes on', async () => {
    const client = await probe.client();
    const settings = client.frames[0]!.payload;
    expect(settings.readUInt32BE(settings.indexOf(Buffer.from([0, Setting.maxHeaderListSize])) + 2)).toBe(
      h2Limits.headerListBytesMax,
    );
    const block = encodeFields(grpcFields(putPath, ['token', 'x'.repeat(h2Limits.headerListBytesMax)]));
    client.send(headersFrame(1, block.subarray(0, 16_384), Flag.endStream));
    for (let at = 16_384; at < block.length; at += 16_384) {
      const isLast = at + 16_384 >= block.length;
      client.send(rawFrame(FrameType.continuation, isLast ? Flag.endHeaders : 0, 1, block.subarray(at, at + 16_384)));
    }
    expect(await client.trailers(1)).toEqual({ ':status': '431' });
    await client.put(3);
  });
});

describe('messages', () => {
  test.each<[string, Buffer, string, string]>([
    ['of another format', Buffer.from([2, 0, 0, 0, 0]), '13', 'grpc: received unexpected payload format 2'],
    [
      'compressed without an encoding',
      grpcMessage(nothing, 1),
      '13',
      'grpc: compressed flag set with identity or empty encoding',
    ],
    [
      'that are promised larger than the limit',
      Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]),
      '8',
      `grpc: received message larger than max (2147483647 vs. ${serveDefaults.receiveBytesMax})`,
    ],
    ['cut off', emptyPut.subarray(0, 6), '13', 'unexpected EOF'],
    ['cut off in their prefix', emptyPut.subarray(0, 3), '13', 'unexpected EOF'],
    ['that are missing', nothing, '13', 'unexpected EOF'],
  ])('%s are refused', async (_what, body, status, message) => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields()), dataFrame(1, body, Flag.endStream));
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': status, 'grpc-message': message });
    await client.put(3);
  });

  test('in gzip are decompressed, on calls that say so, beside plain ones', async () => {
    const client = await probe.client();
    const gzip = headersFrame(1, grpcFields(watchPath, ['grpc-encoding', 'gzip']));
    client.send(
      gzip,
      dataFrame(1, Buffer.concat([grpcMessage(gzipSync(nothing), 1), grpcMessage(nothing)]), Flag.endStream),
    );
    expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
    expect(probe.watched.length).toBe(2);
  });

  test('in gzip that is none are refused', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(putPath, ['grpc-encoding', 'gzip'])));
    client.send(dataFrame(1, grpcMessage(Buffer.from('no gzip'), 1), Flag.endStream));
    const { 'grpc-status': status, 'grpc-message': message } = await client.trailers(1);
    expect([status, message]).toEqual([
      '13',
      'grpc: failed to decompress the received message: incorrect header check',
    ]);
  });

  test('that are held for more than one connection may hold fail their call, and only that', async () => {
    await probe.close();
    probe = await Probe.open({}, { heldBytesMax: 100_000 });
    probe.pauseWatches = true;
    const client = await probe.client();
    const message = grpcMessage(WatchRequest.encode(WatchRequest.create({})));
    for (const id of [1, 3, 5, 7]) client.send(headersFrame(id, grpcFields(watchPath)));
    for (let i = 0; i < 3; i++) {
      for (const id of [1, 3, 5])
        client.send(dataFrame(id, Buffer.concat(Array.from({ length: 2_000 }, () => message))));
    }
    await client.settle();
    expect(client.frames.some((frame) => frame.type === FrameType.headers)).toBe(false);
    client.send(dataFrame(7, Buffer.alloc(16_000)));
    expect(await client.trailers(7)).toMatchObject({ 'grpc-status': '8' });
    for (const { requests } of probe.watches) requests.resume();
    expect(probe.watched.length).toBe(18_000);
    await client.put(1_001);
    client.send(dataFrame(1, Buffer.concat([message, message, message.subarray(0, 4)])));
    await client.settle();
    expect(probe.watched.length).toBe(18_002);
  });

  test('that cost much to decompress take turns, in order', async () => {
    const client = await probe.client();
    const large = WatchRequest.encode(
      WatchRequest.create({ createRequest: { ...createRequest, key: Buffer.alloc(1_000_000) } }),
    );
    const bomb = grpcMessage(gzipSync(large), 1);
    const small = grpcMessage(gzipSync(WatchRequest.encode(WatchRequest.create({ createRequest }))), 1);
    for (const id of [1, 3, 5]) {
      client.send(headersFrame(id, grpcFields(watchPath, ['grpc-encoding', 'gzip'])));
      client.send(dataFrame(id, Buffer.concat([bomb, small]), Flag.endStream));
    }
    for (const id of [1, 3, 5]) expect(await client.trailers(id)).toMatchObject({ 'grpc-status': '0' });
    const sizes = probe.watched.map((request) => request.createRequest?.key.length);
    expect(sizes.filter((size) => size === 1_000_000).length).toBe(3);
    expect(sizes.indexOf(1)).toBeGreaterThan(sizes.indexOf(1_000_000));
  });
});

const createRequest: NonNullable<WatchRequest['createRequest']> = {
  key: Buffer.from('k'),
  rangeEnd: Buffer.alloc(0),
  startRevision: 0,
  progressNotify: false,
  filters: [],
  prevKv: false,
  watchId: 0n,
  fragment: false,
};

describe('answers', () => {
  test('a unary answer is headers, one message and trailers', async () => {
    const client = await probe.client();
    await client.put(1);
    const [head, data, end] = client.frames.filter((frame) => frame.streamId === 1);
    expect(client.fieldsOf(head!)).toEqual([
      [':status', '200'],
      ['content-type', 'application/grpc'],
    ]);
    expect(data?.payload.readUInt32BE(1)).toBe((data?.payload.length ?? 0) - 5);
    expect(client.fieldsOf(end!)).toEqual([['grpc-status', '0']]);
    expect([head?.flags, data?.flags, end?.flags]).toEqual([Flag.endHeaders, 0, ended]);
  });

  test('an error is headers alone, its text in percent code', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(rangePath)), dataFrame(1, grpcMessage(nothing), Flag.endStream));
    await client.settle();
    probe.held[0]?.reply.fail(new StatusError(9, '100% ~ Größe\n'));
    expect(await client.trailers(1)).toEqual({
      ':status': '200',
      'content-type': 'application/grpc',
      'grpc-status': '9',
      'grpc-message': '100%25 ~ Gr%C3%B6%C3%9Fe%0A',
    });
    expect(client.frames.filter((frame) => frame.streamId === 1).length).toBe(1);
  });

  test('header fields of a handler leave even if the call fails', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(rangePath)), dataFrame(1, grpcMessage(nothing), Flag.endStream));
    await client.settle();
    const { call, reply } = probe.held[0]!;
    call.setHeader('x-first', 'a');
    call.setHeader('x-first', 'b');
    call.setTrailer('x-last', 'c');
    reply.fail(new StatusError(9, 'no'));
    expect(await client.trailers(1)).toEqual({ 'grpc-status': '9', 'grpc-message': 'no', 'x-last': 'c' });
    const head = client.frames.find((frame) => frame.streamId === 1);
    expect(client.fieldsOf(head!)).toContainEqual(['x-first', 'b']);
    expect(() => call.setHeader('x\n', 'a')).toThrow(TypeError);
    expect(() => call.setTrailer('x', 'a\nb')).toThrow(TypeError);
  });

  test('trailers too long for one frame are continued', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(rangePath)), dataFrame(1, grpcMessage(nothing), Flag.endStream));
    await client.settle();
    probe.held[0]?.reply.fail(new StatusError(9, 'x'.repeat(40_000)));
    await client.next((frame) => frame.type === FrameType.continuation && frame.flags === Flag.endHeaders);
    const frames = client.frames.filter((frame) => frame.streamId === 1);
    expect(frames.map(({ type, flags }) => [type, flags])).toEqual([
      [FrameType.headers, Flag.endStream],
      [FrameType.continuation, 0],
      [FrameType.continuation, Flag.endHeaders],
    ]);
    expect(Buffer.concat(frames.map((frame) => frame.payload)).toString('latin1')).toContain('x'.repeat(40_000));
    expect(Math.max(...frames.map((frame) => frame.payload.length))).toBe(16_384);
  });

  test('the status waits for messages that wait for a window; a deadline does not', async () => {
    const client = await probe.client([[Setting.initialWindowSize, 0]]);
    const request = dataFrame(1, grpcMessage(nothing), Flag.endStream);
    client.send(headersFrame(1, grpcFields(snapshotPath)), request);
    client.send(
      headersFrame(3, grpcFields(snapshotPath, ['grpc-timeout', '50m'])),
      dataFrame(3, grpcMessage(nothing), Flag.endStream),
    );
    await client.settle();
    for (const stream of probe.snapshots) {
      stream.sendEncoded(Buffer.alloc(100));
      expect(stream.queuedBytes).toBe(105);
    }
    probe.snapshots[0]?.end();
    expect(await client.trailers(3)).toEqual({ 'grpc-status': '4', 'grpc-message': 'context deadline exceeded' });
    expect(client.body(3).length).toBe(0);
    client.send(windowUpdateFrame(1, 105));
    expect(await client.trailers(1)).toEqual({ 'grpc-status': '0' });
    expect(client.body(1).length).toBe(105);
  });

  test('a stream that is held back tells its handler when it may go on', async () => {
    const client = await probe.client([[Setting.initialWindowSize, 0]]);
    client.send(headersFrame(1, grpcFields(watchPath)));
    await client.settle();
    const { stream } = probe.watches[0]!;
    let drained = 0;
    stream.onDrain(() => drained++);
    const large = Buffer.alloc(100_000);
    expect([stream.sendEncoded(large), stream.sendEncoded(large), stream.sendEncoded(large)]).toEqual([
      true,
      true,
      false,
    ]);
    await takeAll(client, 1, 150_000);
    expect(drained).toBe(0);
    await takeAll(client, 1, 30_000);
    expect(drained).toBe(1);
    await takeAll(client, 1, 200_000);
    expect([drained, stream.queuedBytes]).toEqual([1, 0]);
    expect(stream.send(WatchResponse.create())).toBe(true);
  });

  test('many streams with much to say share the connection', async () => {
    const client = await probe.client([[Setting.initialWindowSize, 1 << 30]]);
    client.send(windowUpdateFrame(0, 1 << 30));
    for (const id of [1, 3, 5]) {
      client.send(headersFrame(id, grpcFields(snapshotPath)), dataFrame(id, grpcMessage(nothing), Flag.endStream));
    }
    await client.settle();
    for (const stream of probe.snapshots) {
      stream.sendEncoded(Buffer.alloc(1_000_000));
      stream.end();
    }
    client.send(putFrames(7));
    await Promise.all([1, 3, 5, 7].map((id) => client.trailers(id)));
    const order = client.frames.filter((frame) => frame.type === FrameType.data).map((frame) => frame.streamId);
    expect(order.indexOf(7)).toBeLessThan(order.length / 2);
    expect(order.indexOf(5)).toBeLessThan(order.lastIndexOf(1));
    for (const id of [1, 3, 5]) expect(client.body(id).length).toBe(1_000_005);
  });
});

describe('calls that end early', () => {
  test('RST_STREAM cancels a call and drops what it had to send', async () => {
    const client = await probe.client([[Setting.initialWindowSize, 0]]);
    client.send(headersFrame(1, grpcFields(snapshotPath)), dataFrame(1, grpcMessage(nothing), Flag.endStream));
    client.send(headersFrame(3, grpcFields(rangePath)), dataFrame(3, grpcMessage(nothing), Flag.endStream));
    await client.settle();
    const [stream] = probe.snapshots;
    stream?.sendEncoded(Buffer.alloc(1_000));
    client.send(rstFrame(1), rstFrame(3));
    await client.settle();
    expect(stream?.queuedBytes).toBe(0);
    expect(stream?.sendEncoded(Buffer.alloc(1))).toBe(false);
    const { call, reply } = probe.held[0]!;
    expect(call.cancelled).toBe(true);
    reply.encoded(nothing);
    await client.settle();
    expect(client.frames.some((frame) => frame.streamId === 3)).toBe(false);
    expect(probe.served.logger.lines).toEqual([]);
  });

  test('the end of the connection cancels every call', async () => {
    const client = await probe.client();
    client.send(headersFrame(1, grpcFields(rangePath)), dataFrame(1, grpcMessage(nothing), Flag.endStream));
    client.send(headersFrame(3, grpcFields(watchPath)));
    await client.settle();
    const cancelled = Promise.all(
      [probe.held[0]!.call, probe.watches[0]!.call].map(
        (call) => new Promise<void>((resolve) => call.onCancel(resolve)),
      ),
    );
    client.socket.end();
    await cancelled;
    await client.closed;
  });
});

/** Lets `bytes` more of a stream come, and waits until the server has acted on it. */
async function takeAll(client: RawClient, streamId: number, bytes: number): Promise<void> {
  client.send(windowUpdateFrame(0, bytes), windowUpdateFrame(streamId, bytes));
  await client.settle();
}
