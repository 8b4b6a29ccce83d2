/**
 * What RFC 9113 and gRPC's PROTOCOL-HTTP2.md say of a client: servers that break the rules, made of a bare socket, and decent ones
 * of both kinds we have.
 */
import { type AddressInfo, createServer } from 'node:net';
import { DecodeError, PutRequest, PutResponse, Status, services, WatchRequest, WatchResponse } from '@quorate/proto';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { RpcConnection } from '../../client.ts';
import { StatusError } from '../../respond.ts';
import type { ClientStreamHandler, ServiceMethod } from '../../service.ts';
import { serviceHandlers } from '../../service-table.ts';
import { ManualClock, MemoryLogger, realClock, Served, transports } from '../../testing/served.ts';
import { ErrorCode, Flag, FrameType, Setting, windowLimit } from '../frames.ts';
import { encodeFields, type FieldText } from '../hpack-encoder.ts';
import {
  dataFrame,
  grpcMessage,
  headersFrame,
  pingFrame,
  rawFrame,
  rstFrame,
  settingsFrame,
  uint32,
  windowUpdateFrame,
} from '../testing/raw-client.ts';
import { Heard, headFields, lastFlags, okTrailers, RawServer } from '../testing/raw-server.ts';
import { connectH2 } from './client-connection.ts';
import { percentDecode } from './response-head.ts';

vi.setConfig({ testTimeout: 60_000 });

const nothing = Buffer.alloc(0);
const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

async function calling(...args: Parameters<typeof RawServer.calling>) {
  const made = await RawServer.calling(...args);
  open.push(made.server);
  return made;
}

const head = headersFrame(1, headFields);
const goAwayFrame = (last: number, code: number = ErrorCode.noError): Buffer =>
  rawFrame(FrameType.goAway, 0, 0, Buffer.concat([uint32(last), uint32(code)]));

test('a connection begins with the preface and with settings that forbid push', async () => {
  const { server } = await calling();
  const [first] = server.frames;
  expect([first!.type, first!.flags, first!.streamId]).toEqual([FrameType.settings, 0, 0]);
  expect([first!.payload.readUInt16BE(0), first!.payload.readUInt32BE(2)]).toEqual([Setting.enablePush, 0]);
});

