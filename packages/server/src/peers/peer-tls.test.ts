import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, silentLogger, silentMeter } from '@quorate/base';
import { selfSignedFiles, type TlsSettings, tlsDefaults } from '@quorate/tls';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { GrpcPeerTransport } from './grpc-peer-transport.ts';

const clock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  soon: (run) => void setImmediate(run),
};

let directory: string;
let tls: TlsSettings;
const open: GrpcPeerTransport[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-peer-tls-'));
  const files = selfSignedFiles({
    directory,
    hosts: ['127.0.0.1'],
    years: 1,
    wallMs: Date.now(),
    logger: silentLogger,
  });
  tls = { ...tlsDefaults, ...files };
});
afterEach(async () => {
  for (const transport of open.splice(0)) await transport.stop();
  rmSync(directory, { recursive: true });
});

async function freeAddress(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}

async function listening(url: string, settings: TlsSettings | undefined): Promise<GrpcPeerTransport> {
  const parts = { clock, logger: silentLogger, meter: silentMeter, version: 't' };
  const transport = new GrpcPeerTransport({ listenUrls: [url], tls: settings, ...parts });
  open.push(transport);
  await transport.listen();
  return transport;
}

test('members reach each other over TLS when their authority is the same', async () => {
  const address = await freeAddress();
  const trusting = { ...tls, trustedCaFile: tls.certFile };
  await listening(`https://${address}`, trusting);
  const asking = await listening(`https://${await freeAddress()}`, trusting);
  await expect(asking.fetchInfo(`https://${address}`, 30_000)).rejects.toThrow('the member is starting');
});

test('members with certificates of their own making do not verify each other', async () => {
  const address = await freeAddress();
  await listening(`https://${address}`, { ...tls, isSelfSigned: true });
  const asking = await listening(`https://${await freeAddress()}`, { ...tls, isSelfSigned: true });
  await expect(asking.fetchInfo(`https://${address}`, 30_000)).rejects.toThrow('the member is starting');
});

test('a mistake in the scheme or the certificates is said, long before a time-out', async () => {
  const [secure, plain] = [await freeAddress(), await freeAddress()];
  const one = await listening(`https://${secure}`, tls);
  const other = await listening(`http://${plain}`, undefined);
  await expect(one.fetchInfo(`https://${plain}`, 600_000)).rejects.toThrow(`${plain}: tls: wrong version number`);
  await expect(other.fetchInfo(`http://${secure}`, 600_000)).rejects.toThrow(/closed the connection|ECONNRESET/);
  await expect(other.fetchInfo(`https://${secure}`, 600_000)).rejects.toThrow('--peer-cert-file is not given');
  await expect(one.fetchInfo(`https://${secure}`, 600_000)).rejects.toThrow('self-signed certificate');
});
