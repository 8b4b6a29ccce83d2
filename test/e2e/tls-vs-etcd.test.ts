/**
 * One etcd and one kvd with the same certificates and flags, and clients with better and worse ones: what a client is given, an
 * HTTP/2 connection, an HTTP/1.1 answer or nothing, must be the same. Words and alerts differ between Go's TLS and OpenSSL.
 */
import { readFileSync } from 'node:fs';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { PutRequest, services } from '@quorate/proto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CertificatePaths, TestAuthority } from '../support/certificates.ts';
import { EtcdProcess, installedEtcds } from '../support/etcd-process.ts';
import { hasJdk, jdkHttpStory } from '../support/java-story.ts';
import { KvdCluster } from '../support/kvd-process.ts';
import { freePorts } from '../support/ports.ts';

// Flags for versions came with 3.5.
const installation = installedEtcds().find(({ minor }) => minor !== '3.4');
const authority = new TestAuthority();
const stranger = new TestAuthority();
const server = authority.issue('server');
const ca = readFileSync(authority.cert);
afterAll(() => {
  authority.close();
  stranger.close();
});

interface Endpoints {
  readonly secure: string;
  readonly plain: string;
}

/** Both, each listening with TLS and without. */
class Pair {
  readonly etcd: Endpoints;
  readonly kvd: Endpoints;
  readonly #close: () => Promise<void>;

  static async start(flags: readonly string[]): Promise<Pair> {
    const files = ['--cert-file', server.cert, '--key-file', server.key];
    const etcd = await EtcdProcess.start({ installation: installation!, flags: [...files, ...flags], secure: true });
    const cluster = await KvdCluster.create(1);
    const member = cluster.members[0]!;
    const [port] = await freePorts(1);
    const secure = `127.0.0.1:${port}`;
    member.start({
      flags: ['--listen-client-urls', `http://${member.endpoint},https://${secure}`, ...files, ...flags],
    });
    await member.healthy();
    return new Pair(
      { secure: etcd.secureEndpoint, plain: etcd.endpoint },
      { secure, plain: member.endpoint },
      async () => {
        etcd.stop();
        await cluster.close();
      },
    );
  }

  private constructor(etcd: Endpoints, kvd: Endpoints, close: () => Promise<void>) {
    this.etcd = etcd;
    this.kvd = kvd;
    this.#close = close;
  }

  close(): Promise<void> {
    return this.#close();
  }
}

const words = {
  http1: Buffer.from('GET /health HTTP/1.1\r\nHost: kvd\r\nConnection: close\r\n\r\n'),
  /** The preface and empty SETTINGS. */
  http2: Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1'),
};

interface Case {
  readonly what: string;
  readonly tls: ConnectionOptions | 'none';
  readonly says: keyof typeof words;
  readonly to?: keyof Endpoints;
  /** What etcd does, so that two servers that both do nothing do not pass for two that agree. */
  readonly gives: string;
}

function show({ cert, key }: CertificatePaths): ConnectionOptions {
  return { cert: readFileSync(cert), key: readFileSync(key) };
}

/** What a client is given that connects so and says that: HTTP/2, an HTTP status, or nothing. */
function given(endpoint: string, options: ConnectionOptions | 'none', says: keyof typeof words): Promise<string> {
  const [host, port] = endpoint.split(':') as [string, string];
  const address = { host, port: Number(port) };
  return new Promise((resolve, reject) => {
    let answer: Buffer = Buffer.alloc(0);
    const socket: Socket =
      options === 'none' ? connectTcp(address) : connectTls({ ca, servername: 'localhost', ...address, ...options });
    const limit = setTimeout(
      () => done(new Error(`neither answered nor closed: ${answer.toString('latin1')}`)),
      60_000,
    );
    const done = (outcome: string | Error): void => {
      clearTimeout(limit);
      socket.destroy();
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
    };
    socket.once(options === 'none' ? 'connect' : 'secureConnect', () => socket.write(words[says]));
    socket.on('data', (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk]);
      if (isHttp2(answer)) done('HTTP/2');
      const status = /^HTTP\/1\.[01] (\d+)/.exec(answer.toString('latin1'))?.[1];
      if (status !== undefined) done(`HTTP/1.1 ${status}`);
    });
    socket.on('error', () => done('nothing'));
    socket.on('close', () => done('nothing'));
  });
}