describe('a server that breaks the rules is left with the right code, and calls end', () => {
  const { protocolError, frameSizeError, flowControlError, compressionError, streamClosed } = ErrorCode;
  test.each<[string, number, Buffer[]]>([
    ['DATA on stream 0', protocolError, [dataFrame(0, nothing)]],
    ['DATA on a stream we did not open', protocolError, [dataFrame(3, nothing)]],
    ['DATA on an even stream', protocolError, [dataFrame(2, nothing)]],
    ['DATA without room for its padding', frameSizeError, [head, dataFrame(1, nothing, Flag.padded)]],
    ['padding longer than DATA', protocolError, [head, dataFrame(1, Buffer.from([9, 0]), Flag.padded)]],
    ['HEADERS on stream 0', protocolError, [headersFrame(0, headFields)]],
    ['HEADERS on a stream we did not open', protocolError, [headersFrame(3, headFields)]],
    [
      'HEADERS that break off in their priority',
      frameSizeError,
      [headersFrame(1, Buffer.alloc(3), Flag.endHeaders | Flag.priority)],
    ],
    ['a header block that is no HPACK', compressionError, [headersFrame(1, Buffer.from([0x80]))]],
    ['an interrupted header block', protocolError, [headersFrame(1, headFields, 0), pingFrame()]],
    [
      'a header block continued on another stream',
      protocolError,
      [headersFrame(1, headFields, 0), rawFrame(FrameType.continuation, Flag.endHeaders, 3, nothing)],
    ],
    ['CONTINUATION from nowhere', protocolError, [rawFrame(FrameType.continuation, Flag.endHeaders, 1, nothing)]],
    [
      'a header block in frames without end',
      ErrorCode.enhanceYourCalm,
      [headersFrame(1, headFields, 0), ...new Array<Buffer>(100).fill(rawFrame(FrameType.continuation, 0, 1, nothing))],
    ],
    ['PRIORITY of wrong length', frameSizeError, [rawFrame(FrameType.priority, 0, 1, Buffer.alloc(4))]],
    ['PRIORITY on stream 0', protocolError, [rawFrame(FrameType.priority, 0, 0, Buffer.alloc(5))]],
    ['RST_STREAM of wrong length', frameSizeError, [rawFrame(FrameType.rstStream, 0, 1, Buffer.alloc(3))]],
    ['RST_STREAM on stream 0', protocolError, [rstFrame(0)]],
    ['RST_STREAM on an idle stream', protocolError, [rstFrame(5)]],
    ['SETTINGS on a stream', protocolError, [rawFrame(FrameType.settings, 0, 1, nothing)]],
    ['SETTINGS of wrong length', frameSizeError, [rawFrame(FrameType.settings, 0, 0, Buffer.alloc(5))]],
    ['an acknowledgement with content', frameSizeError, [rawFrame(FrameType.settings, Flag.ack, 0, Buffer.alloc(6))]],
    ['ENABLE_PUSH by a server', protocolError, [settingsFrame([[Setting.enablePush, 1]])]],
    [
      'an initial window beyond 31 bits',
      flowControlError,
      [settingsFrame([[Setting.initialWindowSize, windowLimit + 1]])],
    ],
    ['a frame size below the least', protocolError, [settingsFrame([[Setting.maxFrameSize, 1_000]])]],
    [
      'PUSH_PROMISE',
      protocolError,
      [rawFrame(FrameType.pushPromise, Flag.endHeaders, 1, Buffer.concat([uint32(2), encodeFields(headFields)]))],
    ],
    ['PING of wrong length', frameSizeError, [rawFrame(FrameType.ping, 0, 0, Buffer.alloc(7))]],
    ['PING on a stream', protocolError, [rawFrame(FrameType.ping, 0, 1, Buffer.alloc(8))]],
    ['GOAWAY on a stream', protocolError, [rawFrame(FrameType.goAway, 0, 1, Buffer.alloc(8))]],
    ['GOAWAY too short', frameSizeError, [rawFrame(FrameType.goAway, 0, 0, Buffer.alloc(7))]],
    ['GOAWAY that takes back the former', protocolError, [goAwayFrame(1), goAwayFrame(3)]],
    ['WINDOW_UPDATE of wrong length', frameSizeError, [rawFrame(FrameType.windowUpdate, 0, 0, Buffer.alloc(3))]],
    ['WINDOW_UPDATE by nothing', protocolError, [windowUpdateFrame(0, 0)]],
    ['WINDOW_UPDATE on an idle stream', protocolError, [windowUpdateFrame(7, 1)]],
    ['a window beyond 31 bits', flowControlError, [windowUpdateFrame(0, windowLimit)]],
    ['a frame beyond the largest', frameSizeError, [rawFrame(FrameType.data, 0, 1, nothing, 16_385)]],
  ])('%s', async (_name, code, frames) => {
    const { server, heard } = await calling();
    server.send(...frames);
    expect(await server.goAwayCode()).toBe(code);
    const status = await heard.ended;
    expect(status.code).toBe(Status.UNAVAILABLE);
    expect(server.connection.isClosed).toBe(true);
    expect(server.logger.lines.map(({ message }) => message)).toContain(
      'closing connection: server broke the protocol',
    );
  });

  test('DATA after the end of a call that we ended too', async () => {
    const { server, call } = await calling();
    call.end();
    server.send(headersFrame(1, [...headFields, ...okTrailers], lastFlags), dataFrame(1, nothing));
    expect(await server.goAwayCode()).toBe(streamClosed);
  });

  test('something else before SETTINGS', async () => {
    const server = await RawServer.open();
    open.push(server);
    server.send(pingFrame());
    expect(await server.goAwayCode()).toBe(protocolError);
  });

  test('a flood of frames that mean nothing', async () => {
    const { server } = await calling();
    server.send(...new Array<Buffer>(40_000).fill(pingFrame()));
    expect(await server.goAwayCode()).toBe(ErrorCode.enhanceYourCalm);
  });
});

