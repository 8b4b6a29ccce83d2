/** TLS from flag values, for each kind of port; refused in etcd's words where etcd refuses. */
import { type TlsSettings, tlsDefaults } from '@quorate/tls';
import type { FlagValues } from './flags/flag-table.ts';
import { ConfigError } from './initial-cluster.ts';

/** TLS on one kind of port. */
export interface EndSettings extends TlsSettings {
  /** Make a certificate when none is given. */
  readonly isAuto: boolean;
}

/** One of these is what HTTP/2 wants everyone to have (RFC 9113, 9.2.2). */
const suitesOfHttp2 = ['TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'];

/** For clients and probes. Throws ConfigError. */
export function clientTlsOf(values: FlagValues): EndSettings {
  const { certFile, keyFile } = values;
  const isAuto = values.autoTls && certFile === '' && keyFile === '';
  const secure = [...values.listenClientUrls, ...values.listenMetricsUrls].find((url) => url.scheme === 'https');
  if (secure !== undefined && !isAuto && certFile === '' && keyFile === '') {
    throw new ConfigError(
      `TLS key/cert (--cert-file, --key-file) must be provided for client url ${secure.text} with HTTPS scheme`,
    );
  }
  if (values.listenClientUrls.some((url) => url.scheme === 'https')) mustSuitHttp2(values);
  return {
    ...tlsDefaults,
    ...tlsVersionsOf(values),
    certFile,
    keyFile,
    trustedCaFile: values.trustedCaFile,
    clientCertAuth: values.clientCertAuth,
    crlFile: values.clientCrlFile,
    allowedHostnames: values.clientCertAllowedHostname,
    // Clients come from anywhere; etcd looks at where a certificate is from between members only.
    skipClientSanVerify: true,
    isAuto,
  };
}

/** For other members. Throws ConfigError. */
export function peerTlsOf(values: FlagValues): EndSettings {
  const { peerCertFile: certFile, peerKeyFile: keyFile } = values;
  const isAuto = values.peerAutoTls && certFile === '' && keyFile === '';
  const secure = values.listenPeerUrls.find((url) => url.scheme === 'https');
  if (secure !== undefined && !isAuto && (certFile === '' || keyFile === '')) {
    throw new ConfigError(
      `cannot listen on TLS for ${secure.host}:${secure.port}: KeyFile and CertFile are not presented`,
    );
  }
  return {
    ...tlsDefaults,
    ...tlsVersionsOf(values),
    certFile,
    keyFile,
    clientCertFile: values.peerClientCertFile,
    clientKeyFile: values.peerClientKeyFile,
    trustedCaFile: values.peerTrustedCaFile,
    clientCertAuth: values.peerClientCertAuth,
    crlFile: values.peerCrlFile,
    allowedCommonNames: values.peerCertAllowedCn,
    allowedHostnames: values.peerCertAllowedHostname,
    skipClientSanVerify: values.peerSkipClientSanVerification,
    isAuto,
  };
}

/** Refuses suites with which there would be no HTTP/2, as Go's library does. */
function mustSuitHttp2({ cipherSuites, tlsMinVersion }: FlagValues): void {
  if (cipherSuites.length === 0 || tlsMinVersion === 'TLS1.3') return;
  if (cipherSuites.some((suite) => suitesOfHttp2.includes(suite))) return;
  throw new ConfigError(
    'http2: TLSConfig.CipherSuites is missing an HTTP/2-required AES_128_GCM_SHA256 cipher ' +
      `(need at least one of ${suitesOfHttp2.join(' or ')})`,
  );
}

/** Both ends' common part, refused as etcd refuses it. */
function tlsVersionsOf(values: FlagValues): Pick<TlsSettings, 'minVersion' | 'maxVersion' | 'cipherSuites'> {
  const { tlsMinVersion, tlsMaxVersion, cipherSuites } = values;
  if (tlsMinVersion === 'TLS1.3' && tlsMaxVersion === 'TLS1.2') {
    throw new ConfigError(`min version (${tlsMinVersion}) is greater than max version (${tlsMaxVersion})`);
  }
  if (tlsMinVersion === 'TLS1.3' && cipherSuites.length > 0) {
    throw new ConfigError('cipher suites cannot be configured when only TLS1.3 is enabled');
  }
  return {
    minVersion: tlsMinVersion === 'TLS1.3' ? 'TLSv1.3' : 'TLSv1.2',
    maxVersion: tlsMaxVersion === 'TLS1.2' ? 'TLSv1.2' : 'TLSv1.3',
    cipherSuites,
  };
}
