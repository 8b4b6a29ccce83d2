import { type ClientHttp2Session, connect } from 'node:http2';
import { KeyValue, LeaseKeepAliveRequest, LeaseKeepAliveResponse, RangeResponse, services } from '@quorate/proto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { serviceHandlers } from './service-table.ts';
import { ManualClock, Served, transports } from './testing/served.ts';
import type { ServeRpc } from './transport.ts';

const largeBytes = 2_000_000;
const methods = [
  ...serviceHandlers(services.lease, {
    leaseKeepAlive: (requests, _call, stream) => {
      stream.sendHeaders();
      requests.onMessage(() => stream.send(LeaseKeepAliveResponse.create()));
    },
  }),
  ...serviceHandlers(services.kv, {
    range: (_request, _call, reply) => {
      reply.ok(RangeResponse.create({ kvs: [KeyValue.create({ value: Buffer.alloc(largeBytes) })] }));
    },
  }),
];
const keepAlivePath = services.lease.methods.leaseKeepAlive.path;

let serve: ServeRpc;
let served: Served | undefined;
let session: ClientHttp2Session | undefined;
afterEach(async () => {
  session?.destroy();
  await served?.close();
});

const clock = new ManualClock();

async function connected(): Promise<ClientHttp2Session> {
  served = await Served.open(methods, { clock }, serve);
  const opened = connect(`http://127.0.0.1:${served.port}`);
  session = opened;
  opened.on('error', () => {});
  await new Promise<void>((resolve) => opened.once('remoteSettings', () => resolve()));
  return opened;
}

function ping(on: ClientHttp2Session): Promise<void> {
  return new Promise((resolve, reject) => {
    on.ping((error) => (error === null ? resolve() : reject(error)));
  });
}

/** The words of the GOAWAY that ends the connection. */
function lastWords(on: ClientHttp2Session): Promise<string> {
  return new Promise((resolve) =>
    on.once('goaway', (_code, _last, data) => resolve(Buffer.from(data ?? []).toString())),
  );
}

async function openStream(on: ClientHttp2Session): Promise<{ send(): Promise<void> }> {
  const stream = on.request({ ':method': 'POST', ':path': keepAlivePath, 'content-type': 'application/grpc' });
  stream.on('error', () => {});
  await new Promise((resolve) => stream.once('response', resolve));
  return {
    send: () =>
      new Promise((resolve) => {
        stream.once('data', () => resolve());
        const message = LeaseKeepAliveRequest.encode({ id: 1n });
        stream.write(Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]));
      }),
  };
}

describe.each(transports)('%s', (_name, serving) => {
  beforeEach(() => {
    serve = serving;
  });

  test('the third ping too soon ends the connection with too_many_pings', async () => {
    const on = await connected();
    const words = lastWords(on);
    await openStream(on);
    // The first is measured against the headers of the stream, which forgive; three strikes follow.
    for (let i = 0; i < 4; i++) await ping(on);
    expect(await words).toBe('too_many_pings');
  });

  test('pings as far apart as asked for are answered for ever while a call is open', async () => {
    const on = await connected();
    await openStream(on);
    for (let i = 0; i < 10; i++) {
      await ping(on);
      clock.advance(5_000);
    }
    expect(on.closed).toBe(false);
  });

  test('an answer sent between pings forgives them', async () => {
    const on = await connected();
    const stream = await openStream(on);
    for (let i = 0; i < 10; i++) {
      await ping(on);
      await stream.send();
    }
    expect(on.closed).toBe(false);
  });

  test('a client that pings on every piece of a large answer, to measure the bandwidth, gets it whole', async () => {
    const on = await connected();
    const stream = on.request({
      ':method': 'POST',
      ':path': services.kv.methods.range.path,
      'content-type': 'application/grpc',
    });
    stream.end(Buffer.alloc(5));
    let received = 0;
    let pings = 0;
    for await (const piece of stream as AsyncIterable<Buffer>) {
      received += piece.length;
      if (received < 65_536 * (pings + 1)) continue;
      pings++;
      on.ping(() => {});
    }
    expect(received).toBeGreaterThan(largeBytes);
    expect(pings).toBeGreaterThan(20);
  });

  test('without calls, pings every 5 seconds are too many', async () => {
    const on = await connected();
    const words = lastWords(on);
    for (let i = 0; i < 4; i++) {
      await ping(on);
      clock.advance(5_000);
    }
    expect(await words).toBe('too_many_pings');
  });
});