describe('a stream on which the rules are broken is reset, the connection lives', () => {
  const { protocolError, flowControlError, streamClosed } = ErrorCode;
  const trailing = (...fields: FieldText[]): Buffer => headersFrame(1, fields, lastFlags);
  test.each<[string, number, Buffer[]]>([
    ['DATA before HEADERS', protocolError, [dataFrame(1, grpcMessage(nothing))]],
    ['headers without a status', protocolError, [headersFrame(1, [['content-type', 'application/grpc']])]],
    ['two statuses', protocolError, [headersFrame(1, [[':status', '200'], ...headFields])]],
    ['a status behind other fields', protocolError, [headersFrame(1, [...headFields].reverse())]],
    ['a status that is none', protocolError, [headersFrame(1, [[':status', '2oo']])]],
    ['a pseudo-header of requests', protocolError, [headersFrame(1, [...headFields.slice(0, 1), [':path', '/']])]],
    [
      'a field in capitals',
      protocolError,
      [headersFrame(1, Buffer.concat([encodeFields(headFields), Buffer.from('\0\x01A\x01b')]))],
    ],
    [
      'a field of one connection',
      protocolError,
      [headersFrame(1, Buffer.concat([encodeFields(headFields), Buffer.from('\0\x07upgrade\x01b')]))],
    ],
    ['an interim answer that ends the stream', protocolError, [headersFrame(1, [[':status', '100']], lastFlags)]],
    ['trailers without END_STREAM', protocolError, [head, headersFrame(1, okTrailers)]],
    ['a status in trailers', protocolError, [head, trailing([':status', '200'])]],
    ['WINDOW_UPDATE by nothing', protocolError, [windowUpdateFrame(1, 0)]],
    ['a window beyond 31 bits', flowControlError, [windowUpdateFrame(1, windowLimit)]],
    ['HEADERS after a reset', streamClosed, [rstFrame(1), head]],
    ['DATA after a reset', streamClosed, [rstFrame(1), dataFrame(1, nothing)]],
  ])('%s', async (_name, code, frames) => {
    const { server, heard } = await calling();
    server.send(...frames);
    expect(await server.resetCode(1)).toBe(code);
    expect((await heard.ended).code).not.toBe(Status.OK);
    await server.mustWork();
  });
});

