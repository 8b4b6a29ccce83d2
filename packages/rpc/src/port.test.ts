import { request as httpRequest } from 'node:http';
import { connect } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { silentLogger } from '@quorate/base';
import { PutRequest, PutResponse, services } from '@quorate/proto';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { ListenError, Port, protocolOf } from './port.ts';
import { serviceHandlers } from './service-table.ts';
import { callUnary, realClock, Served } from './testing/served.ts';

const methods = serviceHandlers(services.kv, { put: (_request, _call, reply) => reply.ok(PutResponse.create()) });
const putPath = services.kv.methods.put.path;
const emptyPut = PutRequest.encode(PutRequest.create());

let served: Served | undefined;
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await served?.close();
  served = undefined;
});

async function open(): Promise<Served> {
  served = await Served.open(methods, { handshakeTimeoutMs: 300 });
  return served;
}

function tcp(port: number): Socket {
  const socket = connectTcp({ port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {});
  sockets.push(socket);
  return socket;
}

function httpGet(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ port, host: '127.0.0.1', path, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve(text));
    });
    request.on('error', reject);
    request.end();
  });
}

/** Everything the other side says until it closes. */
function untilClosed(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('close', () => resolve(text));
  });
}

describe('one port', () => {
  test('serves gRPC and HTTP/1.1 at the same time', async () => {
    const on = await open();
    const client = on.client();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        i % 2 === 0 ? callUnary(client, putPath, emptyPut).then((bytes) => bytes.length) : httpGet(on.port, `/${i}`),
      ),
    );
    expect(answers).toEqual(Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? 0 : `plain /${i}`)));
  });

  test('hands over every byte of an HTTP/1.1 request, wherever it was cut', async () => {
    const on = await open();
    const request = 'POST /echo HTTP/1.1\r\nHost: kvd\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc';
    for (const cut of [1, 2, 3, 4, 10, 20]) {
      const socket = tcp(on.port);
      const answer = untilClosed(socket);
      socket.write(request.slice(0, cut));
      await new Promise((resolve) => setImmediate(resolve));
      socket.write(request.slice(cut));
      expect(await answer).toContain('plain /echo');
    }
  });

  test('hands over every byte of an HTTP/2 preface, wherever it was cut', async () => {
    const on = await open();
    for (const cut of [1, 3, 13, 14, 15, 23, 24]) {
      const socket = tcp(on.port);
      await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
      const write = socket.write.bind(socket);
      // Only the first write carries the preface; split it in two.
      socket.write = ((chunk: Buffer, ...rest: never[]) => {
        socket.write = write;
        write(chunk.subarray(0, cut));
        return write(chunk.subarray(cut), ...rest);
      }) as typeof socket.write;
      const session = connect('http://kvd', { createConnection: () => socket });
      await new Promise<void>((resolve, reject) => {
        session.on('error', reject);
        session.once('remoteSettings', () => resolve());
      });
      session.destroy();
    }
  });

  test('tells POST, PUT and PATCH from the preface at the first byte that differs', () => {
    expect(protocolOf(Buffer.from('P'))).toBeUndefined();
    expect(protocolOf(Buffer.from('PO'))).toBe('http1');
    expect(protocolOf(Buffer.from('PRI * HTTP/1.1'))).toBe('http1');
    expect(protocolOf(Buffer.from('PRI * HTTP/2.'))).toBeUndefined();
    expect(protocolOf(Buffer.from('PRI * HTTP/2.0'))).toBe('http2');
  });

  test('decides the same from any longer head', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), fc.constant(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))), (bytes) => {
        const whole = protocolOf(Buffer.from(bytes));
        for (let length = 0; length < bytes.length; length++) {
          const part = protocolOf(Buffer.from(bytes.subarray(0, length)));
          if (part !== undefined) expect(part).toBe(whole);
        }
      }),
    );
  });

  test('survives garbage and goes on serving', async () => {
    const on = await open();
    const garbage = [
      Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]),
      Buffer.from('PRI * HTTP/2.0\r\n\r\nXX garbage instead of SM'),
      Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.alloc(64, 0xff)]),
      Buffer.alloc(4096, 0),
      Buffer.from('GET / HTTP/9.9\r\n\r\n'),
    ];
    const closed = garbage.map((bytes) => {
      const socket = tcp(on.port);
      socket.write(bytes);
      return untilClosed(socket);
    });
    await Promise.all(closed);
    expect((await callUnary(on.client(), putPath, emptyPut)).length).toBe(0);
    expect(await httpGet(on.port, '/')).toBe('plain /');
  });

  test('closes connections that say nothing, little, or only the preface', async () => {
    const on = await open();
    const closed = ['', 'P', 'PRI * HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'GET / HTTP/1.1\r\nHost: a\r\n'].map(
      (text) => {
        const socket = tcp(on.port);
        if (text !== '') socket.write(text);
        return untilClosed(socket);
      },
    );
    await Promise.all(closed);
  });

  test('survives connections that are reset while it finds out what they speak', async () => {
    const on = await open();
    for (let i = 0; i < 10; i++) {
      const socket = tcp(on.port);
      await new Promise<void>((resolve) => socket.write('P', () => resolve()));
      socket.resetAndDestroy();
    }
    expect(await httpGet(on.port, '/still')).toBe('plain /still');
  });

  test('stops listening at once and lets requests end', async () => {
    const on = await open();
    const port = on.port;
    const idle = tcp(port);
    await new Promise((resolve) => idle.once('connect', resolve));
    await on.stopListening();
    await expect(httpGet(port, '/')).rejects.toThrow('ECONNREFUSED');
  });

  test('names the address it cannot listen on, and why', async () => {
    const on = await open();
    const again = Port.listen({ host: '127.0.0.1', port: on.port, clock: realClock, logger: on.logger });
    await expect(again).rejects.toThrow(ListenError);
    await expect(again).rejects.toThrow(`listen tcp 127.0.0.1:${on.port}: bind: address already in use`);
  });

  test('listens on the IPv4 address of a name', async () => {
    const port = await Port.listen({ host: 'localhost', port: 0, clock: realClock, logger: silentLogger });
    port.serve({ http: (_request, response) => response.end('named') });
    expect(await httpGet(port.number, '/')).toBe('named');
    await port.close(100);
  });

  test('lets connections wait until it is served', async () => {
    const port = await Port.listen({ host: '127.0.0.1', port: 0, clock: realClock, logger: silentLogger });
    let answered = false;
    const answer = httpGet(port.number, '/early').then((text) => {
      answered = true;
      return text;
    });
    const gone = tcp(port.number);
    await new Promise((resolve) => gone.once('connect', resolve));
    gone.destroy();
    await new Promise((resolve) => setImmediate(resolve));
    expect(answered).toBe(false);
    port.serve({ http: (request, response) => response.end(`served ${request.url}`) });
    expect(await answer).toBe('served /early');
    await port.close(100);
  });

  test('closes waiting connections when it is closed without ever having been served', async () => {
    const port = await Port.listen({ host: '127.0.0.1', port: 0, clock: realClock, logger: silentLogger });
    const socket = tcp(port.number);
    await new Promise((resolve) => socket.once('connect', resolve));
    const closed = untilClosed(socket);
    await port.close(100);
    await closed;
  });

  test('closes HTTP/2 connections where only HTTP/1.1 is served', async () => {
    const port = await Port.listen({ host: '127.0.0.1', port: 0, clock: realClock, logger: silentLogger });
    port.serve({ http: (_request, response) => response.end('plain') });
    const socket = tcp(port.number);
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    expect(await untilClosed(socket)).toBe('');
    expect(await httpGet(port.number, '/')).toBe('plain');
    await port.close(100);
  });
});
