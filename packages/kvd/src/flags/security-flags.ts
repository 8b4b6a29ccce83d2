/** The flags of TLS, with etcd's names. */
import { isCipherSuite } from '@quorate/tls';
import { bool, type FlagSpec, list, text, uint } from './flag-kinds.ts';
import { FlagValueError } from './go-values.ts';

export interface SecurityFlagValues {
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientCertAuth: boolean;
  readonly trustedCaFile: string;
  readonly clientCrlFile: string;
  readonly clientCertAllowedHostname: readonly string[];
  readonly autoTls: boolean;
  readonly peerCertFile: string;
  readonly peerKeyFile: string;
  readonly peerClientCertFile: string;
  readonly peerClientKeyFile: string;
  readonly peerClientCertAuth: boolean;
  readonly peerTrustedCaFile: string;
  readonly peerCrlFile: string;
  readonly peerCertAllowedCn: readonly string[];
  readonly peerCertAllowedHostname: readonly string[];
  readonly peerSkipClientSanVerification: boolean;
  readonly peerAutoTls: boolean;
  readonly selfSignedCertValidity: number;
  readonly tlsMinVersion: GoTlsVersion;
  readonly tlsMaxVersion: GoTlsVersion;
  readonly cipherSuites: readonly string[];
}

/** Empty: whatever the library thinks best. */
export type GoTlsVersion = '' | 'TLS1.2' | 'TLS1.3';

export const securityFlags: { readonly [Name in keyof SecurityFlagValues]: FlagSpec<SecurityFlagValues[Name]> } = {
  certFile: text('Security', '', 'Path to the certificate shown to clients, with its chain, PEM.'),
  keyFile: text('Security', '', 'Path to the key of --cert-file.'),
  clientCertAuth: bool('Security', false, 'Whether clients must show a certificate.'),
  trustedCaFile: text(
    'Security',
    '',
    'Path to the authorities whose clients are let in; clients must show a certificate then.',
  ),
  clientCrlFile: text('Security', '', "Path to the list of revoked clients' certificates, DER or PEM."),
  clientCertAllowedHostname: list('Security', "Host names of which clients' certificates must hold one."),
  autoTls: bool(
    'Security',
    false,
    'Whether to make a certificate for clients, which they cannot verify, if none is given.',
  ),
  peerCertFile: text('Security', '', 'Path to the certificate shown to other members, with its chain, PEM.'),
  peerKeyFile: text('Security', '', 'Path to the key of --peer-cert-file.'),
  peerClientCertFile: text(
    'Security',
    '',
    'Path to the certificate shown when this member dials; --peer-cert-file when empty.',
  ),
  peerClientKeyFile: text('Security', '', 'Path to the key of --peer-client-cert-file.'),
  peerClientCertAuth: bool('Security', false, 'Whether other members must show a certificate.'),
  peerTrustedCaFile: text(
    'Security',
    '',
    'Path to the authorities of other members; they must show a certificate then.',
  ),
  peerCrlFile: text('Security', '', "Path to the list of other members' revoked certificates, DER or PEM."),
  peerCertAllowedCn: list('Security', "Common names of which other members' certificates must have one."),
  peerCertAllowedHostname: list('Security', "Host names of which other members' certificates must hold one."),
  peerSkipClientSanVerification: bool(
    'Security',
    false,
    "Whether members' certificates may be used from other addresses than theirs.",
  ),
  peerAutoTls: bool(
    'Security',
    false,
    'Whether to make a certificate for other members, which they do not verify, if none is given.',
  ),
  selfSignedCertValidity: uint('Security', 1, 'Years for which certificates made here are valid.'),
  tlsMinVersion: version('TLS1.2', 'Lowest version of TLS, TLS1.2 or TLS1.3.'),
  tlsMaxVersion: version('', 'Highest version of TLS, TLS1.2 or TLS1.3; the highest there is when empty.'),
  cipherSuites: {
    ...list('Security', 'Cipher suites up to TLS 1.2, by the names Go gives them; the usual ones when empty.'),
    parse: parseSuites,
  },
};

function version(value: GoTlsVersion, help: string): FlagSpec<GoTlsVersion> {
  return { group: 'Security', help, default: value, parse: parseVersion };
}

function parseVersion(given: string): GoTlsVersion {
  if (given === '' || given === 'TLS1.2' || given === 'TLS1.3') return given;
  throw new FlagValueError(`unexpected TLS version ${JSON.stringify(given)} (must be one of: TLS1.2, TLS1.3)`);
}

function parseSuites(given: string): readonly string[] {
  const names = given === '' ? [] : given.split(',');
  const unknown = names.find((name) => !isCipherSuite(name));
  if (unknown !== undefined) throw new FlagValueError(`unexpected TLS cipher suite ${JSON.stringify(unknown)}`);
  return names;
}
