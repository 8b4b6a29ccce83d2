import { generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect as connectTcp, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { type Facts, type Logger, silentLogger } from '@quorate/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type CertificateRequest, writeCertificate, writeRevocationList } from './certificate.ts';
import { commonNameOf } from './client-rules.ts';
import { TlsError, type TlsSettings, tlsDefaults } from './settings.ts';
import { TlsAcceptor } from './tls-acceptor.ts';

const dayMs = 86_400_000;
const authorityName = { commonName: 'authority' };
let directory: string;
let server: Server | undefined;
let accepted: TLSSocket[];
let logged: { message: string; facts: Facts | undefined }[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-tls-'));
  accepted = [];
  logged = [];
});
afterEach(async () => {
  for (const socket of accepted) socket.destroy();
  await new Promise((resolve) => (server === undefined ? resolve(0) : server.close(resolve)));
  server = undefined;
  rmSync(directory, { recursive: true });
});

function keyPair(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

/** An authority, and what it signs; files lie in the directory of the test. */
function authority(file = 'ca.pem') {
  const own = keyPair();
  const times = { notBefore: new Date(Date.now() - dayMs), notAfter: new Date(Date.now() + dayMs) };
  const issuer = { name: authorityName, key: own.privateKey };
  const ca = writeCertificate({
    subject: authorityName,
    publicKey: own.publicKey,
    issuer,
    ...times,
    isAuthority: true,
  });
  const path = join(directory, file);
  writeFileSync(path, ca);
  const issue = (commonName: string, options: Partial<CertificateRequest> = {}) => {
    const { publicKey, privateKey } = keyPair();
    const hosts = ['localhost', '127.0.0.1'];
    const cert = writeCertificate({ subject: { commonName }, publicKey, issuer, hosts, ...times, ...options });
    return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
  };
  const revoke = (certificates: readonly string[], format: 'der' | 'pem' = 'pem') => {
    const serials = certificates.map((certificate) => new X509Certificate(certificate).serialNumber);
    return writeRevocationList({ issuer, serials, thisUpdate: new Date() }, format);
  };
  return { ca, path, issue, revoke };
}

function write(file: string, content: string | Buffer): string {
  const path = join(directory, file);
  // As tools that renew certificates do: a new file in the place of the old one.
  writeFileSync(`${path}.new`, content);
  renameSync(`${path}.new`, path);
  return path;
}

function pair(name: string, { cert, key }: { cert: string; key: string }) {
  return { certFile: write(`${name}.pem`, cert), keyFile: write(`${name}.key`, key) };
}

async function listen(settings: Partial<TlsSettings>): Promise<{ port: number; acceptor: TlsAcceptor }> {
  const log = (message: string, facts?: Facts): void => void logged.push({ message, facts });
  const logger: Logger = { ...silentLogger, warn: log, error: log };
  const acceptor = new TlsAcceptor({
    settings: { ...tlsDefaults, ...settings },
    logger,
    handshakeTimeoutMs: 30_000,
    onSecure: (socket) => {
      accepted.push(socket);
      socket.write(`${commonNameOf(socket) ?? 'somebody'} by ${socket.alpnProtocol}`);
    },
  });
  server = createServer((socket) => {
    socket.on('error', () => {});
    acceptor.accept(socket);
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, acceptor };
}

/** What the server says first, or why it says nothing. */
function dial(port: number, options: ConnectionOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, ALPNProtocols: ['h2', 'http/1.1'], ...options });
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString());
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
  });
}

test('a connection is secure, and both sides agree on a protocol', async () => {
  const { ca, issue } = authority();
  const { port } = await listen(pair('server', issue('server')));
  expect(await dial(port, { ca })).toBe('somebody by h2');
  expect(await dial(port, { ca, ALPNProtocols: ['http/1.1'] })).toBe('somebody by http/1.1');
  expect(await dial(port, { ca, ALPNProtocols: [] })).toBe('somebody by false');
  await expect(dial(port, { ca, ALPNProtocols: ['spdy/3'] })).rejects.toThrow(/no application protocol/i);
  await expect(dial(port, {})).rejects.toThrow('unable to verify the first certificate');
  await expect(dial(port, { ca, host: '127.0.0.1', servername: 'elsewhere.example' })).rejects.toThrow('altnames');
});

