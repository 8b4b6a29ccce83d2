export {
  type CertificateRequest,
  type DistinguishedName,
  type RevocationListRequest,
  writeCertificate,
  writeRevocationList,
} from './certificate.ts';
export { isCipherSuite } from './cipher-suites.ts';
export { commonNameOf } from './client-rules.ts';
export { type SelfSignedOptions, selfSignedFiles } from './self-signed.ts';
export { TlsError, type TlsSettings, type TlsVersion, tlsDefaults } from './settings.ts';
export { TlsAcceptor, type TlsAcceptorOptions } from './tls-acceptor.ts';
export { TlsDialer } from './tls-dialer.ts';