describe('how a call ends', () => {
  const ends = (...fields: FieldText[]): Buffer => headersFrame(1, fields, lastFlags);
  const reset = (code: number): Buffer => rstFrame(1, code);
  test.each<[string, Buffer[], number, string | RegExp]>([
    ['trailers alone', [ends(...headFields, ['grpc-status', '9'], ['grpc-message', 'no'])], 9, 'no'],
    ['trailers', [head, ends(...okTrailers)], 0, ''],
    ['a text that is percent-encoded', [head, ends(['grpc-status', '5'], ['grpc-message', '%C3%A4%zz'])], 5, 'ä%zz'],
    ['an interim answer before', [headersFrame(1, [[':status', '103']]), head, ends(...okTrailers)], 0, ''],
    ['no status', [head, ends(['other', 'x'])], Status.INTERNAL, /without a status/],
    ['DATA with END_STREAM', [head, dataFrame(1, nothing, Flag.endStream)], Status.INTERNAL, /without a status/],
    ['a status that is none', [head, ends(['grpc-status', 'x'])], Status.UNKNOWN, 'unknown status: x'],
    ['a proxy', [headersFrame(1, [[':status', '503']])], Status.UNAVAILABLE, /503/],
    ['a proxy with nothing to say', [ends([':status', '404'])], Status.UNIMPLEMENTED, /404/],
    [
      'a web server',
      [
        headersFrame(1, [
          [':status', '200'],
          ['content-type', 'text/html'],
        ]),
      ],
      Status.UNKNOWN,
      /text\/html/,
    ],
    ['a server without a content type', [headersFrame(1, [[':status', '200']])], Status.UNKNOWN, /content-type/],
    ['half a message', [head, dataFrame(1, Buffer.alloc(3)), ends(...okTrailers)], Status.INTERNAL, 'unexpected EOF'],
    [
      'a message too large',
      [head, dataFrame(1, Buffer.concat([Buffer.alloc(1), uint32(1 << 21)]))],
      Status.RESOURCE_EXHAUSTED,
      /larger/,
    ],
    ['a compressed message', [head, dataFrame(1, grpcMessage(nothing, 1))], Status.INTERNAL, /compressed/],
    ['a refused stream', [reset(ErrorCode.refusedStream)], Status.UNAVAILABLE, /reset/],
    ['a cancelled stream', [reset(ErrorCode.cancel)], Status.CANCELLED, /reset/],
    ['a calmed stream', [reset(ErrorCode.enhanceYourCalm)], Status.RESOURCE_EXHAUSTED, /reset/],
    ['a reset of another kind', [reset(ErrorCode.internalError)], Status.INTERNAL, /reset/],
    [
      'headers too large',
      [
        headersFrame(1, [...headFields, ...new Array<FieldText>(4).fill(['x', 'y'.repeat(4_000)])], 0),
        ...new Array<Buffer>(5).fill(
          rawFrame(FrameType.continuation, 0, 1, encodeFields(new Array<FieldText>(3).fill(['x', 'y'.repeat(4_000)]))),
        ),
        rawFrame(FrameType.continuation, Flag.endHeaders, 1, nothing),
      ],
      Status.INTERNAL,
      /too large/,
    ],
  ])('%s', async (_name, frames, code, text) => {
    const { server, heard } = await calling();
    server.send(...frames);
    const status = await heard.ended;
    expect(status.code).toBe(code);
    expect(status.message).toMatch(text);
    await server.mustWork();
  });

  test('messages come in order, however they are cut, and the end after them', async () => {
    const { server, heard } = await calling();
    const body = Buffer.concat(['a', 'bb', '', 'ccc'].map((text) => grpcMessage(Buffer.from(text))));
    server.send(head, ...[...body].map((byte) => dataFrame(1, Buffer.from([byte]))), ends(...okTrailers));
    expect((await heard.ended).code).toBe(Status.OK);
    expect(heard.messages).toEqual(['a', 'bb', '', 'ccc']);
  });

  test('a listener that cannot read a message ends the call; the connection lives', async () => {
    const { server } = await calling();
    const heard = new Heard();
    heard.onMessage = () => {
      throw new DecodeError('nonsense', 0);
    };
    server.connection.open('/a/c', heard);
    server.send(headersFrame(3, headFields), dataFrame(3, grpcMessage(Buffer.from('x'))));
    expect(await heard.ended).toMatchObject({ code: Status.INTERNAL, message: expect.stringContaining('nonsense') });
    expect(await server.resetCode(3)).toBe(ErrorCode.cancel);
    await server.mustWork();
  });

  test('a call that is cancelled is reset, and what still comes for it is ignored', async () => {
    const { server, heard, call } = await calling();
    call.cancel();
    expect(await server.resetCode(1)).toBe(ErrorCode.cancel);
    expect((await heard.ended).code).toBe(Status.CANCELLED);
    server.send(head, dataFrame(1, grpcMessage(nothing)), headersFrame(1, okTrailers, lastFlags));
    await server.mustWork();
    expect(heard.messages).toEqual([]);
  });

  test('the deadline ends a call and is told to the server', async () => {
    const clock = new ManualClock();
    const { server } = await calling({ clock });
    const answer = server.connection.unary('/a/c', nothing, 1_500).catch((error: unknown) => error);
    await server.next(({ type, streamId }) => type === FrameType.data && streamId === 3);
    clock.advance(1_500);
    expect(await answer).toMatchObject({ status: Status.DEADLINE_EXCEEDED });
    expect(await server.resetCode(3)).toBe(ErrorCode.cancel);
  });
});

