/** The client's end between servers: what to connect with, from the files as they are at the time of the connection. */
import { constants } from 'node:crypto';
import { isIP } from 'node:net';
import { type ConnectionOptions, createSecureContext, type SecureContext } from 'node:tls';
import type { Logger } from '@quorate/base';
import { contextOptionsOf } from './context-options.ts';
import { FromFiles } from './from-files.ts';
import { checkTlsSettings, type TlsSettings } from './settings.ts';

export class TlsDialer {
  readonly #settings: TlsSettings;
  readonly #contexts: FromFiles<SecureContext>;

  /** Throws TlsError when settings or files cannot work. */
  constructor(settings: TlsSettings, logger: Logger) {
    checkTlsSettings(settings);
    this.#settings = settings;
    const hasOwn = settings.clientCertFile !== '';
    this.#contexts = new FromFiles({
      paths: [
        hasOwn ? settings.clientCertFile : settings.certFile,
        hasOwn ? settings.clientKeyFile : settings.keyFile,
        settings.trustedCaFile,
      ],
      make: (contents) => contextOf(settings, contents),
      onFailure: (error) => {
        logger.error('changed TLS files are not usable, those before stay in use', { error: error.message });
      },
    });
  }

  /** Whether the other end must prove who it is. Certificates that servers made for themselves prove nothing. */
  get verifies(): boolean {
    return !this.#settings.isSelfSigned;
  }

  /** The certificate, key and authorities as they are now. */
  get secureContext(): SecureContext {
    return this.#contexts.current;
  }

  /** For `tls.connect`, to `host`, which the other end's certificate must name. */
  connectOptions(host: string): ConnectionOptions {
    return {
      host,
      secureContext: this.secureContext,
      ALPNProtocols: ['h2'],
      rejectUnauthorized: this.verifies,
      ...(isIP(host) === 0 ? { servername: host } : {}),
    };
  }
}

function contextOf(settings: TlsSettings, contents: readonly (Buffer | undefined)[]): SecureContext {
  return createSecureContext({
    ...contextOptionsOf(settings, contents),
    // HTTP/2 forbids it (RFC 9113, 9.2.1). `disableRenegotiation` of a socket has no effect at a client's end.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  });
}
