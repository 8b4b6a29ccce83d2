import { connect, constants } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { gzipSync } from 'node:zlib';
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { Deferred, FatalError } from '@quorate/base';
import {
  KvError,
  kvErrors,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  SnapshotRequest,
  SnapshotResponse,
  services,
  WatchRequest,
  WatchResponse,
} from '@quorate/proto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StatusError } from './respond.ts';
import type { BidiHandler, Reply, ServerCall, ServiceMethod, UnaryHandler } from './service.ts';
import { serviceHandlers } from './service-table.ts';
import { callUnary, Served, transports } from './testing/served.ts';
import { type ServeOptions, type ServeRpc, serveDefaults } from './transport.ts';

const putPath = services.kv.methods.put.path;
const watchPath = services.watch.methods.watch.path;
const keepAlivePath = services.lease.methods.leaseKeepAlive.path;
const snapshotPath = services.maintenance.methods.snapshot.path;
const receiveMax = serveDefaults.receiveBytesMax;

let serve: ServeRpc;
let served: Served | undefined;
afterEach(async () => {
  await served?.close();
  served = undefined;
});

async function open(methods: readonly ServiceMethod[], options: Partial<ServeOptions> = {}): Promise<Served> {
  served = await Served.open(methods, options, serve);
  return served;
}

function putMethods(handler: UnaryHandler<PutRequest, PutResponse>): ServiceMethod[] {
  return serviceHandlers(services.kv, { put: handler });
}

function watchMethods(handler: BidiHandler<WatchRequest, WatchResponse>): ServiceMethod[] {
  return serviceHandlers(services.watch, { watch: handler });
}

const emptyPut = PutRequest.encode(PutRequest.create({ key: Buffer.from('k') }));

function put(on: Served, request: Buffer = emptyPut, metadata?: Metadata, deadlineMs?: number): Promise<Buffer> {
  const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
  return callUnary(on.client(), putPath, request, metadata, options);
}

/** The next error that nobody catches, in whichever of the two ways, kept from the test runner. */
function nextCrash(): Promise<unknown> {
  const events = ['uncaughtException', 'unhandledRejection'] as const;
  const others = events.map((event) => process.listeners(event as 'uncaughtException'));
  return new Promise((resolve) => {
    const onCrash = (error: unknown): void => {
      events.forEach((event, i) => {
        process.removeAllListeners(event);
        for (const other of others[i] ?? []) process.on(event as 'uncaughtException', other);
      });
      resolve(error);
    };
    for (const event of events) {
      process.removeAllListeners(event);
      process.on(event, onCrash);
    }
  });
}

async function failureOf(answer: Promise<unknown>): Promise<ServiceError> {
  return answer.then(
    () => {
      throw new Error('the call succeeded');
    },
    (error: ServiceError) => error,
  );
}

/** A put request whose encoding has exactly `size` bytes. */
function putOfSize(size: number): Buffer {
  let valueBytes = size;
  for (;;) {
    const bytes = PutRequest.encode(PutRequest.create({ key: Buffer.from('k'), value: Buffer.alloc(valueBytes, 1) }));
    if (bytes.length === size) return bytes;
    valueBytes -= bytes.length - size;
  }
}