describe('flow control', () => {
  test('no more than the windows allow is sent, of one stream and of all', async () => {
    const { server, call } = await calling();
    expect(call.send(Buffer.alloc(300_000))).toBe(true);
    expect(call.send(Buffer.alloc(300_000))).toBe(false);
    await server.settle();
    expect(server.dataBytes(1)).toBe(65_535);
    server.send(windowUpdateFrame(1, 100_000));
    await server.settle();
    expect(server.dataBytes(1)).toBe(65_535);
    server.send(windowUpdateFrame(0, 10));
    await vi.waitFor(() => expect(server.dataBytes(1)).toBe(65_545), 30_000);
    expect(Math.max(...server.frames.map(({ payload }) => payload.length))).toBeLessThanOrEqual(16_384);
  });

  test('settings move the windows of open streams; whoever waited is told', async () => {
    const { server, call, heard } = await calling();
    call.send(Buffer.alloc(400_000));
    server.send(windowUpdateFrame(0, 1_000_000), settingsFrame([[Setting.initialWindowSize, 0]]));
    await server.settle();
    const before = server.dataBytes(1);
    await server.settle();
    expect(server.dataBytes(1)).toBe(before);
    server.send(settingsFrame([[Setting.initialWindowSize, 1_000_000]]));
    await vi.waitFor(() => expect(server.dataBytes(1)).toBe(400_005), 30_000);
    expect(heard.drains).toBe(1);
    expect(call.queuedBytes).toBe(0);
  });

  test('windows at the server grow with what is handed on', async () => {
    const { server, heard } = await calling();
    server.send(head);
    for (let i = 0; i < 400; i++) server.send(dataFrame(1, grpcMessage(Buffer.alloc(16_000))));
    const isUpdate = (streamId: number) => (frame: { type: number; streamId: number }) =>
      frame.type === FrameType.windowUpdate && frame.streamId === streamId;
    await server.next(isUpdate(1));
    await vi.waitFor(() => expect(heard.messages.length).toBe(400), 30_000);
  });

  test('frames of the size that the server takes', async () => {
    const { server, call } = await calling();
    server.send(settingsFrame([[Setting.maxFrameSize, 50_000]]));
    await server.settle();
    call.send(Buffer.alloc(40_000));
    expect((await server.next(({ type }) => type === FrameType.data)).payload.length).toBe(40_005);
  });
});

describe('the connection', () => {
  test('pings are answered', async () => {
    const { server } = await calling();
    server.send(pingFrame('abcdefgh'));
    const pong = await server.next(({ type, flags }) => type === FrameType.ping && flags === Flag.ack);
    expect(pong.payload.toString()).toBe('abcdefgh');
  });

  test('a server that does not answer pings is given up', async () => {
    const clock = new ManualClock();
    const { server, heard } = await calling({ clock, keepalive: { intervalMs: 1_000, timeoutMs: 500 } });
    clock.advance(1_000);
    await server.next(({ type }) => type === FrameType.ping);
    clock.advance(500);
    expect(await heard.ended).toMatchObject({ code: Status.UNAVAILABLE, message: 'the server does not answer pings' });
  });

  test('a server that never greets us is given up', async () => {
    const clock = new ManualClock();
    const server = await RawServer.open({ clock, connectTimeoutMs: 1_000 });
    open.push(server);
    const heard = new Heard();
    server.connection.open('/a/b', heard);
    clock.advance(1_000);
    expect(await heard.ended).toMatchObject({ code: Status.UNAVAILABLE, message: 'connecting timed out' });
  });

  test('a server that hangs up ends all calls; later ones fail at once, and later than their opening', async () => {
    const { server, heard } = await calling();
    server.hangUp();
    expect((await heard.ended).code).toBe(Status.UNAVAILABLE);
    const late = new Heard();
    const call = server.connection.open('/a/b', late);
    expect(call.send(nothing)).toBe(false);
    expect(late.status).toBeUndefined();
    expect((await late.ended).code).toBe(Status.UNAVAILABLE);
  });

  test('nobody listening is told by name', async () => {
    const probe = createServer();
    await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
    const { port } = probe.address() as AddressInfo;
    await new Promise((resolve) => probe.close(resolve));
    const refused = connect(port).unary('/a/b', nothing, 10_000);
    await expect(refused).rejects.toMatchObject({ status: Status.UNAVAILABLE, message: /ECONNREFUSED/ });
  });

  test('GOAWAY ends the calls that will not be served, lets the others end, and then the connection', async () => {
    const { server, heard } = await calling();
    const second = new Heard();
    server.connection.open('/a/c', second);
    server.send(goAwayFrame(0x7fff_ffff), goAwayFrame(1));
    expect(await second.ended).toMatchObject({ code: Status.UNAVAILABLE, message: 'the server is going away' });
    expect(server.connection.isClosed).toBe(true);
    expect(heard.status).toBeUndefined();
    server.send(headersFrame(1, [...headFields, ...okTrailers], lastFlags));
    expect((await heard.ended).code).toBe(Status.OK);
    expect(await server.goAwayCode()).toBe(ErrorCode.noError);
  });

  test('no more calls are opened than the server allows', async () => {
    const { server } = await calling();
    server.send(settingsFrame([[Setting.maxConcurrentStreams, 1]]));
    await server.settle();
    await expect(server.connection.unary('/a/c', nothing, 10_000)).rejects.toThrow('too many calls');
    expect(server.frames.filter(({ type }) => type === FrameType.headers)).toHaveLength(1);
  });

  test('a server that shrinks the header table is answered with an update of its size', async () => {
    const { server } = await calling();
    server.send(settingsFrame([[Setting.headerTableSize, 0]]));
    await server.settle();
    server.connection.open('/a/c', new Heard());
    const opened = await server.next(({ type, streamId }) => type === FrameType.headers && streamId === 3);
    expect(opened.payload[0]).toBe(0x20);
  });

  test('closing ends calls with CANCELLED and says goodbye', async () => {
    const { server, heard } = await calling();
    server.connection.close();
    expect((await heard.ended).code).toBe(Status.CANCELLED);
    expect(await server.goAwayCode()).toBe(ErrorCode.noError);
  });

  test('what a turn sends leaves at its end, or at once when told', async () => {
    const { server, call } = await calling();
    call.send(Buffer.from('a'));
    server.connection.flush();
    call.send(Buffer.from('b'));
    call.end();
    await server.next(({ type, flags }) => type === FrameType.data && flags === Flag.endStream);
    expect(server.dataBytes(1)).toBe(12);
  });
});

