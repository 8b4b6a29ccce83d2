/**
 * Writes X.509 certificates and revocation lists (RFC 5280), which Node.js can read but not make: for `--auto-tls`, and for tests. Keys are on the
 * curve P-256, signatures ECDSA with SHA-256.
 */
import { createHash, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIPv4, isIPv6 } from 'node:net';
import { bitString, DerTag, der, integer, oid, sequence, time } from './der.ts';

/** Who a certificate is for, or from. */
export interface DistinguishedName {
  readonly commonName?: string;
  readonly organization?: string;
}

export interface CertificateRequest {
  readonly subject: DistinguishedName;
  readonly publicKey: KeyObject;
  readonly issuer: { readonly name: DistinguishedName; readonly key: KeyObject };
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Host names, with `*.` in front also wildcards, and addresses it is good for. */
  readonly hosts?: readonly string[];
  /** Both when not given. */
  readonly usages?: readonly ('server' | 'client')[];
  /** May sign other certificates. */
  readonly isAuthority?: boolean;
}

const ecdsaWithSha256 = sequence(oid('1.2.840.10045.4.3.2'));
const usageIds = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' } as const;
/** Bits of the key usage extension, from the left: digitalSignature 0, keyEncipherment 2, keyCertSign 5, cRLSign 6. */
const keyUsage = { authority: Buffer.from([0x01, 0x06]), leaf: Buffer.from([0x05, 0xa0]) } as const;

/** A certificate as PEM text. */
export function writeCertificate(request: CertificateRequest): string {
  const body = sequence(
    der(0xa0, integer(Buffer.from([2]))),
    integer(serialNumber()),
    ecdsaWithSha256,
    nameOf(request.issuer.name),
    sequence(time(request.notBefore), time(request.notAfter)),
    nameOf(request.subject),
    spkiOf(request.publicKey),
    der(0xa3, sequence(...extensionsOf(request))),
  );
  return toPem('CERTIFICATE', signed(body, request.issuer.key));
}

export interface RevocationListRequest {
  readonly issuer: { readonly name: DistinguishedName; readonly key: KeyObject };
  /** Hexadecimal, as X509Certificate has them. */
  readonly serials: readonly string[];
  readonly thisUpdate: Date;
}

/** A list of revoked certificates, as DER or PEM. */
export function writeRevocationList(request: RevocationListRequest, format: 'der' | 'pem'): Buffer {
  const { issuer, serials, thisUpdate } = request;
  const entries = serials.map((serial) => sequence(integer(Buffer.from(serial, 'hex')), time(thisUpdate)));
  const body = sequence(
    integer(Buffer.from([1])),
    ecdsaWithSha256,
    nameOf(issuer.name),
    time(thisUpdate),
    ...(entries.length === 0 ? [] : [sequence(...entries)]),
  );
  const list = signed(body, issuer.key);
  return format === 'der' ? list : Buffer.from(toPem('X509 CRL', list));
}

/** A body with the signature over it. */
function signed(body: Buffer, key: KeyObject): Buffer {
  return sequence(body, ecdsaWithSha256, bitString(sign('sha256', body, key)));
}

function nameOf({ organization, commonName }: DistinguishedName): Buffer {
  const parts = [
    ['2.5.4.10', organization],
    ['2.5.4.3', commonName],
  ] as const;
  return sequence(
    ...parts
      .filter(([, text]) => text !== undefined)
      .map(([id, text]) => der(DerTag.set, sequence(oid(id), der(DerTag.utf8String, Buffer.from(text!, 'utf8'))))),
  );
}

function toPem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/** 127 bits by chance: positive, and never the same again. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes;
}

function spkiOf(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' });
}

/** RFC 5280, 4.2.1.2: the usual way to name a key. */
function keyId(key: KeyObject): Buffer {
  return createHash('sha1').update(spkiOf(key)).digest();
}

function extensionsOf({ publicKey, hosts = [], usages, isAuthority = false }: CertificateRequest): Buffer[] {
  const yes = der(DerTag.boolean, Buffer.from([0xff]));
  const extension = (id: string, value: Buffer, ...critical: Buffer[]): Buffer =>
    sequence(oid(id), ...critical, der(DerTag.octetString, value));
  const bits = isAuthority ? keyUsage.authority : keyUsage.leaf;
  const extensions = [
    extension('2.5.29.19', isAuthority ? sequence(yes) : sequence(), yes),
    extension('2.5.29.15', der(DerTag.bitString, bits), yes),
    extension('2.5.29.14', der(DerTag.octetString, keyId(publicKey))),
  ];
  if (!isAuthority) {
    const ids = (usages ?? (['server', 'client'] as const)).map((usage) => oid(usageIds[usage]));
    extensions.push(extension('2.5.29.37', sequence(...ids)));
  }
  if (hosts.length > 0) extensions.push(extension('2.5.29.17', sequence(...hosts.map(generalName))));
  return extensions;
}

function generalName(host: string): Buffer {
  if (isIPv4(host)) return der(0x87, Buffer.from(host.split('.').map(Number)));
  if (isIPv6(host)) return der(0x87, ipv6Bytes(host));
  return der(0x82, Buffer.from(host, 'latin1'));
}

function ipv6Bytes(address: string): Buffer {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const [, front = address, ...last] = dotted ?? [];
  const [a = 0, b = 0, c = 0, d = 0] = last.map(Number);
  const text = dotted === null ? address : `${front}${(256 * a + b).toString(16)}:${(256 * c + d).toString(16)}`;
  const [left = [], right = []] = text.split('::').map((half) => half.split(':').filter((group) => group !== ''));
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  return Buffer.from(groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]));
}