describe.each(transports)('%s', (_name, serving) => {
  beforeEach(() => {
    serve = serving;
  });

  describe('unary calls', () => {
    test('decode the request and encode the answer', async () => {
      const on = await open(
        putMethods((request, call, reply) => {
          expect(call.path).toBe('/etcdserverpb.KV/Put');
          expect(call.peer).toMatch(/^127\.0\.0\.1:\d+$/);
          expect(call.timeoutMs).toBeUndefined();
          reply.ok(PutResponse.create({ prevKv: { ...keyValue, key: request.key } }));
        }),
      );
      const response = PutResponse.decode(await put(on));
      expect(response.prevKv?.key.toString()).toBe('k');
    });

    test('may answer with bytes that are encoded already', async () => {
      const bytes = PutResponse.encode(PutResponse.create({ prevKv: keyValue }));
      const on = await open(putMethods((_request, _call, reply) => reply.encoded(bytes)));
      expect(await put(on)).toEqual(bytes);
    });

    test.each([0, 100, 40_000])('may answer in pieces of %d bytes that are one message', async (size) => {
      const pieces = Array.from({ length: 20 }, (_, i) => Buffer.alloc(size, i));
      const on = await open(putMethods((_request, _call, reply) => reply.pieces(pieces)));
      expect((await put(on)).equals(Buffer.concat(pieces))).toBe(true);
    });

    test('may answer later', async () => {
      const on = await open(putMethods((_request, _call, reply) => setImmediate(() => reply.ok(PutResponse.create()))));
      expect(PutResponse.decode(await put(on))).toEqual(PutResponse.create());
    });

    test('carry a KvError with its status and exact text', async () => {
      const on = await open(
        putMethods(() => {
          throw new KvError('compacted');
        }),
      );
      const error = await failureOf(put(on));
      expect(error).toMatchObject({ code: kvErrors.compacted.status, details: kvErrors.compacted.message });
      expect(on.logger.lines).toEqual([]);
    });

    test('carry texts beyond ASCII, percent signs and lone surrogates', async () => {
      const text = 'Größe 100% – 中文 \n "quoted" \ud800';
      const on = await open(
        putMethods((_request, _call, reply) => reply.fail(new StatusError(status.FAILED_PRECONDITION, text))),
      );
      const error = await failureOf(put(on));
      expect(error.code).toBe(status.FAILED_PRECONDITION);
      expect(error.details).toBe(text.replace('\ud800', '\ufffd'));
    });

    test('turn an unforeseen error into UNKNOWN and log it', async () => {
      const on = await open(
        putMethods(() => {
          throw new TypeError('x is not a function');
        }),
      );
      expect(await failureOf(put(on))).toMatchObject({ code: status.UNKNOWN, details: 'x is not a function' });
      expect(on.logger.lines).toMatchObject([{ level: 'error', message: 'handler failed', facts: { path: putPath } }]);
    });

    test('do not turn a fatal error into an answer', async () => {
      const fatal = nextCrash();
      const on = await open(
        putMethods(() => {
          throw new FatalError('broken');
        }),
      );
      const answer = put(on).catch(() => 'no answer');
      expect(await fatal).toBeInstanceOf(FatalError);
      on.transport.close();
      expect(await answer).toBe('no answer');
    });

    test('refuse bytes that are no message', async () => {
      const on = await open(putMethods((_request, _call, reply) => reply.ok(PutResponse.create())));
      const error = await failureOf(put(on, Buffer.from([0x0a, 0xff])));
      expect(error.code).toBe(status.INTERNAL);
      expect(error.details).toContain('grpc: error unmarshalling request: malformed message');
    });

    test('without a message are refused', async () => {
      const on = await open(putMethods((_request, _call, reply) => reply.ok(PutResponse.create())));
      const { headers } = await rawCall(on.port, putPath, Buffer.alloc(0));
      expect(headers['grpc-status']).toBe(String(status.INTERNAL));
      expect(decodeURIComponent(String(headers['grpc-message']))).toBe('unexpected EOF');
    });

    test('answered twice keep the first answer and log the second', async () => {
      const on = await open(
        putMethods((_request, _call, reply) => {
          reply.ok(PutResponse.create());
          reply.fail(new KvError('compacted'));
        }),
      );
      expect(PutResponse.decode(await put(on))).toEqual(PutResponse.create());
      expect(on.logger.lines).toMatchObject([{ level: 'error', message: 'call answered twice' }]);
    });

    test('see request metadata, first value first, binary as base64', async () => {
      const seen: (string | undefined)[] = [];
      const on = await open(
        putMethods((_request, call, reply) => {
          seen.push(call.metadata.get('token'), call.metadata.get('trace-bin'), call.metadata.get('absent'));
          reply.ok(PutResponse.create());
        }),
      );
      const metadata = new Metadata();
      metadata.add('token', 'one');
      metadata.add('trace-bin', Buffer.from([0, 255]));
      await put(on, emptyPut, metadata);
      expect(seen).toEqual(['one', 'AP8=', undefined]);
    });

    test('may send headers and trailers', async () => {
      const on = await open(
        putMethods((_request, call, reply) => {
          call.setHeader('x-first', 'head');
          call.setTrailer('x-last', 'tail');
          reply.ok(PutResponse.create());
        }),
      );
      const same = (bytes: Buffer): Buffer => bytes;
      const got = await new Promise<unknown[]>((resolve, reject) => {
        let head: unknown;
        const call = on.client().makeUnaryRequest(putPath, same, same, emptyPut, (error) => error && reject(error));
        call.on('metadata', (metadata: Metadata) => {
          head = metadata.get('x-first')[0];
        });
        call.on('status', (end) => resolve([head, end.metadata.get('x-last')[0]]));
      });
      expect(got).toEqual(['head', 'tail']);
    });
  });

  const keyValue = {
    key: Buffer.alloc(0),
    createRevision: 0,
    modRevision: 0,
    version: 0,
    value: Buffer.alloc(0),
    lease: 0n,
  };

  describe('deadlines and cancellation', () => {
    test('tell the handler how long the caller waits', async () => {
      let timeoutMs: number | undefined;
      const on = await open(
        putMethods((_request, call, reply) => {
          timeoutMs = call.timeoutMs;
          reply.ok(PutResponse.create());
        }),
      );
      await put(on, emptyPut, undefined, 30_000);
      expect(timeoutMs).toBeGreaterThan(20_000);
      expect(timeoutMs).toBeLessThanOrEqual(30_000);
    });

    test('end a call at its deadline, tell the handler, and drop its late answer', async () => {
      const cancelled = new Promise<ServerCall>((resolve) => {
        void open(
          putMethods((_request, call, reply) => {
            call.onCancel(() => {
              reply.ok(PutResponse.create());
              resolve(call);
            });
          }),
        ).then((on) => failureOf(put(on, emptyPut, undefined, 30)));
      });
      expect((await cancelled).cancelled).toBe(true);
      expect(served?.logger.lines).toEqual([]);
    });

    test('take a deadline beyond 2^31 ms for far away, not for over', async () => {
      const on = await open(
        putMethods((_request, call, reply) => reply.ok(PutResponse.create({ header: headerWith(call) }))),
      );
      const answer = await rawCall(on.port, putPath, frame(emptyPut), { 'grpc-timeout': '99999999H' });
      expect(answer.trailers['grpc-status']).toBe('0');
      expect(PutResponse.decode(answer.body.subarray(5)).header?.revision).toBeGreaterThan(2_000_000_000);
    });

    test('tell the handler when the client cancels, once, and late listeners at once', async () => {
      const events: string[] = [];
      const cancelled = new Promise<void>((resolve) => {
        void open(
          watchMethods((_requests, call, stream) => {
            stream.sendHeaders();
            call.onCancel(() => {
              events.push('first');
              call.onCancel(() => events.push('late'));
              expect(stream.send(WatchResponse.create())).toBe(false);
              resolve();
            });
          }),
        ).then((on) => {
          const call = on.client().makeBidiStreamRequest(watchPath, same, same);
          call.on('error', () => {});
          call.on('metadata', () => call.cancel());
        });
      });
      await cancelled;
      expect(events).toEqual(['first', 'late']);
    });

    test('do not cancel a call that ended', async () => {
      let cancels = 0;
      const on = await open(
        putMethods((_request, call, reply) => {
          call.onCancel(() => cancels++);
          reply.ok(PutResponse.create());
        }),
      );
      await put(on);
      await put(on);
      expect(cancels).toBe(0);
    });

    test('cancel the calls of a connection that breaks', async () => {
      const cancelled = new Promise<void>((resolve) => {
        void open(
          watchMethods((_requests, call, stream) => {
            stream.sendHeaders();
            call.onCancel(resolve);
          }),
        ).then((on) => {
          const socket = connectTcp(on.port, '127.0.0.1');
          const session = connect('http://kvd', { createConnection: () => socket });
          session.on('error', () => {});
          const stream = session.request(grpcHeaders(watchPath));
          stream.on('error', () => {});
          stream.on('response', () => socket.resetAndDestroy());
        });
      });
      await cancelled;
    });
  });

  function headerWith(call: ServerCall): PutResponse['header'] {
    return { clusterId: 0n, memberId: 0n, revision: Math.floor(call.timeoutMs ?? 0), raftTerm: 0 };
  }

  describe('streaming calls', () => {
    test('from the server: everything sent arrives, then the status', async () => {
      const on = await open(
        serviceHandlers(services.maintenance, {
          snapshot: (_request, _call, stream) => {
            for (let i = 0; i < 3; i++) stream.send(SnapshotResponse.create({ remainingBytes: 2 - i }));
            stream.fail(new KvError('stopped'));
          },
        }),
      );
      const call = on.client().makeServerStreamRequest(snapshotPath, same, same, SnapshotRequest.encode({}));
      const left: number[] = [];
      call.on('data', (bytes: Buffer) => left.push(Number(SnapshotResponse.decode(bytes).remainingBytes)));
      const error = await new Promise<ServiceError>((resolve) => call.on('error', resolve));
      expect(left).toEqual([2, 1, 0]);
      expect(error).toMatchObject({ code: status.UNAVAILABLE, details: 'etcdserver: server stopped' });
    });

    test('from the client: all messages, then the end, then the answer', async () => {
      const ids: bigint[] = [];
      const method = serviceHandlers(services.lease, { leaseKeepAlive: () => {} })[0] as ServiceMethod;
      const on = await open([
        {
          ...method,
          kind: 'clientStream',
          handler: (requests, _call, reply) => {
            requests.onMessage((request: LeaseKeepAliveRequest) => ids.push(request.id));
            requests.onEnd(() =>
              (reply as { ok(m: LeaseKeepAliveResponse): void }).ok(LeaseKeepAliveResponse.create()),
            );
          },
        },
      ]);
      await new Promise<void>((resolve, reject) => {
        const call = on
          .client()
          .makeClientStreamRequest(keepAlivePath, same, same, (error) => (error === null ? resolve() : reject(error)));
        for (const id of [1n, 2n, 3n]) call.write(LeaseKeepAliveRequest.encode(LeaseKeepAliveRequest.create({ id })));
        call.end();
      });
      expect(ids).toEqual([1n, 2n, 3n]);
    });

    test('both ways: requests are answered while the stream stays open', async () => {
      const on = await open(
        serviceHandlers(services.lease, {
          leaseKeepAlive: (requests, _call, stream) => {
            requests.onMessage(({ id }) => stream.send(LeaseKeepAliveResponse.create({ id, ttl: 5 })));
            requests.onEnd(() => stream.end());
          },
        }),
      );
      const call = on.client().makeBidiStreamRequest(keepAlivePath, same, same);
      const got: bigint[] = [];
      await new Promise<void>((resolve, reject) => {
        call.on('error', reject);
        call.on('end', resolve);
        call.on('data', (bytes: Buffer) => {
          got.push(LeaseKeepAliveResponse.decode(bytes).id);
          if (got.length < 100) call.write(LeaseKeepAliveRequest.encode({ id: BigInt(got.length) }));
          else call.end();
        });
        call.write(LeaseKeepAliveRequest.encode({ id: 0n }));
      });
      expect(got).toEqual(Array.from({ length: 100 }, (_, i) => BigInt(i)));
    });

    test('deliver nothing while paused and thousands of held messages after it, in order', async () => {
      const seen: number[] = [];
      let requestsSeen: { resume(): void } | undefined;
      const count = 5_000;
      const all = new Promise<void>((resolve) => {
        void open(
          watchMethods((requests, _call, stream) => {
            requestsSeen = requests;
            requests.onMessage((request) => {
              seen.push(request.createRequest?.startRevision ?? -1);
              if (seen.length === 1) {
                requests.pause();
                stream.sendHeaders();
              }
              if (seen.length === count) resolve();
            });
          }),
        ).then((on) => {
          const frames = Array.from({ length: count }, (_, i) => frame(WatchRequest.encode(createRequest(i))));
          const session = connect(`http://127.0.0.1:${on.port}`);
          const stream = session.request(grpcHeaders(watchPath));
          stream.write(Buffer.concat(frames));
          stream.on('error', () => {});
          stream.on('response', () => {
            expect(seen).toEqual([0]);
            requestsSeen?.resume();
          });
          void all.then(() => session.destroy());
        });
      });
      await all;
      expect(seen).toEqual(Array.from({ length: count }, (_, i) => i));
    });

    test('hold back a sender whose client does not read, and go on when it does', async () => {
      const blob = Buffer.alloc(64 * 1024, 1);
      const total = 64;
      let sentBeforeDrain = 0;
      let queued = 0;
      const on = await open(
        serviceHandlers(services.maintenance, {
          snapshot: (_request, _call, stream) => {
            let sent = 0;
            const more = (): void => {
              while (sent < total) {
                sent++;
                if (!stream.send(SnapshotResponse.create({ blob }))) break;
              }
              if (sentBeforeDrain === 0) {
                sentBeforeDrain = sent;
                queued = stream.queuedBytes;
              }
              if (sent === total) stream.end();
            };
            stream.onDrain(more);
            more();
          },
        }),
      );
      const call = on.client().makeServerStreamRequest(snapshotPath, same, same, SnapshotRequest.encode({}));
      let received = 0;
      call.on('data', (bytes: Buffer) => {
        received += SnapshotResponse.decode(bytes).blob.length;
      });
      await new Promise<void>((resolve, reject) => {
        call.on('end', resolve);
        call.on('error', reject);
      });
      expect(received).toBe(total * blob.length);
      expect(sentBeforeDrain).toBeLessThan(10);
      expect(queued).toBeGreaterThan(0);
    });

    test('end when the client sends what is no message, and the handler lets go of what it holds', async () => {
      const letGo = new Deferred<void>();
      const seen: number[] = [];
      const on = await open(
        watchMethods((requests, call) => {
          call.onCancel(() => letGo.resolve());
          requests.onMessage((request) => seen.push(request.createRequest?.startRevision ?? -1));
        }),
      );
      const call = on.client().makeBidiStreamRequest(watchPath, same, same);
      call.write(WatchRequest.encode(createRequest(1)));
      call.write(Buffer.from([0x0a, 0xff]));
      call.write(WatchRequest.encode(createRequest(2)));
      const error = await new Promise<ServiceError>((resolve) => call.on('error', resolve));
      expect(error.code).toBe(status.INTERNAL);
      await letGo.promise;
      expect(seen).toEqual([1]);
    });

    test('may be refused before anything was read', async () => {
      const on = await open(watchMethods((_requests, _call, stream) => stream.fail(new KvError('noLeader'))));
      const call = on.client().makeBidiStreamRequest(watchPath, same, same);
      call.write(WatchRequest.encode(createRequest(1)));
      const error = await new Promise<ServiceError>((resolve) => call.on('error', resolve));
      expect(error).toMatchObject({ code: status.UNAVAILABLE, details: 'etcdserver: no leader' });
    });
  });

  function createRequest(startRevision: number): WatchRequest {
    return WatchRequest.create({
      createRequest: {
        key: Buffer.from('k'),
        rangeEnd: Buffer.alloc(0),
        startRevision,
        progressNotify: false,
        filters: [],
        prevKv: false,
        watchId: 0n,
        fragment: false,
      },
    });
  }

  describe('message sizes', () => {
    test('a request of exactly the limit is served, one byte more is refused with the text of Go', async () => {
      const on = await open(putMethods((_request, _call, reply) => reply.ok(PutResponse.create())));
      await put(on, putOfSize(receiveMax));
      const error = await failureOf(put(on, putOfSize(receiveMax + 1)));
      expect(error).toMatchObject({
        code: status.RESOURCE_EXHAUSTED,
        details: `grpc: received message larger than max (${receiveMax + 1} vs. ${receiveMax})`,
      });
    });

    test('answers have no limit', async () => {
      const value = Buffer.alloc(8 * 1024 * 1024, 3);
      const on = await open(
        putMethods((_request, _call, reply) => reply.ok(PutResponse.create({ prevKv: { ...keyValue, value } }))),
      );
      const response = PutResponse.decode(await put(on));
      expect(response.prevKv?.value.equals(value)).toBe(true);
    });

    test('gzip is accepted, and its content held to the same limit', async () => {
      const on = await open(
        putMethods((request, _call, reply) =>
          reply.ok(PutResponse.create({ prevKv: { ...keyValue, key: request.key } })),
        ),
      );
      const small = await rawCall(on.port, putPath, frame(gzipSync(emptyPut), 1), { 'grpc-encoding': 'gzip' });
      expect(PutResponse.decode(small.body.subarray(5)).prevKv?.key.toString()).toBe('k');
      expect(String(small.headers['grpc-accept-encoding'])).toContain('gzip');
      const bomb = await rawCall(on.port, putPath, frame(gzipSync(putOfSize(receiveMax + 1)), 1), {
        'grpc-encoding': 'gzip',
      });
      expect(bomb.headers['grpc-status']).toBe(String(status.RESOURCE_EXHAUSTED));
    });

    test('a promised length over the limit is refused before the message comes', async () => {
      const on = await open(putMethods((_request, _call, reply) => reply.ok(PutResponse.create())));
      const answer = await rawCall(on.port, putPath, Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), {}, { keepOpen: true });
      expect(answer.headers['grpc-status']).toBe(String(status.RESOURCE_EXHAUSTED));
    });

    test('bytes in and out are counted', async () => {
      const counted = { received: 0, sent: 0 };
      const response = PutResponse.encode(PutResponse.create({ prevKv: keyValue }));
      const on = await open(
        putMethods((_request, _call, reply) => reply.encoded(response)),
        {
          bytesReceived: {
            add: (amount = 1) => {
              counted.received += amount;
            },
          },
          bytesSent: {
            add: (amount = 1) => {
              counted.sent += amount;
            },
          },
        },
      );
      await put(on);
      expect(counted).toEqual({ received: emptyPut.length, sent: response.length });
    });
  });

  describe('paths nobody serves', () => {
    test.each([
      ['/etcdserverpb.KV/Nothing', 'unknown method Nothing for service etcdserverpb.KV'],
      ['/etcdserverpb.Nothing/Put', 'unknown service etcdserverpb.Nothing'],
      ['/nothing', 'malformed method name: "/nothing"'],
    ])('%s is UNIMPLEMENTED in the words of Go', async (path, text) => {
      const on = await open(putMethods((_request, _call, reply) => reply.ok(PutResponse.create())));
      const error = await failureOf(callUnary(on.client(), path, emptyPut));
      expect(error).toMatchObject({ code: status.UNIMPLEMENTED, details: text });
    });

    test('a method of a served service without a handler is one of them', async () => {
      const on = await open(putMethods((_request, _call, reply) => reply.ok(PutResponse.create())));
      const error = await failureOf(
        callUnary(on.client(), services.kv.methods.range.path, RangeRequest.encode(RangeRequest.create())),
      );
      expect(error.code).toBe(status.UNIMPLEMENTED);
      expect(RangeResponse.name).toBe('etcdserverpb.RangeResponse');
    });

    test('HTTP/2 that is not gRPC gets 415', async () => {
      const on = await open(putMethods((_request, _call, reply) => reply.ok(PutResponse.create())));
      const answer = await rawCall(on.port, '/health', Buffer.alloc(0), { 'content-type': 'text/plain' });
      expect(answer.headers[':status']).toBe(415);
    });
  });

  describe('ending', () => {
    test('draining lets running calls end and takes no new connections', async () => {
      const started = new Deferred<Reply<PutResponse>>();
      const on = await open(putMethods((_request, _call, reply) => started.resolve(reply)));
      const running = callUnary(on.client(), putPath, emptyPut);
      const reply = await started.promise;
      const drained = on.transport.drain(5_000);
      await expect(put(on, emptyPut, undefined, 2_000)).rejects.toThrow();
      reply.ok(PutResponse.create());
      expect(PutResponse.decode(await running)).toEqual(PutResponse.create());
      expect(await drained).toBe(true);
    });

    test('draining ends after its limit when a call does not', async () => {
      const on = await open(watchMethods((_requests, _call, stream) => stream.sendHeaders()));
      const call = on.client().makeBidiStreamRequest(watchPath, same, same);
      const failed = new Promise<ServiceError>((resolve) => call.on('error', resolve));
      await new Promise((resolve) => call.on('metadata', resolve));
      expect(await on.transport.drain(50)).toBe(false);
      on.transport.close();
      expect((await failed).code).not.toBe(status.OK);
    });
  });
});