function connect(port: number): RpcConnection {
  const connection = connectH2({
    host: '127.0.0.1',
    port,
    clock: realClock,
    logger: new MemoryLogger(),
    receiveBytesMax: 1 << 24,
    keepalive: { intervalMs: 60_000, timeoutMs: 60_000 },
    connectTimeoutMs: 60_000,
  });
  open.push(connection);
  return connection;
}

describe.each(transports)('against %s', (_name, serve) => {
  const counted: ClientStreamHandler<PutRequest, PutResponse> = (requests, _call, reply) => {
    let bytes = 0;
    requests.onMessage(({ value }) => {
      bytes += value.length;
    });
    requests.onEnd(() => reply.fail(new StatusError(Status.NOT_FOUND, `${bytes} bytes, ä`)));
  };
  const methods: ServiceMethod[] = [
    ...serviceHandlers(services.kv, { put: (_request, _call, reply) => reply.ok(PutResponse.create()) }),
    ...serviceHandlers(services.watch, {
      watch: (requests, _call, stream) => {
        requests.onMessage(({ cancelRequest }) =>
          stream.send(WatchResponse.create({ watchId: cancelRequest?.watchId ?? 0n })),
        );
        requests.onEnd(() => stream.end());
      },
    }),
    {
      kind: 'clientStream',
      path: '/t.T/Count',
      request: PutRequest,
      response: PutResponse,
      handler: counted,
    } as ServiceMethod,
  ];

  test('unary, both directions, and one', async () => {
    const served = await Served.open(methods, { receiveBytesMax: 1 << 24 }, serve);
    open.push(served);
    const connection = connect(served.port);
    const put = PutRequest.encode(PutRequest.create({ value: Buffer.alloc(500_000) }));
    const answer = await connection.unary(services.kv.methods.put.path, put, 30_000);
    expect(PutResponse.decode(answer)).toEqual(PutResponse.create());
    await expect(connection.unary('/no/where', put, 30_000)).rejects.toMatchObject({ status: Status.UNIMPLEMENTED });

    const ids: bigint[] = [];
    const watching = new Heard();
    watching.onMessage = (message) => ids.push(WatchResponse.decode(message).watchId);
    const watch = connection.open(services.watch.methods.watch.path, watching);
    for (let i = 0n; i < 1_000n; i++) {
      watch.send(WatchRequest.encode(WatchRequest.create({ cancelRequest: { watchId: i } })));
    }
    watch.end();
    expect((await watching.ended).code).toBe(Status.OK);
    expect(ids).toEqual(Array.from({ length: 1_000 }, (_, i) => BigInt(i)));

    const counting = new Heard();
    const count = connection.open('/t.T/Count', counting);
    for (let i = 0; i < 20; i++) count.send(put);
    count.end();
    expect(await counting.ended).toEqual({ code: Status.NOT_FOUND, message: '10000000 bytes, ä' });
  });
});

test('percent signs that encode nothing stay', () => {
  expect(percentDecode('100%, %41%')).toBe('100%, A%');
});
