import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { silentLogger } from '@quorate/base';
import { PutRequest, PutResponse } from '@quorate/proto';
import { tlsDefaults, writeCertificate } from '@quorate/tls';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Port } from './port.ts';
import type { ServiceMethod } from './service.ts';
import { callUnary, realClock, transports } from './testing/served.ts';
import { type RpcTransport, serveDefaults } from './transport.ts';

const path = '/etcdserverpb.KV/Put';
let directory: string;
let port: Port | undefined;
let rpc: RpcTransport | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-port-'));
});
afterEach(async () => {
  rpc?.close();
  await port?.close(100);
  rmSync(directory, { recursive: true });
});

/** A certificate that is its own authority, for both ends. */
function certificate(commonName: string): { cert: Buffer; key: Buffer; certFile: string; keyFile: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = { commonName };
  const cert = Buffer.from(
    writeCertificate({
      subject: name,
      issuer: { name, key: privateKey },
      publicKey,
      notBefore: new Date(Date.now() - 3_600_000),
      notAfter: new Date(Date.now() + 3_600_000),
      hosts: ['127.0.0.1', 'localhost'],
    }),
  );
  const key = Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const [certFile, keyFile] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key);
  return { cert, key, certFile, keyFile };
}

test.each(transports)(
  'a handler on %s knows the common name of a verified client, plain HTTP is served beside it',
  async (_name, serve) => {
    const { cert, key, certFile, keyFile } = certificate('alice');
    const names: (string | undefined)[] = [];
    const method = {
      kind: 'unary',
      path,
      request: PutRequest,
      response: PutResponse,
      handler: (_request, call, reply) => {
        names.push(call.commonName);
        reply.encoded(Buffer.alloc(0));
      },
    } as ServiceMethod;
    rpc = serve([method], { ...serveDefaults, clock: realClock, logger: silentLogger });
    const tls = { ...tlsDefaults, certFile, keyFile, trustedCaFile: certFile };
    port = await Port.listen({ host: '127.0.0.1', port: 0, clock: realClock, logger: silentLogger, tls });
    port.serve({ rpc, http: (request, response) => response.end(`plain ${request.url}`) });
    const client = new Client(`127.0.0.1:${port.number}`, credentials.createSsl(cert, key, cert), {
      'grpc.use_local_subchannel_pool': 1,
    });
    try {
      await callUnary(client, path, Buffer.alloc(0));
      await callUnary(client, path, Buffer.alloc(0));
    } finally {
      client.close();
    }
    expect(names).toEqual(['alice', 'alice']);
    const text = await new Promise((resolve, reject) => {
      const options = { ca: cert, cert, key, agent: false } as const;
      get(`https://127.0.0.1:${port!.number}/x`, options, (response) => {
        response.setEncoding('utf8').once('data', resolve);
      }).on('error', reject);
    });
    expect(text).toBe('plain /x');
  },
);
