import { createServer, type Server as TcpServer } from 'node:net';
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { RangeResponse, ResponseHeader, Status } from '@quorate/proto';
import { afterEach, describe, expect, test } from 'vitest';
import type { Attempt, Channel } from './channel.ts';
import { Client } from './client.ts';
import { parseEndpoint } from './endpoint.ts';
import { RpcError } from './errors.ts';
import { type GrpcOptions, grpcTransport } from './grpc-channel.ts';
import { ca, clientCert, clientKey, serverCert, serverKey } from './testing/certificates.ts';

type Unary = (call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>) => void;
type Stream = (call: ServerWritableStream<Buffer, Buffer>) => void;
type Bidi = (call: ServerDuplexStream<Buffer, Buffer>) => void;

const patient: Attempt = { timeoutMs: 10_000, signal: undefined, metadata: {} };
const asIs = (bytes: Buffer): Buffer => bytes;
const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

async function serve(
  handlers: { unary?: Unary; stream?: Stream; bidi?: Bidi },
  options: { address?: string; credentials?: ServerCredentials } = {},
): Promise<{ port: number; server: Server }> {
  const server = new Server();
  const codec = {
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
  server.addService(
    {
      unary: { path: '/test/Unary', requestStream: false, responseStream: false, ...codec },
      stream: { path: '/test/Stream', requestStream: false, responseStream: true, ...codec },
      bidi: { path: '/test/Bidi', requestStream: true, responseStream: true, ...codec },
    },
    handlers,
  );
  const credentials = options.credentials ?? ServerCredentials.createInsecure();
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(options.address ?? '127.0.0.1:0', credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  cleanups.push(() => server.forceShutdown());
  return { port, server };
}

function open(endpoint: string, options: GrpcOptions = {}): Channel {
  const channel = grpcTransport(options)(parseEndpoint(endpoint));
  cleanups.push(() => channel.close());
  return channel;
}

const echo: Unary = (call, reply) => reply(null, Buffer.concat([Buffer.from('got '), call.request]));

async function ask(channel: Channel, attempt: Partial<Attempt> = {}): Promise<string> {
  return (await channel.unary('/test/Unary', Buffer.from('x'), { ...patient, ...attempt })).toString();
}

async function refusal(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => expect.unreachable(`answered ${String(value)}`),
    (error: unknown) => error,
  );
}

/** A port nobody listens on, because somebody just did. */
async function freePort(): Promise<number> {
  const server = await listen();
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listen(): Promise<TcpServer> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return server;
}

describe('unary calls', () => {
  test('carry bytes and metadata', async () => {
    const { port } = await serve({
      unary: (call, reply) => reply(null, Buffer.from(String(call.metadata.get('hasleader')))),
    });
    expect(await ask(open(`127.0.0.1:${port}`), { metadata: { hasleader: 'true' } })).toBe('true');
  });

  test("keep the server's status and text", async () => {
    const { port } = await serve({ unary: (_call, reply) => reply({ code: 11, details: 'etcdserver: é' }) });
    const error = await refusal(ask(open(`127.0.0.1:${port}`)));
    expect(error).toBeInstanceOf(RpcError);
    expect(error).toMatchObject({ status: 11, details: 'etcdserver: é', sent: true, endpoint: `127.0.0.1:${port}` });
  });

  test('to a port where nobody listens were not sent, and say why', async () => {
    const port = await freePort();
    const error = await refusal(ask(open(`127.0.0.1:${port}`)));
    expect(error).toMatchObject({ status: Status.UNAVAILABLE, sent: false });
    expect((error as RpcError).details).toContain(`ECONNREFUSED 127.0.0.1:${port}`);
  });

  test('to a name nobody knows were not sent', async () => {
    const error = await refusal(ask(open('no-such-host.invalid:2379')));
    expect(error).toMatchObject({ status: Status.UNAVAILABLE, sent: false });
  });

  test('whose server dies under way may have happened', async () => {
    const { port, server } = await serve({ unary: () => server.forceShutdown() });
    const error = await refusal(ask(open(`127.0.0.1:${port}`)));
    expect(error).toMatchObject({ status: Status.UNAVAILABLE, sent: true });
  });

  test('end with their time', async () => {
    const { port } = await serve({ unary: () => {} });
    const error = await refusal(ask(open(`127.0.0.1:${port}`), { timeoutMs: 30 }));
    expect(error).toMatchObject({ status: Status.DEADLINE_EXCEEDED, message: 'context deadline exceeded', sent: true });
  });

  test("end with their signal, with the signal's reason, and the server learns it", async () => {
    const abort = new AbortController();
    const cancelled = new Promise<void>((resolve) => {
      void serve({
        unary: (call) => {
          call.on('cancelled', resolve);
          abort.abort(new Error('enough'));
        },
      }).then(({ port }) =>
        refusal(ask(open(`127.0.0.1:${port}`), { signal: abort.signal })).then((error) =>
          expect(error).toMatchObject({ message: 'enough' }),
        ),
      );
    });
    await cancelled;
  });
});

describe('connecting', () => {
  test('ends when connected', async () => {
    const { port } = await serve({ unary: echo });
    const channel = open(`127.0.0.1:${port}`);
    expect(channel.isConnected).toBe(false);
    await channel.connect(10_000, undefined);
    expect(channel.isConnected).toBe(true);
    expect(await ask(channel)).toBe('got x');
  });

  test('ends when refused, without an error: the call will tell', async () => {
    const channel = open(`127.0.0.1:${await freePort()}`);
    await channel.connect(10_000, undefined);
    expect(channel.isConnected).toBe(false);
  });

  test('gives up on a host that accepts and stays silent', async () => {
    const silent = await listen();
    cleanups.push(() => silent.close());
    const { port } = silent.address() as { port: number };
    const error = await refusal(open(`127.0.0.1:${port}`).connect(50, undefined));
    expect(error).toMatchObject({ status: Status.UNAVAILABLE, sent: false, message: 'no connection within 50 ms' });
  });

  test('ends when the channel is closed', async () => {
    const silent = await listen();
    cleanups.push(() => silent.close());
    const { port } = silent.address() as { port: number };
    const channel = open(`127.0.0.1:${port}`);
    const dialled = new Promise((resolve) => silent.once('connection', resolve));
    const connecting = [1, 2].map(() => channel.connect(60_000, undefined));
    await dialled;
    channel.close();
    await Promise.all(connecting);
    expect(channel.isConnected).toBe(false);
  });

  test('ends with the signal', async () => {
    const silent = await listen();
    cleanups.push(() => silent.close());
    const { port } = silent.address() as { port: number };
    const error = await refusal(open(`127.0.0.1:${port}`).connect(10_000, AbortSignal.timeout(20)));
    expect(error).toMatchObject({ name: 'TimeoutError' });
  });

  test('works over a socket file', async () => {
    const path = `/tmp/quorate-client-${process.pid}.sock`;
    await serve({ unary: echo }, { address: `unix:${path}` });
    expect(await ask(open(`unix://${path}`))).toBe('got x');
  });
});

describe('server streams', () => {
  const count: Stream = (call) => {
    for (let i = 0; i < 3; i += 1) call.write(Buffer.from([i]));
    call.end();
  };

  test('come whole and in order', async () => {
    const { port } = await serve({ stream: count });
    const seen: number[] = [];
    for await (const bytes of open(`127.0.0.1:${port}`).serverStream('/test/Stream', Buffer.alloc(0), patient)) {
      seen.push(bytes[0]!);
    }
    expect(seen).toEqual([0, 1, 2]);
  });

  test('are cancelled when the reader leaves', async () => {
    let left: () => void = () => {};
    const cancelled = new Promise<void>((resolve) => {
      left = resolve;
    });
    const { port } = await serve({
      stream: (call) => {
        call.on('cancelled', left);
        call.write(Buffer.from([1]));
      },
    });
    for await (const _bytes of open(`127.0.0.1:${port}`).serverStream('/test/Stream', Buffer.alloc(0), patient)) break;
    await cancelled;
  });

  test('fail with status and text', async () => {
    const { port } = await serve({
      stream: (call) => {
        call.emit('error', { code: Status.UNAVAILABLE, details: 'etcdserver: no leader' });
      },
    });
    const read = async (): Promise<void> => {
      for await (const _bytes of open(`127.0.0.1:${port}`).serverStream('/test/Stream', Buffer.alloc(0), patient));
    };
    expect(await refusal(read())).toMatchObject({ status: Status.UNAVAILABLE, details: 'etcdserver: no leader' });
  });
});

describe('streams in both directions', () => {
  async function connect(bidi: Bidi, attempt: Partial<Attempt> = {}) {
    const { port } = await serve({ bidi });
    return open(`127.0.0.1:${port}`).bidiStream('/test/Bidi', { ...patient, timeoutMs: undefined, ...attempt });
  }

  const mirror: Bidi = (call) => {
    call.on('data', (bytes: Buffer) => call.write(bytes));
    call.on('end', () => call.end());
  };

  test('carry requests and answers, and end when both sides have', async () => {
    const stream = await connect(mirror);
    const seen: string[] = [];
    stream.send(Buffer.from('a'));
    for await (const bytes of stream.responses) {
      seen.push(bytes.toString());
      if (seen.length === 1) stream.send(Buffer.from('b'));
      else stream.end();
    }
    expect(seen).toEqual(['a', 'b']);
    stream.send(Buffer.from('ignored'));
  });

  test('fail with status and text, behind what came before', async () => {
    const stream = await connect((call) => {
      call.write(Buffer.from('a'));
      call.on('data', () => call.emit('error', { code: Status.UNAVAILABLE, details: 'etcdserver: no leader' }));
    });
    expect((await stream.responses.next()).value?.toString()).toBe('a');
    stream.send(Buffer.from('x'));
    expect(await refusal(stream.responses.next())).toMatchObject({ sent: true, details: 'etcdserver: no leader' });
  });

  test('that cannot be begun fail as never sent', async () => {
    const channel = open(`127.0.0.1:${await freePort()}`);
    await channel.connect(10_000, undefined);
    const { responses } = channel.bidiStream('/test/Bidi', patient);
    expect(await refusal(responses.next())).toMatchObject({ status: Status.UNAVAILABLE, sent: false });
  });

  test.each(['cancel', 'leave', 'abort'] as const)('end at the member on %s', async (how) => {
    let left: () => void = () => {};
    const cancelled = new Promise<void>((resolve) => {
      left = resolve;
    });
    const abort = new AbortController();
    const stream = await connect(
      (call) => {
        call.on('cancelled', left);
        call.write(Buffer.from('a'));
      },
      { signal: abort.signal },
    );
    await stream.responses.next();
    const next = stream.responses.next().catch((error: Error) => error.message);
    if (how === 'cancel') stream.cancel();
    else if (how === 'leave') await stream.responses.return?.();
    else abort.abort(new Error('enough'));
    expect(await next).toEqual(how === 'abort' ? 'enough' : { done: true, value: undefined });
    await cancelled;
  });

  test('with a signal that is aborted before they begin are over at once', async () => {
    const stream = await connect(mirror, { signal: AbortSignal.abort(new Error('enough')) });
    expect(await refusal(stream.responses.next())).toMatchObject({ message: 'enough' });
  });

  test('leave with the member what nobody reads', async () => {
    let written = 0;
    const total = 400;
    const stream = await connect((call) => {
      const more = (): void => {
        while (written < total) {
          written += 1;
          if (!call.write(Buffer.alloc(64 * 1024))) {
            call.once('drain', more);
            return;
          }
        }
        call.end();
      };
      more();
    });
    let read = 1;
    await stream.responses.next();
    // Everything that is under way arrives; the rest waits for the reader.
    let before = 0;
    while (before !== written) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(written).toBeLessThan(total / 2);
    for await (const _bytes of stream.responses) read += 1;
    expect(read).toBe(total);
  });
});

describe('TLS', () => {
  const pair = { cert_chain: Buffer.from(serverCert), private_key: Buffer.from(serverKey) };
  const trusting = { ca: Buffer.from(ca) };

  test('with the authority given, by scheme or by settings', async () => {
    const credentials = ServerCredentials.createSsl(null, [pair]);
    const { port } = await serve({ unary: echo }, { credentials });
    expect(await ask(open(`https://localhost:${port}`, { tls: trusting }))).toBe('got x');
    expect(await ask(open(`localhost:${port}`, { tls: trusting }))).toBe('got x');
  });

  test('an unknown authority is refused unless verification is switched off', async () => {
    const credentials = ServerCredentials.createSsl(null, [pair]);
    const { port } = await serve({ unary: echo }, { credentials });
    const error = await refusal(ask(open(`https://localhost:${port}`)));
    expect(error).toMatchObject({ status: Status.UNAVAILABLE, sent: false });
    expect((error as RpcError).details).toMatch(/certificate/);
    expect(await ask(open(`https://localhost:${port}`, { tls: { skipVerify: true } }))).toBe('got x');
  });

  test('a client certificate is shown when given, and missed when not', async () => {
    const credentials = ServerCredentials.createSsl(Buffer.from(ca), [pair], true);
    const { port } = await serve({ unary: echo }, { credentials });
    const tls = { ...trusting, cert: Buffer.from(clientCert), key: Buffer.from(clientKey) };
    expect(await ask(open(`https://localhost:${port}`, { tls }))).toBe('got x');
    expect(await refusal(ask(open(`https://localhost:${port}`, { tls: trusting })))).toMatchObject({
      status: Status.UNAVAILABLE,
    });
  });

  test('http in the endpoint means plain whatever the settings', async () => {
    const { port } = await serve({ unary: echo });
    expect(await ask(open(`http://127.0.0.1:${port}`, { tls: trusting }))).toBe('got x');
  });
});

test('a client over this transport moves on from a dead member to a living one', async () => {
  const answer = RangeResponse.encode(RangeResponse.create({ header: ResponseHeader.create({ revision: 4 }) }));
  const server = new Server();
  const codec = {
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
  const path = '/etcdserverpb.KV/Range';
  server.addService(
    { range: { path, requestStream: false, responseStream: false, ...codec } },
    { range: (_call: unknown, reply: sendUnaryData<Buffer>) => reply(null, answer) },
  );
  const port = await new Promise<number>((resolve) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, bound) => resolve(bound));
  });
  cleanups.push(() => server.forceShutdown());
  const client = new Client({ endpoints: [`127.0.0.1:${await freePort()}`, `127.0.0.1:${port}`] });
  cleanups.push(() => client.close());
  expect(await client.kv.get('k')).toMatchObject({ header: { revision: 4 } });
});
