/**
 * Who is at the other end of a TLS connection, and whether a client whose certificate is in order may come in: rules beyond the
 * signature, those of etcd's listener (client/pkg/transport/listener_tls.go).
 */
import type { X509Certificate } from 'node:crypto';
import { lookup, lookupService } from 'node:dns/promises';
import { isIP } from 'node:net';
import { TLSSocket } from 'node:tls';
import { findRevoked } from './revocation.ts';
import type { TlsSettings } from './settings.ts';

/** The common name in the verified certificate of a connection's other end; undefined without one. */
export function commonNameOf(socket: unknown): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  return lastCommonName(socket);
}

/** Why a client with this certificate is not let in; undefined when it is. */
export async function clientRefusal(
  socket: TLSSocket,
  settings: TlsSettings,
  revoked: ReadonlySet<string>,
): Promise<string | undefined> {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return 'the client shows no certificate';
  const { allowedCommonNames, allowedHostnames } = settings;
  const isAllowed =
    allowedCommonNames.length > 0
      ? allowedCommonNames.includes(lastCommonName(socket) ?? '')
      : allowedHostnames.length === 0 || allowedHostnames.some((name) => isFor(certificate, name));
  if (!isAllowed) return 'client certificate authentication failed';
  const serial = findRevoked(certificate, revoked);
  if (serial !== undefined) return `transport: certificate serial ${serial} revoked`;
  return settings.skipClientSanVerify ? undefined : addressRefusal(certificate, plainAddress(socket.remoteAddress));
}

/** A certificate that names hosts or addresses is good for a client that comes from one of them. */
async function addressRefusal(certificate: X509Certificate, address: string): Promise<string | undefined> {
  const { names, hasAddresses } = alternativeNames(certificate);
  if (names.length === 0 && !hasAddresses) return undefined;
  if (hasAddresses && isFor(certificate, address)) return undefined;
  if (names.length === 0) return `x509: certificate is not valid for ${address}`;
  if (await isAddressOf(names, address)) return undefined;
  return `tls: "${address}" does not match any of DNSNames [${names.map((name) => `"${name}"`).join(' ')}]`;
}

async function isAddressOf(names: readonly string[], address: string): Promise<boolean> {
  const reversed = await lookupService(address, 0).then(
    ({ hostname }) => hostname.replace(/\.$/, ''),
    // An address without a name: the names are looked up below.
    () => undefined,
  );
  if (reversed !== undefined && names.some((name) => matchesName(name, reversed))) return true;
  for (const name of names.filter((one) => !one.startsWith('*.'))) {
    const found = await lookup(name, { all: true }).catch(() => []);
    if (found.some((one) => one.address === address)) return true;
  }
  return false;
}

function matchesName(pattern: string, name: string): boolean {
  return pattern.startsWith('*.') ? name.endsWith(pattern.slice(1)) : name === pattern;
}

function alternativeNames({ subjectAltName }: X509Certificate): { names: string[]; hasAddresses: boolean } {
  const parts = subjectAltName?.split(', ') ?? [];
  return {
    names: parts.filter((part) => part.startsWith('DNS:')).map((part) => part.slice(4)),
    hasAddresses: parts.some((part) => part.startsWith('IP Address:')),
  };
}

function isFor(certificate: X509Certificate, host: string): boolean {
  if (isIP(host) !== 0) return certificate.checkIP(host) !== undefined;
  return certificate.checkHost(host, { subject: 'never' }) !== undefined;
}

/** As in Go, the last one counts. */
function lastCommonName(socket: TLSSocket): string | undefined {
  const name: string | readonly string[] | undefined = socket.getPeerCertificate().subject?.CN;
  return typeof name === 'string' || name === undefined ? name : name.at(-1);
}

/** `::ffff:127.0.0.1` is `127.0.0.1` on a socket for both kinds. */
function plainAddress(address: string | undefined): string {
  return (address ?? '').replace(/^::ffff:(?=\d+\.)/, '');
}
