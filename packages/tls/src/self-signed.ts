/** `--auto-tls`: a key and a certificate that a member makes for itself and keeps in its data directory. */
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from '@quorate/base';
import { writeCertificate } from './certificate.ts';
import { TlsError } from './settings.ts';

export interface SelfSignedOptions {
  readonly directory: string;
  /** Names and addresses the certificate is for. */
  readonly hosts: readonly string[];
  /** `--self-signed-cert-validity` */
  readonly years: number;
  /** Now, since 1970. */
  readonly wallMs: number;
  readonly logger: Logger;
}

const yearMs = 365 * 24 * 3_600_000;
const organization = 'quorate';

/** The paths of both files; made now unless they are there and valid. Throws TlsError. */
export function selfSignedFiles(options: SelfSignedOptions): { certFile: string; keyFile: string } {
  const { directory, years, wallMs, logger } = options;
  if (years === 0) throw new TlsError('selfSignedCertValidity is invalid,it should be greater than 0');
  const files = { certFile: join(directory, 'cert.pem'), keyFile: join(directory, 'key.pem') };
  if (isValid(files, wallMs)) return files;
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const notAfter = new Date(wallMs + years * yearMs);
  const certificate = writeCertificate({
    subject: { organization },
    issuer: { name: { organization }, key: privateKey },
    publicKey,
    notBefore: new Date(wallMs),
    notAfter,
    hosts: [...new Set(options.hosts)],
  });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(files.keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  writeFileSync(files.certFile, certificate);
  logger.warn('made a certificate that nobody can verify', { path: files.certFile, notAfter: notAfter.toISOString() });
  return files;
}

/** etcd goes on with an expired one, and its clients do not. */
function isValid({ certFile, keyFile }: { certFile: string; keyFile: string }, wallMs: number): boolean {
  if (!existsSync(certFile) || !existsSync(keyFile)) return false;
  try {
    return Date.parse(new X509Certificate(readFileSync(certFile)).validTo) > wallMs;
  } catch {
    // Half written in a crash.
    return false;
  }
}