/** Whether our SETTINGS were acknowledged: a server may send its own before it has seen who it talks to. */
function isHttp2(answer: Buffer): boolean {
  for (let at = 0; at + 9 <= answer.length; at += 9 + answer.readUIntBE(at, 3)) {
    if (answer[at + 3] === 4 && answer[at + 4] === 1) return true;
  }
  return false;
}

function compare(pair: () => Pair, cases: readonly Case[]): void {
  test.each(cases)('$what: $gives', async ({ tls, says, to = 'secure', gives }) => {
    const [byEtcd, byKvd] = await Promise.all([given(pair().etcd[to], tls, says), given(pair().kvd[to], tls, says)]);
    expect({ byEtcd, byKvd }).toEqual({ byEtcd: gives, byKvd: gives });
  });
}

const h2: ConnectionOptions = { ALPNProtocols: ['h2'] };
const expired = authority.issue('late', { notAfter: new Date(Date.now() - 60_000) });

describe.skipIf(installation === undefined)('a server that wants certificates of clients', () => {
  let pair: Pair;
  const alice = authority.issue('alice');
  beforeAll(async () => {
    pair = await Pair.start(['--client-cert-auth', '--trusted-ca-file', authority.cert]);
  });
  afterAll(() => pair?.close());

  const own = { ...h2, ...show(alice) };
  const http1 = { ...show(alice), ALPNProtocols: ['http/1.1'] };
  const noProtocol = show(alice);
  const other = (certificate: CertificatePaths): ConnectionOptions => ({ ...h2, ...show(certificate) });
  compare(
    () => pair,
    [
      { what: 'a good certificate', tls: own, says: 'http2', gives: 'HTTP/2' },
      { what: 'a good certificate, TLS 1.2', tls: { ...own, maxVersion: 'TLSv1.2' }, says: 'http2', gives: 'HTTP/2' },
      { what: 'none', tls: h2, says: 'http2', gives: 'nothing' },
      { what: 'none, TLS 1.2', tls: { ...h2, maxVersion: 'TLSv1.2' }, says: 'http2', gives: 'nothing' },
      { what: 'none, for HTTP/1.1', tls: { ALPNProtocols: ['http/1.1'] }, says: 'http1', gives: 'nothing' },
      { what: "a stranger's", tls: other(stranger.issue('mallory')), says: 'http2', gives: 'nothing' },
      { what: 'an expired one', tls: other(expired), says: 'http2', gives: 'nothing' },
      {
        what: 'one that is not valid yet',
        tls: other(authority.issue('early', { notBefore: new Date(Date.now() + 3_600_000) })),
        says: 'http2',
        gives: 'nothing',
      },
      {
        what: 'one for servers only',
        tls: other(authority.issue('only a server', { usages: ['server'] })),
        says: 'http2',
        gives: 'nothing',
      },
      {
        what: 'one for another address',
        tls: other(authority.issue('far', { hosts: ['10.9.8.7'] })),
        says: 'http2',
        gives: 'HTTP/2',
      },
      {
        what: 'one for no address',
        tls: other(authority.issue('nowhere', { hosts: [] })),
        says: 'http2',
        gives: 'HTTP/2',
      },
      {
        what: "a client that trusts a stranger's authority",
        tls: { ...own, ca: readFileSync(stranger.cert) },
        says: 'http2',
        gives: 'nothing',
      },
      {
        what: 'a client that expects another name',
        tls: { ...own, servername: 'elsewhere.example' },
        says: 'http2',
        gives: 'nothing',
      },
      { what: 'ALPN http/1.1', tls: http1, says: 'http1', gives: 'HTTP/1.1 200' },
      { what: 'no ALPN, speaking HTTP/1.1', tls: noProtocol, says: 'http1', gives: 'HTTP/1.1 200' },
      { what: 'no ALPN, speaking HTTP/2', tls: noProtocol, says: 'http2', gives: 'HTTP/1.1 400' },
      { what: 'ALPN http/1.1, speaking HTTP/2', tls: http1, says: 'http2', gives: 'HTTP/1.1 400' },
      { what: 'ALPN h2, speaking HTTP/1.1', tls: own, says: 'http1', gives: 'nothing' },
      { what: 'ALPN of both', tls: { ...own, ALPNProtocols: ['http/1.1', 'h2'] }, says: 'http2', gives: 'HTTP/2' },
      { what: 'ALPN of something else', tls: { ...own, ALPNProtocols: ['spdy/3'] }, says: 'http2', gives: 'nothing' },
      {
        what: 'TLS 1.1',
        tls: { ...own, minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' },
        says: 'http2',
        gives: 'nothing',
      },
      { what: 'plain HTTP/1.1 to a port with TLS', tls: 'none', says: 'http1', gives: 'nothing' },
      { what: 'plain HTTP/2 to a port with TLS', tls: 'none', says: 'http2', gives: 'nothing' },
      { what: 'TLS to a port without', tls: own, says: 'http2', to: 'plain', gives: 'nothing' },
      { what: 'plain HTTP/1.1 to a port without TLS', tls: 'none', says: 'http1', to: 'plain', gives: 'HTTP/1.1 200' },
      { what: 'plain HTTP/2 to a port without TLS', tls: 'none', says: 'http2', to: 'plain', gives: 'HTTP/2' },
    ],
  );

  test.each([
    ['secure', 'http', 'status 0'],
    ['secure', 'https', 'status 0'],
    ['secure', 'ftp', 'reset with 1'],
    ['secure', 'HTTPS', 'reset with 1'],
    ['plain', 'https', 'status 0'],
    ['plain', 'ftp', 'status 0'],
  ] as const)('a put on the %s port whose :scheme is %s: %s', async (to, scheme, gives) => {
    const put = (endpoints: Endpoints) =>
      putWithScheme(`${to === 'secure' ? 'https' : 'http'}://${endpoints[to]}`, scheme, own);
    const [byEtcd, byKvd] = await Promise.all([put(pair.etcd), put(pair.kvd)]);
    expect({ byEtcd, byKvd }).toEqual({ byEtcd: gives, byKvd: gives });
  });

  test.skipIf(!hasJdk())("the JDK's own HTTP/2 over TLS puts and ranges on both", async () => {
    const hear = (endpoint: string) => jdkHttpStory(endpoint, [authority.cert, alice.cert, alice.key]);
    const byEtcd = await hear(pair.etcd.secure);
    expect(byEtcd).toContainEqual(['get', '2']);
    expect(await hear(pair.kvd.secure)).toEqual(byEtcd);
  });
});

/** What becomes of a put: the gRPC status, or the code of a reset. */
function putWithScheme(url: string, scheme: string, own: ConnectionOptions): Promise<string> {
  const session: ClientHttp2Session = connectHttp2(url, { ca, ...own });
  const message = PutRequest.encode(PutRequest.create({ key: Buffer.from('k') }));
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return new Promise<string>((resolve, reject) => {
    session.on('error', reject);
    const stream = session.request({
      ':method': 'POST',
      ':scheme': scheme,
      ':path': services.kv.methods.put.path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('trailers', (trailers) => resolve(`status ${String(trailers['grpc-status'])}`));
    stream.on('error', () => {
      // Its code tells.
    });
    stream.on('close', () => resolve(`reset with ${stream.rstCode}`));
    stream.resume();
    stream.end(Buffer.concat([prefix, message]));
  }).finally(() => session.destroy());
}

const suite = 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256';

describe.skipIf(installation === undefined)(`--tls-max-version TLS1.2 --cipher-suites ${suite}`, () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.start(['--tls-max-version', 'TLS1.2', '--cipher-suites', suite]);
  });
  afterAll(() => pair?.close());
  compare(
    () => pair,
    [
      { what: 'both versions', tls: h2, says: 'http2', gives: 'HTTP/2' },
      { what: 'TLS 1.3 alone', tls: { ...h2, minVersion: 'TLSv1.3' }, says: 'http2', gives: 'nothing' },
      { what: 'that suite', tls: { ...h2, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }, says: 'http2', gives: 'HTTP/2' },
      {
        what: 'another suite',
        tls: { ...h2, ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' },
        says: 'http2',
        gives: 'nothing',
      },
    ],
  );
});

describe.skipIf(installation === undefined)('--tls-min-version TLS1.3', () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.start(['--tls-min-version', 'TLS1.3']);
  });
  afterAll(() => pair?.close());
  compare(
    () => pair,
    [
      { what: 'TLS 1.3', tls: { ...h2, minVersion: 'TLSv1.3' }, says: 'http2', gives: 'HTTP/2' },
      { what: 'TLS 1.2', tls: { ...h2, maxVersion: 'TLSv1.2' }, says: 'http2', gives: 'nothing' },
      { what: 'TLS 1.2 for HTTP/1.1', tls: { maxVersion: 'TLSv1.2' }, says: 'http1', gives: 'nothing' },
    ],
  );
});