test('with an authority for clients, they must show a certificate of it, and are known by its name', async () => {
  const { ca, path, issue } = authority();
  const { port } = await listen({ ...pair('server', issue('server')), trustedCaFile: path });
  expect(await dial(port, { ca, ...issue('alice') })).toBe('alice by h2');
  await expect(dial(port, { ca })).rejects.toThrow();
  await expect(dial(port, { ca, ...authority('other.pem').issue('mallory') })).rejects.toThrow();
  await expect(dial(port, { ca, ...issue('old', { notAfter: new Date(Date.now() - 1_000) }) })).rejects.toThrow();
  await expect(dial(port, { ca, ...issue('a server', { usages: ['server'] }) })).rejects.toThrow();
  expect(accepted).toHaveLength(1);
  expect(logged.map(({ facts }) => facts?.['error'])).toEqual([
    expect.stringMatching(/peer did not return a certificate/),
    expect.stringMatching(/UNABLE_TO_VERIFY_LEAF_SIGNATURE|CERT_SIGNATURE_FAILURE/),
    expect.stringMatching(/CERT_HAS_EXPIRED/),
    expect.stringMatching(/INVALID_PURPOSE/),
  ]);
});

test.each([['TLSv1.2'], ['TLSv1.3']] as const)('no client comes in on an earlier session of %s', async (version) => {
  const { ca, path, issue } = authority();
  const { port } = await listen({ ...pair('server', issue('server')), trustedCaFile: path });
  const alice = issue('alice');
  const session = await new Promise<Buffer | undefined>((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, ca, ...alice, minVersion: version, maxVersion: version });
    let session: Buffer | undefined;
    socket.on('session', (one: Buffer) => {
      session = one;
    });
    socket.on('data', () => socket.destroy());
    socket.on('close', () => resolve(session));
  });
  const isReused = await new Promise<boolean>((resolve, reject) => {
    const options = { host: '127.0.0.1', port, ca, ...alice, minVersion: version, maxVersion: version };
    const socket = connect({ ...options, ...(session === undefined ? {} : { session }) });
    socket.once('data', () => {
      resolve(socket.isSessionReused());
      socket.destroy();
    });
    socket.once('error', reject);
  });
  expect(isReused).toBe(false);
});

test('a certificate must be for where the client comes from, if it says where', async () => {
  const { ca, path, issue } = authority();
  const own = pair('server', issue('server'));
  const { port } = await listen({ ...own, trustedCaFile: path });
  expect(await dial(port, { ca, ...issue('nowhere', { hosts: [] }) })).toBe('nowhere by h2');
  expect(await dial(port, { ca, ...issue('by name', { hosts: ['localhost'] }) })).toBe('by name by h2');
  await expect(dial(port, { ca, ...issue('far', { hosts: ['10.9.8.7', '::1'] }) })).rejects.toThrow();
  expect(logged.at(-1)?.facts).toMatchObject({ error: 'x509: certificate is not valid for 127.0.0.1' });
});

test('only the names that are allowed come in', async () => {
  const { ca, path, issue } = authority();
  const own = pair('server', issue('server'));
  const { port } = await listen({ ...own, trustedCaFile: path, allowedCommonNames: ['m1', 'm2'] });
  expect(await dial(port, { ca, ...issue('m2') })).toBe('m2 by h2');
  await expect(dial(port, { ca, ...issue('m3') })).rejects.toThrow();
  expect(logged).toMatchObject([{ facts: { error: 'client certificate authentication failed' } }]);
});

test('only certificates for a host that is allowed come in', async () => {
  const { ca, path, issue } = authority();
  const own = pair('server', issue('server'));
  const allowedHostnames = ['a.b.example', '127.0.0.1'];
  const { port } = await listen({ ...own, trustedCaFile: path, allowedHostnames, skipClientSanVerify: true });
  expect(await dial(port, { ca, ...issue('x', { hosts: ['*.b.example'] }) })).toBe('x by h2');
  expect(await dial(port, { ca, ...issue('y') })).toBe('y by h2');
  await expect(dial(port, { ca, ...issue('a.example', { hosts: ['b.test'] }) })).rejects.toThrow();
});

test.each(['der', 'pem'] as const)(
  'revoked certificates are refused as soon as the list in %s says so',
  async (format) => {
    const { ca, path, issue, revoke } = authority();
    const [alice, bob] = [issue('alice'), issue('bob')];
    const crlFile = write('crl', revoke([], format));
    const { port } = await listen({ ...pair('server', issue('server')), trustedCaFile: path, crlFile });
    expect(await dial(port, { ca, ...alice })).toBe('alice by h2');
    write('crl', revoke([issue('carol').cert, alice.cert], format));
    await expect(dial(port, { ca, ...alice })).rejects.toThrow();
    expect(logged).toMatchObject([{ facts: { error: expect.stringContaining('revoked') } }]);
    expect(await dial(port, { ca, ...bob })).toBe('bob by h2');
  },
);

