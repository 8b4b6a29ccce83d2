/** TLS from flag values, for each kind of port; refused in etcd's words where etcd refuses. */
import { type TlsSettings, tlsDefaults } from '@quorate/tls';
import type { FlagValues } from './flags/flag-table.ts';
import { ConfigError } from './initial-cluster.ts';

/** TLS on one kind of port. */
export interface EndSettings extends TlsSettings {
  /** Make a certificate when none is given. */
  readonly isAuto: boolean;
}

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
  return {
    ...tlsDefaults,
    ...tlsVersionsOf(values),
    certFile,
    keyFile,
    trustedCaFile: values.trustedCaFile,
    clientCertAuth: values.clientCertAuth,
    crlFile: values.clientCrlFile,
    allowedHostnames: values.clientCertAllowedHostname,
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
