/** Authorities and certificates for tests, made on the spot: valid or expired, for hosts or names, and lists of revoked ones. */
import { generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CertificateRequest, writeCertificate, writeRevocationList } from '@quorate/tls';

/** Paths, as flags take them. */
export interface CertificatePaths {
  readonly cert: string;
  readonly key: string;
}

const dayMs = 86_400_000;

/** One authority with a directory for what it signs; close() removes it. */
export class TestAuthority {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'tls-test-'));
  /** Path of its own certificate. */
  readonly cert: string = join(this.directory, 'ca.pem');
  readonly #name = { commonName: 'test authority' };
  readonly #key: KeyObject;

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#key = privateKey;
    writeFileSync(this.cert, writeCertificate({ ...this.#request(publicKey), subject: this.#name, isAuthority: true }));
  }

  /** Signs a certificate for `commonName`, good for loopback unless told otherwise, under `<directory>/<file>`. */
  issue(commonName: string, options: Partial<CertificateRequest> & { readonly file?: string } = {}): CertificatePaths {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const directory = join(this.directory, options.file ?? commonName);
    mkdirSync(directory, { recursive: true });
    const paths = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem') };
    writeFileSync(paths.key, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const hosts = ['localhost', '127.0.0.1'];
    const request = { ...this.#request(publicKey), subject: { commonName }, hosts, ...options };
    writeFileSync(paths.cert, writeCertificate(request));
    return paths;
  }

  /** Writes the list of these certificates as revoked. */
  revoke(file: string, certificates: readonly Buffer[], format: 'der' | 'pem' = 'pem'): string {
    const serials = certificates.map((certificate) => new X509Certificate(certificate).serialNumber);
    const path = join(this.directory, file);
    const thisUpdate = new Date();
    writeFileSync(
      path,
      writeRevocationList({ issuer: { name: this.#name, key: this.#key }, serials, thisUpdate }, format),
    );
    return path;
  }

  close(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  #request(publicKey: KeyObject): Omit<CertificateRequest, 'subject'> {
    return {
      publicKey,
      issuer: { name: this.#name, key: this.#key },
      notBefore: new Date(Date.now() - dayMs),
      notAfter: new Date(Date.now() + dayMs),
    };
  }
}
