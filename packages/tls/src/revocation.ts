/** Which serial numbers a certificate revocation list (RFC 5280, 5) names. As etcd does, it looks at nothing else of the list. */
import type { X509Certificate } from 'node:crypto';
import { DerError, DerTag, type DerValue, derValues } from './der.ts';

/** Serial numbers in hexadecimal capitals without zeros in front. `file` is DER or PEM. Throws DerError. */
export function revokedSerials(file: Buffer): ReadonlySet<string> {
  const [list] = derValues(derOf(file));
  const body = list === undefined ? undefined : derValues(list.content)[0];
  if (body === undefined) throw new DerError('an empty revocation list');
  // version?, signature, issuer, thisUpdate, nextUpdate?, revokedCertificates?, extensions?
  const entries = derValues(body.content)
    .filter((value) => value.tag !== DerTag.integer && !isTime(value))
    .slice(2)
    .find((value) => value.tag === DerTag.sequence);
  if (entries === undefined) return new Set();
  return new Set(derValues(entries.content).map((entry) => serialOf(derValues(entry.content)[0])));
}

/** The first certificate on the way from `leaf` to its authority that is on the list. */
export function findRevoked(leaf: X509Certificate, serials: ReadonlySet<string>): string | undefined {
  for (let certificate: X509Certificate | undefined = leaf; certificate !== undefined; ) {
    const serial = certificate.serialNumber.replace(/^0+(?=.)/, '').toUpperCase();
    if (serials.has(serial)) return serial;
    certificate = certificate.issuerCertificate;
  }
  return undefined;
}

function derOf(file: Buffer): Buffer {
  const pem = /-----BEGIN X509 CRL-----([^-]+)-----END X509 CRL-----/.exec(file.toString('latin1'));
  return pem === null ? file : Buffer.from(pem[1]!, 'base64');
}

function isTime({ tag }: DerValue): boolean {
  return tag === DerTag.utcTime || tag === DerTag.generalizedTime;
}

function serialOf(value: DerValue | undefined): string {
  if (value?.tag !== DerTag.integer) throw new DerError('a revoked certificate without a serial number');
  return value.content
    .toString('hex')
    .replace(/^0+(?=.)/, '')
    .toUpperCase();
}
