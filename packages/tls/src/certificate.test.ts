import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '@quorate/base';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { writeCertificate, writeRevocationList } from './certificate.ts';
import { isCipherSuite, openSslCiphers } from './cipher-suites.ts';
import { DerError, der, derValues, integer } from './der.ts';
import { revokedSerials } from './revocation.ts';
import { selfSignedFiles } from './self-signed.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-tls-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

test('OpenSSL reads in a certificate what was to be written', () => {
  const text = writeCertificate({
    subject: { organization: 'Ü & co', commonName: 'käse' },
    issuer: { name: { commonName: 'ca' }, key: privateKey },
    publicKey,
    notBefore: new Date('2026-01-02T03:04:05Z'),
    notAfter: new Date('2051-01-01T00:00:00Z'),
    hosts: ['a.example', '*.b.example', '10.0.0.1', '2001:db8::ff', '::1', '::ffff:1.2.3.4'],
    usages: ['client'],
  });
  const certificate = new X509Certificate(text);
  expect(certificate.verify(publicKey)).toBe(true);
  expect(certificate.subject).toBe('O=Ü & co\nCN=käse');
  expect(certificate.issuer).toBe('CN=ca');
  expect(Date.parse(certificate.validFrom)).toBe(Date.parse('2026-01-02T03:04:05Z'));
  expect(Date.parse(certificate.validTo)).toBe(Date.parse('2051-01-01T00:00:00Z'));
  expect(certificate.subjectAltName).toBe(
    'DNS:a.example, DNS:*.b.example, IP Address:10.0.0.1, IP Address:2001:DB8:0:0:0:0:0:FF, ' +
      'IP Address:0:0:0:0:0:0:0:1, IP Address:0:0:0:0:0:FFFF:102:304',
  );
  expect(certificate.ca).toBe(false);
  expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
});

test('what was written as DER is read as it was', () => {
  const sizes = fc.oneof(fc.nat(300), fc.constantFrom(127, 128, 255, 256, 65_535, 65_536));
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 0x30 }), sizes), { maxLength: 4 }), (specs) => {
      const values = specs.map(([tag, size]) => ({ tag, content: Buffer.alloc(size, tag) }));
      const read = derValues(Buffer.concat(values.map(({ tag, content }) => der(tag, content))));
      expect(read.map(({ tag, content }) => [tag, content.length])).toEqual(specs);
      for (const [i, { content }] of values.entries()) expect(read[i]!.content.equals(content)).toBe(true);
    }),
  );
});

test('anything else is refused or read, and never read beyond its end', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      try {
        for (const { content } of derValues(Buffer.from(bytes)))
          expect(content.length).toBeLessThanOrEqual(bytes.length);
        revokedSerials(Buffer.from(bytes));
      } catch (error) {
        expect(error).toBeInstanceOf(DerError);
      }
    }),
    { numRuns: 2_000 },
  );
});

test('a list names the revoked certificates, whatever the zeros in front of their numbers', () => {
  const serial = fc.uint8Array({ minLength: 1, maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString('hex'));
  fc.assert(
    fc.property(
      fc.array(serial, { maxLength: 5 }),
      fc.constantFrom('der' as const, 'pem' as const),
      (serials, format) => {
        const issuer = { name: { commonName: 'ca' }, key: privateKey };
        const list = writeRevocationList({ issuer, serials, thisUpdate: new Date(0) }, format);
        const plain = serials.map((text) => text.replace(/^0+(?=.)/, '').toUpperCase());
        expect(revokedSerials(list)).toEqual(new Set(plain));
      },
    ),
    { numRuns: 50 },
  );
});

test('numbers are written as positive ones', () => {
  expect(integer(Buffer.from([0, 0, 0x80])).toString('hex')).toBe('02020080');
  expect(integer(Buffer.from([0])).toString('hex')).toBe('020100');
});

test('a member makes its certificate once, and again when it has expired or is damaged', () => {
  const dayMs = 86_400_000;
  const at = (wallMs: number, years = 1) =>
    selfSignedFiles({
      directory: join(directory, 'x', 'y'),
      hosts: ['127.0.0.1'],
      years,
      wallMs,
      logger: silentLogger,
    });
  const startMs = Date.parse('2026-01-01T00:00:00Z');
  const files = at(startMs);
  const first = readFileSync(files.certFile, 'utf8');
  expect(new X509Certificate(first).checkIP('127.0.0.1')).toBe('127.0.0.1');
  expect(Date.parse(new X509Certificate(first).validTo)).toBe(startMs + 365 * dayMs);
  expect(statSync(files.keyFile).mode & 0o777).toBe(0o600);
  at(startMs + 364 * dayMs);
  expect(readFileSync(files.certFile, 'utf8')).toBe(first);
  at(startMs + 366 * dayMs);
  const second = readFileSync(files.certFile, 'utf8');
  expect(second).not.toBe(first);
  writeFileSync(files.certFile, second.slice(0, 100));
  at(startMs + 366 * dayMs);
  expect(() => new X509Certificate(readFileSync(files.certFile))).not.toThrow();
  expect(() => at(startMs, 0)).toThrow('selfSignedCertValidity is invalid,it should be greater than 0');
});

test('cipher suites have their names from Go, and those of TLS 1.3 are always there', () => {
  expect(isCipherSuite('TLS_RSA_WITH_RC4_128_SHA')).toBe(false);
  expect(openSslCiphers([])).toBeUndefined();
  expect(openSslCiphers(['TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'])).toBe(
    'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:ECDHE-RSA-AES128-GCM-SHA256',
  );
});