const same = (bytes: Buffer): Buffer => bytes;

function frame(message: Buffer, flag = 0): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt8(flag, 0);
  header.writeUInt32BE(message.length, 1);
  return Buffer.concat([header, message]);
}

function grpcHeaders(path: string): Record<string, string> {
  return { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' };
}

interface RawAnswer {
  readonly headers: Record<string, unknown>;
  readonly trailers: Record<string, unknown>;
  readonly body: Buffer;
}

/** A call without a gRPC library, for what such a library would not send. */
function rawCall(
  port: number,
  path: string,
  body: Buffer,
  extra: Record<string, string> = {},
  { keepOpen = false }: { keepOpen?: boolean } = {},
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const session = connect(`http://127.0.0.1:${port}`);
    session.on('error', reject);
    const stream = session.request({ ...grpcHeaders(path), ...extra });
    let headers: Record<string, unknown> = {};
    let trailers: Record<string, unknown> = {};
    const chunks: Buffer[] = [];
    stream.on('response', (got) => {
      headers = got;
    });
    stream.on('trailers', (got) => {
      trailers = got;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', reject);
    stream.on('end', () => {
      resolve({ headers, trailers, body: Buffer.concat(chunks) });
      stream.close(constants.NGHTTP2_NO_ERROR);
      session.destroy();
    });
    stream.write(body);
    if (!keepOpen) stream.end();
  });
}