test('renewed certificates and authorities count from the next connection on', async () => {
  const [old, young] = [authority('old.pem'), authority('young.pem')];
  pair('server', old.issue('server'));
  const trustedCaFile = write('trusted.pem', old.ca);
  const certFile = join(directory, 'server.pem');
  const { port } = await listen({ certFile, keyFile: join(directory, 'server.key'), trustedCaFile });
  expect(await dial(port, { ca: old.ca, ...old.issue('alice') })).toBe('alice by h2');
  const renewed = young.issue('server');
  write('server.pem', renewed.cert);
  // The key is not there yet: the pair from before serves on.
  expect(await dial(port, { ca: old.ca, ...old.issue('alice') })).toBe('alice by h2');
  expect(logged.map(({ message }) => message)).toEqual(['changed TLS files are not usable, those before stay in use']);
  write('server.key', renewed.key);
  write('trusted.pem', young.ca);
  expect(await dial(port, { ca: young.ca, ...young.issue('alice') })).toBe('alice by h2');
  await expect(dial(port, { ca: young.ca, ...old.issue('alice') })).rejects.toThrow();
});

test('versions and cipher suites are those that were asked for', async () => {
  const { ca, issue } = authority();
  const own = pair('server', issue('server'));
  const suite = 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384';
  const { port } = await listen({ ...own, maxVersion: 'TLSv1.2', cipherSuites: [suite] });
  await expect(dial(port, { ca, minVersion: 'TLSv1.3' })).rejects.toThrow('protocol version');
  await expect(dial(port, { ca, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' })).rejects.toThrow('handshake failure');
  expect(await dial(port, { ca, ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' })).toBe('somebody by h2');
});

test('who speaks no TLS is cut off, and so are those under way when it closes', async () => {
  const { issue } = authority();
  const { port, acceptor } = await listen(pair('server', issue('server')));
  const closed = (first: string): Promise<void> =>
    new Promise((resolve) => {
      const socket = connectTcp(port, '127.0.0.1', () => void socket.write(first));
      socket.on('error', () => {});
      socket.on('close', () => resolve());
    });
  await closed('GET / HTTP/1.1\r\n\r\n');
  expect(logged).toMatchObject([
    { message: 'rejected connection', facts: { error: expect.stringMatching(/http request/) } },
  ]);
  const silent = new Promise<void>((resolve) => server!.once('connection', () => setImmediate(resolve)));
  const cut = closed('');
  await silent;
  acceptor.close();
  await cut;
});

test('what cannot work is refused before anything is accepted', () => {
  const { path, issue } = authority();
  const own = pair('server', issue('server'));
  const other = pair('other', issue('other'));
  const make = (settings: Partial<TlsSettings>) => () =>
    new TlsAcceptor({
      settings: { ...tlsDefaults, ...settings },
      logger: silentLogger,
      handshakeTimeoutMs: 1,
      onSecure: () => {},
    });
  expect(make({ certFile: 'c' })).toThrow('KeyFile and CertFile must both be present[key: , cert: c]');
  expect(make({ ...own, clientKeyFile: 'k' })).toThrow(
    'ClientKeyFile and ClientCertFile must both be present or both absent',
  );
  expect(make({ ...own, allowedCommonNames: ['a'], allowedHostnames: ['b', 'c'] })).toThrow(
    'AllowedCNs and AllowedHostnames are mutually exclusive (cns=["a"], hostnames=["b" "c"])',
  );
  expect(make({ ...own, certFile: '/nowhere/c.pem' })).toThrow('open /nowhere/c.pem: no such file or directory');
  expect(make({ ...own, keyFile: other.keyFile })).toThrow('private key does not match public key');
  expect(make({ ...own, certFile: own.keyFile })).toThrow('failed to find any PEM data');
  expect(make({ ...own, crlFile: path.replace('ca.pem', 'none') })).toThrow(TlsError);
  expect(make({ ...own, crlFile: write('bad', readFileSync(own.keyFile).subarray(0, 40)) })).toThrow('malformed DER');
});
