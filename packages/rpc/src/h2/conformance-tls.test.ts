/** RFC 9113, 9.2, and what else is judged differently over TLS: a real port with a certificate, and a bare TLS socket. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { tlsDefaults, writeCertificate } from '@quorate/tls';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { ErrorCode, Flag } from './frames.ts';
import type { FieldText } from './hpack-encoder.ts';
import { expectStreamError, Probe } from './testing/probe.ts';
import {
  dataFrame,
  emptyPut,
  grpcFields,
  headersFrame,
  preface,
  type RawClient,
  settingsFrame,
} from './testing/raw-client.ts';

let directory: string;
let ca: string;
let probe: Probe;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-h2-tls-'));
  // RSA, since the suite that everyone must have is one of RSA; signed by a key of its own.
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = { name: { commonName: 'authority' }, key: authority.privateKey };
  const times = { notBefore: new Date(Date.now() - 3_600_000), notAfter: new Date(Date.now() + 3_600_000) };
  ca = writeCertificate({
    subject: issuer.name,
    publicKey: authority.publicKey,
    issuer,
    ...times,
    isAuthority: true,
  });
  const [certFile, keyFile] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  const subject = { commonName: 'server' };
  writeFileSync(
    certFile,
    writeCertificate({ subject, publicKey, issuer, hosts: ['localhost', '127.0.0.1'], ...times }),
  );
  writeFileSync(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  probe = await Probe.open({}, {}, { ...tlsDefaults, certFile, keyFile });
}, 60_000);
afterAll(async () => {
  await probe.close();
  rmSync(directory, { recursive: true });
});

const clients: RawClient[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

async function connected(options: ConnectionOptions = {}): Promise<{ client: RawClient; socket: TLSSocket }> {
  const client = await probe.connect({ ca, ALPNProtocols: ['h2'], ...options });
  clients.push(client);
  return { client, socket: client.socket as TLSSocket };
}

async function greeted(options: ConnectionOptions = {}): Promise<{ client: RawClient; socket: TLSSocket }> {
  const made = await connected(options);
  made.client.send(preface, settingsFrame());
  return made;
}

test('HTTP/2 begins at once where ALPN chose it', async () => {
  const { client, socket } = await greeted();
  expect(socket.alpnProtocol).toBe('h2');
  await client.put(1);
});

test('a client that shares no protocol with the server is told so in the handshake', async () => {
  await expect(connected({ ALPNProtocols: ['h2c', 'spdy/3'] })).rejects.toThrow(/no application protocol/i);
});

test.each(['TLSv1', 'TLSv1.1'] as const)('%s is refused', async (version) => {
  const ciphers = 'DEFAULT@SECLEVEL=0';
  await expect(connected({ minVersion: version, maxVersion: version, ciphers })).rejects.toThrow(/version|protocol/i);
});

test('TLS 1.2 with the suite and the curve everyone must have, without compression', async () => {
  const { client, socket } = await greeted({
    maxVersion: 'TLSv1.2',
    ciphers: 'ECDHE-RSA-AES128-GCM-SHA256',
    ecdhCurve: 'P-256',
  });
  expect(socket.getCipher().standardName).toBe('TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256');
  expect(socket.getEphemeralKeyInfo()).toMatchObject({ type: 'ECDH', name: 'prime256v1', size: 256 });
  await client.put(1);
});

test('a name that the client asks for (SNI) is taken', async () => {
  const { client } = await greeted({ servername: 'localhost' });
  await client.put(1);
});

test('renegotiation of TLS 1.2 ends the connection', async () => {
  const { client, socket } = await greeted({ maxVersion: 'TLSv1.2' });
  await client.put(1);
  socket.renegotiate({}, () => {
    // Refused or broken off; that it is over is what counts.
  });
  await client.closed;
});

/** The usual fields with another scheme. */
function withScheme(scheme: string): FieldText[] {
  return grpcFields().map(([name, value]) => [name, name === ':scheme' ? scheme : value]);
}

test.each(['http', 'https'])('the scheme may be %s', async (scheme) => {
  const { client } = await greeted();
  client.send(headersFrame(1, withScheme(scheme)), dataFrame(1, emptyPut, Flag.endStream));
  expect(await client.trailers(1)).toMatchObject({ 'grpc-status': '0' });
});

test.each(['ftp', 'HTTPS', ''])('the scheme "%s" is malformed, as with etcd', async (scheme) => {
  const { client } = await greeted();
  client.send(headersFrame(1, withScheme(scheme)));
  await expectStreamError(client, 1, ErrorCode.protocolError);
});
