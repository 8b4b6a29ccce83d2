/** What TLS is told: files and rules, and what is refused before anything is listened on. */

/** The end of a configuration that cannot work; the message says what to change, in etcd's words where etcd has some. */
export class TlsError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TlsError';
  }
}

/** One end's settings; empty paths mean that there is no such file. */
export interface TlsSettings {
  /** The certificate and its chain, PEM; `--cert-file`. */
  readonly certFile: string;
  readonly keyFile: string;
  /** Shown to other servers in place of `certFile`; `--peer-client-cert-file`. Both or none. */
  readonly clientCertFile: string;
  readonly clientKeyFile: string;
  /** Authorities that others are to be signed by; `--trusted-ca-file`. With it, clients must show a certificate. */
  readonly trustedCaFile: string;
  /** `--client-cert-auth`: clients must show a certificate; without `trustedCaFile` one the system trusts. */
  readonly clientCertAuth: boolean;
  /** Certificates that count no more; `--client-crl-file`. */
  readonly crlFile: string;
  /** Clients' common names that are let in; empty: all. */
  readonly allowedCommonNames: readonly string[];
  /** Names of which a client's certificate must hold one; empty: none needed. */
  readonly allowedHostnames: readonly string[];
  /** A client's certificate need not name the address it comes from. */
  readonly skipClientSanVerify: boolean;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** Names of cipher suites up to TLS 1.2 as Go spells them; empty: Node's. */
  readonly cipherSuites: readonly string[];
  /** The certificate was made here: others that dial are not verified either. */
  readonly isSelfSigned: boolean;
}

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3';

/** No files, no rules. */
export const tlsDefaults: TlsSettings = {
  certFile: '',
  keyFile: '',
  clientCertFile: '',
  clientKeyFile: '',
  trustedCaFile: '',
  clientCertAuth: false,
  crlFile: '',
  allowedCommonNames: [],
  allowedHostnames: [],
  skipClientSanVerify: false,
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  cipherSuites: [],
  isSelfSigned: false,
};

/** Throws TlsError for what contradicts itself. Files are not looked at. */
export function checkTlsSettings(settings: TlsSettings): void {
  const { certFile, keyFile, clientCertFile, clientKeyFile, allowedCommonNames, allowedHostnames } = settings;
  if (certFile === '' || keyFile === '') {
    throw new TlsError(`KeyFile and CertFile must both be present[key: ${keyFile}, cert: ${certFile}]`);
  }
  if ((clientCertFile === '') !== (clientKeyFile === '')) {
    throw new TlsError(
      'ClientKeyFile and ClientCertFile must both be present or both absent: ' +
        `key: ${clientKeyFile}, cert: ${clientCertFile}]`,
    );
  }
  if (allowedCommonNames.length > 0 && allowedHostnames.length > 0) {
    throw new TlsError(
      'AllowedCNs and AllowedHostnames are mutually exclusive ' +
        `(cns=${quoted(allowedCommonNames)}, hostnames=${quoted(allowedHostnames)})`,
    );
  }
}

/** True when a client must show a certificate. */
export function wantsClientCertificate({ clientCertAuth, trustedCaFile }: TlsSettings): boolean {
  return clientCertAuth || trustedCaFile !== '';
}

function quoted(texts: readonly string[]): string {
  return `[${texts.map((text) => JSON.stringify(text)).join(' ')}]`;
}
