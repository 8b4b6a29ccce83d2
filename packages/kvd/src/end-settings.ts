/** TLS as the ports are to have it: what was configured, with a certificate made now where none was given but one is wanted. */
import { join } from 'node:path';
import type { Clock, Logger } from '@quorate/base';
import { selfSignedFiles, type TlsSettings } from '@quorate/tls';
import type { DaemonConfig } from './config.ts';

/** For client and metrics ports. Warns of settings that have no effect. Throws TlsError. */
export function endSettings(
  config: DaemonConfig,
  dataDir: string,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): TlsSettings {
  const { clientTls: tls, listenClientUrls, selfSignedYears } = config;
  for (const { scheme, text } of listenClientUrls) {
    if (scheme === 'https') continue;
    if (tls.certFile !== '')
      logger.warn('scheme is http while certificates are given; they are not used', { url: text });
    if (tls.clientCertAuth) logger.warn('scheme is http; clients need no certificate here', { url: text });
  }
  if (!tls.isAuto) return tls;
  const files = selfSignedFiles({
    directory: join(dataDir, 'fixtures', 'client'),
    hosts: listenClientUrls.filter(({ scheme }) => scheme === 'https').map(({ host }) => host),
    years: selfSignedYears,
    wallMs: clock.wallMs(),
    logger,
  });
  return { ...tls, ...files, isSelfSigned: true };
}
