/** What both ends make a secure context of: files, suites and versions. */
import type { SecureContextOptions } from 'node:tls';
import { openSslCiphers } from './cipher-suites.ts';
import type { TlsSettings } from './settings.ts';

/** `contents` are the bytes of certificate, key and authorities, undefined where there is no file. */
export function contextOptionsOf(
  settings: TlsSettings,
  contents: readonly (Buffer | undefined)[],
): SecureContextOptions {
  const [cert, key, ca] = contents;
  const ciphers = openSslCiphers(settings.cipherSuites);
  return {
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(ca === undefined ? {} : { ca }),
    ...(ciphers === undefined ? {} : { ciphers }),
    minVersion: settings.minVersion,
    maxVersion: settings.maxVersion,
  };
}
